"""`backchannel erase`: delete everything that is kept of a person."""

import importlib
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from backchannel.cli.person import person
from backchannel.context import DEFAULT_TENANT
from backchannel.settings import Settings


def erase(
    user: str,
    /,
    *,
    tenant: str = DEFAULT_TENANT,
    yes: Annotated[bool, Parameter(negative="")] = False,
    receipt: Path | None = None,
    target: str | None = None,
) -> None:
    """Delete everything that is kept of a person. It cannot be undone.

    If it is interrupted, run it again: it goes on with what is left.

    Parameters
    ----------
    user
        The person's id, such as the `sub` of their tokens.
    tenant
        The tenant that they belong to.
    yes
        Do not ask.
    receipt
        Write what was deleted to this file, as JSON. It must not be there yet.
    target
        What is served, as module:attribute: what its tables hold is deleted too.
        Default: BACKCHANNEL_APP, else the todo assistant.
    """
    identity = person(user, tenant)
    settings = Settings.load_for(target)
    # Imported only now: a wrong setting is reported at once, before the seconds that the SDKs take to load.
    erasing = importlib.import_module("backchannel.cli.erasing")
    erasing.run(settings, identity, receipt, yes=yes)
