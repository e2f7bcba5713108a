"""The SQL store keeps the contract of stores (D1, D5), on SQLite, PostgreSQL and MariaDB."""

import pytest

from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.store import SqlStore
from backchannel.testing.contracts.store import ADA, StoreContract, a_thread, assistant_message

pytestmark = pytest.mark.row("D1", "D3", "D5")


@pytest.mark.row("P10", "P13", "P14", "P15", "P17", "P18")
class TestSqlStore(StoreContract):
    @pytest.fixture
    async def store(self, database: Database) -> SqlStore:
        return SqlStore(database)


async def test_a_write_that_fails_halfway_leaves_nothing(database: Database) -> None:
    store = SqlStore(database)
    thread = a_thread(store)
    await store.save_thread(thread, ADA)
    item = assistant_message(store, thread, "x")

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
    item = assistant_message(store, thread, "x")
    await store.add_thread_item(thread.id, item, ADA)
    await store.save_feedback(thread.id, [item.id], "positive", ADA)
    await store.save_feedback(thread.id, [item.id], "negative", ADA)
    async with database.read() as connection:
        rows = (await connection.exec_driver_sql("SELECT item_id, user_id, kind FROM feedback")).all()
    assert [tuple(row) for row in rows] == [(item.id, "ada", "negative")]
