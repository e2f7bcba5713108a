"""A migrated database, the service on it, and two people who have nothing to do with each other."""

import importlib
import warnings
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

# ChatKit's own classes raise this when they are defined, and it is put down to the module `abc`.
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Direct usage of named widget classes", DeprecationWarning)
    importlib.import_module("chatkit.widgets")

from backchannel.context import Identity
from backchannel.sql import Database
from backchannel.todo.service import TodoService
from backchannel.todo.tables import MIGRATIONS
from databases import database_with_tables


class Clock:
    """Starts on Sunday 22 November 2026 at noon UTC and advances a second each time it is read."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def database_url(tmp_path: Path) -> Generator[str]:
    """The address of a database file with the tables of the todo assistant too."""
    with database_with_tables("sqlite", tmp_path, MIGRATIONS) as url:
        yield url


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
