"""What commands on the database have in common: it is opened, looked at, used, and closed again."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from sqlalchemy import Connection, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from backchannel.errors import ConfigurationError, UnavailableError
from backchannel.observability.logging import configure_logging
from backchannel.settings import Settings
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import CORE, Migrations, check_newest, versions
from backchannel.wiring import Target, load_target, migrations_of, open_database

type Work[R] = Callable[[Database, Sequence[Migrations]], Awaitable[R]]
"""What to do with a database; it gets the sets of migrations that the target brings along."""


_VERSION = "_version"


def on_database[R](settings: Settings, work: Work[R], *, newest: bool = True, create: bool = False) -> R:
    """Do `work` on the database of the settings, in an event loop of its own.

    Args:
        newest: Whether the tables must be of this version of the code.
        create: Whether a database file that is not there is made.

    Raises:
        ConfigurationError: The target or the database cannot be used, or is lost on the way.
    """
    style = settings.log_format or ("json" if settings.production else "console")
    # A command prints its results; the log is for problems only.
    configure_logging(style, "error" if settings.log_level == "error" else "warning")
    loaded = load_target(settings.app)
    if not create:
        _check_is_there(settings.database_url)
    return asyncio.run(_do(settings, loaded, work, newest=newest))


async def _do[R](settings: Settings, target: Target, work: Work[R], *, newest: bool) -> R:
    database = open_database(settings)
    try:
        sets = await migrations_of(settings, target, database)
        if newest:
            await _check_is_newest(database, sets)
        return await work(database, sets)
    except (UnavailableError, DatabaseError) as error:
        cause = error if isinstance(error, DatabaseError) else error.__cause__
        reason = " ".join(str(getattr(cause, "orig", None) or cause or error).split())
        raise ConfigurationError(
            f"BACKCHANNEL_DATABASE_URL: the database cannot be used ({reason})."
        ) from error
    finally:
        await database.close()


def _check_is_there(url: str) -> None:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return  # `Database` says what is wrong with it.
    # SQLite would make an empty database of a mistyped name.
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


async def warn_of_others(database: Database, sets: Sequence[Migrations]) -> None:
    """Say on standard error if the database has tables of an application that the target is not: what they hold of
    people is beyond the command's reach."""

    def version_tables(connection: Connection) -> list[str]:
        look = inspect(connection)
        names = [name for name in look.get_table_names() if name.endswith(_VERSION)]
        return [
            name for name in names if [each["name"] for each in look.get_columns(name)] == ["version_num"]
        ]

    async with database.read() as connection:
        found = await connection.run_sync(version_tables)
    # Alembic's own name for it is that of a host application, which is none of ours.
    known = {"alembic", *(each.name for each in (CORE, *sets))}
    for name in sorted({table.removesuffix(_VERSION) for table in found} - known):
        print(
            f"backchannel: the database also has {name} tables, which the target does not bring along: they are "
            "left out. Name their application with --target.",
            file=sys.stderr,
        )
