"""The arguments of the tools: pydantic models, and their JSON schemas for strict mode.

In strict mode a model must send every argument, so `null` has the same meaning as a missing argument in every tool.
"""

from typing import Any, Self, cast

from pydantic import BaseModel, Field, model_validator
from pydantic_core import from_json

from backchannel.errors import InvalidInputError
from backchannel.todo.models import DUE_HELP, PRIORITY_HELP, NewTodo, TodoInput
from backchannel.todo.validation import validate
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
    TodoIds,
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
    def _has_changes(self) -> Self:
        if self.clear_due_date and self.due_date is not None:
            raise refuse("Give due_date or clear_due_date, not both.", "clear_due_date")
        if not self.changes():
            raise refuse(
                "Nothing to change: give title, description, priority, due_date, status or clear_due_date."
            )
        return self

    def changes(self) -> dict[str, Any]:
        """The changes, as fields of `TodoChanges`."""
        changes = self.model_dump(exclude={"todo_id", "clear_due_date"}, exclude_none=True)
        return {**changes, "due_date": None} if self.clear_due_date else changes


class CompleteTodo(TodoInput):
    """Mark one todo as completed. Completing it again does no harm."""

    todo_id: TodoId = Field(description=_ID_HELP)


class DeleteTodo(TodoInput):
    """Delete one todo for good. Only when the person asked for it. For several todos use delete_todos."""

    todo_id: TodoId = Field(description=_ID_HELP)


class DeleteTodos(TodoInput):
    """Delete several todos for good. The person is shown their titles and must approve, so do not ask before."""

    todo_ids: TodoIds = Field(
        description="Their ids (todo_…), 1 to 100, as an earlier tool output gave them."
    )


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
    """Parse the arguments that a model sent as JSON text. An empty text counts as an empty object.

    Raises:
        InvalidInputError: The text is not a JSON object, or a value is not acceptable.
    """
    try:
        value: Any = from_json(text.strip().encode("utf-8", "surrogatepass") or b"{}")
    except ValueError as error:
        raise InvalidInputError(
            f"The arguments are not valid JSON ({error}). Send one JSON object.", details=[]
        ) from None
    if not isinstance(value, dict):
        raise InvalidInputError("The arguments must be one JSON object.", details=[])
    fields = cast("dict[str, Any]", value)
    return validate(arguments, {name: part for name, part in fields.items() if part is not None})


def schema(arguments: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of the arguments for OpenAI's strict mode.

    Keywords that strict mode does not support, such as lengths and defaults, are left out; `parse` checks them.
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


def _property(schema: dict[str, Any], *, nullable: bool) -> dict[str, Any]:
    schema = {key: value for key, value in schema.items() if key not in _NOT_IN_STRICT_MODE}
    description: dict[str, Any] = {"description": schema.pop("description", "")}
    types: list[dict[str, Any]] = schema.get("anyOf") or [schema]
    value_type = next(each for each in types if each.get("type") != "null")
    value_type = {key: value for key, value in value_type.items() if key not in _NOT_IN_STRICT_MODE}
    if nullable:
        return {"anyOf": [value_type, {"type": "null"}], **description}
    return {**value_type, **description}
