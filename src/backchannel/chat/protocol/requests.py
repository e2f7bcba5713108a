"""Parses and validates the body of a ChatKit request, before anything is loaded or stored."""

import re
from typing import Any, get_args

from chatkit.types import (
    ChatKitReq,
    ThreadsAddUserMessageReq,
    ThreadsCreateReq,
    ThreadsUpdateReq,
    UserMessageInput,
)
from pydantic import TypeAdapter, ValidationError

from backchannel.chat.protocol.limits import RequestLimits, is_visible
from backchannel.errors import InvalidInputError, InvalidRequestError

MAX_TITLE_CHARS = 200

_HIDDEN = re.compile("[\x01-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that reorder text beyond the title (Unicode Technical Report 36, section 2.5)."""

# Built once: the SDK builds one for every request, which takes 3.5 ms.
_REQUEST: TypeAdapter[ChatKitReq] = TypeAdapter(ChatKitReq)
OPERATIONS = frozenset(member.model_fields["type"].default for member in get_args(get_args(ChatKitReq)[0]))
"""The operations of the protocol, such as `threads.create`."""

READS = frozenset({"threads.list", "threads.get_by_id", "items.list"})
"""Those that change nothing."""


def parse_request(body: bytes, limits: RequestLimits) -> ChatKitReq:
    """Parse and validate a request.

    Raises:
        InvalidRequestError: The body is not a JSON object, or its `type` is unknown.
        InvalidInputError: A parameter is missing, of the wrong type, or too long; `details` has the fields.
    """
    try:
        request = _REQUEST.validate_json(body)
    except ValidationError as error:
        raise _to_client_error(error) from None
    check(request, limits)
    return request


def check(request: ChatKitReq, limits: RequestLimits) -> None:
    """Check limits that the types do not express, and clean up titles and message texts in place.

    Raises:
        InvalidInputError: A message is empty or exceeds a limit, or a title is empty or too long.
    """
    match request:
        case ThreadsCreateReq() | ThreadsAddUserMessageReq():
            _clean_message(request.params.input)
        case ThreadsUpdateReq():
            request.params.title = clean_title(request.params.title)
        case _:
            pass
    limits.check(request)


def _to_client_error(error: ValidationError) -> InvalidRequestError | InvalidInputError:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    kind = problems[0]["type"]
    if kind == "json_invalid":
        return InvalidRequestError("The request body is not valid JSON.")
    if kind in {"model_attributes_type", "model_type", "dict_type"} and not problems[0]["loc"]:
        return InvalidRequestError("The request body must be a JSON object with type and params.")
    if kind in {"union_tag_not_found", "union_tag_invalid"} and not problems[0]["loc"]:
        return InvalidRequestError(
            f"The request's type must be one of the ChatKit ops: {', '.join(sorted(OPERATIONS))}."
        )
    details: list[dict[str, Any]] = [
        # The first part of the location is the operation.
        {"field": ".".join(str(part) for part in problem["loc"][1:]), "message": problem["msg"]}
        for problem in problems[:20]
    ]
    return InvalidInputError(f"{details[0]['field']}: {details[0]['message']}.", details=details)


def _clean_message(message: UserMessageInput) -> None:
    for part in message.content:
        part.text = _clean(part.text)
    if message.quoted_text is not None:
        message.quoted_text = _clean(message.quoted_text)


def clean_title(title: str) -> str:
    """A title in one line, without characters that would change how those around it look.

    Raises:
        InvalidInputError: It is empty or too long.
    """
    title = " ".join(_HIDDEN.sub("", _clean(title)).split())
    if not 1 <= len(title) <= MAX_TITLE_CHARS or not is_visible(title):
        raise InvalidInputError(f"A title has 1 to {MAX_TITLE_CHARS} characters.")
    return title


def _clean(text: str) -> str:
    # PostgreSQL does not accept NUL in text.
    return text.replace("\x00", "")
