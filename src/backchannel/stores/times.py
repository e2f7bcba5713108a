"""Conversion of times: UTC in databases and responses, naive local time for the SDK.

The SDK uses `datetime.now()`, naive local time, and subtracts such times from each other, which raises `TypeError` for
aware ones. Stores therefore return naive local time.
"""

from datetime import UTC, datetime


def to_utc(moment: datetime) -> datetime:
    """The same moment in UTC. A naive time is taken as local time, as in the SDK."""
    return moment.astimezone(UTC)


def to_sdk(moment: datetime) -> datetime:
    """The same moment as naive local time, as in the SDK."""
    local = moment.astimezone().replace(tzinfo=None)
    # When clocks are set back, an hour comes twice; `fold` marks the second one.
    return local if to_utc(local) == moment else local.replace(fold=1)


def utc_now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


def utc_text(moment: datetime) -> str:
    """The moment in ISO 8601, in UTC with `Z`, as clients get it."""
    return to_utc(moment).isoformat().replace("+00:00", "Z")
