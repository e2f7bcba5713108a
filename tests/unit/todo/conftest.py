"""A migrated database, the service on it, and two people who have nothing to do with each other."""

import asyncio
import importlib
import shutil
import warnings
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

# ChatKit's own classes raise this when they are defined, and it is put down to the module `abc`.
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Direct usage of named widget classes", DeprecationWarning)
    importlib.import_module("chatkit.widgets")

from backchannel.context import Identity
from backchannel.sql import Database
from backchannel.stores.sql.migrate import upgrade
from backchannel.todo.service import TodoService
from backchannel.todo.tables import MIGRATIONS


class Clock:
    """Starts on Sunday 22 November 2026 at noon UTC and advances a second each time it is read."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with every migration applied, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "todo.db"

    async def migrate() -> None:
        database = Database(f"sqlite:///{path}")
        await upgrade(database, MIGRATIONS)
        await database.close()

    asyncio.run(migrate())
    return path


@pytest.fixture
def database_url(migrated: Path, tmp_path: Path) -> str:
    copy = tmp_path / "todo.db"
    shutil.copyfile(migrated, copy)
    return f"sqlite:///{copy}"


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
def clock() -> Callable[[], datetime]:
    return Clock()


@pytest.fixture
def service(database: Database, clock: Callable[[], datetime]) -> TodoService:
    return TodoService(database, clock=clock)


@pytest.fixture
def ann() -> Identity:
    return Identity("ann", tenant="acme")


@pytest.fixture
def eve() -> Identity:
    return Identity("eve", tenant="acme")
