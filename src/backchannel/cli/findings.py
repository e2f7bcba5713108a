"""What `backchannel doctor` finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import SecretStr
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from backchannel.model_calls.redaction import redact
from backchannel.settings import Settings

type State = Literal["ok", "warning", "problem", "skipped"]

PROBE_SECONDS = 5
CLOCK_SECONDS = 30
"""By how much a clock may differ: more makes tokens invalid, whose leeway is 30 seconds by default."""


class ProblemError(Exception):
    """Something is broken; the message is a line for people."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: What was checked, in one or two words.
        message: A line that names the setting, if one should be changed.
    """

    check: str
    state: State
    message: str


class Redaction:
    """Removes secrets from lines: those of the settings wherever they stand, and whatever looks like one."""

    def __init__(self, settings: Settings) -> None:
        values = [value.get_secret_value() for value in _values(settings) if isinstance(value, SecretStr)]
        urls = [settings.database_url, settings.openai_base_url or "", *values]
        self._secrets = sorted({*values, *filter(None, map(_password, urls))}, key=len, reverse=True)

    def __call__(self, line: str) -> str:
        for secret in self._secrets:
            line = line.replace(secret, "[…]")
        return redact(" ".join(line.split()))


def clock_finding(check: str, difference: float) -> Finding:
    """What a difference to another clock means, in seconds."""
    if abs(difference) <= CLOCK_SECONDS:
        return Finding(check, "ok", f"differs by {abs(difference):.0f} s")
    direction = "behind" if difference > 0 else "ahead"
    return Finding(
        check,
        "warning",
        f"this machine is {abs(difference):.0f} s {direction}: tokens and sessions end at wrong times; set its clock",
    )


def _values(settings: Settings) -> Sequence[Any]:
    return [getattr(settings, name) for name in Settings.model_fields]


def _password(url: str) -> str | None:
    try:
        password = make_url(url).password
    except (ArgumentError, ValueError):
        return None
    return str(password) if password else None
