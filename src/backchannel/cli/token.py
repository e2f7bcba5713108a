"""`backchannel token`: make a personal token."""

import importlib
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from backchannel.settings import Settings


def token(
    *,
    user: str,
    scopes: str | None = None,
    days: Annotated[int, Parameter(validator=Number(gte=1, lte=3650))] = 90,
    tenant: str | None = None,
    name: str = "command line",
) -> None:
    """Make a personal token for a user's scripts, and print it once on standard output.

    The user sees and ends it among their sessions. A new password ends it too.

    Parameters
    ----------
    user
        The user's name for the login.
    scopes
        What the token may do, separated by spaces. Default: all that the user may.
    days
        The days until it expires.
    tenant
        The user's tenant, to be sure that it is theirs.
    name
        What the token is for.
    """
    settings = Settings.load()
    # Imported late: the SDKs take seconds to load, and invalid settings are reported before.
    users = importlib.import_module("backchannel.cli.users")
    wanted = None if scopes is None else scopes.split()
    users.token(settings, user, tenant=tenant, scopes=wanted, days=days, label=name)
