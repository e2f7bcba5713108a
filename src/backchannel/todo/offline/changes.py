"""Reads the new values in a phrase such as `friday at 5, high priority`."""

import re
from dataclasses import replace
from datetime import datetime

from backchannel.todo.offline.dates import COUNT, UNIT, find_date, read_count, read_date
from backchannel.todo.offline.intents import Changes, Status
from backchannel.todo.offline.normalization import cut, is_quoted, trim
from backchannel.todo.offline.priorities import find_priority, priority_value

_SHIFT = re.compile(
    rf"\b(?:by|for)\s+(?:another\s+)?(?P<count>{COUNT})\s+(?:more\s+)?(?P<unit>{UNIT})\b", re.IGNORECASE
)
_LATER = re.compile(
    rf"\b(?P<count>{COUNT})\s+(?:more\s+)?(?P<unit>{UNIT})\s+(?P<way>later|earlier|sooner)\b", re.IGNORECASE
)
_STATUSES: tuple[tuple[Status, re.Pattern[str]], ...] = (
    ("pending", re.compile(r"(?:as )?(?:not (?:yet )?(?:done|complete|completed|finished)|undone"
        r"|incomplete|unfinished|uncompleted|open|pending|to do|not started|on hold)", re.IGNORECASE)),
    ("in_progress", re.compile(r"(?:as )?(?:in[- ]progress|started|ongoing|under ?way|active)", re.IGNORECASE)),
    ("completed", re.compile(r"(?:as |to )?(?:done|complete|completed|finished|ticked off"
        r"|checked off)", re.IGNORECASE)),
)  # fmt: skip
_NO_DATE = re.compile(
    r"\b(?:no|without(?: an?)?|any ?time|whenever|some ?day)(?:\s+(?:due )?(?:date|deadline|due date))?\b",
    re.IGNORECASE,
)
_FILLER = re.compile(
    r"\b(?:to|as|at|on|by|for|due|be|is|it|and|with|of|a|an|the|instead|please|actually|until"
    r"|till|status|deadline|date|now|make|set|its?|no|rather|better|sorry|i meant?|meant)\b"
    r"|[,.!;:'-]",
    re.IGNORECASE,
)


def read_changes(text: str, now: datetime) -> Changes | None:
    """The changes in a text such as `to friday` or `high priority`; `None` if it has other words."""
    changes, rest = take_changes(text, now)
    if _FILLER.sub(" ", rest).strip():
        when = read_date(
            re.sub(r"^(?:to|for|on|until|till|due|by)\s+", "", text.strip(), flags=re.IGNORECASE), now
        )
        return Changes(when=when) if when else None
    return changes if changes.any else None


def take_changes(text: str, now: datetime) -> tuple[Changes, str]:
    """The changes in a text, and the text without them."""
    changes = Changes()
    status = read_status(re.sub(r"^(?:to|as|be)\s+", "", trim(text), flags=re.IGNORECASE))
    if status is not None:
        return Changes(status=status), ""
    number = priority_value(text)
    if number is not None and not is_quoted(text):
        return Changes(priority=number), ""
    if found := find_priority(text):
        changes = replace(changes, priority=found.value)
        text = cut(text, found.start, found.end)
    if match := _SHIFT.search(text) or _LATER.search(text):
        count = read_count(match.group("count"))
        early = (match.groupdict().get("way") or "").lower() in {"earlier", "sooner"}
        changes = replace(changes, shift=(-count if early else count, match.group("unit").lower()))
        return changes, cut(text, match.start(), match.end())
    if date := find_date(text, now):
        return replace(changes, when=date.when), cut(text, date.start, date.end)
    if re.search(r"\b(?:date|deadline|due)\b", text, re.IGNORECASE) and (match := _NO_DATE.search(text)):
        return replace(changes, clear_due_date=True), cut(text, match.start(), match.end())
    return changes, text


def read_status(text: str) -> Status | None:
    """The status that the whole text names, such as `done` or `in progress`."""
    return next((status for status, pattern in _STATUSES if pattern.fullmatch(text.strip(" .!"))), None)
