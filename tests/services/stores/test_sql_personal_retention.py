"""What has become old is deleted for everybody, in small steps, and what is in use is kept."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, event, select, update

from backchannel.context import Identity
from backchannel.sql import Exact, Migrations, owner_columns
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.personal import delete_older, owned_tables
from backchannel.stores.sql.personal import retention as module
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.sql.tables import attachments, items, runs, threads, usage
from backchannel.stores.times import utc_now
from backchannel.testing.contracts.store_base import assistant_message
from backchannel.todo.tables import MIGRATIONS as TODO
from people import ADA, Rows, everything, live, sizes, talk

pytestmark = pytest.mark.row("H6", "D3")

BOB = Identity("bob", tenant="acme")
DAY = timedelta(days=1)


@pytest.fixture
def database(todo_database: Database) -> Database:
    """A database, of each kind in turn, with the tables of the todo assistant too."""
    return todo_database


@pytest.fixture
def limit() -> datetime:
    """What is older than this is old."""
    return utc_now() - 30 * DAY


async def age(database: Database, thread_id: str, days: int) -> None:
    """Make a thread, its runs and their usage as old as this."""
    then = utc_now() - timedelta(days=days)
    its_runs = select(runs.c.id).where(runs.c.thread_id == thread_id)
    async with database.write() as connection:
        await connection.execute(update(usage).where(usage.c.run_id.in_(its_runs)).values(created_at=then))
        await connection.execute(update(runs).where(runs.c.thread_id == thread_id).values(created_at=then))
        await connection.execute(
            update(threads).where(threads.c.id == thread_id).values(created_at=then, updated_at=then)
        )


def list_by_thread(rows: Rows, thread_id: str) -> dict[str, int]:
    """How many rows of each table belong to a thread."""
    return {
        name: sum(
            thread_id in (row.get("thread_id"), row["id"] if name == "threads" else None) for row in found
        )
        for name, found in rows.items()
    }


@contextmanager
def deleting(database: Database) -> Generator[list[int]]:
    """How many rows each transaction deletes."""
    of_transactions = [0]

    def count(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE FROM threads"):
            # Said again where it counts: somebody may have written since the thread was found.
            assert "threads.updated_at <" in statement
        if statement.startswith("DELETE"):
            of_transactions[-1] += cursor.rowcount

    def ended(_connection: Any) -> None:
        of_transactions.append(0)

    event.listen(database.engine.sync_engine, "after_cursor_execute", count)
    event.listen(database.engine.sync_engine, "commit", ended)
    yield of_transactions
    event.remove(database.engine.sync_engine, "after_cursor_execute", count)
    event.remove(database.engine.sync_engine, "commit", ended)


async def test_old_threads_go_with_all_that_belongs_to_them(database: Database, limit: datetime):
    young = [thread_id for person in (ADA, BOB) for thread_id in await live(database, person)]
    for thread_id in young:
        await age(database, thread_id, 29)
    for person in (ADA, BOB):
        for days in (31, 400):
            await age(database, await talk(database, person, 3), days)
    before = await everything(database)
    whole = sizes(before)
    counts = await delete_older(database, limit)
    left = await everything(database)
    assert {name: whole[name] - counts.get(name, 0) for name in whole} == sizes(left)
    assert {row["id"] for row in left["threads"]} == set(young)
    for name in ("items", "feedback", "search_entries", "runs"):
        assert {row["thread_id"] for row in left[name]} == set(young)
    # Those that were never sent, and the todos, are of no thread.
    assert {row["thread_id"] for row in left["attachments"]} == {*young, None}
    assert len(left["usage"]) == len(left["todos"]) == 2
    for name, found in left.items():
        assert [row for row in before[name] if row in found] == found
    assert counts == {
        "threads": 4, "items": 24, "feedback": 12, "search_entries": 28, "attachments": 4, "runs": 4, "usage": 4,
            "files": 4,
    }  # fmt: skip
    assert not any((await delete_older(database, limit)).values())


async def test_old_runs_and_usage_go_from_threads_that_are_kept(database: Database, limit: datetime):
    for _ in range(5):
        await age(database, await talk(database, ADA, 1), 31)
    async with database.write() as connection:
        await connection.execute(update(threads).values(updated_at=utc_now()))
    await talk(database, ADA, 1)
    with deleting(database) as of_transactions:
        counts = await delete_older(database, limit, batch=2)
    assert {name: count for name, count in counts.items() if count} == {"runs": 5, "usage": 5}
    assert max(of_transactions) == 2
    left = sizes(await everything(database))
    assert (left["threads"], left["runs"], left["usage"]) == (6, 1, 1)


async def test_no_transaction_deletes_more_than_a_batch(database: Database, limit: datetime):
    thread_ids = [await talk(database, ADA, messages) for messages in (1, 9)]
    for thread_id in thread_ids:
        await age(database, thread_id, 31)
    before = sizes(await everything(database))
    with deleting(database) as of_transactions:
        counts = await delete_older(database, limit, batch=10)
    assert max(of_transactions) == 10
    # A small thread goes at once: the one with two items, all that belongs to it, and itself. The deletion of a file
    # also schedules that of its bytes.
    assert 2 + 3 + 1 + 1 + 1 + 1 + 1 in of_transactions
    assert sum(of_transactions) == sum(counts.values())
    assert counts == {name: before[name] for name in counts}


async def test_a_thread_that_is_written_to_meanwhile_is_kept_whole(
    database: Database, limit: datetime, monkeypatch: pytest.MonkeyPatch
):
    """After it was found to be old, and before it is deleted."""
    kept, gone = await talk(database, ADA, 3), await talk(database, ADA, 3)
    for thread_id in (kept, gone):
        await age(database, thread_id, 31)
    async with database.write() as connection:
        # Also the runs of a thread that is kept go by their own age.
        await connection.execute(update(runs).values(created_at=utc_now()))
    before = list_by_thread(await everything(database), kept)
    store, found = SqlStore(database), module._RetentionSweep._page_of_threads

    async def find_then_write(self: Any, last: Any) -> Any:
        page = await found(self, last)
        if last is None:
            assert {row["id"] for row in page} == {kept, gone}
            thread = await store.load_thread(kept, ADA)
            await store.add_thread_item(kept, assistant_message(store, thread, "Back again"), ADA)
        return page

    monkeypatch.setattr(module._RetentionSweep, "_page_of_threads", find_then_write)
    await delete_older(database, limit)
    left = await everything(database)
    assert list_by_thread(left, kept) == before | {"items": 7, "search_entries": 8}
    assert not any(list_by_thread(left, gone).values())


async def test_of_a_long_thread_that_is_written_to_meanwhile_the_newest_is_kept(
    database: Database, limit: datetime, monkeypatch: pytest.MonkeyPatch
):
    thread_id = await talk(database, ADA, 10)
    await age(database, thread_id, 31)
    store, delete = SqlStore(database), module._RetentionSweep._delete_from
    steps = 0

    async def delete_then_write(self: Any, *arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        done = await delete(self, *arguments)
        async with database.read() as connection:
            left = len((await connection.execute(select(items.c.id))).all())
        if left < 20 and steps < 10:
            steps = 10
            thread = await store.load_thread(thread_id, ADA)
            await store.add_thread_item(thread_id, assistant_message(store, thread, "Back again"), ADA)
        return done

    monkeypatch.setattr(module._RetentionSweep, "_delete_from", delete_then_write)
    await delete_older(database, limit, batch=7)
    left = await everything(database)
    assert len(left["threads"]) == 1
    seqs = sorted(row["seq"] for row in left["items"])
    assert 1 < len(seqs) < 21
    assert seqs == list(range(seqs[0], 22))
    assert steps > 10


EXPIRE_BY_THEMSELVES = {"run_logs", "run_events", "attempts"}
"""Within minutes, and a day: see `event_logs.sql` and `runs.replica`."""


class KilledError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("at", [2, 6])
async def test_what_was_stopped_halfway_goes_on_where_it_was(database: Database, limit: datetime, at: int):
    for _ in range(2):
        await age(database, await talk(database, ADA, 4), 31)
    deletes = 0

    def stop(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal deletes
        deletes += statement.startswith("DELETE")
        if statement.startswith("DELETE") and deletes == at:
            raise KilledError

    event.listen(database.engine.sync_engine, "after_cursor_execute", stop)
    with pytest.raises(KilledError):
        await delete_older(database, limit, batch=5)
    halfway = sizes(await everything(database))
    assert halfway["threads"]
    counts = await delete_older(database, limit, batch=5)
    assert counts == {name: halfway[name] for name in counts}
    left = sizes(await everything(database))
    assert not any(left[name] for name in left if name not in EXPIRE_BY_THEMSELVES)


async def test_two_may_do_it_at_once(database: Database, limit: datetime):
    for number in range(6):
        await age(database, await talk(database, (ADA, BOB)[number % 2], 3), 31 + number)
    await live(database, ADA)
    before = sizes(await everything(database))
    async with asyncio.timeout(60):
        several = await asyncio.gather(*(delete_older(database, limit, batch=5) for _ in range(3)))
    left = sizes(await everything(database))
    total = {name: sum(counts[name] for counts in several) for name in several[0]}
    assert total == {name: before[name] - left[name] for name in total}
    assert (left["threads"], left["items"], left["usage"]) == (1, 4, 1)


async def test_a_thread_that_somebody_is_writing_to_is_passed_over(database: Database, limit: datetime):
    busy, idle = await talk(database, ADA, 1), await talk(database, ADA, 1)
    for thread_id in (busy, idle):
        await age(database, thread_id, 31)
    if database.dialect.name == "sqlite":
        return  # It has one writer at a time, for whom everybody else waits.
    async with database.write() as connection:
        touch = update(threads).where(threads.c.id == busy).values(title="Being written")
        await connection.execute(touch)
        async with asyncio.timeout(10):
            counts = await delete_older(database, limit)
    assert counts["threads"] == 1
    left = await everything(database)
    assert [row["id"] for row in left["threads"]] == [busy]
    assert list_by_thread(left, busy)["items"] == 2


async def test_an_applications_rows_go_with_their_thread(database: Database, limit: datetime):
    shop = MetaData()
    orders = Table(
        "orders",
        shop,
        Column("id", Integer, primary_key=True, autoincrement=False),
        # Does not take along: a thread that still had one could not be deleted.
        Column("thread", Exact(80), ForeignKey(threads.c.id), nullable=False),
        *owner_columns(),
    )
    old, young = await talk(database, ADA, 1), await talk(database, ADA, 1)
    await age(database, old, 31)
    owner = {"tenant": ADA.tenant, "user_id": ADA.user}
    async with database.write() as connection:
        await connection.run_sync(shop.create_all)
        several = [{"id": number, "thread": (old, young)[number % 2], **owner} for number in range(8)]
        await connection.execute(orders.insert(), several)
    tables = owned_tables(TODO, Migrations("shop", "nowhere:migrations", shop))
    counts = await delete_older(database, limit, 3, tables)
    assert (counts["orders"], counts["threads"]) == (4, 1)
    assert {row["thread"] for row in (await everything(database, orders))["orders"]} == {young}


async def test_files_that_were_never_sent_are_kept(database: Database, limit: datetime):
    await live(database, ADA, threads=0)
    async with database.write() as connection:
        await connection.execute(update(attachments).values(created_at=limit - 300 * DAY))
    assert not any((await delete_older(database, limit)).values())
    assert sizes(await everything(database))["attachments"] == 1
