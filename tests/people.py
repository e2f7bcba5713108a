"""People of whom something of every kind is kept, and a look at everything that is kept of anybody."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from chatkit.types import FileAttachment, UserMessageItem
from sqlalchemy import Table, select

from backchannel.audit import Audit
from backchannel.context import Identity, Usage
from backchannel.event_logs.base import Event
from backchannel.event_logs.sql import SqlEventLog
from backchannel.ids import new_id
from backchannel.sessions.sql import SqlSessions
from backchannel.stores.file_records import FileRecord
from backchannel.stores.run_store import IdempotencyRecord, RunRecord, idempotency_id
from backchannel.stores.sql.accounts import Account, SqlAccounts
from backchannel.stores.sql.audit_log import SqlAuditLog
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.files import SqlFiles
from backchannel.stores.sql.idempotency import SqlIdempotencyStore
from backchannel.stores.sql.ownership import insert_owned
from backchannel.stores.sql.provider_logins import ProviderLogin, SqlProviderLogins
from backchannel.stores.sql.runs import SqlRuns
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.sql.tables import (
    audit_log,
    budget_accounts,
    budget_reservations,
    file_deletions,
    login_attempts,
    login_failures,
    metadata,
    replicas,
)
from backchannel.stores.times import utc_now
from backchannel.testing.contracts.session_store import a_session
from backchannel.testing.contracts.store_base import STRANGERS, a_thread, assistant_message
from backchannel.todo.models import NewTodo
from backchannel.todo.service import TodoService
from backchannel.todo.tables import metadata as todo_metadata
from backchannel.web.clients import Client

ADA = Identity("ada")
OTHERS = [each.identity for each in STRANGERS]
"""Everybody who could be taken for Ada."""

# Replicas are processes of the server's own, failed logins, attempts and scheduled deletions of files of no owner. The
# audit log is kept, and reservations are.
TABLES = [
    table
    for table in (*metadata.tables.values(), *todo_metadata.tables.values())
    if table not in (replicas, login_failures, login_attempts, file_deletions, audit_log, budget_reservations)
]

type Rows = dict[str, list[dict[str, Any]]]

_numbers = count(1)


async def live(
    database: Database, identity: Identity, *, threads: int = 1, messages: int = 2, todos: int = 1
) -> list[str]:
    """Let somebody use everything there is; the ids of their threads, in order.

    Each thread has as many questions as answers, feedback on the last answer, an attachment, and a run that used
    tokens, and a file; one more attachment and one more file are in none. They have an account, a login and an address that they logged in from.
    """
    await log_in(database, identity)
    ids = [await talk(database, identity, messages) for _ in range(threads)]
    await SqlStore(database).save_attachment(an_attachment(None), identity)
    await SqlFiles(database).add(a_file(identity), 1_000_000)
    for _ in range(todos):
        await TodoService(database).create(
            identity, NewTodo(title=f"Todo of {identity.user}", due_date="2026-11-23")
        )
    return ids


async def log_in(database: Database, identity: Identity) -> None:
    """An account of somebody's, a session, an address, a line in the audit log, and a budget that is used."""
    accounts = SqlAccounts(database)
    if await accounts.find(identity) is None:
        now = utc_now()
        budget = {"unit": "tokens", "period": "day", "starts_at": now, "used": 5, "reserved": 0}
        async with database.write() as connection:
            await connection.execute(insert_owned(identity, budget_accounts, budget))
        name = f"user-{next(_numbers)}"
        await accounts.add(
            Account(
                identity=identity,
                name=name,
                password_hash="$argon2id$secret",
                disabled=False,
                created_at=now,
                password_changed_at=now,
            )
        )
    await accounts.remember_address(identity, "203.0.113.7")
    session = a_session(identity)
    await SqlSessions(database).create(session)
    login = ProviderLogin(session.id, "sealed", session.created_at, None, session.expires_at)
    await SqlProviderLogins(database).add(identity, login)
    await Audit(SqlAuditLog(database)).grant("login.succeeded", identity, Client("203.0.113.7"))


async def talk(database: Database, identity: Identity, messages: int) -> str:
    """One thread of somebody's with all that belongs to it; its id."""
    store, runs = SqlStore(database), SqlRuns(database)
    thread = a_thread(store, title=f"Thread of {identity.user}", metadata={"of": [identity.user, None]})
    await store.save_thread(thread, identity)
    await store.save_attachment(an_attachment(thread.id), identity)
    files, file = SqlFiles(database), a_file(identity)
    await files.add(file, None)
    await files.complete(replace(file, version="v", kind="text"))
    await files.mark_sent([file.id], thread.id, identity)
    for _ in range(messages):
        question = {
            "id": new_id("message"),
            "thread_id": thread.id,
            "created_at": datetime.now(),
            "content": [{"type": "input_text", "text": f"Question of {identity.user}"}],
            "attachments": [],
            "inference_options": {},
        }
        await store.add_thread_item(thread.id, UserMessageItem.model_validate(question), identity)
        answer = assistant_message(store, thread, f"Answer for {identity.user} \U0001f600")
        await store.add_thread_item(thread.id, answer, identity)
        await store.save_feedback(thread.id, [answer.id], "positive", identity)
    run = RunRecord(new_id("run"), identity, thread.id, "threads.create", "running", utc_now(), fence=1)
    await runs.insert_running(run)
    log = SqlEventLog(database, retention=60)
    await log.begin(run.id, identity, fence=1)
    log.append(run.id, Event(b'{"type":"x"}'))
    await log.end(run.id)
    await log.aclose()
    await runs.finish(run.id, 1, "completed", None, Usage(1, 20, 300))
    key = idempotency_id(identity, f"key of {run.id}")
    await SqlIdempotencyStore(database).add(
        IdempotencyRecord(key, "digest", utc_now(), run_id=run.id), identity
    )
    return thread.id


def an_attachment(thread_id: str | None) -> FileAttachment:
    """What is known of a file."""
    name = f"file {next(_numbers)}.txt"
    return FileAttachment(id=new_id("attachment"), thread_id=thread_id, name=name, mime_type="text/plain")


def a_file(identity: Identity) -> FileRecord:
    """A file that is announced."""
    name, now = f"file {next(_numbers)}.txt", utc_now()
    file_id = new_id("attachment")
    return FileRecord(
        file_id, identity, "pending", name, "text/plain", "binary", 10, now, now + timedelta(days=1)
    )


async def everything(database: Database, *further: Table) -> Rows:
    """Every row of every table, whoever it belongs to."""
    async with database.read() as connection:
        return {
            table.name: sorted(
                map(dict, (await connection.execute(select(table))).mappings()),
                key=lambda row: json.dumps(row, default=str),
            )
            for table in [*TABLES, *further]
        }


def of(rows: Rows, identity: Identity) -> Rows:
    """Those rows that belong to somebody."""
    return {name: [row for row in found if _owner(row) == identity.owner] for name, found in rows.items()}


def but_of(rows: Rows, identity: Identity) -> Rows:
    """Those rows that belong to everybody else."""
    return {name: [row for row in found if _owner(row) != identity.owner] for name, found in rows.items()}


def sizes(rows: Rows) -> dict[str, int]:
    """How many rows each table has."""
    return {name: len(found) for name, found in rows.items()}


def _owner(row: dict[str, Any]) -> tuple[str, str]:
    return row["tenant"], row["user_id"]
