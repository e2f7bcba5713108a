"""What each tool takes from a model: pydantic models, and their JSON schemas in strict mode.

In strict mode a model must send every argument. One it has nothing to say about it sends as null, so null
means the same as leaving the argument out, in every tool.
"""

from typing import Any, Self, cast

from pydantic import BaseModel, Field, model_validator
from pydantic_core import from_json

from backchannel.errors import InvalidInputError
from backchannel.todo.models import DUE_HELP, PRIORITY_HELP, NewTodo, TodoInput
from backchannel.todo.problems import read
from backchannel.todo.values import (
    Description,
    Due,
    Flag,
    Limit,
    Offset,
    Priority,
    Query,
    Status,
    Title,
    TodoId,
    refuse,
)

_ID_HELP = "The todo's id (todo_…), exactly as an earlier tool output gave it."
_NOT_IN_STRICT_MODE = ("default", "title", "minLength", "maxLength")


class CreateTodo(NewTodo):
    """Add one todo to the person's list. For several todos call this once for each."""


class ListTodos(TodoInput):
    """List the person's todos: open ones first, then by due date, then the highest priority first."""

    status: Status | None = Field(default=None, description="Only todos of this status.")
    priority: Priority | None = Field(default=None, description=f"Only this priority: {PRIORITY_HELP}")
    limit: Limit = Field(default=20, description="How many at most, 1 to 100; null means 20.")
    offset: Offset = Field(default=0, description="How many to skip, to see the next ones; null means 0.")


class UpdateTodo(TodoInput):
    """Change one todo. Give only what is to change, and null for the rest."""

    todo_id: TodoId = Field(description=_ID_HELP)
    title: Title | None = Field(default=None, description="The new title.")
    description: Description | None = Field(default=None, description="The new description.")
    priority: Priority | None = Field(default=None, description=PRIORITY_HELP)
    due_date: Due | None = Field(default=None, description=DUE_HELP)
    status: Status | None = Field(
        default=None, description="The new status; pending opens a completed todo again."
    )
    clear_due_date: Flag = Field(default=False, description="True removes the due date.")

    @model_validator(mode="after")
    def _says_what_to_change(self) -> Self:
        if self.clear_due_date and self.due_date is not None:
            raise refuse("Give due_date or clear_due_date, not both.", "clear_due_date")
        if not self.changes():
            raise refuse(
                "Nothing to change: give title, description, priority, due_date, status or clear_due_date."
            )
        return self

    def changes(self) -> dict[str, Any]:
        """What to change, as `TodoChanges` takes it."""
        changes = self.model_dump(exclude={"todo_id", "clear_due_date"}, exclude_none=True)
        return {**changes, "due_date": None} if self.clear_due_date else changes


class CompleteTodo(TodoInput):
    """Mark one todo as completed. Completing it again does no harm."""

    todo_id: TodoId = Field(description=_ID_HELP)


class DeleteTodo(TodoInput):
    """Delete one todo for good. Only when the person asked for it."""

    todo_id: TodoId = Field(description=_ID_HELP)


class SearchTodos(TodoInput):
    """Find the person's todos by words in title and description, by status, by priority, by due date, or by
    several of these. The most relevant come first; typos are forgiven."""

    query: Query = Field(default="", description="Words to look for; null to go by the other filters alone.")
    status: Status | None = Field(default=None, description="Only todos of this status.")
    priority: Priority | None = Field(default=None, description=f"Only this priority: {PRIORITY_HELP}")
    due_after: Due | None = Field(
        default=None, description="Only due at or after this date or local date-time, ISO 8601."
    )
    due_before: Due | None = Field(
        default=None,
        description="Only due at or before this date (to the end of that day) or local date-time, ISO 8601.",
    )
    limit: Limit = Field(default=20, description="How many at most, 1 to 100; null means 20.")


class DescribeCapabilities(TodoInput):
    """What this assistant can do, with sentences a person can say, and which model answers."""


def parse[A: BaseModel](arguments: type[A], text: str) -> A:
    """The arguments that a model sent as JSON text; an empty text is an empty object.

    Raises:
        InvalidInputError: The text is not a JSON object, or a value in it is not acceptable.
    """
    try:
        value: Any = from_json(text.strip().encode("utf-8", "surrogatepass") or b"{}")
    except ValueError as error:
        raise InvalidInputError(
            f"The arguments are not valid JSON ({error}). Send one JSON object.", details=[]
        ) from None
    if not isinstance(value, dict):
        raise InvalidInputError("The arguments must be one JSON object.", details=[])
    given = cast("dict[str, Any]", value)
    return read(arguments, {name: part for name, part in given.items() if part is not None})


def schema(arguments: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of the arguments as OpenAI's strict mode accepts it.

    What strict mode does not know, such as lengths and defaults, is left out; `parse` checks it all the same.
    """
    properties = arguments.model_json_schema().get("properties", {})
    return {
        "type": "object",
        "properties": {
            name: _property(properties[name], nullable=not field.is_required())
            for name, field in arguments.model_fields.items()
        },
        "required": [*arguments.model_fields],
        "additionalProperties": False,
    }


def _property(described: dict[str, Any], *, nullable: bool) -> dict[str, Any]:
    described = {key: value for key, value in described.items() if key not in _NOT_IN_STRICT_MODE}
    help_text: dict[str, Any] = {"description": described.pop("description", "")}
    kinds: list[dict[str, Any]] = described.get("anyOf") or [described]
    kind = next(kind for kind in kinds if kind.get("type") != "null")
    kind = {key: value for key, value in kind.items() if key not in _NOT_IN_STRICT_MODE}
    return {"anyOf": [kind, {"type": "null"}], **help_text} if nullable else {**kind, **help_text}
