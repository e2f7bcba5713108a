"""Parses the todos named after `add`: titles, each with its date and priority removed."""

import re
from dataclasses import dataclass, replace
from datetime import datetime

from backchannel.todo.offline.dates import When, find_date
from backchannel.todo.offline.intents import NewTodo
from backchannel.todo.offline.normalization import QUOTED, cut, is_quoted, put_back, trim
from backchannel.todo.offline.priorities import find_priority

_TASK_VERBS = (
    "buy call pay email mail phone text clean wash book order pick get fix repair send submit "
    "water walk feed "
    "return renew visit meet cook bake iron mow vacuum charge print scan sign review prepare pack unpack "
    "schedule collect fetch drop take bring ship practice practise study exercise refill replace apply "
    "register file respond reply ring go do make write read ask check change plan organize organise "
    "finish learn move cut build install update invite return deliver attend backup hang paint plant "
    "sell shop sweep trim wrap cancel confirm dust empty fold"
)
TASK_VERBS = frozenset(_TASK_VERBS.split())
"""Verbs that begin a task, for telling `call mom and buy milk` (two todos) from `salt and pepper`."""

_BARE_TASK_VERBS = (
    "buy call pay email phone text clean wash book order pick fix repair send submit water walk feed return "
    "renew visit meet cook bake iron mow vacuum charge print scan sign prepare pack collect fetch refill "
    "apply register respond reply attend deliver paint sweep dust"
)
BARE_TASK_VERBS = frozenset(_BARE_TASK_VERBS.split())
"""Verbs that are clear enough to add a todo even without the word `add`."""

_SHOPPING_VERBS = re.compile(
    r"^(?P<verb>buy|get|order|pick up|fetch)\s+(?:(?:some|more|a|an|the)\s+)?(?=\S)", re.IGNORECASE
)
_DESCRIPTION = re.compile(
    r"[\s,;.(-]+(?:with (?:the |a )?|and (?:a |the )?)?(?:description|note|notes"
    r"|details)\b\s*(?:of|saying|that says|:|=|-)?\s*[:]?\s*"
    r"(?P<text>\S.*)$",
    re.IGNORECASE | re.DOTALL,
)
_SEPARATOR = re.compile(
    r"\s*(?:\n|;)\s*|\s*,\s*(?:and then|and also|and|then|plus|also)?\s+|\s+(?:and then|and also"
    r"|and|then|plus)\s+",
    re.IGNORECASE,
)
_SPAN_END = re.compile(r"\s*(?:to|until|till|-)\s*\d{1,2}(?::\d{2})?\s*(?:[ap]m)?\b", re.IGNORECASE)
"""What follows the start of a span such as `from 3pm to 5pm`, of which a due date can only keep one end."""

_BULLET = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+(?=\S)")
_TITLE_HEAD = re.compile(r"^(?:(?:to|that i|that|about|i need to|i have to)\s+)(?=\S)", re.IGNORECASE)
_TITLE_TAIL = re.compile(
    r"[\s,]+(?:with|as|and|by|on|at|due|for|please|is|which is|it's|its)$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Piece:
    title: str
    description: str
    priority: int | None
    when: When | None


def read_items(
    text: str, quoted: tuple[str, ...], now: datetime, *, single: bool = False
) -> tuple[NewTodo, ...]:
    """The todos that `text` names, in order.

    Args:
        text: The text after `add`, without quoted parts.
        quoted: The quoted parts.
        now: The user's current wall time.
        single: Whether the text is one todo unless it clearly lists several.
    """
    text, description = _description(text)
    pieces = _split(text, single=single)
    read = [_read_piece(piece, now) for piece in pieces]
    todos: list[NewTodo] = []
    for piece in read:
        if piece.title:
            todos.append(_todo(piece, quoted))
        elif todos:
            todos = _apply_to_all(todos, piece) if len(todos) > 1 else [_filled(todos[0], piece)]
    if len(todos) > 1 and not any(_begins_with_verb(piece) for piece in pieces[1:]):
        last = read[-1]
        todos = _apply_to_all(todos, last) if last.title else todos
    if description and todos:
        todos = [replace(todo, description=put_back(description, quoted)) for todo in todos]
    return tuple(todos)


def _description(text: str) -> tuple[str, str]:
    match = _DESCRIPTION.search(text)
    if match is None or not trim(text[: match.start()]):
        return text, ""
    return text[: match.start()], match.group("text").strip(" )")


def _begins_with_verb(text: str) -> bool:
    words = re.findall(r"[a-z]+", text.lower())
    return len(words) > 1 and words[0] in TASK_VERBS


def _split(text: str, *, single: bool) -> list[str]:
    lines = [_BULLET.sub("", line) for line in text.split("\n") if line.strip()]
    if len(lines) > 1:
        return [piece for line in lines for piece in _split(line, single=True)]
    text = lines[0] if lines else ""
    pieces = [piece for piece in _SEPARATOR.split(text) if piece.strip()]
    joints = [joint.group().strip(" ,") for joint in _SEPARATOR.finditer(text)]
    if len(pieces) < 2:
        return pieces
    if "," not in text and ";" not in text and len(pieces) == 2:
        listed = not single and not _begins_with_verb(pieces[0])
        if not (listed or _begins_with_verb(pieces[1]) or is_quoted(pieces[1]) or joints == ["then"]):
            return [text]
    elif single and not any(_begins_with_verb(piece) for piece in pieces[1:]) and len(pieces) < 3:
        return _keep_attributes_apart(text)
    return _with_verb(pieces)


def _keep_attributes_apart(text: str) -> list[str]:
    head, comma, tail = text.rpartition(",")
    words = re.sub(r"\s", "", tail)
    found = find_priority(tail)
    return [head, tail] if comma and found and found.end - found.start >= len(words) - 4 else [text]


def _with_verb(pieces: list[str]) -> list[str]:
    match = _SHOPPING_VERBS.match(pieces[0])
    if match is None or any(_begins_with_verb(piece) or len(piece.split()) > 4 for piece in pieces[1:]):
        return pieces
    if any(re.search(QUOTED, piece) for piece in pieces):
        return pieces
    return [pieces[0], *(_verbed(match.group("verb"), piece) for piece in pieces[1:])]


def _verbed(verb: str, piece: str) -> str:
    found = find_priority(piece)
    rest = cut(piece, found.start, found.end) if found else piece
    date_found = find_date(rest, datetime(2000, 1, 3, 12))  # noqa: DTZ001 - only the position matters, not the value
    rest = cut(rest, date_found.start, date_found.end) if date_found else rest
    return f"{verb} {piece}" if trim(rest) else piece


def _read_piece(text: str, now: datetime) -> _Piece:
    priority = find_priority(text)
    if priority:
        text = cut(text, priority.start, priority.end)
    found = find_date(text, now)
    if found and not _SPAN_END.match(text, found.end):
        text = cut(text, found.start, found.end)
    title = trim(text) if not is_quoted(text) else text.strip()
    title = _TITLE_HEAD.sub("", title)
    while (shorter := _TITLE_TAIL.sub("", title)) != title:
        title = trim(shorter)
    if re.fullmatch(r"(?:and|with|also|a|an|the|at|on|by|due|please|it|it's|is)?", title.lower()):
        title = ""
    return _Piece(title, "", priority.value if priority else None, found.when if found else None)


def _todo(piece: _Piece, quoted: tuple[str, ...]) -> NewTodo:
    alone = is_quoted(piece.title)
    title = put_back(piece.title, quoted, quotes=not alone)
    title = title if alone else capitalised(title)
    return NewTodo(title=title, description=piece.description, priority=piece.priority, when=piece.when)


def capitalised(title: str) -> str:
    """The title with a capital first letter, unless its first word has capitals of its own (`iPhone`)."""
    first = title.split(" ", maxsplit=1)[0]
    return title[:1].upper() + title[1:] if first.islower() and first[:1].isalpha() else title


def _filled(todo: NewTodo, piece: _Piece) -> NewTodo:
    return replace(
        todo,
        priority=todo.priority if todo.priority is not None else piece.priority,
        when=todo.when or piece.when,
    )


def _apply_to_all(todos: list[NewTodo], piece: _Piece) -> list[NewTodo]:
    return [_filled(todo, piece) for todo in todos]
