"""The event logs with real servers that fail: connections that are cut, commits whose answer is lost, lost data.

What must hold: readers anywhere get every event once and in order, and nothing waits for ever.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from anyio.lowlevel import checkpoint
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.errors import UnavailableError
from backchannel.event_logs import flusher
from backchannel.event_logs import redis as redis_log
from backchannel.event_logs.base import Batch, EventLog, FencedError
from backchannel.event_logs.redis import RedisEventLog
from backchannel.event_logs.sql import SqlEventLog
from backchannel.stores.sql.dialects import PoolOptions
from backchannel.stores.sql.engine import Database, TransactionAbortedError
from backchannel.testing.contracts.event_log_base import (
    ADA,
    append_events,
    batch_of,
    begin_run,
    checked_numbers,
    event_numbers,
    read_to_end,
    read_until,
    sample_event,
    start_readers,
    whole_event,
)
from databases import KINDS, database_with_tables
from faults.network import Network
from faults.redis_server import RedisServer

pytestmark = pytest.mark.row("C4", "H2", "D2")

BOUND = 60
EVENTS = 400


async def within[R](work: Awaitable[R]) -> R:
    async with asyncio.timeout(BOUND):
        return await work


async def retry_until_available[R](work: Callable[[], Awaitable[R]]) -> R:
    """As callers do it: what cannot be reached now is asked again."""
    async with asyncio.timeout(BOUND):
        while True:
            try:
                return await work()
            except UnavailableError:
                await asyncio.sleep(0.05)


async def close(*parts: EventLog | Database) -> None:
    for part in parts:
        await (part.close() if isinstance(part, Database) else part.aclose())


async def follow_patiently(log: EventLog, run_id: str) -> list[int]:
    found: list[int] = []
    while True:
        after = len(found)
        batch = await retry_until_available(lambda after=after: log.read(run_id, after, wait=1))
        found += checked_numbers(batch.frames)
        assert found == list(range(1, len(found) + 1))
        if batch.ended:
            return found


async def speak(log: EventLog, run_id: str, trouble: Callable[[], Awaitable[None]]) -> None:
    """Say many things, with some trouble in between."""
    for number in range(1, EVENTS + 1):
        log.append(run_id, sample_event(number))
        await checkpoint()
        if number % 25 == 0:
            await trouble()
            # Every other time it is waited for, so that trouble comes at all stages.
            if number % 50 == 0:
                await retry_until_available(lambda: log.flush(run_id))
            else:
                await asyncio.sleep(0.003)
    await retry_until_available(lambda: log.end(run_id))


# Databases


@pytest.fixture(scope="module", params=KINDS)
def events_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A database for all tests of a kind."""
    with database_with_tables(request.param, tmp_path_factory.mktemp("events")) as url:
        yield url


@pytest.fixture
def server_url(events_url: str) -> str:
    """Of those that are servers."""
    if events_url.startswith("sqlite"):
        pytest.skip("no connections to cut")
    return events_url


KILL = {
    "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
}


async def kill_connections(admin: Database) -> int:
    """End every other connection to the database, whatever it is at."""
    async with admin.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        found = (await connection.execute(text(KILL[admin.dialect.name]))).scalars().all()
        for each in found if admin.dialect.name == "mysql" else ():
            # Some have just gone by themselves.
            with suppress(OperationalError):
                await connection.execute(text(f"KILL {each}"))
    return len(found)


async def test_connections_that_are_cut_in_mid_write_lose_and_repeat_nothing(server_url: str) -> None:
    here, there, admin = Database(server_url), Database(server_url), Database(server_url)
    log, another = (
        SqlEventLog(here, retention=60, poll_seconds=0.01),
        SqlEventLog(there, retention=60, poll_seconds=0.01),
    )
    killed = 0

    async def trouble() -> None:
        nonlocal killed
        killed += await kill_connections(admin)

    run_id = await begin_run(log)
    reading = [asyncio.create_task(follow_patiently(each, run_id)) for each in (log, another)]
    await within(speak(log, run_id, trouble))
    for found in await within(asyncio.gather(*reading)):
        assert found == list(range(1, EVENTS + 1))
    fresh = SqlEventLog(admin, retention=60)
    assert checked_numbers(await read_to_end(fresh, run_id)) == list(range(1, EVENTS + 1))
    # Those that have ended are opened again only when they are needed.
    assert killed >= EVENTS // 50
    await close(log, another, fresh, here, there, admin)


class Unsure(Database):
    """Every second commit takes place, and the connection ends before the answer comes."""

    commits = 0

    async def _commit(self, connection: AsyncConnection) -> None:
        await super()._commit(connection)
        self.commits += 1
        if self.commits % 2:
            lost = TransactionAbortedError("lost", retry_after=1)
            lost.commit_unknown = True
            raise lost


async def test_a_commit_whose_answer_is_lost_is_not_done_twice(events_url: str) -> None:
    here, there = Unsure(events_url), Database(events_url)
    log, another = SqlEventLog(here, retention=60), SqlEventLog(there, retention=60, poll_seconds=0.01)
    run_id = await begin_run(log)
    reading = asyncio.create_task(read_to_end(another, run_id))

    async def no_trouble() -> None:
        pass

    await within(speak(log, run_id, no_trouble))
    assert checked_numbers(await reading) == list(range(1, EVENTS + 1))
    async with there.read() as connection:
        found = text("SELECT seq, ends FROM run_events WHERE run_id = :run ORDER BY seq")
        rows = (await connection.execute(found, {"run": run_id})).all()
    spans = [(row.seq, row.seq + (row.ends or "").count(",")) for row in rows]
    assert [number for first, end in spans for number in range(first, end + 1)] == list(range(1, EVENTS + 1))
    assert here.commits > 20
    # Taking over does not jump twice as far, or write less.
    assert await log.begin(await begin_run(another), ADA, fence=2) == 0
    await close(log, another, here, there)


async def test_connections_that_go_silent_are_replaced(server_url: str) -> None:
    url = make_url(server_url)
    async with Network(url.port or {"postgresql": 5432, "mysql": 3306}[url.get_backend_name()]) as network:
        slow = url.set(host="127.0.0.1", port=network.port).render_as_string(hide_password=False)
        here, there = Database(slow, PoolOptions(size=2, statement_timeout=1)), Database(server_url)
        log, another = SqlEventLog(here, retention=60), SqlEventLog(there, retention=60, poll_seconds=0.01)
        run_id = await begin_run(log)
        reading = asyncio.create_task(read_to_end(another, run_id))
        for number in range(1, 4):
            await retry_until_available(lambda number=number: append_events(log, run_id, [number]))
            # Nobody is told that they are gone.
            network.lose()
        await retry_until_available(lambda: log.end(run_id))
        assert checked_numbers(await within(reading)) == [1, 2, 3]
        await close(log, another, here, there)


# Redis


async def following(log: EventLog, run_id: str, after: int) -> asyncio.Task[Batch]:
    """A reader that has read the past and waits."""
    assert not (await log.read(run_id, after, wait=0.01)).frames
    (reader,) = await start_readers(log, run_id, 1, after)
    return reader


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncGenerator[RedisServer]:
    """A server of our own, which may be killed, paused and emptied."""
    async with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
async def logs(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Callable[[], RedisEventLog]]:
    monkeypatch.setattr(redis_log, "SOCKET_SECONDS", 0.5)
    made: list[RedisEventLog] = []

    def make() -> RedisEventLog:
        made.append(RedisEventLog(redis.url, retention=60))
        return made[-1]

    yield make
    monkeypatch.setattr("backchannel.event_logs.durable.CLOSE_SECONDS", 0.1)
    for log in made:
        await log.aclose()


@asynccontextmanager
async def client(redis: RedisServer) -> AsyncGenerator[Redis]:
    async with Redis.from_url(redis.url) as client:
        yield client


type Making = Callable[[], RedisEventLog]


async def test_connections_to_redis_that_are_cut_lose_and_repeat_nothing(
    redis: RedisServer, logs: Making
) -> None:
    log, another = logs(), logs()
    run_id = await begin_run(log)
    reading = [asyncio.create_task(follow_patiently(each, run_id)) for each in (log, another)]

    async def trouble() -> None:
        async with client(redis) as admin:
            await admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    await within(speak(log, run_id, trouble))
    for found in await within(asyncio.gather(*reading)):
        assert found == list(range(1, EVENTS + 1))
    assert checked_numbers(await read_to_end(logs(), run_id)) == list(range(1, EVENTS + 1))


@pytest.mark.parametrize("seconds", [0.2, 1.5])
async def test_a_redis_that_pauses_is_waited_for(redis: RedisServer, logs: Making, seconds: float) -> None:
    log, another = logs(), logs()
    run_id = await begin_run(log)
    await append_events(log, run_id, [1])
    reader = await following(another, run_id, 1)
    async with client(redis) as admin:
        await admin.execute_command("CLIENT", "PAUSE", int(seconds * 1000), "ALL")
    for number in (2, 3, 4):
        log.append(run_id, sample_event(number))
    await within(log.flush(run_id))
    assert checked_numbers((await batch_of(reader)).frames)[0] == 2
    await within(log.end(run_id))
    assert checked_numbers(await read_to_end(another, run_id)) == [1, 2, 3, 4]


async def test_a_redis_that_forgets_everything_is_told_again(redis: RedisServer, logs: Making) -> None:
    log, another = logs(), logs()
    runs = [await begin_run(log) for _ in range(5)]
    for run_id in runs:
        await append_events(log, run_id, range(1, 300))
    readers = [await following(each, run_id, 299) for each in (log, another) for run_id in runs]
    await redis.restart()
    for run_id in runs:
        log.append(run_id, whole_event(300))
    for run_id in runs:
        await retry_until_available(lambda run_id=run_id: log.flush(run_id))
    for reader in readers:
        assert checked_numbers((await batch_of(reader)).frames) == [300]
    fresh = logs()
    for run_id in runs:
        for after in (0, 150, 299):
            assert checked_numbers(await read_until(fresh, run_id, 300, after)) == list(range(after + 1, 301))
        await log.end(run_id)
        assert checked_numbers(await read_to_end(another, run_id, 298)) == [299, 300]


@pytest.mark.parametrize("lost", ["", ":events"])
async def test_half_of_what_redis_knows_can_be_lost_too(redis: RedisServer, logs: Making, lost: str) -> None:
    # As when it needs memory and may choose what to forget.
    log, another = logs(), logs()
    run_id = await begin_run(log)
    await append_events(log, run_id, range(1, 50))
    reader = await following(another, run_id, 49)
    async with client(redis) as admin:
        assert await admin.delete(f"backchannel:run:{run_id}{lost}") == 1
    behind = asyncio.create_task(_eventually(logs(), run_id, 20))
    await append_events(log, run_id, [50])
    assert checked_numbers((await batch_of(reader)).frames) == [50]
    assert checked_numbers(await within(behind)) == list(range(21, 51))
    assert checked_numbers(await read_until(logs(), run_id, 50)) == list(range(1, 51))


async def test_a_stale_writer_that_finds_redis_empty_does_not_stay(redis: RedisServer, logs: Making) -> None:
    stale, log, another = logs(), logs(), logs()
    run_id = await begin_run(stale)
    await append_events(stale, run_id, [1, 2, 3])
    await log.begin(run_id, ADA, fence=2, after_crash=True)
    await append_events(log, run_id, [10, 11, 12])
    reader = await following(another, run_id, 1_000_003)
    await redis.restart()
    # It has not heard of the other one, and nobody can tell it now.
    await retry_until_available(lambda: append_events(stale, run_id, [99]))
    await append_events(log, run_id, [13])
    assert event_numbers((await batch_of(reader)).frames) == [13]
    with pytest.raises(FencedError):
        await append_events(stale, run_id, [98], whole_event)
    await log.end(run_id)
    for each in (stale, log, another, logs()):
        # What was said before the take-over is lost: only the stale one knew it.
        assert event_numbers(await read_to_end(each, run_id, 3)) == [10, 11, 12, 13]
        assert event_numbers(await read_to_end(each, run_id, 1_000_003)) == [13]


async def test_a_redis_that_is_away_is_told_in_a_bounded_time(
    redis: RedisServer, logs: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flusher, "TIMEOUT_SECONDS", 1.0)
    log, another = logs(), logs()
    run_id = await begin_run(log)
    await append_events(log, run_id, [1])
    reader = await following(another, run_id, 1)
    await redis.process.kill()
    for work in (
        log.check,
        lambda: begin_run(log),
        lambda: another.read("run_other", 0, wait=60),
    ):
        with pytest.raises(UnavailableError) as raised:
            async with asyncio.timeout(5):
                await work()
        assert raised.value.retry_after
    log.append(run_id, whole_event(2))
    with pytest.raises(UnavailableError):
        async with asyncio.timeout(5):
            await log.end(run_id)
    # Who reads here is told all the same; who reads elsewhere waits, and is told when it is back.
    assert checked_numbers(await read_to_end(log, run_id)) == [1, 2]
    assert not reader.done()
    await redis.start()
    assert checked_numbers((await batch_of(reader)).frames) == [2]
    await retry_until_available(lambda: log.end(run_id))
    assert checked_numbers(await read_to_end(logs(), run_id)) == [1, 2]
    await log.check()


async def test_redis_forgets_by_itself(redis: RedisServer, logs: Making) -> None:
    log = logs()
    run_id, goes_on = await begin_run(log), await begin_run(log)
    for each in (run_id, goes_on):
        await append_events(log, each, [1, 2])
    await log.end(run_id)
    async with client(redis) as admin:
        for name in (f"backchannel:run:{run_id}", f"backchannel:run:{run_id}:events"):
            assert 0 < await admin.pttl(name) <= 60_000
        for name in (f"backchannel:run:{goes_on}", f"backchannel:run:{goes_on}:events"):
            assert 60_000 < await admin.pttl(name) <= redis_log.ABANDONED_SECONDS * 1000


async def _eventually(log: EventLog, run_id: str, after: int) -> list:
    """Read on, also from a run that is not known yet again."""
    async with asyncio.timeout(BOUND):
        while True:
            try:
                return await read_until(log, run_id, 50, after)
            except (LookupError, RedisError):
                await asyncio.sleep(0.01)
