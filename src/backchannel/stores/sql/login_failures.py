"""Counts of failed logins in a SQL database, shared by all replicas. Rows have no owner."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, delete, select, true, update

from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.tables import login_failures
from backchannel.stores.sql.transactions import retryable

FORGET_AFTER = timedelta(days=1)
"""Without further failures, a count is forgotten after so long."""

_key: ColumnElement[Any] = login_failures.c.key
_failures: ColumnElement[Any] = login_failures.c.failures
_last_at: ColumnElement[Any] = login_failures.c.last_at


class SqlLoginFailures:
    """The store of counts. Every method raises `UnavailableError` if the database cannot be reached."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @retryable
    async def counts(self, keys: Sequence[str], now: datetime) -> Mapping[str, tuple[int, datetime]]:
        """How many failures in a row each key has, and when the last one was; keys without failures are left out."""
        statement = select(login_failures).where(_key.in_(keys), _last_at > now - FORGET_AFTER)
        async with self.database.read() as connection:
            rows = (await connection.execute(statement)).mappings()
            return {row["key"]: (row["failures"], row["last_at"]) for row in rows}

    @retryable
    async def count(self, keys: Sequence[str], now: datetime) -> Mapping[str, int]:
        """Add a failure to each key; returns their counts."""
        forgotten = _last_at <= now - FORGET_AFTER
        added = case((forgotten, 1), else_=_failures + 1)
        # In one order, so that two logins never wait for each other.
        ordered = sorted(keys)
        async with self.database.write() as connection:
            for key in ordered:
                new = {"key": key, "failures": 0, "last_at": now}
                await connection.execute(
                    self.database.dialect.upsert(login_failures, new, key=("key",), change=(), owned=true())
                )
                # `failures` first: MariaDB evaluates assignments from left to right.
                change = update(login_failures).where(_key == key)
                await connection.execute(change.ordered_values(("failures", added), ("last_at", now)))
            rows = await connection.execute(select(login_failures).where(_key.in_(ordered)))
            return {row["key"]: row["failures"] for row in rows.mappings()}

    @retryable
    async def clear(self, key: str) -> None:
        """Forget the failures of a key."""
        async with self.database.write() as connection:
            await connection.execute(delete(login_failures).where(_key == key))

    @retryable
    async def delete_old(self, now: datetime) -> int:
        """Delete what is forgotten; how many counts."""
        old = delete(login_failures).where(_last_at <= now - FORGET_AFTER)
        async with self.database.write() as connection:
            return (await connection.execute(old)).rowcount
