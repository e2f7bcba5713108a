"""One rule for time: kept and sent as UTC, handed to the SDK as it makes dates itself.

The SDK writes `datetime.now()`, naive local time, and later subtracts such dates from each other; an aware
date raises `TypeError` there. So what a store gives back is naive local time, and what is kept or sent is UTC.
"""

from datetime import UTC, datetime


def to_utc(moment: datetime) -> datetime:
    """The same moment in UTC. A naive date is read as local time, which is what the SDK means by it."""
    return moment.astimezone(UTC)


def to_sdk(moment: datetime) -> datetime:
    """The same moment as the SDK makes dates: naive, in local time."""
    local = moment.astimezone().replace(tzinfo=None)
    # In the hour that comes twice a year, the second time is told apart by `fold`.
    return local if to_utc(local) == moment else local.replace(fold=1)


def utc_now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


def utc_text(moment: datetime) -> str:
    """The moment as clients get it: ISO 8601 in UTC, with `Z`."""
    return to_utc(moment).isoformat().replace("+00:00", "Z")
