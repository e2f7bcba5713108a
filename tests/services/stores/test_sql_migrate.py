"""Migrations: applied once however many processes start, all or nothing, and never over newer tables."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect, text

from backchannel.errors import ConfigurationError
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import CORE, Migrations, check_newest, downgrade, upgrade
from backchannel.stores.sql.migrate import versions as stand
from backchannel.stores.sql.tables import metadata

pytestmark = pytest.mark.row("D3")

PROCESSES = 5
NEWEST = CORE.scripts().get_current_head()


# What only one kind of database has: see migration 0002.
OF_ONE_KIND = ("search_index", "lexemes", "ix_search_entries_lexemes", "ix_search_entries_words")


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    """An empty database, of each kind in turn."""
    database = Database(database_url)
    yield database
    await database.close()


def described(connection: Connection) -> dict[str, object]:
    """Every table with its columns, keys and indexes."""
    look = inspect(connection)
    return {
        name: (
            [
                (c["name"], str(c["type"]), c["nullable"], str(c["default"]).strip("'"))
                for c in look.get_columns(name)
                if c["name"] not in OF_ONE_KIND
            ],
            look.get_pk_constraint(name)["constrained_columns"],
            sorted(str(sorted(key.items())) for key in look.get_foreign_keys(name)),
            sorted(str(key["column_names"]) for key in look.get_unique_constraints(name)),
            sorted(
                str((key["name"], key["column_names"]))
                for key in look.get_indexes(name)
                if key["name"] not in OF_ONE_KIND
            ),
        )
        for name in look.get_table_names()
        if not name.startswith(OF_ONE_KIND)
    }


async def schema(database: Database) -> dict[str, object]:
    async with database.read() as connection:
        return await connection.run_sync(described)


async def versions(database: Database, table: str = "backchannel_version") -> list[str]:
    async with database.read() as connection:
        return list((await connection.execute(text(f"SELECT version_num FROM {table}"))).scalars())


async def test_upgrading_twice_is_upgrading_once(database: Database):
    await upgrade(database)
    first = await schema(database)
    assert {"threads", "items", "runs", "usage", "feedback", "attachments"} <= set(first)
    await upgrade(database)
    assert await schema(database) == first
    assert len(await versions(database)) == 1


async def test_upgrading_keeps_what_is_there(database: Database):
    await upgrade(database)
    async with database.write() as connection:
        await connection.execute(
            text(
                "INSERT INTO runs (id, tenant, user_id, thread_id, operation, status, created_at) "
                "VALUES ('run_1', 'acme', 'ann', 'thr_1', 'threads.create', 'completed', '2026-11-22 12:00:00')"
            )
        )
    await upgrade(database)
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT id FROM runs"))).scalars().all() == ["run_1"]


async def test_the_tables_are_those_the_code_knows(database: Database):
    await upgrade(database)

    def compare(connection: Connection) -> tuple[list[object], list[str]]:
        opts = {"compare_type": True, "compare_server_default": True, "version_table": CORE.version_table}
        opts["include_name"] = lambda name, *_: not str(name).startswith(OF_ONE_KIND)
        context = MigrationContext.configure(connection, opts=opts)
        names = inspect(connection).get_table_names()
        return list(compare_metadata(context, metadata)), [n for n in names if not n.startswith(OF_ONE_KIND)]

    async with database.read() as connection:
        differences, tables = await connection.run_sync(compare)
    assert differences == []
    assert set(tables) == {*metadata.tables, CORE.version_table}


async def test_the_tables_have_the_same_keys_as_the_code(database: Database):
    """Alembic does not compare primary keys and the order of columns."""
    await upgrade(database)
    by_migrations = await schema(database)
    await downgrade(database, CORE, "base")
    async with database.write() as connection:
        await connection.run_sync(metadata.create_all)
    assert await schema(database) == by_migrations


async def test_the_way_down_is_the_way_up(database: Database):
    await upgrade(database)
    newest = await schema(database)
    await downgrade(database, CORE, "0001")
    assert [(each.current, each.newest) for each in await stand(database)] == [("0001", NEWEST)]
    with pytest.raises(ConfigurationError, match="backchannel db upgrade"):
        await check_newest(database)
    await upgrade(database)
    await check_newest(database)
    assert await schema(database) == newest
    with pytest.raises(ConfigurationError, match="no version 7777"):
        await downgrade(database, CORE, "7777")
    await downgrade(database, CORE, "base")
    assert set(await schema(database)) == {CORE.version_table}


# Forked after the imports, which would take most of the time, and let loose together.
STARTING_TOGETHER = """
import asyncio, os, sys
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import upgrade

async def start():
    database = Database(sys.argv[1])
    await upgrade(database)
    await database.close()

waiting, go = os.pipe()
children = []
for _ in range(int(sys.argv[2])):
    child = os.fork()
    if child == 0:
        os.close(go)
        os.read(waiting, 1)
        asyncio.run(start())
        os._exit(0)
    children.append(child)
os.close(go)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


async def test_several_processes_start_at_once(database_url: str, database: Database):
    arguments = [sys.executable, "-c", STARTING_TOGETHER, database_url, str(PROCESSES)]
    process = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = await process.communicate()
    assert errors.decode() == ""
    *told, ended = output.decode().strip().splitlines()
    assert ended == str([0] * PROCESSES)
    assert sum("database_upgrade" in line for line in told) == 1
    assert len(await versions(database)) == 1
    await upgrade(database)


async def test_a_database_of_a_newer_version_is_refused_in_one_line(database: Database):
    await upgrade(database)
    before = await schema(database)
    async with database.write() as connection:
        await connection.execute(text("UPDATE backchannel_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError) as caught:
        await upgrade(database)
    message = caught.value.message
    assert "\n" not in message
    assert message.startswith("BACKCHANNEL_DATABASE_URL: ")
    assert "9999" in message
    assert await schema(database) == before
    assert await versions(database) == ["9999"]


def made_set(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str) -> Migrations:
    """An application's own set of migrations with one step."""
    package = folder / f"{name}_package"
    (package / "migrations" / "versions").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "migrations" / "env.py").write_text("from backchannel.sql import run_env\nrun_env()\n")
    step = (
        "import sqlalchemy as sa\nfrom alembic import op\n"
        "revision, down_revision, branch_labels, depends_on = '0001', None, None, None\n"
        f"def upgrade():\n    op.create_table('{name}_things', sa.Column('id', sa.Integer, primary_key=True))\n"
        f"    {body}\n"
    )
    (package / "migrations" / "versions" / "0001_things.py").write_text(step)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return Migrations(name, f"{name}_package:migrations", MetaData())


async def test_an_applications_tables_count_their_own_versions(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shop = made_set(tmp_path, monkeypatch, "shop", "pass")
    await upgrade(database, shop)
    await upgrade(database, shop)
    names = set(await schema(database))
    assert {"shop_things", "shop_version", "threads", "backchannel_version"} <= names
    assert await versions(database, "shop_version") == ["0001"]


async def test_a_step_that_fails_leaves_the_database_as_it_was(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    await upgrade(database)
    before = await schema(database)
    broken = made_set(tmp_path, monkeypatch, "broken", "raise RuntimeError('half way')")
    with pytest.raises(RuntimeError, match="half way"):
        await upgrade(database, broken)
    if database.dialect.name == "mysql":
        # It commits each change of the schema; but the step does not count as done.
        assert await versions(database, "broken_version") == []
    else:
        assert await schema(database) == before
