"""Parses a phrase such as `overdue high priority tasks` into filters and the remaining words."""

import re
from datetime import datetime

from backchannel.todo.offline.intents import Filters, Status
from backchannel.todo.offline.normalization import cut
from backchannel.todo.offline.priorities import find_priority
from backchannel.todo.offline.ranges import find_range

_STATUSES: tuple[tuple[Status, re.Pattern[str]], ...] = (
    ("open", re.compile(r"\b(?:not (?:yet )?(?:done|completed?|finished)(?: yet)?|incomplete"
        r"|uncompleted|unfinished|undone)\b", re.IGNORECASE)),
    ("in_progress", re.compile(r"\b(?:in[- ]progress|started|ongoing|under ?way)\b", re.IGNORECASE)),
    ("pending", re.compile(r"\b(?:pending|not started|unstarted)\b", re.IGNORECASE)),
    ("open", re.compile(r"\b(?:open|active|outstanding|remaining|left(?: to do)?|still to do)\b", re.IGNORECASE)),
    ("completed", re.compile(r"\b(?:completed?|done|finished|closed|ticked(?: off)?|checked(?: "
        r"off)?)\b", re.IGNORECASE)),
)  # fmt: skip
_UNDATED = re.compile(
    r"\b(?:with(?:out| no)|that (?:have|has) no|no|missing)\s+(?:an? |any )?(?:due[- ]dates?"
    r"|dates?|deadlines?)\b|\bundated\b",
    re.IGNORECASE,
)
_IMPORTANT = re.compile(r"\b(?:most )?(?:urgent|critical|important)\b", re.IGNORECASE)
_FINISHED = re.compile(
    r"\b(?:did i|have i|i've|i have|i)\s+(?:already\s+)?(?:done|finish(?:ed)?|completed?"
    r"|accomplish(?:ed)?|get done|got done)\b"
    r"|\bdid i (?:do|get done)\b|\b(?:completed|finished|done)\s+(?=today|yesterday|this|last|in|on)",
    re.IGNORECASE,
)


def read_filters(text: str, now: datetime) -> tuple[Filters, str]:
    """The filters in a text, and the text without them."""
    finished, text = _take(_FINISHED, text)
    undated, text = _take(_UNDATED, text)
    priorities, text = _priorities(text)
    found = find_range(text, now)
    if found:
        text = cut(text, found.start, found.end)
    status: Status | None = "completed" if finished else None
    for name, pattern in _STATUSES:
        said, text = _take(pattern, text)
        if said and status is None:
            status = name
    days = found.days if found else None
    if finished:
        return Filters(status="completed", priorities=priorities, finished=days), text
    return Filters(status=status, priorities=priorities, days=days, undated=undated), text


def _take(pattern: re.Pattern[str], text: str) -> tuple[bool, str]:
    match = pattern.search(text)
    return (True, cut(text, match.start(), match.end())) if match else (False, text)


def _priorities(text: str) -> tuple[tuple[int, ...], str]:
    found = find_priority(text)
    if found:
        # "High priority" includes the highest priority.
        fitting = (5, 4) if found.word in {"high", "higher", "important"} else (found.value,)
        return fitting, cut(text, found.start, found.end)
    said, rest = _take(_IMPORTANT, text)
    if not said:
        return (), text
    return (5, 4) if "important" in text.lower() else (5,), rest
