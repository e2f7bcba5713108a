"""Three replicas behind nginx are restarted one after the other while people talk.

What must hold: SIGTERM makes a replica unready at once and lets it end its answers, or hand over those that take
longer than its grace period. Nobody whose client follows the protocol sees an error; every message is answered once.
"""

import asyncio
import itertools
import secrets
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from faults.cluster import running
from faults.model_server import ModelServer, whole
from faults.nginx import Nginx
from faults.talker import Answer, Person, texts
from processes import until, within

PEOPLE = 12
GRACE_SECONDS = 1


@pytest.mark.alone
@pytest.mark.row("G2", "H2", "P8")
@within(90)
async def test_a_rolling_restart_is_seen_by_nobody(model: ModelServer, tmp_path: Path):
    async with (
        running(
            "postgresql+redis", tmp_path / "replicas", model, 3, shutdown_seconds=GRACE_SECONDS
        ) as cluster,
        Nginx(tmp_path, [replica.port for replica in cluster.replicas]) as nginx,
    ):
        restarted = asyncio.Event()

        async def talk(number: int, person: Person) -> None:
            thread: Answer | None = None
            label, tokens = f"person-{number}-", 40 + 60 * (number % 3)
            for turn in itertools.count():
                # Some answers end within the grace period, others are handed over.
                message = (
                    f"{label}{turn}: call record {label}{turn} then tokens {40 + 60 * (number % 3)} pace 40"
                )
                thread = await person.say(message, thread)
                assert thread.errors == []
                assert thread.run["status"] == "completed"
                if restarted.is_set():
                    break
            assert thread is not None
            said = texts(await person.sees_what_is_kept(thread))
            assert len(said) == 2 * (turn + 1)
            for each, question, answer in zip(range(turn + 1), said[::2], said[1::2], strict=True):
                assert question.startswith(f"{label}{each}: ")
                assert whole(answer, f"{label}{each}", tokens)
                assert len(cluster.ledger("record", f"{label}{each}")) == 1

        async def restart() -> None:
            for replica in cluster.replicas:
                await until(lambda: sum(call.open for call in model.calls) >= PEOPLE // 2, "people talk", 20)
                assert await replica.process.terminate() == 0, replica.process.told()[-3000:]
                await replica.start()
            restarted.set()

        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            for number in range(PEOPLE):
                person = await stack.enter_async_context(Person([nginx.url]))
                group.create_task(talk(number, person))
            group.create_task(restart())


@pytest.mark.row("G2", "G1", "P8")
@within(60)
async def test_a_replica_that_is_told_to_stop_hands_over_what_it_cannot_finish(
    model: ModelServer, tmp_path: Path
):
    label = f"m{secrets.token_hex(4)}"
    async with (
        running("postgresql", tmp_path / "replicas", model, 2, shutdown_seconds=GRACE_SECONDS) as cluster,
        Person(cluster.urls) as ada,
        httpx2.AsyncClient(verify=False) as client,
    ):
        one = cluster.replicas[0]
        long = await ada.ask(f"{label}long: call record {label} then tokens 40 hold {label} at 20")
        short = await ada.ask(f"{label}short: tokens 10 hold {label}short at 5")
        await long.until_said(":19 ")
        await short.until_said(":4 ")
        waiting = await ada.ask(f"{label}wait: say in my turn", long.thread_id)
        told = time.monotonic()
        ending = asyncio.create_task(one.process.terminate())

        async def unready() -> bool:
            return (await client.get(f"{one.url}/health/ready")).status_code == 503

        await until(unready, "it says that it takes nothing more", GRACE_SECONDS)
        assert (await client.get(f"{one.url}/health/live")).status_code == 200
        model.gate(f"{label}short").set()
        await short.finish()
        assert short.cuts == 0
        assert await ending == 0
        assert time.monotonic() - told < GRACE_SECONDS + 5
        await model.reached(f"{label}long", 20, calls=3)
        model.gate(label).set()
        await long.finish()
        await waiting.finish()
        assert (long.errors, waiting.errors, short.errors) == ([], [], [])
        assert whole(long.text, f"{label}long", 40)
        said = texts(await ada.sees_what_is_kept(long, waiting))
        assert said[2:] == [f"{label}wait: say in my turn", "in my turn "]
        assert len(cluster.ledger("record", label)) == 1
        assert len(model.of(f"{label}short")) == 1


@pytest.mark.row("G2", "H1")
@within(60)
async def test_one_replica_alone_goes_on_after_its_restart(model: ModelServer, tmp_path: Path):
    label = f"m{secrets.token_hex(4)}"
    async with (
        running("sqlite", tmp_path / "replica", model, 1, shutdown_seconds=0) as cluster,
        Person(cluster.urls) as ada,
    ):
        answer = await ada.ask(f"{label}: call record {label} then tokens 40 hold {label} at 20")
        await answer.until_said(":19 ")
        assert await cluster.replicas[0].process.terminate() == 0
        model.gate(label).set()
        await cluster.replicas[0].start()
        await answer.finish()
        assert (answer.errors, answer.run["status"]) == ([], "completed")
        assert whole(answer.text, label, 40)
        await ada.sees_what_is_kept(answer)
        assert len(cluster.ledger("record", label)) == 1
