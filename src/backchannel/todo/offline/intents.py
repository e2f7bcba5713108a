"""The data types of a parsed request: intents with their targets, filters and changes."""

from dataclasses import dataclass, field
from typing import Literal

from backchannel.todo.offline.dates import When
from backchannel.todo.offline.ranges import DayRange

type Kind = Literal[
    "add", "list", "find", "update", "complete", "delete", "help",
    "negated", "cancel", "yes", "greeting", "thanks", "bye", "undo", "values", "how",
    "foreign", "empty", "too_long", "unread", "unknown",
]  # fmt: skip
type Status = Literal["pending", "in_progress", "completed", "open"]

ACTIONS: frozenset[Kind] = frozenset({"add", "list", "find", "update", "complete", "delete"})
"""Kinds that need a tool of the todo assistant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Filters for todos; all that are set must match.

    `status` `"open"` is every status but `completed`. `priorities` has the matching numbers.
    """

    status: Status | None = None
    priorities: tuple[int, ...] = ()
    days: DayRange | None = None
    undated: bool = False
    finished: DayRange | None = None

    @property
    def any(self) -> bool:
        """Whether at least one field is set."""
        return bool(self.status or self.priorities or self.days or self.undated or self.finished)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The todos that a phrase refers to.

    Attributes:
        kind: `title`: by words of the title; `ordinal`: by position in the list shown last; `it`: the todo shown or
            changed last; `them`: all todos shown last; `filter`: all that match the filters; `none`: no target.
        text: The words of the title, without quotes; for other kinds the original words.
        exact: True if the words were quoted.
        places: Positions from 1; negative from the end. For `ordinal` only.
        count: The number given with `filter` or `them` ("all 7 todos"), or `None`.
        excluded: Words of the titles to exclude; empty for none.
    """

    kind: Literal["title", "ordinal", "it", "them", "filter", "none"]
    text: str = ""
    exact: bool = False
    places: tuple[int, ...] = ()
    count: int | None = None
    filters: Filters = field(default_factory=Filters)
    excluded: str = ""

    @property
    def contextual(self) -> bool:
        """Whether the target depends on earlier turns."""
        return self.kind in {"ordinal", "it", "them"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTodo:
    """One todo to add. `priority` is not validated and may be out of range."""

    title: str
    description: str = ""
    priority: int | None = None
    when: When | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Changes to a todo; `None` leaves a field unchanged.

    `shift` moves the due date by a count of a unit, such as `(2, "days")`; `priority_step` raises or lowers
    the priority.
    """

    title: str | None = None
    description: str | None = None
    priority: int | None = None
    priority_step: int = 0
    when: When | None = None
    status: Status | None = None
    clear_due_date: bool = False
    shift: tuple[int, str] | None = None

    @property
    def any(self) -> bool:
        """Whether there are any changes."""
        return self != Changes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One request of the user.

    Attributes:
        text: The original words, with quotes.
        query: The words to search for, for `find`; empty for any.
        counting: For `list`: whether to reply with the number only.
        confirmed: Whether the user has confirmed it.
    """

    kind: Kind
    text: str = ""
    items: tuple[NewTodo, ...] = ()
    target: Target | None = None
    changes: Changes = field(default_factory=Changes)
    query: str = ""
    filters: Filters = field(default_factory=Filters)
    counting: bool = False
    confirmed: bool = False
