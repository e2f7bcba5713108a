"""`backchannel db`: show and change the schema version of the database."""

import importlib
from types import ModuleType
from typing import Annotated

from cyclopts import App, Parameter

from backchannel.settings import Settings

app = App(name="db", help="Show and change the schema version of the database.")


@app.command
def current(*, target: str | None = None) -> None:
    """Show the schema version of each set of tables, and the pending migrations.

    Parameters
    ----------
    target
        The served application, as module:attribute, whose tables are included.
        Default: BACKCHANNEL_APP, else the todo assistant.
    """
    settings = Settings.load_for(target)
    _schema().current(settings)


@app.command
def history(*, target: str | None = None) -> None:
    """Show all migrations, oldest first, and which are applied.

    Parameters
    ----------
    target
        The served application, as module:attribute, whose migrations are included.
        Default: BACKCHANNEL_APP, else the todo assistant.
    """
    settings = Settings.load_for(target)
    _schema().history(settings)


@app.command
def upgrade(*, target: str | None = None) -> None:
    """Apply all pending migrations. No data is lost, and the command can be repeated.

    Parameters
    ----------
    target
        The served application, as module:attribute, whose tables are included.
        Default: BACKCHANNEL_APP, else the todo assistant.
    """
    settings = Settings.load_for(target)
    _schema().upgrade(settings)


@app.command
def downgrade(
    version: str,
    /,
    *,
    tables: str = "backchannel",
    yes: Annotated[bool, Parameter(negative="")] = False,
    target: str | None = None,
) -> None:
    """Revert migrations. The tables and columns that they added are lost, with their data.

    Stop every server first: a server that starts applies all migrations again.

    Parameters
    ----------
    version
        The version to return to, as shown by `backchannel db history`; base removes all tables of the set.
    tables
        The set of tables: backchannel, or one of the target's.
    yes
        Do not ask for confirmation.
    target
        The served application, as module:attribute, whose tables are included.
        Default: BACKCHANNEL_APP, else the todo assistant.
    """
    settings = Settings.load_for(target)
    _schema().downgrade(settings, tables, version, yes=yes)


def _schema() -> ModuleType:
    # Imported late: the SDKs take seconds to load, and invalid settings are reported before.
    return importlib.import_module("backchannel.cli.schema")
