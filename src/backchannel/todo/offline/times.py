"""Parses times of day: `5pm`, `17:00`, `at 5`, `noon`, `in the morning`.

A bare `at 1` to `at 6` is in the afternoon.
"""

import re
from collections.abc import Iterator
from datetime import time

PARTS_OF_DAY = {"morning": time(9), "afternoon": time(15), "evening": time(18), "night": time(20)}

_PM = r"(?P<half>a\.?m\.?|p\.?m\.?)(?![\w])"
_CLOCK = re.compile(
    rf"(?:\b(?:at|by|around|about|before|from|until|till)\s+|@\s*)?"
    rf"(?:\b(?P<hour>\d{{1,2}})(?:[:.](?P<minute>\d{{2}}))?\s*{_PM}"
    rf"|\b(?P<hour2>[01]?\d|2[0-3]):(?P<minute2>[0-5]\d)(?::[0-5]\d)?(?![\d:])"
    rf"|\b(?P<hour3>\d{{1,2}})\s+o'?\s?clock\b"
    rf"|\b(?P<word>noon|midday|midnight)\b)",
    re.IGNORECASE,
)
_AT = re.compile(
    r"(?:\b(?:at|by|around)\s+|@\s*)(?P<hour3>\d{1,2})(?![\d:/%]|\.\d|\s*(?:st|nd|rd|th)\b)", re.IGNORECASE
)
_PART = re.compile(r"(?:\b(?:in the|at)\s+)?\b(?P<part>morning|afternoon|evening|night)\b", re.IGNORECASE)


def _clock(match: re.Match[str], *, late: bool = False) -> time | None:
    groups = match.groupdict()
    if part := groups.get("part"):
        return PARTS_OF_DAY[part.lower()]
    if word := groups.get("word"):
        return time(0) if word.lower() == "midnight" else time(12)
    hour = int(groups.get("hour") or groups.get("hour2") or groups.get("hour3") or 0)
    minute = int(groups.get("minute") or groups.get("minute2") or 0)
    half = (groups.get("half") or "").lower()
    if half and hour <= 12:
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    elif 1 <= hour <= 11 and ((groups.get("hour3") and hour <= 6) or (late and not groups.get("hour2"))):
        hour += 12
    return time(hour, minute) if hour <= 23 and minute <= 59 else None


def clock_after(text: str, end: int, *, late: bool = False) -> tuple[int, time] | None:
    """The time of day directly after `text[:end]`: its end position and its value.

    `late` means the evening, so that `at 8` is 20:00.
    """
    position = end
    while position < len(text) and text[position] in " ,T":
        position += 1
    for pattern in (_CLOCK, _AT, _PART):
        match = pattern.match(text, position)
        clock = _clock(match, late=late) if match else None
        if match is None or clock is None:
            continue
        if pattern is _PART:
            return clock_after(text, match.end(), late=clock.hour >= 18) or (match.end(), clock)
        return match.end(), clock
    return None


def clock_before(text: str, start: int, *, late: bool = False) -> tuple[int, time] | None:
    """The time of day directly before `text[start:]`: its start position and its value."""
    for pattern in (_CLOCK, _AT):
        for match in pattern.finditer(text, 0, start):
            clock = _clock(match, late=late)
            if clock is not None and not text[match.end() : start].strip(" ,"):
                return match.start(), clock
    return None


def bare_clocks(text: str) -> Iterator[tuple[int, int, time]]:
    """The times of day without a date: start, end and value of each, the least ambiguous kind first.

    `5pm` and `17:00` count anywhere; `at 5`, `noon` and `in the morning` only at the end of the text.
    """
    for pattern in (_CLOCK, _AT, _PART):
        for match in pattern.finditer(text):
            clock = _clock(match)
            groups = match.groupdict()
            loose = not (groups.get("half") or groups.get("hour2"))
            at_end = not text[match.end() :].strip(" ,.!?)")
            if clock is None or (loose and not at_end):
                continue
            if pattern is _PART and not match.group().lower().startswith("in the"):
                continue
            yield match.start(), match.end(), clock
