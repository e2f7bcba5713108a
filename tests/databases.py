"""Databases for tests, on a file of SQLite's and on real servers.

`empty_database` makes one for a single test and drops it. `database_with_tables` hands out databases that already have
the tables, because making them takes longer than most tests do: a copy of a file, or a database that an earlier test
of this process used, emptied.

PostgreSQL and MariaDB are looked for where Debian puts them; `TEST_POSTGRESQL_URL` and `TEST_MYSQL_URL` say
otherwise. Where a server is absent its tests are skipped, but in continuous integration (`CI=true`) they fail.
"""

import asyncio
import os
import shutil
import socket
import tempfile
import threading
from collections import defaultdict
from collections.abc import Coroutine, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, delete, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import CORE, Migrations, upgrade

KINDS = ("sqlite", "postgresql", "mariadb")
SERVERS = ("postgresql", "mariadb")

_URLS = {
    "postgresql": ("TEST_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1:5432/postgres"),
    "mariadb": ("TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/mysql"),
}
_DRIVERS = {"postgresql": "postgresql+asyncpg", "mariadb": "mysql+asyncmy"}
_CONNECTIONS_OF = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()",
    "mariadb": "SELECT id FROM information_schema.processlist WHERE db = '{name}' AND id <> connection_id()",
}
_END = {"postgresql": "SELECT pg_terminate_backend({id})", "mariadb": "KILL {id}"}
_numbers = count(1)


@contextmanager
def empty_database(kind: str, folder: Path) -> Generator[str]:
    """The address of a database of a kind that has nothing in it; it is gone afterwards."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / f'test-{next(_numbers)}.db'}"
        return
    url = _run(_create(kind))
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        _run(_drop(kind, url))


@contextmanager
def database_with_tables(kind: str, folder: Path, *sets: Migrations) -> Generator[str]:
    """The address of a database of a kind with Backchannel's tables and those of `sets`, all of them empty.

    On a server another test may have used it before: automatic numbers go on from there.
    """
    if kind == "sqlite":
        file = folder / f"test-{next(_numbers)}.db"
        copy_tables(file, *sets)
        yield f"sqlite:///{file}"
        return
    spare = _spare[kind, sets]
    url = spare.pop() if spare else _run(_create(kind, sets))
    emptied = False
    try:
        yield url.render_as_string(hide_password=False)
        emptied = _run(_empty(kind, url, sets))
    finally:
        if emptied:
            spare.append(url)
        else:
            _run(_drop(kind, url))


def copy_tables(file: Path, *sets: Migrations) -> None:
    """Make a database file with Backchannel's tables and those of `sets`, and its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_file_with_tables(sets), file)


def drop_spare_databases() -> None:
    """Drop the databases that `database_with_tables` has set aside. Call it once, when no test follows."""
    for (kind, _), urls in _spare.items():
        for url in urls:
            _run(_drop(kind, url))
    _spare.clear()
    _file_with_tables.cache_clear()
    _folder().cleanup()
    _folder.cache_clear()


_spare: defaultdict[tuple[str, Sequence[Migrations]], list[URL]] = defaultdict(list)


@cache
def _file_with_tables(sets: Sequence[Migrations]) -> Path:
    path = Path(_folder().name) / f"with-tables-{next(_numbers)}.db"
    _run(_make_tables(f"sqlite:///{path}", sets))
    return path


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="backchannel-tests-")


async def _create(kind: str, sets: Sequence[Migrations] | None = None) -> URL:
    """A new database; with tables if `sets` are given, even none."""
    server = _server(kind)
    name = f"backchannel_test_{os.getpid()}_{next(_numbers)}"
    async with _connected(kind, server) as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    url = server.set(database=name)
    if sets is not None:
        await _make_tables(url.render_as_string(hide_password=False), sets)
    return url


async def _make_tables(url: str, sets: Sequence[Migrations]) -> None:
    database = Database(url)
    try:
        await upgrade(database, *sets)
    finally:
        await database.close()


async def _drop(kind: str, url: URL) -> None:
    force = " WITH (FORCE)" if kind == "postgresql" else ""
    async with _connected(kind, _server(kind)) as connection:
        if kind == "mariadb":
            # As WITH (FORCE) does elsewhere: a connection that a test has left in a transaction would be waited for.
            await _end_connections(kind, connection, url)
        await connection.execute(text(f"DROP DATABASE IF EXISTS {url.database}{force}"))


async def _empty(kind: str, url: URL, sets: Sequence[Migrations]) -> bool:
    """Delete all rows. False, and no promise about the rows, if a test changed which tables there are."""
    async with _connected(kind, url) as connection:
        await _end_connections(kind, connection, url)
        there = set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
        metadata: list[MetaData] = [CORE.metadata, *(each.metadata for each in sets)]
        known = {name for each in metadata for name in each.tables}
        if there != known | {each.version_table for each in (CORE, *sets)}:
            return False
        deletes = [
            str(delete(table).compile(dialect=connection.dialect))
            for each in reversed(metadata)
            for table in reversed(each.sorted_tables)
        ]
        if kind == "postgresql":
            # All in one round trip.
            deletes = [f"DO $$ BEGIN {';'.join(deletes)}; END $$"]
        for statement in deletes:
            await connection.exec_driver_sql(statement)
    return True


async def _end_connections(kind: str, connection: AsyncConnection, url: URL) -> None:
    found = await connection.execute(text(_CONNECTIONS_OF[kind].format(name=url.database)))
    for number in found.scalars().all():
        # It may have ended by itself meanwhile.
        with suppress(DBAPIError):
            await connection.execute(text(_END[kind].format(id=number)))


class _connected:  # noqa: N801 - used like a function
    """A connection that commits each statement."""

    def __init__(self, kind: str, url: URL) -> None:
        self._engine = create_async_engine(
            url.set(drivername=_DRIVERS[kind]), isolation_level="AUTOCOMMIT", pool_size=1
        )

    async def __aenter__(self) -> AsyncConnection:
        self._connection = await self._engine.connect()
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()
        await self._engine.dispose()


def _server(kind: str) -> URL:
    variable, usual = _URLS[kind]
    url = make_url(os.environ.get(variable, usual))
    if not _answers(url.host or "127.0.0.1", url.port or 0):
        reason = f"No {kind} server at {url.host}:{url.port}; {variable} can name another."
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return url


@cache
def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=3):
            return True
    except OSError:
        return False


def _run[R](work: Coroutine[Any, Any, R]) -> R:
    """Await something in a thread of its own, because the calling thread may be running an event loop."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result(120)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="test databases", daemon=True).start()
    return loop
