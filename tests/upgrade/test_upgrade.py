"""A database full of the first released version's rows comes to the newest version without loss (D3)."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy import Table as SqlTable
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table

from backchannel.context import Identity
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import CORE, Migrations, check_newest, upgrade
from backchannel.stores.sql.runs import SqlRuns
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.sql.types import UtcDateTime
from backchannel.todo.models import TodoFilter
from backchannel.todo.service import TodoService
from backchannel.todo.tables import MIGRATIONS as TODO

pytestmark = pytest.mark.row("D3")

FIRST = "0001"
THREADS = 700
"""More than one batch of the step that makes old messages findable."""

NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
ADA = Identity("ada", tenant="acme")

# What version 0001 had, written down here: `tables.py` goes on.
COLUMNS = {
    "threads": "id tenant user_id title status allowed_image_domains metadata last_seq created_at updated_at",
    "items": "thread_id seq id tenant user_id type data created_at",
    "attachments": "id tenant user_id thread_id data created_at",
    "feedback": "thread_id item_id tenant user_id kind updated_at",
    "runs": "id tenant user_id thread_id operation status error_code created_at ended_at",
    "usage": "id tenant user_id run_id requests input_tokens output_tokens created_at",
    "todos": "id tenant user_id title description priority status due_at due_has_time created_at updated_at completed_at",
}
DATES = {"created_at", "updated_at", "ended_at", "completed_at"}


def first_table(name: str):
    columns = COLUMNS[name].split()
    return sql_table(name, *(sql_column(each, UtcDateTime() if each in DATES else None) for each in columns))


def rows() -> Iterator[tuple[str, list[dict]]]:
    owner = {"tenant": ADA.tenant, "user_id": ADA.user}
    dates = {"created_at": NOON, "updated_at": NOON + timedelta(hours=1)}
    yield "threads", [
        {
            "id": f"thr_{n:04}", **owner, "title": None if n % 3 else f"Title Übergröße {n}",
            "status": json.dumps({"type": "locked", "reason": "why"} if n == 5 else {"type": "active"}),
            "allowed_image_domains": None, "metadata": json.dumps({"k": [n, None]}), "last_seq": 4, **dates,
        }
        for n in range(THREADS)
    ]  # fmt: skip
    yield "items", [item for n in range(THREADS) for item in items_of(f"thr_{n:04}", n, owner)]
    yield "attachments", [
        {
            "id": "atc_1", **owner, "thread_id": "thr_0001", "created_at": NOON,
            "data": '{"id":"atc_1","name":"a.txt","mime_type":"text/plain","type":"file","thread_id":"thr_0001"}',
        }
    ]  # fmt: skip
    yield (
        "feedback",
        [{"thread_id": "thr_0001", "item_id": "msg_0001b", **owner, "kind": "positive", "updated_at": NOON}],
    )
    yield "runs", [
        {
            "id": "run_1", **owner, "thread_id": "thr_0001", "operation": "threads.create", "status": "completed",
            "error_code": None, "created_at": NOON, "ended_at": NOON,
        }
    ]  # fmt: skip
    yield (
        "usage",
        [
            {
                "id": 1,
                **owner,
                "run_id": "run_1",
                "requests": 2,
                "input_tokens": 3,
                "output_tokens": 4,
                "created_at": NOON,
            }
        ],
    )
    yield "todos", [
        {
            "id": "todo_1", **owner, "title": "Buy milk", "description": "", "priority": 5, "status": "pending",
            "due_at": None, "due_has_time": False, **dates, "completed_at": None,
        }
    ]  # fmt: skip


def items_of(thread_id: str, n: int, owner: dict[str, str]) -> Iterator[dict]:
    common = {"thread_id": thread_id, "created_at": "2026-11-22T12:00:00.123456Z"}
    contents = (
        ("a", "user_message", {"content": [{"type": "input_text", "text": f"Wo ist Nummer {n}?"}], "attachments": [],
                               "inference_options": {}}),
        ("b", "assistant_message", {"content": [{"type": "output_text", "text": f"Crème {n} \U0001f600", "annotations": []}]}),
        ("c", "hidden_context_item", {"content": {"kind": "backchannel.tool_call", "call_id": "c", "name": "secretword",
                                                  "arguments": "{}", "output": None, "finished": True}}),
        ("d", "workflow", {"workflow": {"type": "custom", "tasks": [], "expanded": False}}),
    )  # fmt: skip
    for seq, (letter, kind, content) in enumerate(contents, 1):
        item_id = f"msg_{n:04}{letter}"
        data = json.dumps({"id": item_id, **common, "type": kind, **content}, ensure_ascii=False)
        yield {
            "thread_id": thread_id, "seq": seq, "id": item_id, **owner, "type": kind, "data": data, "created_at": NOON,
        }  # fmt: skip


async def bring_to_first(database: Database, migrations: Migrations) -> None:
    def step(connection: Connection) -> None:
        config = migrations.config()
        config.attributes["connection"] = connection
        command.upgrade(config, FIRST)

    async with database.exclusive(migrations.name) as connection:
        await connection.run_sync(step)


async def everything(database: Database) -> dict[str, list[tuple]]:
    found = {}
    async with database.read() as connection:
        for name in COLUMNS:
            table: SqlTable = first_table(name)
            rows = await connection.execute(
                table.select().order_by(table.c[COLUMNS[name].split()[0]], table.c[COLUMNS[name].split()[1]])
            )
            found[name] = [tuple(row) for row in rows]
    return found


async def test_a_full_database_of_the_first_version_is_upgraded_without_loss(database_url: str):
    database = Database(database_url)
    for migrations in (CORE, TODO):
        await bring_to_first(database, migrations)
    async with database.write() as connection:
        for name, values in rows():
            await connection.execute(first_table(name).insert(), values)
    before = await everything(database)
    assert len(before["items"]) == 4 * THREADS

    await upgrade(database, TODO)

    await check_newest(database, TODO)
    assert await everything(database) == before
    store = SqlStore(database)
    thread = await store.load_thread("thr_0005", ADA)
    assert (thread.status.type, thread.metadata) == ("locked", {"k": [5, None]})
    page = await store.load_thread_items("thr_0699", None, 10, "asc", ADA)
    assert [item.id for item in page.data] == ["msg_0699a", "msg_0699b", "msg_0699c", "msg_0699d"]
    # What was said before there was a search is found, in the first batch as in the last, and nothing hidden is.
    for query, thread_id in (
        ("creme 699", "thr_0699"),
        ("nummer 0", "thr_0000"),
        ("ubergroße 600", "thr_0600"),
    ):
        assert [hit.thread.id for hit in (await store.search_threads(query, 5, ADA)).hits] == [thread_id], (
            query
        )
    assert not (await store.search_threads("secretword", 5, ADA)).hits
    assert not (await store.search_threads("creme", 5, Identity("ada", tenant="other"))).hits
    (given,) = await store.load_feedback("thr_0001", ADA)
    assert (given.kind, given.created_at, given.updated_at) == ("positive", NOON, NOON)
    await store.save_feedback("thr_0001", ["msg_0001b"], "negative", ADA)
    assert (await store.load_attachment("atc_1", ADA)).name == "a.txt"
    assert (await SqlRuns(database).load("run_1", ADA)).ended_at == NOON
    assert [todo.title for todo in (await TodoService(database).list(ADA, TodoFilter())).todos] == [
        "Buy milk"
    ]
    # The version before goes on writing during a rolling deployment; what it writes is kept.
    async with database.write() as connection:
        await connection.execute(
            first_table("feedback").insert(),
            {"thread_id": "thr_0002", "item_id": "msg_0002b", "tenant": ADA.tenant, "user_id": ADA.user,
             "kind": "positive", "updated_at": NOON},
        )  # fmt: skip
        await connection.execute(text("UPDATE threads SET last_seq = last_seq + 1 WHERE id = 'thr_0002'"))
    assert [each.created_at for each in await store.load_feedback("thr_0002", ADA)] == [NOON]
    await database.close()
