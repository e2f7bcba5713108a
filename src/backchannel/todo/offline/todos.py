"""Parses todos in the tools' JSON output, and matches them with phrases."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast

from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

from backchannel.todo.offline.intents import Filters

_SMALL_WORDS = frozenset(
    {
        "the",
        "a",
        "an",
        "to",
        "my",
        "for",
        "of",
        "on",
        "in",
        "with",
        "and",
        "at",
        "todo",
        "task",
        "one",
        "item",
    }
)
_CLOSE_WORD = 78
_CLOSE_TITLE = 88


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """A todo in a tool's output. `due` is a day, a wall-clock time, or `None`."""

    id: str
    title: str
    description: str = ""
    priority: int = 0
    status: str = "pending"
    due: date | datetime | None = None
    completed_at: datetime | None = None

    @property
    def completed(self) -> bool:
        """Whether the todo is completed."""
        return self.status == "completed"

    @property
    def due_day(self) -> date | None:
        """The day on which the todo is due, if any."""
        return self.due.date() if isinstance(self.due, datetime) else self.due

    def overdue(self, now: datetime) -> bool:
        """Whether the todo is open and its due time, or its whole due day, has passed."""
        if self.due is None or self.completed:
            return False
        return self.due < now if isinstance(self.due, datetime) else self.due < now.date()


def read_todo(value: object) -> Todo | None:
    """The todo in a JSON value, or `None` if it is not one."""
    if not isinstance(value, Mapping):
        return None
    fields = cast(Mapping[str, Any], value)
    if not isinstance(fields.get("id"), str) or not isinstance(fields.get("title"), str):
        return None
    priority = fields.get("priority")
    return Todo(
        id=fields["id"],
        title=fields["title"],
        description=str(fields.get("description") or ""),
        priority=priority if isinstance(priority, int) else 0,
        status=str(fields.get("status") or "pending"),
        due=_moment(fields.get("due_date")),
        completed_at=_instant(fields.get("completed_at")),
    )


def read_todos(value: object) -> list[Todo]:
    """The todos of a JSON list, in order; other values are ignored."""
    if not isinstance(value, list):
        return []
    return [todo for item in cast(list[object], value) if (todo := read_todo(item)) is not None]


def _moment(value: object) -> date | datetime | None:
    if not isinstance(value, str):
        return None
    try:
        if len(value) <= 10:
            return date.fromisoformat(value)
        return datetime.fromisoformat(value).replace(tzinfo=None)
    except ValueError:
        return None


def _instant(value: object) -> datetime | None:
    """A time with a time zone, converted to local wall time."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.astimezone().replace(tzinfo=None) if moment and moment.tzinfo else moment


def fits(todo: Todo, filters: Filters, now: datetime) -> bool:
    """Whether the todo matches every filter that is set."""
    if filters.status == "open" and todo.completed:
        return False
    if filters.status not in {None, "open", todo.status}:
        return False
    if filters.priorities and todo.priority not in filters.priorities:
        return False
    if filters.undated and todo.due is not None:
        return False
    if (days := filters.days) is not None:
        day = todo.due_day
        if day is None or (days.first and day < days.first) or (days.last and day > days.last):
            return False
        if days.overdue and not todo.overdue(now):
            return False
    if (finished := filters.finished) is not None and todo.completed_at is not None:
        day = todo.completed_at.date()
        return not ((finished.first and day < finished.first) or (finished.last and day > finished.last))
    return True


def _words(text: str) -> list[str]:
    words = re.findall(r"[^\W_]+", text.lower())
    return [word for word in words if word not in _SMALL_WORDS] or words


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word


def _near(word: str, other: str) -> bool:
    """Whether the words differ only by a typo. `tent` is not a typo of `rent`."""
    if len(word) < 4 or word[0] != other[0]:
        return False
    return OSA.distance(word, other) <= 1 or fuzz.ratio(word, other) >= _CLOSE_WORD


def _score(words: list[str], title: str) -> int:
    """How well the words match the title: 0 no match, 1 with typos, 2 all words in some form, 3 equal."""
    own = _words(title)
    if own == words:
        return 3
    stems = {_stem(word) for word in own}
    if all(_stem(word) in stems or any(o.startswith(word) and len(word) > 2 for o in own) for word in words):
        return 2
    if all(_stem(word) in stems or any(_near(word, o) for o in own) for word in words):
        return 1
    return 1 if fuzz.ratio(" ".join(words), " ".join(own)) >= _CLOSE_TITLE else 0


def matching(text: str, todos: Iterable[Todo], *, exact: bool = False) -> list[Todo]:
    """The todos whose title matches the text best, in their order; several if they match equally well.

    An equal title is better than words in the title, which are better than words with typos. With `exact`,
    only equal titles match, if there are any.
    """
    todos = list(todos)
    same = [todo for todo in todos if todo.title.strip().lower() == text.strip().lower()]
    if same:
        return same
    words = _words(text)
    if not words:
        return []
    scored = [
        (2 if exact and _score(words, todo.title) == 3 else _score(words, todo.title), todo) for todo in todos
    ]
    best = max((score for score, _ in scored), default=0)
    return [todo for score, todo in scored if score == best] if best else []
