"""Every query of the store uses an index, on a store with enough in it that the planner cares (D4)."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from backchannel.context import Identity, RequestContext
from backchannel.sessions.sql import SqlSessions
from backchannel.stores.run_states import ACTIVE
from backchannel.stores.run_store import queue_of
from backchannel.stores.sql.accounts import SqlAccounts
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.replicas import SqlReplicas
from backchannel.stores.sql.runs import SqlRuns
from backchannel.stores.sql.search import entry_values
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.sql.tables import (
    audit_log,
    feedback,
    items,
    runs,
    search_entries,
    sessions,
    threads,
    usage,
    user_addresses,
    users,
)

pytestmark = pytest.mark.row("D4")

PEOPLE = 40
THREADS = 20
"""Of each person, with one item each; one person has many, and one of hers is long."""
MANY = 2_000
LONG = 2_000
START = datetime(2026, 1, 1, tzinfo=UTC)
ADA = RequestContext(Identity("user-07"))
THREAD = "thr_07_0000"


def filling() -> list[tuple[Any, list[dict[str, Any]]]]:
    """Rows for each table; all dates differ by seconds."""
    made: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("threads", "items", "entries", "runs", "usage", "feedback")
    }
    for person in range(PEOPLE):
        identity = Identity(f"user-{person:02}")
        owner = {"tenant": identity.tenant, "user_id": identity.user}
        for number in range(MANY if person == 7 else THREADS):
            thread_id, moment = f"thr_{person:02}_{number:04}", START + timedelta(seconds=number)
            count = LONG if person == 7 and number == 0 else 1
            made["threads"].append(
                {"id": thread_id, **owner, "status": {"type": "active"}, "metadata": {}, "last_seq": count,
                 "created_at": moment, "updated_at": moment}
            )  # fmt: skip
            for seq in range(1, count + 1):
                item_id, said = f"msg_{seq:06}", f"word{seq % 97} of {person}"
                data = {"id": item_id, "thread_id": thread_id, "created_at": "2026-01-01T00:00:00Z",
                        "type": "assistant_message", "content": [{"type": "output_text", "text": said}]}  # fmt: skip
                made["items"].append(
                    {"thread_id": thread_id, "seq": seq, "id": item_id, **owner, "type": "assistant_message",
                     "data": json.dumps(data), "created_at": moment}
                )  # fmt: skip
                made["entries"].append({**(entry_values(identity, thread_id, item_id, said) or {}), **owner})
            run_id, goes_on = f"run_{person:02}_{number:04}", number == 3
            made["runs"].append(
                {"id": run_id, **owner, "thread_id": thread_id, "operation": "o", "created_at": moment,
                 "status": "running" if goes_on else "completed", "queue": queue_of(identity, thread_id),
                 "replica": f"rep_{person}" if goes_on else None}
            )  # fmt: skip
            made["usage"].append(
                {"run_id": run_id, **owner, "requests": 1, "input_tokens": 1, "output_tokens": 1,
                 "created_at": moment}
            )  # fmt: skip
            made["feedback"].append(
                {
                    "thread_id": thread_id,
                    "item_id": "msg_000001",
                    **owner,
                    "kind": "positive",
                    "updated_at": moment,
                }
            )
    tables = (threads, items, search_entries, runs, usage, feedback)
    return [*zip(tables, made.values(), strict=True), *logins()]


def logins() -> list[tuple[Any, list[dict[str, Any]]]]:
    """An account of each of many people, their sessions, and the audit log."""
    made: dict[str, list[dict[str, Any]]] = {"users": [], "sessions": [], "addresses": [], "log": []}
    for person in range(MANY):
        owner = {"tenant": "default", "user_id": f"user-{person:02}"}
        made["users"].append(
            {**owner, "name": f"name{person}", "display_name": "x", "password_hash": "x", "scopes": [],
             "disabled": False, "created_at": START, "password_changed_at": START}
        )  # fmt: skip
        made["addresses"].append({**owner, "address": "203.0.113.7", "last_login_at": START})
        for number in range(4):
            made["sessions"].append(
                {**owner, "id": f"ses_{person}_{number}", "token_hash": f"{person}-{number}", "kind": "cookie",
                 "scopes": [], "created_at": START + timedelta(seconds=number), "last_seen_at": START,
                 "expires_at": START + timedelta(days=3650), "family": f"fam_{person}"}
            )  # fmt: skip
        made["log"].append({**owner, "at": START, "event": "login.succeeded", "subject": "", "detail": {}})
    return list(zip((users, sessions, user_addresses, audit_log), made.values(), strict=True))


async def filled(database: Database) -> None:
    async with database.write() as connection:
        for table, rows in filling():
            await connection.execute(table.insert(), rows)
    tables = "threads, items, search_entries, runs, `usage`, feedback, users, sessions, audit_log"
    async with database.write() as connection:
        await connection.execute(
            text("ANALYZE TABLE " + tables if database.dialect.name == "mysql" else "ANALYZE")
        )


QUERIES: dict[str, Callable[[SqlStore], Awaitable[Any]]] = {
    "load_thread": lambda store: store.load_thread(THREAD, ADA),
    "load_threads": lambda store: store.load_threads(20, None, "desc", ADA),
    "load_threads after": lambda store: store.load_threads(20, "thr_07_1025", "desc", ADA),
    "load_threads after, ascending": lambda store: store.load_threads(20, "thr_07_1025", "asc", ADA),
    "newest items": lambda store: store.load_thread_items(THREAD, None, 20, "desc", ADA),
    "items after": lambda store: store.load_thread_items(THREAD, "msg_001000", 20, "desc", ADA),
    "items after, ascending": lambda store: store.load_thread_items(THREAD, "msg_001000", 20, "asc", ADA),
    "load_item": lambda store: store.load_item(THREAD, "msg_001000", ADA),
    "search": lambda store: store.search_threads("word5", 10, ADA),
    "load_feedback": lambda store: store.load_feedback(THREAD, ADA),
    "runs of a thread": lambda store: SqlRuns(store.database).list_by_thread(
        THREAD, ADA.identity, status=ACTIVE, limit=5
    ),
    "runs of a replica": lambda store: SqlRuns(store.database).list_by_replica("rep_7"),
    "runs to stop": lambda store: SqlRuns(store.database).stop_requests("rep_7"),
    "next in a queue": lambda store: SqlRuns(store.database).claim_next(
        queue_of(ADA.identity, THREAD), "rep_7"
    ),
    "orphans": lambda store: SqlRuns(store.database).orphans(10),
    "unregistered replicas": lambda store: SqlReplicas(store.database).unregistered(10),
    "session of a token": lambda store: SqlSessions(store.database).find("7-2"),
    "session of a token with the account": lambda store: SqlSessions(store.database).find_with_account(
        "7-2", "cookie", SqlAccounts(store.database)
    ),
    "session of a person": lambda store: SqlSessions(store.database).find_by_id(ADA.identity, "ses_7_2"),
    "status of an account": lambda store: SqlAccounts(store.database).status(ADA.identity),
    "sessions of a person": lambda store: SqlSessions(store.database).all_of(ADA.identity, START),
    "account of a name": lambda store: SqlAccounts(store.database).find_by_name("name7"),
    "account of a person": lambda store: SqlAccounts(store.database).find(ADA.identity),
    "address of a person": lambda store: SqlAccounts(store.database).knows_address(
        ADA.identity, "203.0.113.7"
    ),
    "load run": lambda store: SqlRuns(store.database).load("run_07_0000", ADA.identity),
}


async def test_every_query_uses_an_index_and_sorts_nothing(database: Database):
    await filled(database)
    store = SqlStore(database)
    for name, query in QUERIES.items():
        asked: list[tuple[str, Any]] = []

        def note(
            _connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any, asked=asked
        ) -> None:
            if statement.lstrip().upper().startswith("SELECT"):
                asked.append((statement, parameters))

        event.listen(database.engine.sync_engine, "before_cursor_execute", note)
        await query(store)
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)
        assert asked, name
        for statement, parameters in asked:
            if "FROM replicas" in statement:
                # As many as there are processes.
                continue
            await check_plan(database, name, statement, parameters)


async def check_plan(database: Database, name: str, statement: str, parameters: Any) -> None:
    prefix = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN ", "mysql": "EXPLAIN "}[
        database.dialect.name
    ]
    async with database.write() as connection:
        if name == "search" and database.dialect.name == "postgresql":
            # It rightly reads a table of this size at once; `benchmarks/growth.py` shows it on a million threads.
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
        found = await connection.exec_driver_sql(prefix + statement, tuple(parameters))
        rows = found.mappings().all()
    plan = "\n".join(str(dict(row)) for row in rows)
    # The few best of what matched are sorted by how well they match; opinions, active runs and logins are few.
    few = {"runs of a thread", "orphans", "lost replicas", "next in a queue", "sessions of a person"}
    may_sort = name in {"search", "load_feedback"} | few
    match database.dialect.name:
        case "sqlite":
            bad = [
                row
                for row in rows
                if row["detail"].startswith("SCAN") and "VIRTUAL TABLE INDEX" not in row["detail"]
            ]
            sorts = "USE TEMP B-TREE" in plan
        case "postgresql":
            bad = [row for row in rows if "Seq Scan" in str(row)]
            sorts = "Sort" in plan
        case _:
            bad = [
                row for row in rows if row["key"] is None and "impossible" not in str(row["Extra"]).lower()
            ]
            sorts = "filesort" in plan
    assert not bad, f"{name}\n{statement}\n{plan}"
    assert may_sort or not sorts, f"{name}\n{statement}\n{plan}"
