"""What the unit tests of the core share."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from agents import set_tracing_disabled

from backchannel.stores.sql.engine import Database
from databases import database_with_tables


@pytest.fixture(scope="session", autouse=True)
def no_tracing() -> None:
    """The Agents SDK would try to send every run to OpenAI."""
    set_tracing_disabled(True)


@pytest.fixture
def database_url(tmp_path: Path) -> Generator[str]:
    """The address of a database file with Backchannel's tables: tests of this folder need no service."""
    with database_with_tables("sqlite", tmp_path) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    """A database file with Backchannel's tables."""
    database = Database(database_url)
    yield database
    await database.close()
