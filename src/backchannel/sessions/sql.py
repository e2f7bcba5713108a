"""Sessions in a SQL database."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, override

from sqlalchemy import ColumnElement, and_, delete, or_

from backchannel.context import Identity
from backchannel.sessions.base import KEEP_ENDED, EndReason, Session, SessionStore
from backchannel.sessions.tokens import SessionKind
from backchannel.stores.sql.accounts import STATUS_COLUMNS, AccountStatus, SqlAccounts, status_of
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.ownership import (
    delete_owned,
    insert_owned,
    select_identified,
    select_identified_with,
    select_owned,
    update_owned,
)
from backchannel.stores.sql.tables import sessions, users
from backchannel.stores.sql.transactions import retryable

_PLAIN = (
    "id", "kind", "token_hash", "created_at", "last_seen_at", "expires_at", "idle_seconds", "family", "name",
    "user_agent", "address", "rotated_at", "rotation_key", "ended_at", "ended_reason",
)  # fmt: skip

MAX_LISTED = 200
"""The most sessions of one owner in a list."""


class SqlSessions(SessionStore):
    """The store of sessions in Backchannel's database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @override
    async def create(self, *new: Session) -> None:
        # Not retried: after a commit with unknown outcome, a retry would find its own rows.
        async with self.database.write() as connection:
            for each in new:
                await connection.execute(insert_owned(each.identity, sessions, _values(each)))

    @override
    @retryable
    async def find(self, token_hash: str) -> Session | None:
        async with self.database.read() as connection:
            found = await connection.execute(select_identified(sessions.c.token_hash, token_hash))
            row = found.mappings().one_or_none()
        return None if row is None else _session(row)

    @override
    async def find_with_account(
        self, token_hash: str, kind: SessionKind, accounts: SqlAccounts
    ) -> tuple[Session, AccountStatus | None] | None:
        if accounts.database is not self.database:
            return await super().find_with_account(token_hash, kind, accounts)
        return await self._find_joined(token_hash)

    @retryable
    async def _find_joined(self, token_hash: str) -> tuple[Session, AccountStatus | None] | None:
        statement = select_identified_with(sessions.c.token_hash, token_hash, users, *STATUS_COLUMNS)
        async with self.database.read() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
        return None if row is None else (_session(row), status_of(row))

    @override
    @retryable
    async def find_by_id(self, identity: Identity, session_id: str) -> Session | None:
        statement = select_owned(identity, sessions).where(sessions.c.id == session_id)
        async with self.database.read() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
        return None if row is None else _session(row)

    @override
    async def touch(self, session: Session, now: datetime) -> None:
        here = update_owned(session.identity, sessions).where(sessions.c.id == session.id)
        async with self.database.write() as connection:
            await connection.execute(here.values(last_seen_at=now))

    @override
    async def exchange(
        self, session: Session, now: datetime, key: str, successors: Sequence[Session]
    ) -> bool:
        # One statement decides, so that of several processes one wins. Not retried: see `create`. The request may be
        # repeated, and then gets the same answer.
        marked = (
            update_owned(session.identity, sessions)
            .where(
                sessions.c.id == session.id, sessions.c.rotated_at.is_(None), sessions.c.ended_at.is_(None)
            )
            .values(rotated_at=now, rotation_key=key, last_seen_at=now)
        )
        async with self.database.write() as connection:
            if not (await connection.execute(marked)).rowcount:
                return False
            for each in successors:
                await connection.execute(insert_owned(each.identity, sessions, _values(each)))
        return True

    @override
    async def end(self, identity: Identity, session_id: str, now: datetime, reason: EndReason) -> bool:
        return bool(await self._end_once(identity, now, reason, sessions.c.id == session_id))

    @override
    async def end_family(self, identity: Identity, family: str, now: datetime, reason: EndReason) -> int:
        return await self._end_every(identity, now, reason, sessions.c.family == family)

    @override
    async def end_all(self, identity: Identity, now: datetime, reason: EndReason) -> int:
        return await self._end_every(identity, now, reason)

    @override
    @retryable
    async def all_of(self, identity: Identity, now: datetime) -> Sequence[Session]:
        statement = (
            select_owned(identity, sessions)
            .where(
                sessions.c.kind != "access",
                sessions.c.ended_at.is_(None),
                sessions.c.rotated_at.is_(None),
                sessions.c.expires_at > now,
            )
            .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
            .limit(MAX_LISTED)
        )
        async with self.database.read() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [session for session in map(_session, rows) if session.live(now)]

    @override
    @retryable
    async def delete_all(self, identity: Identity) -> int:
        async with self.database.write() as connection:
            return (await connection.execute(delete_owned(identity, sessions))).rowcount

    @override
    @retryable
    async def delete_expired(self, now: datetime) -> int:
        before = now - KEEP_ENDED
        # An exchanged token stays until it would have expired: its reuse ends the login that it was of.
        old = or_(
            sessions.c.expires_at < before,
            and_(sessions.c.ended_at.is_not(None), sessions.c.ended_at < before),
        )
        async with self.database.write() as connection:
            return (await connection.execute(delete(sessions).where(old))).rowcount

    @override
    async def aclose(self) -> None:
        # The database is closed by its owner.
        return

    async def _end_every(
        self, identity: Identity, now: datetime, reason: EndReason, *where: ColumnElement[bool]
    ) -> int:
        ended = 0
        # Again until there is none: an exchange that was committed while the statement waited for its lock has stored
        # tokens that the statement did not see.
        while found := await self._end_once(identity, now, reason, *where):
            ended += found
        return ended

    @retryable
    async def _end_once(
        self, identity: Identity, now: datetime, reason: EndReason, *where: ColumnElement[bool]
    ) -> int:
        change = update_owned(identity, sessions).where(sessions.c.ended_at.is_(None), *where)
        async with self.database.write() as connection:
            executed = await connection.execute(change.values(ended_at=now, ended_reason=reason))
            return executed.rowcount


def _values(session: Session) -> dict[str, Any]:
    return {name: getattr(session, name) for name in _PLAIN} | {
        "scopes": sorted(session.identity.scopes),
        "display_name": session.identity.name,
    }


def _session(row: Mapping[Any, Any]) -> Session:
    identity = Identity(
        row["user_id"], row["tenant"], scopes=frozenset(row["scopes"]), name=row["display_name"]
    )
    return Session(identity=identity, **{name: row[name] for name in _PLAIN})
