"""Schema migrations: applied at start-up, in order, by one process at a time.

A set of migrations is a folder inside a package with Alembic's `env.py` and `versions/`. Backchannel has one, and an
application with tables in the same database has its own; each set has its own version table.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData

from backchannel.errors import BackchannelError, ConfigurationError
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.tables import metadata

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Migrations:
    """One set of migrations.

    Attributes:
        name: Short and unique in the database; the version table is `<name>_version`.
        location: The folder of `env.py` and `versions/`, as `package:folder`.
        metadata: The tables after the newest migration.
    """

    name: str
    location: str
    metadata: MetaData

    @property
    def version_table(self) -> str:
        """The name of the table with the applied version."""
        return f"{self.name}_version"

    def scripts(self) -> ScriptDirectory:
        """The migrations of the set."""
        return ScriptDirectory.from_config(self.config())

    def config(self) -> Config:
        """Alembic's configuration for the set."""
        config = Config()
        config.set_main_option("script_location", self.location)
        config.set_main_option("path_separator", "os")
        config.attributes["migrations"] = self
        return config


@dataclass(frozen=True, slots=True)
class Version:
    """The state of one set of migrations in a database.

    Attributes:
        current: The applied version; `None` in an empty database.
        newest: The newest version in the code.
        pending: The migrations that an upgrade would apply, in order, as `version: description`.
    """

    name: str
    current: str | None
    newest: str | None
    pending: Sequence[str]


CORE = Migrations("backchannel", "backchannel.stores.sql:migrations", metadata)


async def upgrade(database: Database, *sets: Migrations) -> None:
    """Upgrade Backchannel's own tables and those of each given set to the newest version.

    Of several processes one migrates; the others wait and then have nothing to do. On SQLite and PostgreSQL each set is
    one transaction, which is rolled back on failure; MariaDB and MySQL commit each change of the schema at once.

    Raises:
        ConfigurationError: The database cannot be reached, or was written by a newer version of the code.
    """
    for migrations in (CORE, *sets):
        await _run_exclusively(
            database, migrations, lambda connection, each=migrations: _upgrade(connection, each)
        )


async def downgrade(database: Database, migrations: Migrations, version: str) -> None:
    """Downgrade one set of migrations to `version`, or remove its tables with `base`. Removed columns lose their data.

    Raises:
        ConfigurationError: There is no such version below the current one, or see `upgrade`.
    """
    await _run_exclusively(
        database, migrations, lambda connection: _downgrade(connection, migrations, version)
    )


async def versions(database: Database, *sets: Migrations) -> Sequence[Version]:
    """The state of Backchannel's own tables and of each given set.

    Raises:
        ConfigurationError: The database cannot be reached, or was written by a newer version of the code.
    """
    found: list[Version] = []
    for migrations in (CORE, *sets):
        await _run_exclusively(
            database, migrations, lambda connection, each=migrations: found.append(_version(connection, each))
        )
    return found


async def check_newest(database: Database, *sets: Migrations) -> None:
    """Check that no migration is pending.

    Raises:
        ConfigurationError: One is, or see `versions`.
    """
    for version in await versions(database, *sets):
        if version.pending:
            raise ConfigurationError(
                f"BACKCHANNEL_DATABASE_URL: the {version.name} tables are at version {version.current or 'none'}, "
                f"this version of the code needs {version.newest}. Run `backchannel db upgrade`."
            )


async def _run_exclusively(
    database: Database, migrations: Migrations, work: Callable[[Connection], None]
) -> None:
    try:
        async with database.exclusive(f"{migrations.name}_migrations") as connection:
            await connection.run_sync(work)
    except ConfigurationError:
        raise
    except BackchannelError as error:
        cause = error.__cause__
        reason = " ".join(str(getattr(cause, "orig", None) or cause or error.message).split())
        raise ConfigurationError(
            f"BACKCHANNEL_DATABASE_URL: the database cannot be used ({reason})."
        ) from error


def _upgrade(connection: Connection, migrations: Migrations) -> None:
    version = _version(connection, migrations)
    if not version.pending:
        return
    log.info(
        "database_upgrade", tables=migrations.name, from_version=version.current, steps=len(version.pending)
    )
    config = migrations.config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _downgrade(connection: Connection, migrations: Migrations, version: str) -> None:
    _version(connection, migrations)
    config = migrations.config()
    config.attributes["connection"] = connection
    try:
        command.downgrade(config, version)
    except CommandError as error:
        raise ConfigurationError(
            f"The {migrations.name} tables have no version {version} ({error})."
        ) from error


def _version(connection: Connection, migrations: Migrations) -> Version:
    scripts = migrations.scripts()
    opts = {"version_table": migrations.version_table}
    found = MigrationContext.configure(connection, opts=opts).get_current_heads()
    steps = {script.revision: script for script in scripts.walk_revisions()}
    if unknown := set(found) - set(steps):
        raise ConfigurationError(
            f"BACKCHANNEL_DATABASE_URL: the database is at version {', '.join(sorted(unknown))} of its "
            f"{migrations.name} tables, which this version of the code does not know. Install the version "
            f"that wrote it, or use another database."
        )
    current = found[0] if found else None
    pending = [
        f"{script.revision}: {script.doc}"
        for script in reversed(list(scripts.iterate_revisions("head", current or "base")))
    ]
    return Version(migrations.name, current, scripts.get_current_head(), pending)


def run_env() -> None:
    """Run the migrations on the connection that `upgrade` opened. Called by each `env.py`."""
    attributes = context.config.attributes
    migrations: Migrations = attributes["migrations"]
    context.configure(
        connection=attributes["connection"],
        target_metadata=migrations.metadata,
        version_table=migrations.version_table,
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()
