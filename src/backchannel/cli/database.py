"""Opens, checks and closes the database for commands."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from redis.exceptions import RedisError
from sqlalchemy import Connection, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from backchannel.errors import ConfigurationError, UnavailableError
from backchannel.observability.logging import configure_logging
from backchannel.settings import Settings
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import CORE, Migrations, check_newest, upgrade, versions
from backchannel.targets import load_target
from backchannel.wiring import Target, migrations_of, open_database

type Work[R] = Callable[[Database, Sequence[Migrations]], Awaitable[R]]
"""Work on a database. Gets the target's own sets of migrations."""


_VERSION_SUFFIX = "_version"


def on_database[R](
    settings: Settings,
    work: Work[R],
    *,
    newest: bool = True,
    create: bool = False,
    upgraded: bool = False,
) -> R:
    """Run `work` on the configured database, in a new event loop.

    Args:
        newest: Whether to check that the schema is at the newest version.
        create: Whether to create a missing database file.
        upgraded: Whether to apply pending migrations before, if the settings permit it as at the start of a server.

    Raises:
        ConfigurationError: The target or the database cannot be used, or the connection was lost.
    """
    style = settings.log_format or ("json" if settings.production else "console")
    # Commands print their results, so only problems are logged.
    configure_logging(style, "error" if settings.log_level == "error" else "warning")
    loaded = load_target(settings.app)
    if not create:
        _check_exists(settings.database_url)
    return asyncio.run(_run(settings, loaded, work, newest=newest, upgraded=upgraded))


async def _run[R](settings: Settings, target: Target, work: Work[R], *, newest: bool, upgraded: bool) -> R:
    database = open_database(settings)
    try:
        sets = await migrations_of(settings, target, database)
        if upgraded and settings.database_migrate:
            await upgrade(database, *sets)
        if newest:
            await _check_is_newest(database, sets)
        return await work(database, sets)
    except (UnavailableError, DatabaseError) as error:
        cause = error if isinstance(error, DatabaseError) else error.__cause__
        reason = " ".join(str(getattr(cause, "orig", None) or cause or error).split())
        if isinstance(cause, RedisError):
            raise ConfigurationError(f"BACKCHANNEL_REDIS_URL: Redis cannot be used ({reason}).") from error
        raise ConfigurationError(
            f"BACKCHANNEL_DATABASE_URL: the database cannot be used ({reason})."
        ) from error
    finally:
        await database.close()


def _check_exists(url: str) -> None:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return  # `Database` reports the error.
    # SQLite creates an empty database for a mistyped name.
    if parsed.drivername.startswith("sqlite") and parsed.database and not Path(parsed.database).exists():
        raise ConfigurationError(
            f"BACKCHANNEL_DATABASE_URL: there is no database at {parsed.database}. "
            "Check the name, or make one with `backchannel db upgrade`."
        )


async def _check_is_newest(database: Database, sets: Sequence[Migrations]) -> None:
    core, *others = await versions(database, *sets)
    for version in others:
        if core.current is not None and version.current is None:
            raise ConfigurationError(
                f"The database has no {version.name} tables. Name the application that it serves with --target, "
                "or make them with `backchannel db upgrade`."
            )
    await check_newest(database, *sets)


async def warn_of_foreign_tables(database: Database, sets: Sequence[Migrations]) -> None:
    """Warn on standard error about tables of other applications in the database, whose data the command does not
    process."""

    def version_tables(connection: Connection) -> list[str]:
        inspector = inspect(connection)
        names = [name for name in inspector.get_table_names() if name.endswith(_VERSION_SUFFIX)]
        return [
            name
            for name in names
            if [column["name"] for column in inspector.get_columns(name)] == ["version_num"]
        ]

    async with database.read() as connection:
        found = await connection.run_sync(version_tables)
    # `alembic_version` is Alembic's default: it belongs to a host application that shares the database.
    known = {"alembic", *(each.name for each in (CORE, *sets))}
    for name in sorted({table.removesuffix(_VERSION_SUFFIX) for table in found} - known):
        print(
            f"backchannel: the database also has {name} tables, which the target does not bring along: they are "
            "left out. Name their application with --target.",
            file=sys.stderr,
        )
