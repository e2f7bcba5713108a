"""`backchannel db`: see and change the version of the database's tables."""

import importlib
from types import ModuleType
from typing import Annotated

from cyclopts import App, Parameter

from backchannel.cli.serve import DEFAULT_TARGET
from backchannel.settings import Settings

app = App(name="db", help="See and change the version of the database's tables.")


@app.command
def current(*, target: str = DEFAULT_TARGET) -> None:
    """Show at which version the tables are, and what an upgrade would do.

    Parameters
    ----------
    target
        What is served, as module:attribute: its tables are shown too. Default: the todo assistant.
    """
    settings = Settings.load()
    _schema().current(settings, target)


@app.command
def history(*, target: str = DEFAULT_TARGET) -> None:
    """Show every step that this version of the code knows, the oldest first, and which are applied.

    Parameters
    ----------
    target
        What is served, as module:attribute: the steps of its tables are shown too. Default: the todo assistant.
    """
    settings = Settings.load()
    _schema().history(settings, target)


@app.command
def upgrade(*, target: str = DEFAULT_TARGET) -> None:
    """Bring the tables to the newest version. Nothing is lost; it can be repeated.

    Parameters
    ----------
    target
        What is served, as module:attribute: its tables are upgraded too. Default: the todo assistant.
    """
    settings = Settings.load()
    _schema().upgrade(settings, target)


@app.command
def downgrade(
    version: str,
    /,
    *,
    tables: str = "backchannel",
    yes: Annotated[bool, Parameter(negative="")] = False,
    target: str = DEFAULT_TARGET,
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
        What is served, as module:attribute: it knows its tables. Default: the todo assistant.
    """
    settings = Settings.load()
    _schema().downgrade(settings, target, tables, version, yes=yes)


def _schema() -> ModuleType:
    # Loaded only now: a wrong setting is told at once, before the seconds that the SDKs take to load.
    return importlib.import_module("backchannel.cli.schema")
