"""`backchannel user`: add, list, change and delete local users."""

import importlib
from types import ModuleType
from typing import Annotated

from cyclopts import App, Parameter

from backchannel.context import DEFAULT_TENANT
from backchannel.settings import Settings

app = App(name="user", help="Add, list, change and delete local users.")


@app.command
def add(
    name: str,
    /,
    *,
    tenant: str = DEFAULT_TENANT,
    scopes: str = "chat todos",
    id: str | None = None,
) -> None:
    """Add a user. The password is asked for, or read from standard input.

    Parameters
    ----------
    name
        The name for the login. Upper and lower case are the same.
    tenant
        The user's tenant.
    scopes
        What the user may do, separated by spaces: chat, todos, admin.
    id
        The user's stable id, to which their data belongs, such as the `sub` that their tokens had so far. Default: a
        new one.
    """
    settings = Settings.load()
    _users().add(settings, name, tenant=tenant, scopes=scopes.split(), user=id)


@app.command(name="list")
def list_users() -> None:
    """List all users."""
    settings = Settings.load()
    _users().list_all(settings)


@app.command
def disable(name: str, /) -> None:
    """Disable a user, and end all their sessions and tokens. Their data stays.

    Parameters
    ----------
    name
        The name for the login.
    """
    settings = Settings.load()
    _users().disable(settings, name)


@app.command
def enable(name: str, /) -> None:
    """Enable a user again.

    Parameters
    ----------
    name
        The name for the login.
    """
    settings = Settings.load()
    _users().enable(settings, name)


@app.command
def password(name: str, /) -> None:
    """Set a new password, and end all sessions and tokens of the user. It is asked for, or read from standard input.

    Parameters
    ----------
    name
        The name for the login.
    """
    settings = Settings.load()
    _users().set_password(settings, name)


@app.command
def delete(name: str, /, *, yes: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Delete a user's account, sessions and tokens. Threads and other data stay: `backchannel erase` deletes those too.

    Parameters
    ----------
    name
        The name for the login.
    yes
        Do not ask for confirmation.
    """
    settings = Settings.load()
    _users().delete(settings, name, yes=yes)


def _users() -> ModuleType:
    # Imported late: the SDKs take seconds to load, and invalid settings are reported before.
    return importlib.import_module("backchannel.cli.users")
