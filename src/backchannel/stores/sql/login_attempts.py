"""Logins with an identity provider that are under way, in a SQL database, shared by all replicas."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, delete, insert, select

from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.tables import login_attempts
from backchannel.stores.sql.transactions import retryable

_key: ColumnElement[str] = login_attempts.c.key
_browser: ColumnElement[str] = login_attempts.c.browser
_expires_at: ColumnElement[datetime] = login_attempts.c.expires_at


class SqlLoginAttempts:
    """The store of attempts. Every method raises `UnavailableError` if the database cannot be reached."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def add(self, key: str, browser: str, sealed: str, expires_at: datetime) -> None:
        """Store an attempt."""
        row = {"key": key, "browser": browser, "sealed": sealed, "expires_at": expires_at}
        async with self.database.write() as connection:
            await connection.execute(insert(login_attempts).values(row))

    async def take(self, key: str, browsers: Collection[str], now: datetime) -> str | None:
        """What is sealed in an attempt of one of these browsers, which is deleted: of several calls one gets it. `None`
        if there is none, it has expired, or it is of another browser.

        Not repeated after a commit with unknown outcome: the attempt may be lost then, and the person logs in again.
        """
        mine = (_key == key, _browser.in_(browsers), _expires_at > now)
        async with self.database.write() as connection:
            found = await connection.execute(select(login_attempts.c.sealed).where(*mine))
            sealed: str | None = found.scalar_one_or_none()
            if sealed is None:
                return None
            deleted = await connection.execute(delete(login_attempts).where(*mine))
            return sealed if deleted.rowcount else None

    @retryable
    async def delete_expired(self, now: datetime) -> int:
        """Delete attempts that can no longer be finished; how many."""
        async with self.database.write() as connection:
            return (await connection.execute(delete(login_attempts).where(_expires_at <= now))).rowcount
