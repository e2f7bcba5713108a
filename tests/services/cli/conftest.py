"""Commands in this process, as in the unit tests, and databases with the todo assistant's tables for them."""

from collections.abc import Generator
from pathlib import Path

import pytest

from backchannel.todo.tables import MIGRATIONS as TODO
from databases import KINDS, database_with_tables
from unit.cli.conftest import command, use_database

__all__ = ["command", "use_database"]


@pytest.fixture(params=KINDS)
def todo_url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """The address of a database, of each kind in turn, with the todo assistant's tables and nothing in them."""
    with database_with_tables(request.param, tmp_path, TODO) as url:
        yield url


@pytest.fixture
def todo_file(tmp_path: Path) -> Generator[str]:
    """The address of a database file with the todo assistant's tables and nothing in them."""
    with database_with_tables("sqlite", tmp_path, TODO) as url:
        yield url
