"""Validates input, with error messages for people and models."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from backchannel.errors import InvalidInputError
from backchannel.todo.values import quoted_value, shortened

MAX_DETAILS = 10
"""The most problems that one error reports: input can have any number of unknown fields."""


def validate[M: BaseModel](model: type[M], value: Mapping[str, Any]) -> M:
    """Validate input with a pydantic model.

    Raises:
        InvalidInputError: The input is not acceptable; `details` is a list of `{"field", "message"}`.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        fields = [field.alias or name for name, field in model.model_fields.items()]
        raise to_invalid_input(error.errors(include_url=False), fields=fields) from None


def to_invalid_input(
    errors: Iterable[Any], *, fields: Sequence[str] = (), skip: int = 0
) -> InvalidInputError:
    """Convert pydantic's errors to one `InvalidInputError`.

    Args:
        errors: The result of `ValidationError.errors()`.
        fields: The valid fields, which the message for an unknown field lists.
        skip: The number of leading location parts to drop, such as `body`.
    """
    details = [_detail(error, fields, skip) for error in errors][:MAX_DETAILS]
    return InvalidInputError(" ".join(detail["message"] for detail in details), details=details)


def _detail(error: Mapping[str, Any], fields: Sequence[str], skip: int) -> dict[str, str]:
    location = [str(part) for part in error["loc"][skip:]]
    context: Mapping[str, Any] = error.get("ctx") or {}
    field = str(context.get("field") or (location[0] if location else ""))
    match error["type"]:
        case "refused":
            message = str(context["message"])
        case "missing":
            message = f"{field} is required." if field else "A JSON object is required."
        case "extra_forbidden":
            valid_fields = f" The fields are: {', '.join(fields)}." if fields else ""
            message = f"There is no field {quoted_value(field)}.{valid_fields}"
        case _:
            message = f"{field or 'The input'} is not acceptable: {error['msg']}."
    return {"field": shortened(field), "message": message}
