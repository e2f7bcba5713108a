"""When a todo is due: a whole day, or a time on the person's own clock.

Nobody knows the person's time zone, so a due date is wall time: what their clock shows, kept without an
offset. A whole day is kept as its last second: a todo due "today" is then not overdue at noon, and comes
after those with a time on the same day.
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
    """A whole day or a moment on the person's clock.

    Attributes:
        at: Naive wall time in whole seconds; of a whole day, its last second.
        has_time: False for a whole day.
    """

    at: datetime
    has_time: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ISO 8601: `2026-11-23` or `2026-11-23T17:00:00`. Seconds may be left out; an offset is
        dropped, so that the time is kept as it was written; fractions of a second are dropped too.

        Raises:
            ValueError: It is neither, there is no such day or time, or the year is before 1900.
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
        """`2026-11-23` for a whole day, else `2026-11-23T17:00:00`."""
        return self.at.isoformat(timespec="seconds") if self.has_time else self.at.date().isoformat()

    def first_moment(self) -> datetime:
        """The start of a whole day; of a moment, itself."""
        return self.at if self.has_time else datetime.combine(self.at.date(), time.min)

    def last_moment(self) -> datetime:
        """The last second of a whole day; of a moment, itself."""
        return self.at
