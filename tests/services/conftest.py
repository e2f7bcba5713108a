"""Tests against PostgreSQL, MariaDB and Redis. Those on every kind of database run on SQLite too, without a service."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from backchannel.stores.sql.engine import Database
from backchannel.todo.tables import MIGRATIONS as TODO
from databases import KINDS, database_with_tables
from unit.conftest import no_tracing

__all__ = ["no_tracing"]


@pytest.fixture(params=KINDS)
async def todo_database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Database]:
    """A database, of each kind in turn, with the tables of the todo assistant too."""
    with database_with_tables(request.param, tmp_path, TODO) as url:
        database = Database(url)
        yield database
        await database.close()
