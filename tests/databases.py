"""Databases for tests: each made empty for one test, on a real server, and dropped after it.

PostgreSQL and MariaDB are looked for where Debian puts them; `TEST_POSTGRESQL_URL` and `TEST_MYSQL_URL` say
otherwise. Where a server is absent its tests are skipped, but in continuous integration (`CI=true`) they fail.
"""

import asyncio
import os
import socket
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

KINDS = ("sqlite", "postgresql", "mariadb")

_SERVERS = {
    "postgresql": ("TEST_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1:5432/postgres"),
    "mariadb": ("TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/mysql"),
}
_DRIVERS = {"postgresql": "postgresql+asyncpg", "mariadb": "mysql+asyncmy"}
_numbers = count(1)


@contextmanager
def empty_database(kind: str, folder: Path) -> Generator[str]:
    """The address of a database of a kind that has nothing in it; it is gone afterwards."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / f'test-{next(_numbers)}.db'}"
        return
    server = _server(kind)
    name = f"backchannel_test_{os.getpid()}_{next(_numbers)}"
    _administer(kind, server, f"CREATE DATABASE {name}")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        if kind == "mariadb":
            # As WITH (FORCE) does elsewhere: a connection that a test has left in a transaction would be waited for.
            own = f"DB = '{name}'"
            for (number,) in _administer(
                kind, server, f"SELECT ID FROM information_schema.processlist WHERE {own}"
            ):
                with suppress(DBAPIError):
                    _administer(kind, server, f"KILL {number}")
        force = " WITH (FORCE)" if kind == "postgresql" else ""
        _administer(kind, server, f"DROP DATABASE IF EXISTS {name}{force}")


def _server(kind: str) -> URL:
    variable, usual = _SERVERS[kind]
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


def _administer(kind: str, server: URL, statement: str) -> list:
    async def execute() -> list:
        engine = create_async_engine(server.set(drivername=_DRIVERS[kind]), isolation_level="AUTOCOMMIT")
        try:
            async with engine.connect() as connection:
                result = await connection.execute(text(statement))
                return list(result.all()) if result.returns_rows else []
        finally:
            await engine.dispose()

    # In a thread of its own, because the one that asks may be running an event loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(execute())).result()
