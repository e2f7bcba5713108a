"""The database: one engine, short transactions, and what differs between engines at connect time.

Nothing here is held across a stream: `read()` and `write()` are for a few statements and give their
connection back at once.
"""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from backchannel.errors import ConfigurationError

SQLITE_BUSY_SECONDS = 10
"""How long a SQLite writer waits for another process's write before it gives up."""

_WRITE = "backchannel_write"


class Database:
    """A pool of connections to one database.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, or `sqlite://` for one that lives in memory.

    Raises:
        ConfigurationError: The URL is not one that can be served, or its folder cannot be made.
    """

    def __init__(self, url: str) -> None:
        self.url = _parse(url)
        self.engine = _create_engine(self.url)

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A connection for statements that change nothing. They see one consistent state."""
        async with self.engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """A connection in a transaction that commits on leaving and rolls back on any exception.

        On SQLite the write lock is taken at once (`BEGIN IMMEDIATE`), so that what was read inside the
        transaction is still true when it writes.
        """
        async with self.engine.connect() as connection:
            await connection.execution_options(**{_WRITE: True})
            async with connection.begin():
                yield connection

    async def check(self) -> None:
        """Ask the database for an answer; raises what the driver raises when there is none."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection. The object is of no use afterwards."""
        await self.engine.dispose()


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(
            "BACKCHANNEL_DATABASE_URL is not a database URL such as sqlite:///.backchannel/backchannel.db"
        ) from None
    if parsed.get_backend_name() != "sqlite":
        raise ConfigurationError(
            f"BACKCHANNEL_DATABASE_URL: {parsed.get_backend_name()} is not supported yet; use sqlite:///PATH"
        )
    return parsed.set(drivername="sqlite+aiosqlite")


def _create_engine(url: URL) -> AsyncEngine:
    in_memory = not url.database or url.database == ":memory:"
    options: dict[str, Any] = {"poolclass": StaticPool} if in_memory else {"pool_size": 5, "max_overflow": 5}
    if not in_memory:
        _make_folder(Path(url.database or ""))
    # No isolation level for the driver: it would issue BEGIN of its own where the hook below decides.
    engine = create_async_engine(
        url, connect_args={"isolation_level": None, "timeout": SQLITE_BUSY_SECONDS}, **options
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"BACKCHANNEL_DATABASE_URL: the folder {path.parent} cannot be made ({error.strerror})."
        ) from None


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    cursor = connection.cursor()
    # NORMAL is safe in WAL mode: a power cut may lose the last commits but never corrupts.
    # Source: https://www.sqlite.org/pragma.html#pragma_synchronous
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
