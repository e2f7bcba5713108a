"""Due dates: a whole day, or a day and time of the user's local clock.

The user's time zone is not known, so a due date is wall time without an offset. A whole day is represented by its last
second: a todo due "today" is not overdue at noon, and is sorted after those with a time on the same day.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Self

EARLIEST_YEAR = 1900

_SHAPE = re.compile(
    r"\d{4}-\d{2}-\d{2}"
    r"(?P<time>[T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)
_LAST_SECOND = time(23, 59, 59)


@dataclass(frozen=True, slots=True)
class DueDate:
    """A due date.

    Attributes:
        at: Naive wall time in whole seconds; for a whole day, its last second.
        has_time: False for a whole day.
    """

    at: datetime
    has_time: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ISO 8601: `2026-11-23` or `2026-11-23T17:00:00`. Seconds are optional. An offset and fractions of a
        second are dropped.

        Raises:
            ValueError: The text is neither a date nor a date-time, or the year is before 1900.
        """
        shape = _SHAPE.fullmatch(text)
        if shape is None:
            raise ValueError("neither a date nor a date-time")
        if shape["time"] is None:
            parsed = cls(datetime.combine(date.fromisoformat(text), _LAST_SECOND), has_time=False)
        else:
            moment = datetime.fromisoformat(text)
            parsed = cls(moment.replace(microsecond=0, tzinfo=None), has_time=True)
        if parsed.at.year < EARLIEST_YEAR:
            raise ValueError(f"before the year {EARLIEST_YEAR}")
        return parsed

    def isoformat(self) -> str:
        """The date in ISO 8601: `2026-11-23` for a whole day, else `2026-11-23T17:00:00`."""
        return self.at.isoformat(timespec="seconds") if self.has_time else self.at.date().isoformat()

    def first_moment(self) -> datetime:
        """The start of a whole day; else the time itself."""
        return self.at if self.has_time else datetime.combine(self.at.date(), time.min)

    def last_moment(self) -> datetime:
        """The last second of a whole day; else the time itself."""
        return self.at
