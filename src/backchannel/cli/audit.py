"""`backchannel audit`: show the audit log."""

import importlib
from typing import Annotated

from cyclopts import Parameter

from backchannel.settings import Settings


def audit(*, since: str | None = None, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Show the audit log, oldest first: logins, failures, tokens, revocations, exports and erasures.

    Parameters
    ----------
    since
        Only what happened since then: a date or time in ISO 8601, in UTC without an offset, such as 2026-11-29.
    json
        Print one JSON object a line.
    """
    settings = Settings.load()
    # Imported late: the SDKs take seconds to load, and invalid settings are reported before.
    printing = importlib.import_module("backchannel.cli.audit_printing")
    printing.run(settings, since, as_json=json)
