"""Parses the range of days in a question such as `what's due this week?`."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from backchannel.todo.offline.dates import (
    COUNT,
    FoundDate,
    When,
    find_date,
    month_end,
    read_count,
    read_date,
    shifted,
)

_BETWEEN = re.compile(
    r"\b(?:between|from)\s+(?P<first>.+?)\s+(?:and|to|until|till)\s+(?P<last>.+?)[?.! ]*$", re.IGNORECASE
)
_NAMED = re.compile(
    r"\b(?:due\s+)?(?:in|on|over|for|during|by|at|until|till)?\s*(?:the\s+)?(?:rest of\s+)?(?:the\s+)?"
    r"\b(?P<which>this|next|last|past|coming|the)\s+(?:coming\s+)?(?P<period>week|month|year"
    r"|weekend)(?:['’]s)?\b",
    re.IGNORECASE,
)
_AHEAD = re.compile(
    rf"\b(?:in|over|within|for|during)?\s*(?:the\s+)?(?:next|coming"
    rf"|following)\s+(?P<count>{COUNT})\s+(?P<unit>days?|weeks?|months?)\b",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"\b(?:due\s+)?(?P<bound>before|by|until|till|no later than|after|since|from|starting)\s+$", re.IGNORECASE
)
_POSSESSIVE = re.compile(
    r"\b(?P<day>today|tomorrow|tonight|(?:mon|tues|wednes|thurs|fri|satur|sun)day)(?:['’]?s)?\b",
    re.IGNORECASE,
)
_OVERDUE = re.compile(
    r"\b(?:over-?due|past due|late|behind|missed(?: (?:my|the|any))? (?:deadlines?|due dates?))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class DayRange:
    """A range of days.

    Attributes:
        first: The first day, or `None` for no lower limit.
        last: The last day, or `None` for no upper limit.
        label: The range in words for a reply, such as `this week` or `by 3 December`.
        overdue: True for todos that were due before now.
    """

    first: date | None
    last: date | None
    label: str
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class FoundRange:
    """A range in a text, and its position."""

    days: DayRange
    start: int
    end: int


def find_range(text: str, now: datetime) -> FoundRange | None:
    """The first range of days in a text, or `None`."""
    if match := _OVERDUE.search(text):
        return FoundRange(DayRange(None, now.date(), "overdue", overdue=True), match.start(), match.end())
    if match := _AHEAD.search(text):
        return _ahead(match, now)
    if match := _NAMED.search(text):
        days = _named(match.group("which").lower(), match.group("period").lower(), now.date())
        return FoundRange(days, match.start(), match.end())
    if (match := _BETWEEN.search(text)) and (days := _between(match, now)):
        return FoundRange(days, match.start(), match.end())
    found = find_date(text, now) or _possessive(text, now)
    return _around(text, found) if found else None


def _ahead(match: re.Match[str], now: datetime) -> FoundRange | None:
    try:
        last = shifted(now, read_count(match.group("count")), match.group("unit")).date()
    except OverflowError:
        return None
    label = f"in the next {match.group('count')} {match.group('unit').lower()}"
    return FoundRange(DayRange(now.date(), last, label), match.start(), match.end())


def _named(which: str, period: str, today: date) -> DayRange:
    monday = today - timedelta(days=today.weekday())
    step = {"next": 1, "coming": 1, "last": -1, "past": -1}.get(which, 0)
    label = f"{'this' if step == 0 else 'next' if step == 1 else 'last'} {period}"
    if period == "weekend":
        saturday = monday + timedelta(days=5 + 7 * step)
        return DayRange(saturday, saturday + timedelta(days=1), label)
    if period == "week":
        if step == 0 and today == monday + timedelta(days=6):
            # A week may begin on Sunday or on Monday. On a Sunday, include both weeks.
            return DayRange(today, today + timedelta(days=7), label)
        first = monday + timedelta(days=7 * step)
        return DayRange(first, first + timedelta(days=6), label)
    if period == "month":
        first = today.replace(day=1)
        if step == 1:
            first = month_end(today) + timedelta(days=1)
        elif step == -1:
            first = (first - timedelta(days=1)).replace(day=1)
        return DayRange(first, month_end(first), label)
    year = today.year + step
    return DayRange(date(year, 1, 1), date(year, 12, 31), label)


def _between(match: re.Match[str], now: datetime) -> DayRange | None:
    first, last = read_date(match.group("first"), now), read_date(match.group("last"), now)
    if first is None or last is None:
        return None
    days = sorted((first.day, last.day))
    return DayRange(days[0], days[1], f"between {match.group('first')} and {match.group('last')}")


def _possessive(text: str, now: datetime) -> FoundDate | None:
    match = _POSSESSIVE.search(text)
    when = read_date(match.group("day"), now) if match else None
    return FoundDate(when, match.start(), match.end()) if match and when else None


def _around(text: str, found: FoundDate) -> FoundRange:
    phrase = text[found.start : found.end]
    before = text[: found.start]
    bound = re.match(
        r"(?:due\s+)?(?P<bound>before|by|until|till|no later than|after|since|from|starting)\b\s*",
        phrase,
        re.IGNORECASE,
    )
    start = found.start
    if bound is None and (bound := _BOUND.search(before)):
        start = bound.start()
    words = re.sub(
        r"^(?:(?:due|on|for|at|by|before|until|till|after|since|from|starting)\s+)+",
        "",
        phrase,
        flags=re.IGNORECASE,
    )
    days = _bounded(found.when, bound.group("bound").lower() if bound else "", words)
    return FoundRange(days, start, found.end)


def _bounded(when: When, bound: str, words: str) -> DayRange:
    day = when.day
    match bound:
        case "before":
            return DayRange(None, day - timedelta(days=1), f"before {words}")
        case "by" | "until" | "till" | "no later than":
            return DayRange(None, day, f"by {words}")
        case "after":
            return DayRange(day + timedelta(days=1), None, f"after {words}")
        case "since" | "from" | "starting":
            return DayRange(day, None, f"from {words} on")
        case _:
            return DayRange(day, day, words)
