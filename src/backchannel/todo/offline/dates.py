"""Parses due dates in a sentence, by its own rules and, for calendar dates, with dateparser.

All times are the user's wall time, without a time zone. A date without a year, or a time without a day, is the
next one in the future. Words that have other meanings (`may`, `march`, `sat`, `sun`, `second`) count as dates only
next to a preposition or a number.
"""

import calendar
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache

import dateparser

from backchannel.todo.offline.times import PARTS_OF_DAY, bare_clocks, clock_after, clock_before

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_FULL_DAY = "|".join(_DAYS)
_SHORT_DAY = r"mon|tues?|wed|thurs?|thu|fri"
_MONTH = (
    "january|february|april|june|july|august|september|october|november|december"
    "|jan|feb|apr|jun|jul|aug|sept?|oct|nov|dec"
)
_NAME_MONTH = "may|march|mar"
_NUMBER_WORDS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "twelve": 12, "fourteen": 14, "a couple of": 2, "a few": 3,
}  # fmt: skip
COUNT = r"(?:\d{1,4}|" + "|".join(sorted(_NUMBER_WORDS, key=len, reverse=True)) + ")"
UNIT = r"(?:min(?:ute)?|h(?:ou)?r|day|week|fortnight|month|year)s?"
_NTH = r"\d{1,2}(?:st|nd|rd|th)"
_YEAR = r"(?:,?\s+\d{4}\b)?"
_PREPOSITIONS = re.compile(
    r"(?:\b(?:due|by|on|for|at|until|till|before|from|starting|no later than|not later than|deadline|this)"
    r"\s*:?\s+)+$",
    re.IGNORECASE,
)
_NOT_A_DAY = re.compile(
    r"\b(?:black|good|cyber|easter|ash|fat|shrove|palm|super|taco|every|each)\s+$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class When:
    """A parsed day, time of day, or both.

    Attributes:
        day: The day; for a time without a day, the day of its next occurrence.
        clock: The time of day, or `None`.
        day_said: False if the text has only a time.
    """

    day: date
    clock: time | None = None
    day_said: bool = True

    def iso(self) -> str:
        """`YYYY-MM-DD`, or `YYYY-MM-DDTHH:MM:SS` with a time of day."""
        if self.clock is None:
            return self.day.isoformat()
        return datetime.combine(self.day, self.clock).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class FoundDate:
    """A date phrase in a text: its value and position, with its prepositions."""

    when: When
    start: int
    end: int


type _Read = Callable[[re.Match[str], datetime], When | None]


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    read: _Read
    place: str = "anywhere"
    """`anywhere`; `edge`: only after a preposition or at an end of the text; `tail`: only after a
    preposition or at the end of the text; `after`: only after a preposition."""


def read_count(text: str) -> int:
    """The value of `3`, `three`, `a` or `a couple of`; 1 for any other word."""
    text = re.sub(r"\s+", " ", text.strip().lower())
    return int(text) if text.isdigit() else _NUMBER_WORDS.get(text, 1)


def shifted(start: datetime, count: int, unit: str) -> datetime:
    """`start` moved by `count` units (`minute`, `hour`, `day`, `week`, `fortnight`, `month`, `year`).

    A month or a year keeps the day of the month where it exists, else takes the month's last day.

    Raises:
        OverflowError: The result lies outside the years 1 to 9999.
    """
    unit = unit.lower()
    if unit.startswith(("mo", "y")):
        months = start.year * 12 + start.month - 1 + count * (12 if unit.startswith("y") else 1)
        year, month = divmod(months, 12)
        if not 1 <= year <= 9999:
            raise OverflowError("the date lies outside the calendar")
        return start.replace(
            year=year, month=month + 1, day=min(start.day, calendar.monthrange(year, month + 1)[1])
        )
    if unit.startswith("mi"):
        return start + timedelta(minutes=count)
    if unit.startswith("h"):
        return start + timedelta(hours=count)
    return start + timedelta(days=count * (14 if unit.startswith("f") else 7 if unit.startswith("w") else 1))


def _relative(match: re.Match[str], now: datetime) -> When | None:
    unit = match.group("unit")
    count = read_count(match.group("count"))
    try:
        moment = shifted(now, count, unit)
    except OverflowError:
        return None
    if unit.lower().startswith(("h", "mi")):
        return When(moment.date(), moment.time().replace(second=0, microsecond=0))
    return When(moment.date())


def _half_hour(_: re.Match[str], now: datetime) -> When:
    moment = now + timedelta(minutes=30)
    return When(moment.date(), moment.time().replace(second=0, microsecond=0))


def weekday_number(name: str) -> int:
    """0 for Monday to 6 for Sunday, from a name of at least three letters."""
    return next(index for index, day in enumerate(_DAYS) if day.startswith(name.lower()[:3]))


def _weekday(match: re.Match[str], now: datetime) -> When:
    which = (match.groupdict().get("which") or "").lower()
    ahead = (weekday_number(match.group("weekday")) - now.weekday()) % 7
    if which in {"next", "following"}:
        monday = now.date() + timedelta(days=7 - now.weekday())
        return When(monday + timedelta(days=weekday_number(match.group("weekday"))))
    if ahead == 0 and which != "this":
        ahead = 7
    return When(now.date() + timedelta(days=ahead))


def _days_ahead(count: int, clock: time | None = None) -> _Read:
    return lambda _, now: When(now.date() + timedelta(days=count), clock)


def _tonight(_: re.Match[str], now: datetime) -> When:
    return When(now.date(), time(20) if now.hour < 20 else time(23, 59))


def _this_part(match: re.Match[str], now: datetime) -> When:
    return When(now.date(), PARTS_OF_DAY[match.group("part").lower()])


def month_end(day: date) -> date:
    """The last day of the month of `day`."""
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def _end_of(match: re.Match[str], now: datetime) -> When:
    today = now.date()
    period = match.group("period").lower()
    later = match.group("later") is not None
    if period in {"day", "d"}:
        return When(today)
    if period in {"week", "w"}:
        friday = today + timedelta(days=(4 - today.weekday()) % 7)
        return When(friday + timedelta(days=7 if later else 0))
    if period in {"month", "m"}:
        end = month_end(today)
        return When(month_end(end + timedelta(days=1)) if later else end)
    return When(date(today.year + (1 if later else 0), 12, 31))


def _weekend(match: re.Match[str], now: datetime) -> When:
    today = now.date()
    saturday = today + timedelta(days=(5 - today.weekday()) % 7)
    if match.group("which").lower() == "next":
        monday = today + timedelta(days=7 - today.weekday())
        return When(monday + timedelta(days=5))
    return When(today if today.weekday() == 6 else saturday)


def _next_period(match: re.Match[str], now: datetime) -> When:
    today = now.date()
    match match.group("period").lower():
        case "week":
            return When(today + timedelta(days=7 - today.weekday()))
        case "month":
            return When(month_end(today) + timedelta(days=1))
        case _:
            return When(date(today.year + 1, 1, 1))


def _day_of_month(match: re.Match[str], now: datetime) -> When | None:
    number = int(match.group("number"))
    day = now.date()
    for _ in range(12):
        last = calendar.monthrange(day.year, day.month)[1]
        if number <= last and day.replace(day=number) >= now.date():
            return When(day.replace(day=number))
        day = day.replace(day=last) + timedelta(days=1)
    return None


@lru_cache(maxsize=512)
def _calendar_date(text: str, today: date) -> date | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        parsed = dateparser.parse(
            text,
            languages=["en"],
            settings={
                "RELATIVE_BASE": datetime.combine(today, time()),
                "PREFER_DATES_FROM": "future",
                "PREFER_DAY_OF_MONTH": "first",
                "REQUIRE_PARTS": ["day", "month"],
            },
        )
    return parsed.date() if parsed else None


def _calendar(match: re.Match[str], now: datetime) -> When | None:
    text = re.sub(r"\bof\b|\bthe\b", " ", match.group(), flags=re.IGNORECASE)
    day = _calendar_date(" ".join(text.split()).lower(), now.date())
    return When(day) if day else None


def _month(match: re.Match[str], now: datetime) -> When | None:
    day = _calendar_date(f"1 {match.group('month').lower()}", now.date())
    return When(day) if day else None


def _iso(match: re.Match[str], _: datetime) -> When | None:
    try:
        day = date(*(int(part) for part in match.group("iso").split("-")))
        return When(day, time.fromisoformat(match.group("clock")) if match.group("clock") else None)
    except ValueError:
        return None


def _rule(pattern: str, read: _Read, place: str = "anywhere") -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), read, place)


_DAY_RULES = (
    _rule(r"\b(?P<iso>\d{4}-\d{1,2}-\d{1,2})(?:T(?P<clock>\d{2}:\d{2})(?::\d{2}\S*)?|\b)", _iso),
    _rule(r"\b(?:the )?day after tomorrow\b", _days_ahead(2)),
    _rule(r"\b(?:tomorrow|tmrw|tmr|tomorow|tommorow|tommorrow)\b", _days_ahead(1)),
    _rule(r"\btonight\b", _tonight),
    _rule(r"\btoday\b", _days_ahead(0)),
    _rule(r"\byesterday\b", _days_ahead(-1), "edge"),
    _rule(r"\bthis (?P<part>morning|afternoon|evening)\b", _this_part),
    _rule(r"\b(?:in|within)\s+(?:half an hour|half a hour|30 mins?)\b", _half_hour),
    _rule(
        rf"\b(?:in|within)\s+(?:the next\s+)?(?P<count>{COUNT})\s+(?P<unit>{UNIT})(?:['’] time)?\b", _relative
    ),
    _rule(rf"\b(?P<count>{COUNT})\s+(?P<unit>{UNIT})\s+from (?:now|today)\b", _relative),
    _rule(
        r"\b(?:the\s+)?end of (?:the\s+|this\s+|(?P<later>next\s+))?(?P<period>day|week|month|year)\b",
        _end_of,
    ),
    _rule(r"\b(?P<later>\b\B)?eo(?P<period>[dwm])\b", _end_of),
    _rule(r"\b(?:over |during )?(?P<which>the|this|next|at the|on the)\s+weekend\b", _weekend, "tail"),
    _rule(rf"\b(?P<which>next|this|following)\s+(?P<weekday>{_FULL_DAY}|{_SHORT_DAY}|sat|sun)\b", _weekday),
    _rule(r"\bnext\s+(?P<period>week|month|year)\b", _next_period),
    _rule(rf"\b(?:the\s+)?{_NTH}\s+(?:of\s+)?(?:{_MONTH}|{_NAME_MONTH})\b\.?{_YEAR}", _calendar),
    _rule(rf"\b\d{{1,2}}\.?\s+(?:of\s+)?(?:{_MONTH})\b\.?{_YEAR}", _calendar),
    _rule(rf"\b(?:{_MONTH})\.?\s+(?:the\s+)?(?:{_NTH}|\d{{1,2}})\b(?!:\d){_YEAR}", _calendar),
    _rule(rf"\b\d{{1,2}}\.?\s+(?:{_NAME_MONTH})\b{_YEAR}", _calendar, "tail"),
    _rule(rf"\b(?:{_NAME_MONTH})\s+(?:the\s+)?(?:{_NTH}|\d{{1,2}})\b(?!:\d){_YEAR}", _calendar, "tail"),
    _rule(r"\b\d{1,2}/\d{1,2}(?:/(?:\d{4}|\d{2}))?\b(?!/)", _calendar, "tail"),
    _rule(rf"\b(?P<weekday>{_FULL_DAY}|{_SHORT_DAY})\b(?!['’-])", _weekday, "edge"),
    _rule(r"\b(?P<weekday>sat|sun)\b", _weekday, "after"),
    _rule(r"\b(?:on|by|due|before|until)\s+the\s+(?P<number>\d{1,2})(?:st|nd|rd|th)\b", _day_of_month, "end"),
    _rule(rf"\b(?:in|by|until|before|next)\s+(?P<month>{_MONTH}|{_NAME_MONTH})\b", _month, "end"),
)


def _fits(rule: _Rule, text: str, start: int, end: int) -> bool:
    if rule.place == "anywhere":
        return True
    before, after = text[:start], text[end:]
    if rule.place in {"edge", "tail"} and _NOT_A_DAY.search(before):
        return False
    at_end = not after.strip(" ,.!?)") or clock_after(text, end) is not None
    prepositions = _PREPOSITIONS.search(before) is not None
    match rule.place:
        case "edge":
            return prepositions or at_end or (not before.strip(" ,(") and after[:1] in {",", ":"})
        case "tail":
            return prepositions or at_end
        case "end":
            return at_end
        case _:
            return prepositions


def _days(text: str, now: datetime) -> Iterator[FoundDate]:
    for rule in _DAY_RULES:
        for match in rule.pattern.finditer(text):
            if _fits(rule, text, match.start(), match.end()) and (when := rule.read(match, now)) is not None:
                yield FoundDate(when, match.start(), match.end())


def _with_prepositions(text: str, start: int) -> int:
    match = _PREPOSITIONS.search(text[:start])
    return match.start() if match else start


def _bare_clock(text: str, now: datetime) -> FoundDate | None:
    for start, end, clock in bare_clocks(text):
        late = datetime.combine(now.date(), clock) <= now
        day = now.date() + timedelta(days=1 if late else 0)
        return FoundDate(When(day, clock, day_said=False), _with_prepositions(text, start), end)
    return None


def find_date(text: str, now: datetime) -> FoundDate | None:
    """The date phrase of the text, or `None`; of several, the longest of the least ambiguous kind."""
    found = next(_days(text, now), None)
    if found is None:
        return _bare_clock(text, now)
    start, end, clock = found.start, found.end, found.when.clock
    late = clock is not None and clock.hour >= 18
    if after := clock_after(text, end, late=late):
        end, clock = after
    else:
        early = _with_prepositions(text, start)
        if before := clock_before(text, early, late=late):
            start, clock = before
    return FoundDate(When(found.when.day, clock), _with_prepositions(text, start), end)


def read_date(text: str, now: datetime) -> When | None:
    """Parse a text that is a date as a whole, such as `friday` or `the 3rd of march at 5`; `None` if it is not."""
    text = text.strip(" ,.!?")
    found = find_date(f"on {text}", now)
    if found and found.start == 0 and found.end == len(text) + 3:
        return found.when
    found = find_date(text, now)
    return found.when if found and found.start == 0 and found.end == len(text) else None
