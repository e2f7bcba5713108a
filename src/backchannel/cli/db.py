"""`backchannel db`: see and change the version of the database's tables."""

import importlib
from types import ModuleType
from typing import Annotated

from cyclopts import App, Parameter

from backchannel.settings import Settings

app = App(name="db", help="See and change the version of the database's tables.")


@app.command
def current(*, target: str | None = None) -> None:
    """Show at which version the tables are, and what an upgrade would do.

    Parameters
    ----------
    target
        What is served, as module:attribute: its tables are shown too.
        Default: BACKCHANNEL_APP, else the todo assistant.
    """
    settings = Settings.load_for(target)
    _schema().current(settings)


@app.command
def history(*, target: str | None = None) -> None:
    """Show every step that this version of the code knows, the oldest first, and which are applied.

    Parameters
    ----------
    target
        What is served, as module:attribute: the steps of its tables are shown too.
        Default: BACKCHANNEL_APP, else the todo assistant.
    """
    settings = Settings.load_for(target)
    _schema().history(settings)


@app.command
def upgrade(*, target: str | None = None) -> None:
    """Bring the tables to the newest version. Nothing is lost; it can be repeated.

    Parameters
    ----------
    target
        What is served, as module:attribute: its tables are upgraded too.
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
    """Take tables back to an earlier version. What the undone steps added is lost, with all that is in it.

    Stop every server first: one that starts brings the tables up to date again.

    Parameters
    ----------
    version
        The version to go back to, as `backchannel db history` shows it; base removes all tables of the set.
    tables
        Which set of tables: backchannel, or one of the target's.
    yes
        Do not ask.
    target
        What is served, as module:attribute: it knows its tables.
        Default: BACKCHANNEL_APP, else the todo assistant.
    """
    settings = Settings.load_for(target)
    _schema().downgrade(settings, tables, version, yes=yes)


def _schema() -> ModuleType:
    # Imported only now: a wrong setting is reported at once, before the seconds that the SDKs take to load.
    return importlib.import_module("backchannel.cli.schema")
