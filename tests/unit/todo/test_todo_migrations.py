"""The migrations leave the tables as the code describes them."""

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect

from backchannel.sql import Database
from backchannel.stores.sql.migrate import upgrade
from backchannel.todo.tables import MIGRATIONS, metadata

pytestmark = pytest.mark.row("B1", "B2", "B3", "B4")


def differences(connection: Connection) -> list[Any]:
    def is_ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name in metadata.tables

    options = {"version_table": MIGRATIONS.version_table, "compare_type": True, "include_name": is_ours}
    return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


async def test_no_difference_after_the_upgrade(database: Database) -> None:
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_difference_would_be_seen(database: Database) -> None:
    async with database.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE todos DROP COLUMN description")
        await connection.exec_driver_sql("DROP INDEX ix_todos_tenant_user_id_created_at")
        found = await connection.run_sync(differences)
    assert {difference[0] for difference in found} == {"add_column", "add_index"}


async def test_upgrading_again_changes_nothing(database: Database) -> None:
    await upgrade(database, MIGRATIONS)
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_downgrade_removes_the_table(database: Database) -> None:
    def downgrade(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", MIGRATIONS.location)
        config.set_main_option("path_separator", "os")
        config.attributes.update(connection=connection, migrations=MIGRATIONS)
        command.downgrade(config, "base")

    async with database.write() as connection:
        await connection.run_sync(downgrade)
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert "todos" not in names
    assert "threads" in names


async def test_a_fresh_database_without_a_file(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new' / 'todo.db'}")
    await upgrade(database, MIGRATIONS)
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()
