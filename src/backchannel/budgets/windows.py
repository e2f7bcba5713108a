"""The windows of budgets: calendar hours, days, weeks and months."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal, get_args

type Window = Literal["hour", "day", "week", "month"]

WINDOWS: tuple[Window, ...] = get_args(Window.__value__)


def window_start(window: Window, now: datetime, zone: tzinfo) -> datetime:
    """When the window began that contains `now`, in UTC.

    A day begins at midnight of `zone`, a week on Monday (ISO 8601), a month on the first. An hour is one of UTC: where
    clocks are changed, a local hour would have no minute or 120.

    Args:
        now: An aware time.
    """
    if window == "hour":
        return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return _midnight(_first_day(window, now.astimezone(zone).date()), zone)


def window_end(window: Window, now: datetime, zone: tzinfo) -> datetime:
    """When the next window begins, in UTC. A day on which clocks are changed has 23 or 25 hours."""
    start = window_start(window, now, zone)
    match window:
        case "hour":
            return start + timedelta(hours=1)
        case "day":
            days = 1
        case "week":
            days = 7
        case "month":
            # Of any month, this is in the next one.
            days = 32
    first = _first_day(window, now.astimezone(zone).date())
    return _midnight(_first_day(window, first + timedelta(days=days)), zone)


def _first_day(window: Window, day: date) -> date:
    match window:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case _:
            return day


def _midnight(day: date, zone: tzinfo) -> datetime:
    # Of a midnight that does not exist, or exists twice, `fold=0` is the first moment of the day.
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
