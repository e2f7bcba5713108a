"""Parses a message into intents, in the order of its clauses."""

import re
from collections.abc import Iterator
from datetime import datetime

from rapidfuzz.distance import OSA

from backchannel.todo.offline.commands import Place, read_clause
from backchannel.todo.offline.intents import ACTIONS, Intent
from backchannel.todo.offline.languages import foreign_language
from backchannel.todo.offline.normalization import plain, put_back, set_aside
from backchannel.todo.offline.small_talk import without_courtesy
from backchannel.todo.offline.titles import TASK_VERBS

LONGEST = 2000
"""Longer messages, in characters, are not read by rules."""

_JOINT = re.compile(
    r"\s*\n\s*|\s*;\s*|(?<=[\w\ue000-\ue0ff)'\"])\s*[.!?]+\s+"
    r"|\s*,\s*(?:and then|and also|and|then|but|also|plus)\s+|\s*,\s*"
    r"|\s+(?:and then|and also|and|then|but|also|plus)\s+",
    re.IGNORECASE,
)
_UNFINISHED = re.compile(
    r"(?:please\s+)?(?:mark|set|move|make|change|rename|put|take|check|tick|push|replace)\b", re.IGNORECASE
)
_MOST_JOINTS = 24
_COMMAND_WORDS = "delete remove complete finish rename search create show list mark find"
_COMMAND_VERBS = tuple(_COMMAND_WORDS.split())
_REQUESTS = ACTIONS | {"help", "negated", "values", "unread"}


def read_sentence(text: str, now: datetime) -> list[Intent]:
    """The intents of a message; at least one, of kind `unknown` if no rule matches."""
    if len(text) > LONGEST:
        return [Intent(kind="too_long")]
    text = plain(text)
    if not any(character.isalnum() for character in text) and "?" not in text:
        return [_wordless(text)]
    protected, quoted = set_aside(text)
    language = foreign_language(put_back(protected, ("",) * len(quoted)))
    if language:
        return [Intent(kind="foreign", text=language)]
    intents = _read_all(protected, quoted, now)
    if not intents and (fixed := _spelled(protected)):
        intents = _read_all(fixed, quoted, now)
    asked = [intent for intent in intents if intent.kind in _REQUESTS]
    return asked or intents[:1] or [Intent(kind="unknown", text=text)]


def _read_all(text: str, quoted: tuple[str, ...], now: datetime) -> list[Intent]:
    """The intents of all clauses, `unread` for those that cannot be parsed; empty if none can be parsed."""
    intents: list[Intent] = []
    for clause in _clauses(text, quoted, now):
        intent = read_clause(clause, quoted, now)
        if intent is None and any(character.isalnum() for character in without_courtesy(clause)):
            intent = Intent(kind="unread", text=put_back(clause, quoted, quotes=True))
        if intent is not None:
            intents.append(intent)
    return intents if any(intent.kind != "unread" for intent in intents) else []


def _wordless(text: str) -> Intent:
    if "👍" in text or "✅" in text:
        return Intent(kind="yes", text=text)
    return Intent(kind="empty", text=text)


def _clauses(text: str, quoted: tuple[str, ...], now: datetime) -> Iterator[str]:
    """Split the text only where a new command begins, so that titles are not split."""
    joints = list(_JOINT.finditer(text))[:_MOST_JOINTS]
    start = 0
    for index, joint in enumerate(joints):
        if joint.start() < start:
            continue
        head = text[start : joint.start()].strip()
        place = _place_after(head, quoted, now)
        if place is not None and _begins_command(text, joint.end(), joints[index + 1 :], quoted, now, place):
            if head:
                yield head + ("?" if "?" in joint.group() else "")
            start = joint.end()
    yield text[start:]


def _place_after(head: str, quoted: tuple[str, ...], now: datetime) -> Place | None:
    """The position of a clause after `head`; `None` if `head` is a command that needs the words after it."""
    intent = read_clause(head, quoted, now) if head else None
    if intent is None:
        return None if _UNFINISHED.match(head) else "after"
    return "after_add" if intent.kind == "add" else "after"


def _begins_command(
    text: str, start: int, later: list[re.Match[str]], quoted: tuple[str, ...], now: datetime, place: Place
) -> bool:
    ends = [joint.start() for joint in later if joint.start() > start] + [len(text)]
    for end in ends[:6]:
        intent = read_clause(text[start:end], quoted, now, place)
        if intent is not None and intent.kind != "values":
            return True
    return False


def _spelled(text: str) -> str | None:
    """The text with a typo in its first verb corrected, if the verb is one edit away from a command."""
    first, space, rest = text.partition(" ")
    word = first.lower()
    if len(word) < 4 or word in TASK_VERBS or not space:
        return None
    near = [verb for verb in _COMMAND_VERBS if OSA.distance(word, verb) == 1]
    return f"{near[0]} {rest}" if len(near) == 1 else None
