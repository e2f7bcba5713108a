"""`backchannel erase`: delete all stored data of a person."""

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
    """Delete all stored data of a person. This cannot be undone.

    If the command is interrupted, run it again to delete the rest.

    Parameters
    ----------
    user
        The person's id, such as the `sub` of their tokens.
    tenant
        The person's tenant.
    yes
        Do not ask for confirmation.
    receipt
        A new JSON file for the number of deleted rows of each table. It must not exist.
    target
        The served application, as module:attribute, whose tables are included.
        Default: BACKCHANNEL_APP, else the todo assistant.
    """
    identity = person(user, tenant)
    settings = Settings.load_for(target)
    # Imported late: the SDKs take seconds to load, and invalid settings are reported before.
    erasing = importlib.import_module("backchannel.cli.erasing")
    erasing.run(settings, identity, receipt, yes=yes)
