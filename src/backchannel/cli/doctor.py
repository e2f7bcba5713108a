"""`backchannel doctor`: what is wrong with the settings and with what the server needs."""

import importlib
import sys
from typing import Annotated

from cyclopts import Parameter

from backchannel.settings import Settings


def doctor(
    *,
    json: Annotated[bool, Parameter(negative="")] = False,
    target: str | None = None,
) -> None:
    """Report all that is wrong with the settings, and whether database, Redis, model, keys, MCP servers, clock and
    files can be used.

    Each check takes at most 5 seconds, all at the same time. Models are only listed, never called. The exit code is 2
    if something is broken or unsafe, else 0.

    Parameters
    ----------
    json
        Print JSON in place of lines.
    target
        The served application, as module:attribute. Default: BACKCHANNEL_APP, else the todo assistant.
    """
    settings, problems = Settings.load_with_problems(target)
    # Imported late: the SDKs take seconds to load.
    diagnosis = importlib.import_module("backchannel.cli.diagnosis")
    sys.exit(diagnosis.run(settings, problems, as_json=json))
