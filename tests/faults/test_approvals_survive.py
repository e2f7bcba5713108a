"""`kill -9` while an answer waits for approval, and while it goes on after that."""

import asyncio
from pathlib import Path

import pytest

from faults.cluster import running
from faults.model_server import ModelServer, whole
from faults.talker import UNKNOWN, Person, texts
from faults.test_kill_points import each_survives, explained, talking, until_dead

pytestmark = pytest.mark.row("B8", "M13", "H1")

TOKENS = 8
CASES = [
    ("asking", "item.stored", 1),
    ("asking", "item.stored", 3),
    ("asking", "answer.completed", 1),
    ("going-on", "request.accepted", 1),
    ("going-on", "item.completed", 1),
    ("going-on", "item.stored", 1),
    ("going-on", "tool.journaled", 1),
    ("going-on", "tool.returned", 1),
    ("going-on", "item.stored", 2),
    ("going-on", "answer.completed", 1),
]
"""What the replica does when it dies, at which point, and how often that was reached."""
MAY_BE_UNKNOWN = {"tool.journaled", "tool.returned"}


async def test_an_approval_survives_a_death(model: ModelServer, tmp_path: Path):
    async def survive(case: tuple[str, str, int]) -> None:
        phase, point, number = case
        name = f"{phase}-{point}-{number}".replace(".", "-")
        async with talking("sqlite", tmp_path, model, name) as (cluster, talk):
            [victim], ada, label = cluster.replicas, talk.ada, talk.label
            fatal = {"FAULTS_KILL_AT": f"{point}:{number}"}
            await victim.start(**(fatal if phase == "asking" else {}))
            # A call that dies with its response, beside one that was made, is the model's to repeat.
            beside = "" if phase == "asking" else f"call record {label}-x & "
            says = f"{label}: {beside}call record_if_approved {label} then tokens {TOKENS}"
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(ada.say(says))
                if phase == "asking":
                    await until_dead(victim, asking)
                    await victim.start()
            asked = asking.result()
            assert (asked.run["status"], asked.errors) == ("waiting", [])
            assert cluster.ledger("record_if_approved", label) == []
            [question] = [
                item for item in await ada.sees_what_is_kept(asked) if item["type"] == "structured_input"
            ]
            await victim.process.kill()
            await victim.start(**(fatal if phase == "going-on" else {}))
            answers = {each["id"]: {"values": ["Approve"]} for each in question["inputs"]}
            params = {"thread_id": asked.thread_id, "item_id": question["id"], "input": {"answers": answers}}
            async with asyncio.TaskGroup() as tasks:
                deciding = tasks.create_task(ada.op("threads.add_structured_input", params, asked))
                if phase == "going-on":
                    await until_dead(victim, deciding)
                    await victim.start()
            answer = await deciding.result().finish()
            assert (answer.run["status"], answer.errors) == ("completed", [])
            said = texts(await ada.sees_what_is_kept(asked, answer))
            assert len(said) == 2, said
            assert whole(said[1], label, TOKENS), said
            done = len(cluster.ledger("record_if_approved", label))
            told = list(cluster.model.of(label)[-1].outputs.values())
            assert phase == "asking" or f"recorded {label}-x" in told
            if f"recorded {label}" not in told:
                assert point in MAY_BE_UNKNOWN, told
                assert any(UNKNOWN in output for output in told), told
            assert done == 1 or (done == 0 and point == "tool.journaled"), done
            last = await ada.say(f"{label}-last: say still here", answer)
            assert texts(await ada.sees_what_is_kept(asked, answer, last))[-1] == "still here "

    await each_survives(CASES, survive)


async def test_a_decision_on_another_replica(model: ModelServer, tmp_path: Path):
    """The one that had asked is dead, and there are two others."""
    async with running("postgresql+redis", tmp_path, model) as cluster:
        replicas = [cluster.replica() for _ in range(3)]
        await asyncio.gather(*(replica.start() for replica in replicas))
        async with explained(cluster), Person(cluster.urls, user="ada") as ada:
            asked = await ada.ask(
                f"ada: call record_if_approved ada then tokens {TOKENS}", at=cluster.urls[:1]
            )
            await asked.finish()
            assert asked.run["status"] == "waiting"
            await replicas[0].process.kill()
            [question] = [
                item
                for item in await ada.items(asked, cluster.urls[1:2])
                if item["type"] == "structured_input"
            ]
            answers = {"approval_1": {"values": ["Approve"]}}
            params = {"thread_id": asked.thread_id, "item_id": question["id"], "input": {"answers": answers}}
            answer = await ada.op("threads.add_structured_input", params, asked, at=cluster.urls[2:])
            await answer.finish()
            assert (answer.run["status"], answer.errors) == ("completed", [])
            assert whole(texts(await ada.items(answer, cluster.urls[1:2]))[-1], "ada", TOKENS)
            assert len(cluster.ledger("record_if_approved", "ada")) == 1
