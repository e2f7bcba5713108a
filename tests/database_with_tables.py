"""A database that already has Backchannel's tables, for many tests: making them takes longer than most tests do."""

import asyncio
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import upgrade
from databases import empty_database


@contextmanager
def database_with_tables(kind: str, folder: Path) -> Generator[str]:
    """Its address; see `databases.empty_database`."""
    with empty_database(kind, folder) as url:
        # In a thread of its own, because the one that asks may have an event loop.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: asyncio.run(_make_tables(url))).result()
        yield url


async def _make_tables(url: str) -> None:
    database = Database(url)
    await upgrade(database)
    await database.close()
