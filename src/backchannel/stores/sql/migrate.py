"""Schema migrations: applied at start-up, in order, once, however many processes start together.

A set of migrations is a folder inside a package with Alembic's `env.py` and `versions/`. Backchannel has one
and so may every application that keeps tables in the same database; each set counts its versions in a table
of its own.
"""

from dataclasses import dataclass

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

from backchannel.errors import ConfigurationError
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.tables import metadata


@dataclass(frozen=True, slots=True)
class Migrations:
    """One set of migrations.

    Attributes:
        name: Short and unique in the database; the version table is `<name>_version`.
        location: Where `env.py` and `versions/` are, as `package:folder`.
        metadata: The tables as the newest migration leaves them.
    """

    name: str
    location: str
    metadata: MetaData

    @property
    def version_table(self) -> str:
        """The table that holds the applied version."""
        return f"{self.name}_version"


CORE = Migrations("backchannel", "backchannel.stores.sql:migrations", metadata)


async def upgrade(database: Database, *sets: Migrations) -> None:
    """Bring the database to the newest version of Backchannel's own tables and of each given set.

    Each set is upgraded in one transaction that holds the write lock: of several processes one migrates, the
    others wait and find nothing to do, and a failure leaves the set as it was.

    Raises:
        ConfigurationError: The database was written by a newer version of the code.
    """
    for migrations in (CORE, *sets):
        async with database.write() as connection:
            await connection.run_sync(_upgrade, migrations)


def _upgrade(connection: Connection, migrations: Migrations) -> None:
    config = Config()
    config.set_main_option("script_location", migrations.location)
    config.set_main_option("path_separator", "os")
    config.attributes.update(connection=connection, migrations=migrations)
    _refuse_newer(connection, migrations, ScriptDirectory.from_config(config))
    command.upgrade(config, "head")


def _refuse_newer(connection: Connection, migrations: Migrations, scripts: ScriptDirectory) -> None:
    opts = {"version_table": migrations.version_table}
    found = MigrationContext.configure(connection, opts=opts).get_current_heads()
    known = {script.revision for script in scripts.walk_revisions()}
    if unknown := set(found) - known:
        raise ConfigurationError(
            f"BACKCHANNEL_DATABASE_URL: the database is at version {', '.join(sorted(unknown))} of its "
            f"{migrations.name} tables, which this version of the code does not know. Install the version "
            f"that wrote it, or use another database."
        )


def run_env() -> None:
    """What every `env.py` calls: run the migrations on the connection that `upgrade` opened."""
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
