"""The event log's rows: what is written, whose it is, and how it expires."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, select, update

from backchannel.context import Identity
from backchannel.event_logs import sql
from backchannel.event_logs.base import FencedError
from backchannel.event_logs.sql import ABANDONED_SECONDS, SqlEventLog, SqlStorage
from backchannel.ids import new_id
from backchannel.stores.sql import run_events as module
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.ownership import delete_owned
from backchannel.stores.sql.tables import run_events, run_logs
from backchannel.stores.times import utc_now
from backchannel.testing.contracts.event_log_base import (
    ADA,
    append_events,
    batch_of,
    begin_run,
    checked_numbers,
    read_available,
    read_next,
    read_to_end,
    read_until,
    start_readers,
    text_delta,
    whole_event,
)
from databases import KINDS, database_with_tables
from processes import until

pytestmark = pytest.mark.row("C4", "H2")

BOB = Identity("bob", tenant="acme")


@pytest.fixture(scope="module", params=KINDS)
def events_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with database_with_tables(request.param, tmp_path_factory.mktemp("events")) as url:
        yield url


@pytest.fixture
async def database(events_url: str) -> AsyncGenerator[Database]:
    database = Database(events_url)
    yield database
    await database.close()


@pytest.fixture
async def log(database: Database) -> AsyncGenerator[SqlEventLog]:
    log = SqlEventLog(database, retention=60, poll_seconds=0.01)
    yield log
    await log.aclose()


@pytest.fixture
async def another(database: Database) -> AsyncGenerator[SqlEventLog]:
    log = SqlEventLog(database, retention=60, poll_seconds=0.01)
    yield log
    await log.aclose()


async def rows_of(database: Database, run_id: str) -> list[Any]:
    async with database.read() as connection:
        found = select(run_events).where(run_events.c.run_id == run_id).order_by(run_events.c.seq)
        return list((await connection.execute(found)).mappings())


async def known(database: Database, *run_ids: str) -> set[str]:
    async with database.read() as connection:
        found = select(run_logs.c.run_id).where(run_logs.c.run_id.in_(run_ids))
        return set((await connection.execute(found)).scalars())


async def end_earlier(database: Database, run_id: str, seconds: float) -> None:
    async with database.write() as connection:
        ended = update(run_logs).where(run_logs.c.run_id == run_id, run_logs.c.ended_at.is_not(None))
        moved = await connection.execute(ended.values(ended_at=utc_now() - timedelta(seconds=seconds)))
        assert moved.rowcount == 1


@pytest.mark.row("D5")
async def test_words_of_a_moment_are_one_row_and_somebodys(database: Database, log: SqlEventLog) -> None:
    run_id = new_id("run")
    await log.begin(run_id, BOB, fence=1)
    await append_events(log, run_id, range(1, 101), text_delta)
    await append_events(log, run_id, [101], whole_event)
    first, second = await rows_of(database, run_id)
    assert (first["seq"], len(first["ends"].split(",")), second["seq"]) == (1, 100, 101)
    for row in (first, second):
        assert (row["tenant"], row["user_id"]) == ("acme", "bob")


async def test_a_beginning_is_part_of_the_callers_transaction(
    database: Database, log: SqlEventLog, another: SqlEventLog
) -> None:
    run_id = new_id("run")

    async def fail() -> None:
        async with database.transaction():
            await log.begin(run_id, ADA, fence=1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    with pytest.raises(LookupError):
        await another.read(run_id, 0, wait=0)
    async with database.transaction():
        await log.begin(run_id, ADA, fence=1)
    await append_events(log, run_id, [1])
    assert checked_numbers((await read_next(another, run_id)).frames) == [1]


@pytest.mark.row("D5")
async def test_somebody_elses_run_cannot_be_begun(log: SqlEventLog, another: SqlEventLog) -> None:
    run_id = await begin_run(log)
    with pytest.raises(FencedError):
        await another.begin(run_id, BOB, fence=2)
    await append_events(log, run_id, [1])


@pytest.mark.row("H6")
async def test_a_person_who_is_erased_is_not_written_any_more(database: Database, log: SqlEventLog) -> None:
    run_id = new_id("run")
    await log.begin(run_id, BOB, fence=1)
    await append_events(log, run_id, [1])
    async with database.write() as connection:
        for table in (run_events, run_logs):
            await connection.execute(delete_owned(BOB, table))
    log.append(run_id, text_delta(2))
    with pytest.raises(FencedError):
        await log.flush(run_id)
    assert await rows_of(database, run_id) == []


async def test_what_has_expired_is_unknown_at_once(database: Database, log: SqlEventLog) -> None:
    fresh = SqlEventLog(database, retention=60)
    expired, ended = await begin_run(log), await begin_run(log)
    for run_id in (expired, ended):
        await append_events(log, run_id, [1])
        await log.end(run_id)
    await end_earlier(database, expired, 61)
    await end_earlier(database, ended, 50)
    with pytest.raises(LookupError):
        await fresh.read(expired, 0, wait=0)
    assert len(await rows_of(database, expired)) == 1
    assert (await read_available(fresh, ended)).ended
    await fresh.aclose()


async def test_what_has_expired_is_deleted_in_small_steps(
    database: Database, log: SqlEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 3)
    for each in (module, sql):
        monkeypatch.setattr(each, "MAX_LOGS", 2)
    expired = [await begin_run(log) for _ in range(5)]
    ended, goes_on = await begin_run(log), await begin_run(log)
    week = int((time.time() - ABANDONED_SECONDS) * 1000)
    abandoned, nearly = (f"run_{week + shift:012x}{'a' * 20}" for shift in (-1000, 100_000))
    for run_id in (abandoned, nearly):
        await log.begin(run_id, ADA, fence=1)
    for run_id in (*expired, ended, goes_on, abandoned, nearly):
        await append_events(log, run_id, range(1, 8), whole_event)
    for run_id in (*expired, ended):
        await log.end(run_id)
    for run_id in expired:
        await end_earlier(database, run_id, 3600)
    deleted: list[int] = []

    def note(_conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().startswith("DELETE FROM run_events"):
            deleted.append(cursor.rowcount)

    event.listen(database.engine.sync_engine, "after_cursor_execute", note)
    await SqlStorage(database, retention=60, poll_seconds=0.01).delete_expired()
    event.remove(database.engine.sync_engine, "after_cursor_execute", note)
    assert await known(database, *expired, ended, goes_on, abandoned, nearly) == {ended, goes_on, nearly}
    assert max(deleted) <= 3
    assert sum(deleted) >= 7 * 6
    for run_id in (*expired, abandoned):
        assert await rows_of(database, run_id) == []
    for run_id in (ended, goes_on, nearly):
        assert len(await rows_of(database, run_id)) == 7


async def test_a_log_sweeps_by_itself(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backchannel.event_logs.durable.CLEANUP_SECONDS", 0.02)
    log = SqlEventLog(database, retention=0.01)
    run_id = await begin_run(log)
    await log.end(run_id)

    async def swept() -> bool:
        return not await known(database, run_id)

    await until(swept, "it is swept", 20)
    await log.aclose()


async def test_very_many_runs_can_be_followed(log: SqlEventLog, another: SqlEventLog) -> None:
    # More than one statement names, with more rows than one statement gives.
    runs = [await begin_run(log) for _ in range(module.MAX_LOGS + 50)]
    following = [asyncio.create_task(read_to_end(another, run_id)) for run_id in runs]
    await until(lambda: len(another.tailed_runs) == len(runs), "all are followed", 30)
    for number in range(1, 11):
        for run_id in runs:
            log.append(run_id, whole_event(number))
    await asyncio.gather(*(log.end(run_id) for run_id in runs))
    for frames in await asyncio.gather(*following):
        assert checked_numbers(frames) == list(range(1, 11))


async def test_one_query_asks_for_news_of_all_runs(events_url: str, log: SqlEventLog) -> None:
    database = Database(events_url)
    another = SqlEventLog(database, retention=60, poll_seconds=0.01)
    runs = [await begin_run(log) for _ in range(20)]
    readers = [reader for run_id in runs for reader in await start_readers(another, run_id, 1)]
    await until(lambda: len(another.tailed_runs) == len(runs), "all are followed", 30)
    asked: list[str] = []
    polls = 0
    poll = another._storage.poll

    async def counted(*arguments: Any) -> Any:
        nonlocal polls
        polls += 1
        return await poll(*arguments)

    another._storage.poll = counted

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "run_logs" in statement or "run_events" in statement:
            asked.append(statement)

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    await until(lambda: polls >= 5, "it asked some times", 20)
    assert len(asked) <= polls
    await asyncio.gather(*(append_events(log, run_id, [1]) for run_id in runs))
    for reader in readers:
        assert checked_numbers((await batch_of(reader)).frames) == [1]
    assert sum("run_events" in statement for statement in asked) <= 5
    await another.aclose()
    await database.close()


async def test_what_a_failed_over_database_has_lost_is_told_again(
    database: Database, log: SqlEventLog, another: SqlEventLog
) -> None:
    run_id = await begin_run(log)
    for number in range(1, 8):
        await append_events(log, run_id, [number])
    async with database.write() as connection:
        await connection.execute(
            run_events.delete().where(run_events.c.run_id == run_id, run_events.c.seq > 4)
        )
        await connection.execute(update(run_logs).where(run_logs.c.run_id == run_id).values(last_seq=4))
    await append_events(log, run_id, [8])
    assert checked_numbers(await read_until(another, run_id, 8)) == list(range(1, 9))
    async with database.read() as connection:
        count = select(func.count()).select_from(run_events).where(run_events.c.run_id == run_id)
        assert (await connection.execute(count)).scalar_one() >= 5
