"""`backchannel export`: everything that is kept of a person, as a file to hand over."""

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
    """Write everything that is kept of a person into a zip file.

    The file has one line of JSON for each row, in one `.jsonl` file for each table, and a manifest. Ends with exit
    code 1 and writes no file if nothing is kept of the person.

    Parameters
    ----------
    user
        The person's id, such as the `sub` of their tokens.
    tenant
        The tenant that they belong to.
    output
        The file to write. Default: backchannel-export-USER-DATE.zip in the working directory.
    force
        Write over a file that is there.
    target
        What is served, as module:attribute: what its tables hold is exported too.
        Default: BACKCHANNEL_APP, else the todo assistant.
    """
    identity = person(user, tenant)
    settings = Settings.load_for(target)
    # Imported only now: a wrong setting is reported at once, before the seconds that the SDKs take to load.
    exporting = importlib.import_module("backchannel.cli.exporting")
    exporting.run(settings, identity, output, force=force)
