"""What is wrong with an input, in sentences for a person or a model."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from backchannel.errors import InvalidInputError
from backchannel.todo.values import clipped, shown

MAX_PROBLEMS = 10
"""How many problems are reported: an input can have any number of unknown fields."""


def read[M: BaseModel](model: type[M], value: Mapping[str, Any]) -> M:
    """The input as the model describes it.

    Raises:
        InvalidInputError: It is not acceptable; `details` is a list of `{"field", "message"}`.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        fields = [field.alias or name for name, field in model.model_fields.items()]
        raise refusal(error.errors(include_url=False), fields=fields) from None


def refusal(errors: Iterable[Any], *, fields: Sequence[str] = (), skip: int = 0) -> InvalidInputError:
    """One error for the caller out of pydantic's.

    Args:
        errors: As `ValidationError.errors()` gives them.
        fields: The fields there are, to be named where one is given that is not.
        skip: How many leading parts of each location are not the caller's, such as `body`.
    """
    details = [_problem(error, fields, skip) for error in errors][:MAX_PROBLEMS]
    return InvalidInputError(" ".join(detail["message"] for detail in details), details=details)


def _problem(error: Mapping[str, Any], fields: Sequence[str], skip: int) -> dict[str, str]:
    location = [str(part) for part in error["loc"][skip:]]
    context: Mapping[str, Any] = error.get("ctx") or {}
    field = str(context.get("field") or (location[0] if location else ""))
    match error["type"]:
        case "refused":
            message = str(context["message"])
        case "missing":
            message = f"{field} is required." if field else "A JSON object is required."
        case "extra_forbidden":
            there_are = f" The fields are: {', '.join(fields)}." if fields else ""
            message = f"There is no field {shown(field)}.{there_are}"
        case _:
            message = f"{field or 'The input'} is not acceptable: {error['msg']}."
    return {"field": clipped(field), "message": message}
