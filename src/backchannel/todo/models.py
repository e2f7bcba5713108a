"""Todos, and the inputs and filters of operations on them."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from backchannel.todo.due_dates import DueDate
from backchannel.todo.values import (
    Description,
    Due,
    Limit,
    Moment,
    Offset,
    Priority,
    Query,
    Status,
    Title,
    refuse,
)

PRIORITY_HELP = "0 none, 1 lowest, 2 low, 3 medium, 4 high, 5 highest or urgent."
DUE_HELP = (
    "ISO 8601: a date for a whole day (2026-11-23), or a local date-time (2026-11-23T17:00:00) on the "
    "person's own clock, without an offset."
)


class Todo(BaseModel):
    """A todo of one user."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="`todo_…`, unique.")
    title: str = Field(description="What is to be done, 1 to 200 characters.")
    description: str = Field(description="More about it, up to 1000 characters.")
    priority: int = Field(description=PRIORITY_HELP)
    status: Status
    due_date: str | None = Field(description=DUE_HELP)
    created_at: Moment
    updated_at: Moment
    completed_at: Moment | None = Field(description="Null as long as the todo is open.")


class TodoInput(BaseModel):
    """Input from a caller. Unknown fields are errors, as they may be misspelt."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NewTodo(TodoInput):
    """A todo to be created."""

    title: Title = Field(description="What is to be done, short, without its date and priority.")
    description: Description = Field(default="", description="More about it, if the person said more.")
    priority: Priority = Field(default=0, description=PRIORITY_HELP)
    due_date: Due | None = Field(default=None, description=DUE_HELP)


class TodoChanges(TodoInput):
    """Changes to a todo. Missing fields are not changed; `due_date` null removes the due date."""

    title: Title | None = Field(default=None, description="The new title.")
    description: Description | None = Field(
        default=None, description="The new description, in place of the old one."
    )
    priority: Priority | None = Field(default=None, description=PRIORITY_HELP)
    due_date: Due | None = Field(default=None, description=f"{DUE_HELP} Null removes it.")
    status: Status | None = Field(
        default=None, description="The new status; pending opens a completed todo again."
    )

    @model_validator(mode="before")
    @classmethod
    def _only_due_date_can_be_removed(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for name in ("title", "description", "priority", "status"):
                if name in value and value[name] is None:
                    raise refuse(f"{name} cannot be null; leave it out to keep it.", name)
        return value  # pyright: ignore[reportUnknownVariableType]


class TodoFilter(TodoInput):
    """Filters and paging of a list of todos. Missing filters match every todo."""

    status: Status | None = Field(default=None, description="Only todos of this status.")
    priority: Priority | None = Field(
        default=None, description=f"Only todos of exactly this priority: {PRIORITY_HELP}"
    )
    due_after: Due | None = Field(
        default=None, description="Only todos due at or after this date (from its start) or local date-time."
    )
    due_before: Due | None = Field(
        default=None, description="Only todos due at or before this date (to its end) or local date-time."
    )
    limit: Limit = Field(default=20, description="How many todos at most, 1 to 100.")
    offset: Offset = Field(default=0, description="How many todos to skip.")

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.due_after is not None and self.due_before is not None:
            first, last = DueDate.parse(self.due_after), DueDate.parse(self.due_before)
            if first.first_moment() > last.last_moment():
                raise refuse(
                    f"due_before ({self.due_before}) must not be earlier than due_after ({self.due_after}).",
                    "due_before",
                )
        return self


class TodoQuery(TodoFilter):
    """Filters with a search by words in title and description."""

    query: Query = Field(default="", description="Words to look for in titles and descriptions.")


class TodoPage(BaseModel):
    """A page of todos.

    Attributes:
        todos: The todos, in order.
        total: The number of matching todos, regardless of limit and offset.
    """

    model_config = ConfigDict(frozen=True)

    todos: list[Todo]
    total: int
    limit: int
    offset: int
