"""`backchannel export`: export all stored data of a person to a zip file."""

import importlib
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from backchannel.cli.person import person
from backchannel.context import DEFAULT_TENANT
from backchannel.settings import Settings


def export(
    user: str,
    /,
    *,
    tenant: str = DEFAULT_TENANT,
    output: Path | None = None,
    force: Annotated[bool, Parameter(negative="")] = False,
    target: str | None = None,
) -> None:
    """Export all stored data of a person to a zip file.

    It contains a `.jsonl` file for each table, with one JSON object per row, and a manifest. If there is no data, no
    file is written and the exit code is 1.

    Parameters
    ----------
    user
        The person's id, such as the `sub` of their tokens.
    tenant
        The person's tenant.
    output
        The file to write. Default: backchannel-export-USER-DATE.zip in the working directory.
    force
        Overwrite an existing file.
    target
        The served application, as module:attribute, whose tables are included.
        Default: BACKCHANNEL_APP, else the todo assistant.
    """
    identity = person(user, tenant)
    settings = Settings.load_for(target)
    # Imported late: the SDKs take seconds to load, and invalid settings are reported before.
    exporting = importlib.import_module("backchannel.cli.exporting")
    exporting.run(settings, identity, output, force=force)
