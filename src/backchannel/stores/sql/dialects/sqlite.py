"""SQLite: one writer at a time, in a file beside the server or in memory."""

import sqlite3
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, override

from sqlalchemy import ColumnElement, Table, event, func, literal, literal_column
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import AsyncAdaptedQueuePool

from backchannel.stores.sql.dialects.base import LOCK_SECONDS, Match, PoolOptions
from backchannel.stores.sql.dialects.on_conflict import OnConflict
from backchannel.stores.sql.dialects.sqlite_connection import OneHopConnection, connect

_WRITE = "backchannel_write"

# FTS5's index is a table, which triggers update; see migration 0002.
_INDEX = sql_table("search_index", sql_column("rowid"))


class Sqlite(OnConflict):
    """SQLite through aiosqlite."""

    name = "sqlite"
    scheme = "sqlite:///PATH"
    has_server = False
    write_options: ClassVar[Mapping[str, Any]] = {_WRITE: True}

    @override
    def url(self, given: URL) -> URL:
        if given.host:
            raise ValueError(f"a file needs three slashes: sqlite:///{given.host}…")
        if not self.in_memory(given):
            Path(given.database or "").parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return given.set(drivername="sqlite+aiosqlite")

    @override
    def engine_arguments(self, url: URL, pool: PoolOptions, *, time_limits: bool) -> dict[str, Any]:
        # No isolation level, with which the driver would begin transactions itself; `_begin` does.
        busy_timeout = pool.statement_timeout if time_limits else LOCK_SECONDS
        options: dict[str, Any] = {"connect_args": {"isolation_level": None, "timeout": busy_timeout}}
        options |= pool.engine_arguments() | {"poolclass": AsyncAdaptedQueuePool}
        if self.in_memory(url):
            # A database in memory exists in one connection only.
            options |= {"pool_size": 1, "max_overflow": 0, "pool_recycle": -1}
        return options

    @override
    def in_memory(self, url: URL) -> bool:
        return not url.database or url.database == ":memory:"

    @override
    def configure_engine(self, engine: Engine) -> None:
        event.listen(engine, "do_connect", _connect)
        event.listen(engine, "begin", _begin)

    @override
    def is_conflict(self, error: DBAPIError) -> bool:
        return False

    @override
    def is_unavailable(self, error: DBAPIError) -> bool:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        return code in {
            sqlite3.SQLITE_BUSY,
            sqlite3.SQLITE_LOCKED,
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_IOERR,
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_READONLY,
        }

    @override
    def insert(self, table: Table) -> Insert:
        return insert(table)

    @override
    async def execute_many(
        self, connection: AsyncConnection, statement: str, rows: Sequence[tuple[Any, ...]]
    ) -> None:
        assert connection.sync_connection is not None
        _driver(connection.sync_connection).defer(statement, rows)

    @override
    @asynccontextmanager
    async def lock(self, connection: AsyncConnection, name: str) -> AsyncGenerator[None]:
        # The connection's transaction has the write lock of the database.
        del connection, name
        yield

    @override
    def search(self, entries: Table, words: Sequence[str]) -> Match:
        query = " AND ".join(f'"{word}"*' for word in words)
        index: ColumnElement[Any] = literal_column("search_index")
        return Match(
            source=_INDEX.join(entries, entries.c.id == _INDEX.c.rowid),
            condition=index.bool_op("MATCH")(literal(query)),
            # bm25 is smaller for better matches. Source: https://www.sqlite.org/fts5.html#the_bm25_function
            rank=-func.bm25(index),
        )


def _connect(dialect: Any, _record: object, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    file = str(arguments[0])
    if file != ":memory:" and not file.startswith("file:"):
        # Conversations are not for other users of the machine. SQLite gives the files beside it the same mode.
        with suppress(OSError):
            Path(file).touch(mode=0o600)
    return dialect.dbapi.connect(*arguments, async_creator_fn=connect, **options)


def _begin(connection: Connection) -> None:
    # Not for reading: a single statement sees one snapshot anyway.
    if connection.get_execution_options().get(_WRITE, False):
        _driver(connection).defer_begin("BEGIN IMMEDIATE")


def _driver(connection: Connection) -> OneHopConnection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, OneHopConnection)
    return driver
