"""Databases and Redis that go away and come back while answers are made.

What must hold: what was accepted is answered, once; the client sees no error that does not pass; nothing is stuck.
Whoever cannot be served meanwhile is told so at once (503), and the replica is not ready.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest

from faults.cluster import Cluster, running
from faults.model_server import ModelServer, whole
from faults.network import Network
from faults.postgresql_server import PostgresqlServer
from faults.talker import Answer, Person, texts
from processes import until, within


@pytest.fixture
def label() -> str:
    """Names the messages of one test."""
    return f"m{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
async def postgresql(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[PostgresqlServer]:
    """A server of our own."""
    async with PostgresqlServer(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


async def status(url: str) -> int:
    """Whether something is ready (200) or not (503)."""
    async with httpx2.AsyncClient(verify=False, timeout=10) as client:
        return (await client.get(f"{url}/health/ready")).status_code


@pytest.mark.row("D2", "H1", "C4")
@within(60)
async def test_a_restart_of_the_database_in_the_middle_of_answers(
    postgresql: PostgresqlServer, model: ModelServer, tmp_path: Path, label: str
):
    async with (
        running(postgresql.url, tmp_path / "replicas", model, 2) as cluster,
        Person(cluster.urls) as ada,
    ):
        first = await ada.ask(f"{label}: call record {label} then tokens 150 pace 50")
        held = await ada.ask(f"{label}held: tokens 20 hold {label} at 10")
        slow = await ada.ask(f"{label}slow: call slow {label} then say slowly")
        await first.until_said(":20 ")
        await until(lambda: bool(cluster.ledger("slow", label)), "a tool runs")
        await postgresql.crash()
        for url in cluster.urls:

            async def not_ready(url: str = url) -> bool:
                return await status(url) == 503

            await until(not_ready, "it says that it cannot be used", 15)
        # The model and the tool go on meanwhile, and what they say is waited for.
        model.gate(label).set()
        cluster.open_gate(label)
        more = asyncio.create_task(ada.say(f"{label}more: say more"))
        await postgresql.start()
        answers = await asyncio.gather(first.finish(), held.finish(), slow.finish(), more)
        assert [answer.errors for answer in answers] == [[]] * 4
        assert [answer.run["status"] for answer in answers] == ["completed"] * 4
        assert whole(first.text, label, 150)
        assert whole(held.text, f"{label}held", 20)
        for answer in answers:
            assert len(texts(await ada.sees_what_is_kept(answer))) == 2
        assert len(cluster.ledger("record", label)) == 1
        assert len(cluster.ledger("slow", label)) == 1
        for replica in cluster.replicas:
            await replica.ready(10)
        last = await ada.say(f"{label}last: say still here", first)
        assert texts(await ada.sees_what_is_kept(last))[-1] == "still here "


@pytest.mark.row("D2", "H1", "H2")
@within(60)
async def test_a_replica_whose_connections_to_the_database_go_silent_is_replaced(
    postgresql: PostgresqlServer, model: ModelServer, tmp_path: Path, label: str
):
    """Half-open: no end of the connection is told anything. The other replica has a network of its own."""
    async with (
        Network(postgresql.port) as network,
        running(
            postgresql.url,
            tmp_path / "replicas",
            model,
            database_statement_timeout_seconds=2,
            lease_seconds=2,
        ) as cluster,
    ):
        silent = cluster.replica(database_url=postgresql.url.replace(str(postgresql.port), str(network.port)))
        other = cluster.replica()
        await asyncio.gather(silent.start(), other.start())
        async with Person(cluster.urls) as ada:
            answer = await ada.ask(f"{label}: call record {label} then tokens 40 hold {label} at 20")
            await answer.until_said(":19 ")
            network.lose()
            model.gate(label).set()
            await answer.finish()
            assert (answer.errors, answer.run["status"]) == ([], "completed")
            assert whole(answer.text, label, 40)
            await ada.sees_what_is_kept(answer)
            assert len(cluster.ledger("record", label)) == 1
            # New connections work, so the replica does too, as soon as it has given the old ones up.
            again = await ada.say(f"{label}again: say here I am", answer, at=[silent.url])
            assert texts(await ada.sees_what_is_kept(again))[-1] == "here I am "


@pytest.fixture
async def with_redis(model: ModelServer, tmp_path: Path) -> AsyncGenerator[Cluster]:
    """Two replicas with a Redis of their own."""
    async with running("postgresql+redis", tmp_path / "replicas", model, 2) as cluster:
        yield cluster


async def finished(ada: Person, label: str, answers: list[Answer]) -> None:
    """See that answers were made as if nothing had been."""
    await asyncio.gather(*(answer.finish() for answer in answers))
    assert [answer.errors for answer in answers] == [[]] * len(answers)
    assert [answer.run["status"] for answer in answers] == ["completed"] * len(answers)
    for number, answer in enumerate(answers):
        assert whole(answer.text, f"{label}{number}", 100)
        assert len(texts(await ada.sees_what_is_kept(answer))) == 2
        last = await ada.say(f"{label}last{number}: say still here", answer)
        assert texts(await ada.sees_what_is_kept(last))[-1] == "still here "


@pytest.mark.row("C4", "H2")
@within(60)
async def test_redis_forgets_everything_in_the_middle_of_answers(
    with_redis: Cluster, model: ModelServer, label: str
):
    assert with_redis.redis is not None
    async with Person(with_redis.urls) as ada:
        answers = [
            await ada.ask(f"{label}{number}: tokens 100 pace 50 hold {label} at {20 + 60 * number}")
            for number in range(2)
        ]
        # The second is read from the replica that does not make it.
        await answers[1].drop()
        answers[1].replicas = with_redis.urls[1:]
        await asyncio.gather(answers[0].until_said(":19 "), answers[1].until_said(":30 "))
        await with_redis.redis.restart()
        model.gate(label).set()
        await finished(ada, label, answers)


@pytest.mark.row("H1", "H2")
@within(60)
async def test_redis_is_away_when_a_replica_dies(with_redis: Cluster, model: ModelServer, label: str):
    """Two things fail at once: nobody knows any more what readers were told. The answer is made all the same, and
    whoever looks at the conversation anew sees it as it is."""
    assert with_redis.redis is not None
    async with Person(with_redis.urls) as ada:
        answer = await ada.ask(f"{label}: call record {label} then tokens 40 hold {label} at 20")
        await answer.until_said(":19 ")
        await answer.drop()
        await with_redis.redis.process.kill()
        await with_redis.replicas[0].process.kill()
        model.gate(label).set()
        await with_redis.redis.start()
        run = await ada.run_is(answer.run_id, "completed")
        assert run["fence"] > 1
        again = await ada.resume(answer.run_id).finish()
        assert again.errors == []
        said = texts(await ada.sees_what_is_kept(again))
        assert len(said) == 2
        assert whole(said[1], label, 40)
        assert len(with_redis.ledger("record", label)) == 1
        last = await ada.say(f"{label}last: say still here", answer.thread_id)
        assert texts(await ada.items(last))[-1] == "still here "


@pytest.mark.row("C4", "H2")
@within(60)
async def test_redis_is_silent_for_a_while(with_redis: Cluster, model: ModelServer, label: str):
    assert with_redis.redis is not None
    async with Person(with_redis.urls) as ada:
        answers = [await ada.ask(f"{label}{number}: tokens 100 pace 50") for number in range(2)]
        await answers[1].drop()
        answers[1].replicas = with_redis.urls[1:]
        await asyncio.gather(*(answer.until_said(":10 ") for answer in answers))
        with_redis.redis.process.pause()
        try:
            await until(
                lambda: all(call.ended for call in model.calls[-2:]), "the models have said it all", 20
            )
        finally:
            with_redis.redis.process.resume()
        await finished(ada, label, answers)


@pytest.mark.row("C4", "H1", "H2")
@within(60)
async def test_the_end_of_an_answer_that_redis_never_heard_is_told_after_the_replica_died(
    model: ModelServer, tmp_path: Path, label: str
):
    """The answer is kept and its run has ended, but readers were told neither: whoever cares for the run's log tells
    them what is kept, and only then that it has ended."""
    async with running("postgresql+redis", tmp_path / "replicas", model) as cluster:
        victim, other = cluster.replica(), cluster.replica()
        await asyncio.gather(victim.start(FAULTS_KILL_AT="run.finished"), other.start())
        assert cluster.redis is not None
        async with Person(cluster.urls) as ada:
            answer = await ada.ask(f"{label}: call record {label} then tokens 40 hold {label} at 20")
            await answer.until_said(":19 ")
            cluster.redis.process.pause()
            try:
                model.gate(label).set()
                await victim.process.ended()
            finally:
                cluster.redis.process.resume()
            await answer.finish()
            assert (answer.errors, answer.run["status"]) == ([], "completed")
            assert whole(answer.text, label, 40)
            await ada.sees_what_is_kept(answer)
            assert len(cluster.ledger("record", label)) == 1
