"""What is kept of a person is exported whole and erased whole, in small steps, and nobody else's is touched."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    event,
)

from backchannel.context import Identity
from backchannel.errors import ConfigurationError
from backchannel.sql import Exact, Migrations, UtcDateTime, owner_columns
from backchannel.stores.sql.audit_log import SqlAuditLog
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import CORE
from backchannel.stores.sql.personal import BATCH, PersonalData, owned_tables
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.sql.tables import threads
from backchannel.testing.contracts.store_base import all_threads, assistant_message
from backchannel.todo.tables import MIGRATIONS as TODO
from people import ADA, OTHERS, but_of, everything, live, of, sizes, talk

pytestmark = pytest.mark.row("H6", "D3")

MOMENT = datetime(2026, 11, 22, 12, 0, 0, 5, tzinfo=UTC)


@pytest.fixture
def database(todo_database: Database) -> Database:
    """A database, of each kind in turn, with the tables of the todo assistant too."""
    return todo_database


def data_of(database: Database, identity: Identity = ADA, *, batch: int = BATCH) -> PersonalData:
    return PersonalData(database, identity, owned_tables(TODO), batch=batch)


async def exported(person: PersonalData) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in person.exported}
    async for table, row in person.export():
        found[table].append(row)
    return found


@contextmanager
def statements(database: Database, after: Callable[[str, int], None]) -> Generator[None]:
    """Calls `after` with each statement that was executed and how many rows it changed or, for some drivers, found."""

    def told(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        after(statement, cursor.rowcount)

    event.listen(database.engine.sync_engine, "after_cursor_execute", told)
    yield
    event.remove(database.engine.sync_engine, "after_cursor_execute", told)


SECRETS = {
    "users": ["password_hash"],
    "sessions": ["token_hash", "rotation_key"],
    "provider_logins": ["sealed"],
}
"""What is stored and not exported."""

# Tables


def test_what_refers_to_a_table_comes_before_it():
    names = [table.name for table in owned_tables(TODO)]
    assert set(names) == {*CORE.metadata.tables, "todos"} - {
        "replicas", "login_failures", "login_attempts", "file_deletions",
    }  # fmt: skip
    for part in ("items", "feedback", "search_entries"):
        assert names.index(part) < names.index("threads")
    assert [table.name for table in owned_tables(CORE, TODO)] == names


def test_a_table_of_nobodys_is_left_out_and_one_without_a_key_is_refused():
    several = MetaData()
    Table("rates", several, Column("id", Integer, primary_key=True))
    assert "rates" not in [table.name for table in owned_tables(Migrations("shop", "x:y", several))]
    Table("clicks", several, *owner_columns())
    with pytest.raises(ConfigurationError, match="clicks has no primary key"):
        owned_tables(Migrations("shop", "x:y", several))


# Export


async def test_an_export_is_everything_and_nothing_of_others(database: Database):
    for person in (ADA, *OTHERS):
        await live(database, person, threads=2, messages=2)
    found = await exported(data_of(database))
    (logged_in,) = found.pop("audit_log")
    assert found.pop("budget_reservations") == []
    assert (logged_in["event"], logged_in["user_id"]) == ("login.succeeded", "ada")
    kept = of(await everything(database), ADA)
    for table, secrets in SECRETS.items():
        for row in kept[table]:
            for column in secrets:
                assert row.pop(column, "") != ""
    for repeats in ("search_entries", "run_events", "run_logs"):
        del kept[repeats]
    assert sizes(found) == sizes(kept)
    assert sizes(found) == {
        "threads": 2, "items": 8, "feedback": 4, "attachments": 3, "runs": 2, "usage": 2, "attempts": 2, "todos": 1,
        "users": 1, "sessions": 1, "provider_logins": 1, "user_addresses": 1, "budget_accounts": 1,
        "files": 3, "file_quotas": 1,
    }  # fmt: skip
    for name, rows in kept.items():
        for row in rows:
            (same,) = [
                each for each in found[name] if all(each[key] == row[key] for key in row if "id" in key)
            ]
            for column, value in row.items():
                match value:
                    case datetime(tzinfo=None):
                        assert datetime.fromisoformat(same[column]) == value
                    case datetime():
                        assert same[column].endswith("Z")
                        assert datetime.fromisoformat(same[column]) == value
                    case _ if column == "data":
                        assert same[column] == json.loads(value)
                    case _:
                        assert same[column] == value
    assert json.loads(json.dumps(found)) == found
    assert found["todos"][0]["due_at"] == "2026-11-23T23:59:59"


async def test_an_export_has_what_the_store_gives(database: Database):
    (thread_id,) = await live(database, ADA)
    store = SqlStore(database)
    page = await store.load_thread_items(thread_id, None, 100, "asc", ADA)
    found = await exported(data_of(database))
    assert [row["data"]["content"][0]["text"] for row in found["items"]] == [
        item.model_dump()["content"][0]["text"] for item in page.data
    ]
    assert [row["metadata"] for row in found["threads"]] == [{"of": ["ada", None]}]
    assert {row["data"]["name"] for row in found["attachments"]} > {
        (await store.load_attachment(found["attachments"][0]["id"], ADA)).name
    }


async def test_an_export_reads_a_few_rows_at_a_time_and_none_twice(database: Database):
    await live(database, ADA, threads=5, messages=4, todos=5)
    sizes_of_pages: list[int] = []

    class Watched(PersonalData):
        async def _read(self, statement: Any) -> Sequence[Any]:
            rows = await super()._read(statement)
            sizes_of_pages.append(len(rows))
            return rows

    whole = await exported(data_of(database))
    for batch in (1, 3, 5):
        sizes_of_pages.clear()
        person = Watched(database, ADA, owned_tables(TODO), batch=batch)
        assert await exported(person) == whole
        assert max(sizes_of_pages) <= batch
    assert sizes(whole)["items"] == 40


async def test_nothing_is_kept_of_a_stranger(database: Database):
    await live(database, ADA)
    for nobody in (Identity("nobody"), Identity("ada", tenant="nowhere")):
        assert not any((await exported(data_of(database, nobody))).values())
        assert not any((await data_of(database, nobody).count()).values())


async def test_an_export_has_no_hashes(database: Database):
    await live(database, ADA)
    found = await exported(data_of(database))
    (session,) = of(await everything(database), ADA)["sessions"]
    text = json.dumps(found)
    assert session["token_hash"] not in text
    assert "argon2" not in text
    for table, secrets in SECRETS.items():
        assert not set(secrets) & set(found[table][0])


# Erasing


async def test_erasing_keeps_the_audit_log_and_nothing_else(database: Database):
    await live(database, ADA)
    person = data_of(database)
    assert "audit_log" not in await person.count()
    assert "audit_log" not in await person.erase()
    log = [record async for record in SqlAuditLog(database).read()]
    assert [(each.event, each.user) for each in log] == [("login.succeeded", "ada")]
    assert not any((await person.count()).values())
    # Whoever asks what is kept of them is told.
    found = await exported(person)
    assert {name: len(rows) for name, rows in found.items() if rows} == {"audit_log": 1}


@pytest.mark.parametrize("batch", [3, BATCH])
async def test_erasing_leaves_nothing_of_the_person_and_everything_of_others(database: Database, batch: int):
    for person in (ADA, *OTHERS):
        await live(database, person, threads=2, messages=2)
    before = await everything(database)
    person = data_of(database, batch=batch)
    assert await person.count() == sizes(of(before, ADA))
    assert all(sizes(of(before, ADA)).values())
    assert await person.erase() == sizes(of(before, ADA))
    after = await everything(database)
    assert not any(of(after, ADA).values())
    assert after == but_of(before, ADA)
    assert await person.erase() == dict.fromkeys(sizes(before), 0)
    assert not any((await person.count()).values())
    assert await all_threads(SqlStore(database), "desc", limit=10) == []
    assert not (await SqlStore(database).search_threads("answer", 10, ADA)).hits


async def test_no_transaction_deletes_more_than_a_batch(database: Database):
    await live(database, ADA, threads=3, messages=20, todos=9)
    deleted, largest = 0, 0

    def count(statement: str, rows: int) -> None:
        nonlocal deleted, largest
        if statement.startswith("DELETE FROM threads"):
            # Said again where it counts: somebody may have written since the thread was found to be empty.
            assert statement.count("NOT (EXISTS") == 3
        if statement.startswith("DELETE"):
            deleted += rows
            largest = max(largest, deleted)

    def ended(_connection: Any) -> None:
        nonlocal deleted
        deleted = 0

    event.listen(database.engine.sync_engine, "commit", ended)
    with statements(database, count):
        receipt = await data_of(database, batch=7).erase()
    assert largest == 7
    # What a thread takes along is neither counted nor bounded: it has to be empty when it goes.
    assert (receipt["items"], receipt["search_entries"], receipt["feedback"]) == (120, 123, 60)


class KilledError(Exception):
    """The process ends here."""


@pytest.mark.parametrize(("at", "how"), [(4, "cancelled"), (9, "killed")])
async def test_what_was_stopped_halfway_goes_on_where_it_was(database: Database, at: int, how: str):
    await live(database, ADA, threads=3, messages=3, todos=3)
    await live(database, OTHERS[0])
    before = await everything(database)
    deletes = 0

    def stop(statement: str, _rows: int) -> None:
        nonlocal deletes
        deletes += statement.startswith("DELETE")
        if statement.startswith("DELETE") and deletes == at:
            if how == "killed":
                raise KilledError
            erasing.cancel()

    person = data_of(database, batch=4)
    erasing = asyncio.create_task(person.erase())
    with statements(database, stop), pytest.raises((KilledError, asyncio.CancelledError)):
        await erasing
    halfway = await everything(database)
    assert any(of(halfway, ADA).values())
    receipt = await person.erase()
    # A server may still be at the last commit of somebody who was cancelled and did not wait for it.
    if how == "killed":
        assert receipt == sizes(of(halfway, ADA))
    assert await everything(database) == but_of(before, ADA)


async def test_what_is_written_meanwhile_is_erased_too(database: Database):
    (thread_id, *_) = await live(database, ADA, threads=2)
    before = sizes(await everything(database))
    store = SqlStore(database)

    class Late(PersonalData):
        late = False

        async def _delete_batch(self, table: Table, scope: Any) -> tuple[int, int]:
            if table is threads and not self.late:
                # Its items have been deleted, and the thread has not.
                self.late = True
                thread = await store.load_thread(thread_id, ADA)
                await store.add_thread_item(thread_id, assistant_message(store, thread, "Not yet"), ADA)
                await live(database, ADA)
            return await super()._delete_batch(table, scope)

    receipt = await Late(database, ADA, owned_tables(TODO)).erase()
    assert not any((await everything(database)).values())
    # Every row is counted, and so none was taken along by its thread.
    assert receipt["items"] == before["items"] + 1 + 4
    assert receipt["threads"] == before["threads"] + 1


async def test_two_may_erase_at_once(database: Database):
    await live(database, ADA, threads=6, messages=6, todos=6)
    before = sizes(await everything(database))
    async with asyncio.timeout(60):
        receipts = await asyncio.gather(*(data_of(database, batch=5).erase() for _ in range(3)))
    assert not any((await everything(database)).values())
    assert {name: sum(each[name] for each in receipts) for name in before} == before


async def test_more_threads_than_a_statement_should_name(database: Database):
    """Every row of a batch in a thread of its own."""
    names = [f"thr_{number:04}" for number in range(BATCH + 100)]
    owner = {"tenant": ADA.tenant, "user_id": ADA.user}
    kept = {"status": {}, "metadata": {}, "created_at": MOMENT, "updated_at": MOMENT}
    said = {"seq": 1, "id": "m", "type": "t", "data": "{}", "created_at": MOMENT}
    async with database.write() as connection:
        await connection.execute(threads.insert(), [{"id": name, **owner, **kept} for name in names])
        items = [{"thread_id": name, **owner, **said} for name in names]
        await connection.execute(CORE.metadata.tables["items"].insert(), items)
    receipt = await data_of(database).erase()
    assert (receipt["threads"], receipt["items"]) == (len(names), len(names))


# Tables of applications

shop = MetaData()
projects = Table(
    "projects",
    shop,
    Column("id", Integer, primary_key=True, autoincrement=False),
    *owner_columns(),
    Column("since", Date),
    Column("alarm", DateTime),
    Column("seen", UtcDateTime()),
    Column("price", Numeric(10, 2)),
    Column("logo", LargeBinary),
    Column("more", JSON),
)
notes = Table(
    "notes",
    shop,
    Column("project", Integer, ForeignKey("projects.id"), nullable=False),
    Column("kind", Exact(20), nullable=False),
    Column("number", Integer, nullable=False),
    # Neither takes along: whoever deletes in another order gets an error.
    Column("thread", Exact(80), ForeignKey(threads.c.id), nullable=False),
    *owner_columns(),
    PrimaryKeyConstraint("project", "kind", "number"),
)
SHOP = Migrations("shop", "nowhere:migrations", shop)


@pytest.fixture
async def with_shop(database: Database) -> AsyncGenerator[Database]:
    """A database that also keeps an application's tables, which refer to each other and to threads."""
    async with database.write() as connection:
        await connection.run_sync(shop.create_all)
    yield database
    async with database.write() as connection:
        await connection.run_sync(shop.drop_all)


async def test_an_applications_tables_are_exported_and_erased(with_shop: Database):
    for number, person in enumerate((ADA, Identity("bob")), 1):
        owner = {"tenant": person.tenant, "user_id": person.user}
        thread_id = await talk(with_shop, person, 1)
        project = {
            "id": number, **owner, "since": date(2026, 1, 2), "alarm": datetime(2026, 1, 2, 7, 30),
            "seen": MOMENT, "price": Decimal("9.50"), "logo": b"\x00\xff", "more": {"a": None},
        }  # fmt: skip
        several = [
            {"project": number, "kind": kind, "number": each, "thread": thread_id, **owner}
            for kind in ("a", "b", "c")
            for each in range(4)
        ]
        async with with_shop.write() as connection:
            await connection.execute(projects.insert(), [project])
            await connection.execute(notes.insert(), several)
    before = await everything(with_shop, projects, notes)
    person = PersonalData(with_shop, ADA, owned_tables(TODO, SHOP), batch=5)
    found = await exported(person)
    assert found["projects"] == [
        {
            "id": 1, "tenant": "default", "user_id": "ada", "since": "2026-01-02", "alarm": "2026-01-02T07:30:00",
            "seen": "2026-11-22T12:00:00.000005Z", "price": "9.50", "logo": "AP8=", "more": {"a": None},
        }
    ]  # fmt: skip
    assert [(row["kind"], row["number"]) for row in found["notes"]] == [
        (k, n) for k in "abc" for n in range(4)
    ]
    assert await person.erase() == sizes(of(before, ADA))
    assert await everything(with_shop, projects, notes) == but_of(before, ADA)
