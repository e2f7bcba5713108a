"""`kill -9` around a command of a shell: it is never run twice, and the model is told what is known of it."""

import asyncio
from pathlib import Path

import pytest

from faults.model_server import ModelServer, whole
from faults.talker import UNKNOWN, texts
from faults.test_kill_points import each_survives, talking, until_dead

pytestmark = pytest.mark.row("B10", "H1", "C4")

TOKENS = 8
CASES = [
    ("tool.journaled", 1),
    ("tool.returned", 1),
    ("tool.journaled", 2),
    ("answer.completed", 1),
]
"""The point at which the replica dies, and how often it was reached."""


async def test_a_command_survives_a_death(model: ModelServer, tmp_path: Path):
    async def survive(case: tuple[str, int]) -> None:
        point, number = case
        name = f"{point}-{number}".replace(".", "-")
        shell = {"FAULTS_SHELL": "1", "BACKCHANNEL_MODEL_API": "responses"}
        async with talking("sqlite", tmp_path, model, name) as (cluster, talk):
            [victim], ada, label = cluster.replicas, talk.ada, talk.label
            await victim.start(FAULTS_KILL_AT=f"{point}:{number}", **shell)
            says = f"{label}: call shell make-{label} then call shell deploy-{label} then tokens {TOKENS}"
            asking = asyncio.create_task(ada.say(says))
            await until_dead(victim, asking)
            await victim.start(**shell)
            answer = await asking
            assert (answer.run["status"], answer.errors) == ("completed", [])
            said = texts(await ada.sees_what_is_kept(answer))
            assert whole(said[-1], label, TOKENS), said
            told = list(cluster.model.of(label)[-1].outputs.values())
            assert len(told) == 2, told
            for command, output in zip((f"make-{label}", f"deploy-{label}"), told, strict=True):
                done = len(cluster.ledger("shell", command))
                # The process died before or after it ran: nobody knows.
                assert (done, output) == (1, f"ran {command}") or (done <= 1 and UNKNOWN in output), told
            assert sum(UNKNOWN in output for output in told) == point.startswith("tool."), told
            last = await ada.say(f"{label}-last: say still here", answer)
            assert texts(await ada.sees_what_is_kept(answer, last))[-1] == "still here "

    await each_survives(CASES, survive)
