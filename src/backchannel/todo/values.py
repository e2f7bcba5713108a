"""The types of a todo's fields: their limits and error messages.

An error message names the field, the allowed values and the given value, so that a person or a model can correct it.
Tools and REST endpoints use the same messages.
"""

import json
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema
from pydantic.types import AwareDatetime
from pydantic_core import PydanticCustomError

from backchannel.todo.due_dates import EARLIEST_YEAR, DueDate

TITLE_CHARS = 200
DESCRIPTION_CHARS = 1000
QUERY_CHARS = 200
ID_CHARS = 80
MAX_IDS = 100
MAX_PRIORITY = 5
MAX_LIMIT = 100
MAX_OFFSET = 1_000_000
MAX_QUOTED_CHARS = 60

StatusName = Literal["pending", "in_progress", "completed"]
STATUSES: tuple[str, ...] = get_args(StatusName)


def refuse(message: str, field: str | None = None) -> PydanticCustomError:
    """A validation error whose message is sent to the caller unchanged.

    Args:
        message: A complete sentence.
        field: The field to report, for an error of a whole model.
    """
    # The message may contain braces from the caller's input, so it must not be a template.
    return PydanticCustomError("refused", "{message}", {"message": message, "field": field})


def quoted_value(value: object) -> str:
    """A value for an error message: as JSON, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except ValueError:  # an integer of thousands of digits
        return "a number that is far too long"
    return shortened(text)


def shortened(text: str) -> str:
    """The caller's text for an error message: shortened, and without lone surrogates."""
    text = text if len(text) <= MAX_QUOTED_CHARS else f"{text[:MAX_QUOTED_CHARS]}…"
    return text.encode("utf-8", "replace").decode("utf-8")


def _text(minimum: int, maximum: int, *, strip: bool = False) -> BeforeValidator:
    def check(value: object, info: ValidationInfo) -> str:
        if not isinstance(value, str):
            raise refuse(f"{info.field_name} must be text; you gave {quoted_value(value)}.")
        text = value.strip() if strip else value
        if not minimum <= len(text) <= maximum:
            raise refuse(
                f"{info.field_name} must have {minimum} to {maximum} characters; you gave {len(text)}."
            )
        if "\x00" in text:
            raise refuse(f"{info.field_name} must not contain the NUL character.")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise refuse(f"{info.field_name} must be valid Unicode; it has half of a surrogate pair.")
        if minimum and not any(character.isprintable() and not character.isspace() for character in text):
            raise refuse(f"{info.field_name} must have at least one visible character.")
        return text

    return BeforeValidator(check)


def _check_ids(value: object, info: ValidationInfo) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(cast("list[object]", value)) <= MAX_IDS:
        raise refuse(f"{info.field_name} must be a list of 1 to {MAX_IDS} ids.")
    ids = cast("list[object]", value)
    if not all(isinstance(each, str) and 1 <= len(each) <= ID_CHARS for each in ids):
        raise refuse(f"{info.field_name} must have only ids of todos, which are texts such as todo_….")
    return list(dict.fromkeys(cast("list[str]", ids)))


def _whole_number(minimum: int, maximum: int) -> BeforeValidator:
    def check(value: object, info: ValidationInfo) -> int:
        # bool is a subclass of int.
        if not isinstance(value, int) or isinstance(value, bool):
            raise refuse(
                f"{info.field_name} must be a whole number from {minimum} to {maximum}; "
                f"you gave {quoted_value(value)}."
            )
        if not minimum <= value <= maximum:
            raise refuse(f"{info.field_name} must be {minimum} to {maximum}; you gave {quoted_value(value)}.")
        return value

    return BeforeValidator(check)


def _check_status(value: object, info: ValidationInfo) -> str:
    if isinstance(value, str) and value in STATUSES:
        return value
    raise refuse(
        f"{info.field_name} must be pending, in_progress or completed; you gave {quoted_value(value)}."
    )


def _check_flag(value: object, info: ValidationInfo) -> bool:
    if isinstance(value, bool):
        return value
    raise refuse(f"{info.field_name} must be true or false; you gave {quoted_value(value)}.")


def _check_due(value: object, info: ValidationInfo) -> str:
    if isinstance(value, str):
        try:
            return DueDate.parse(value).isoformat()
        except ValueError:
            pass
    raise refuse(
        f"{info.field_name} must be a date such as 2026-11-23 or a local date-time such as "
        f"2026-11-23T17:00:00, from {EARLIEST_YEAR} on; you gave {quoted_value(value)}."
    )


def digits_as_number(value: Any) -> Any:
    """Convert the digits of a query parameter to a number; other values are returned unchanged."""
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 20:
        return int(value)
    return value


def _seconds(moment: AwareDatetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _string_schema(minimum: int, maximum: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "minLength": minimum, "maxLength": maximum})


def _number_schema(minimum: int, maximum: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "integer", "minimum": minimum, "maximum": maximum})


Title = Annotated[str, _text(1, TITLE_CHARS, strip=True), _string_schema(1, TITLE_CHARS)]
Description = Annotated[str, _text(0, DESCRIPTION_CHARS), _string_schema(0, DESCRIPTION_CHARS)]
Query = Annotated[str, _text(0, QUERY_CHARS, strip=True), _string_schema(0, QUERY_CHARS)]
TodoId = Annotated[str, _text(1, ID_CHARS, strip=True), _string_schema(1, ID_CHARS)]
TodoIds = Annotated[
    list[str],
    BeforeValidator(_check_ids),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]
Priority = Annotated[int, _whole_number(0, MAX_PRIORITY), _number_schema(0, MAX_PRIORITY)]
Limit = Annotated[int, _whole_number(1, MAX_LIMIT), _number_schema(1, MAX_LIMIT)]
Offset = Annotated[int, _whole_number(0, MAX_OFFSET), _number_schema(0, MAX_OFFSET)]
Flag = Annotated[bool, BeforeValidator(_check_flag), WithJsonSchema({"type": "boolean"})]
Status = Annotated[
    StatusName,
    BeforeValidator(_check_status),
    WithJsonSchema({"type": "string", "enum": list(STATUSES)}),
]
Due = Annotated[str, BeforeValidator(_check_due), WithJsonSchema({"type": "string"})]
"""An ISO 8601 date or local date-time, normalised by `DueDate.isoformat`."""

Moment = Annotated[
    AwareDatetime,
    PlainSerializer(_seconds, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A time in UTC, serialised in whole seconds."""
