"""The SQL store keeps the contract of stores (D1, D5), on SQLite, PostgreSQL and MariaDB."""

import pytest
from sqlalchemy import select

from backchannel.context import Identity, Usage
from backchannel.ids import new_id
from backchannel.stores.base import RunRecord
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.runs import SqlRuns
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.sql.tables import usage as booked
from backchannel.stores.times import utc_now
from backchannel.testing.contracts.store import ADA, BOB, StoreContract, a_thread, said

pytestmark = pytest.mark.row("D1", "D3", "D5")


class TestSqlStore(StoreContract):
    @pytest.fixture
    async def store(self, database: Database) -> SqlStore:
        return SqlStore(database)


async def test_a_write_that_fails_halfway_leaves_nothing(database: Database) -> None:
    store = SqlStore(database)
    thread = a_thread(store)
    await store.save_thread(thread, ADA)
    item = said(store, thread, "x")

    async def fail_halfway() -> None:
        async with database.write() as connection:
            await connection.exec_driver_sql("UPDATE threads SET last_seq = 41")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_halfway()
    await store.add_thread_item(thread.id, item, ADA)
    async with database.read() as connection:
        assert (await connection.exec_driver_sql("SELECT seq FROM items")).scalar_one() == 1


async def test_feedback_is_kept_once_and_can_change(database: Database) -> None:
    store = SqlStore(database)
    thread = a_thread(store)
    await store.save_thread(thread, ADA)
    item = said(store, thread, "x")
    await store.add_thread_item(thread.id, item, ADA)
    await store.save_feedback(thread.id, [item.id], "positive", ADA)
    await store.save_feedback(thread.id, [item.id], "negative", ADA)
    async with database.read() as connection:
        rows = (await connection.exec_driver_sql("SELECT item_id, user_id, kind FROM feedback")).all()
    assert [tuple(row) for row in rows] == [(item.id, "ada", "negative")]


async def test_runs_and_their_usage(database: Database) -> None:
    runs, thread_id = SqlRuns(database), new_id("thread")
    ids = [new_id("run") for _ in range(3)]
    for run_id in ids:
        await runs.add(RunRecord(run_id, thread_id, "threads.create", "running", utc_now()), ADA.identity)
    usage = Usage(requests=2, input_tokens=30, output_tokens=7)
    await runs.finish(ids[0], "completed", None, usage, ADA.identity)
    await runs.finish(ids[0], "failed", "late", usage, ADA.identity)
    await runs.finish(ids[1], "failed", "stolen", usage, BOB.identity)
    assert (await runs.load(ids[0], ADA.identity)).status == "completed"
    active = await runs.of_thread(thread_id, ADA.identity, active=True, limit=10)
    assert {run.id for run in active} == set(ids[1:])
    assert await runs.of_thread(thread_id, Identity("bob"), active=False, limit=10) == []
    assert await runs.interrupt_abandoned() == 2
    assert (await runs.load(ids[2], ADA.identity)).status == "interrupted"
    async with database.read() as connection:
        rows = (await connection.execute(select(booked.c.run_id, booked.c.input_tokens))).all()
    assert [tuple(row) for row in rows] == [(ids[0], 30)]
