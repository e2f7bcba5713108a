"""Parses and validates the body of a ChatKit request, before anything is loaded or stored."""

import unicodedata
from typing import Any, get_args

from chatkit.types import (
    ChatKitReq,
    ThreadsAddUserMessageReq,
    ThreadsCreateReq,
    ThreadsUpdateReq,
    UserMessageInput,
    UserMessageTextContent,
)
from pydantic import TypeAdapter, ValidationError

from backchannel.errors import InvalidInputError, InvalidRequestError

MAX_TITLE_CHARS = 200
MAX_CONTENT_PARTS = 100
MAX_ATTACHMENTS = 20

# Built once: the SDK builds one for every request, which takes 3.5 ms.
_REQUEST: TypeAdapter[ChatKitReq] = TypeAdapter(ChatKitReq)
OPERATIONS = frozenset(member.model_fields["type"].default for member in get_args(get_args(ChatKitReq)[0]))
"""The operations of the protocol, such as `threads.create`."""


def parse_request(body: bytes, *, max_message_chars: int) -> ChatKitReq:
    """Parse and validate a request.

    Args:
        max_message_chars: The most characters of a message, with its quoted text.

    Raises:
        InvalidRequestError: The body is not a JSON object, or its `type` is unknown.
        InvalidInputError: A parameter is missing, of the wrong type, or too long; `details` has the fields.
    """
    try:
        request = _REQUEST.validate_json(body)
    except ValidationError as error:
        raise _to_client_error(error) from None
    check(request, max_message_chars=max_message_chars)
    return request


def check(request: ChatKitReq, *, max_message_chars: int) -> None:
    """Check limits that the types do not express, and clean up titles and message texts in place.

    Raises:
        InvalidInputError: A message is empty or too long, or a title is empty or too long.
    """
    match request:
        case ThreadsCreateReq() | ThreadsAddUserMessageReq():
            _check_message(request.params.input, max_message_chars)
        case ThreadsUpdateReq():
            request.params.title = _clean_title(request.params.title)
        case _:
            pass


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


def _check_message(message: UserMessageInput, max_chars: int) -> None:
    if len(message.content) > MAX_CONTENT_PARTS:
        raise InvalidInputError(f"A message may have at most {MAX_CONTENT_PARTS} content parts.")
    if len(message.attachments) > MAX_ATTACHMENTS:
        raise InvalidInputError(f"A message may have at most {MAX_ATTACHMENTS} attachments.")
    for part in message.content:
        part.text = _clean(part.text)
    if message.quoted_text is not None:
        message.quoted_text = _clean(message.quoted_text)
    length = sum(len(part.text) for part in message.content) + len(message.quoted_text or "")
    if length > max_chars:
        raise InvalidInputError(
            f"The message has {length} characters; at most {max_chars} are allowed. Shorten it."
        )
    has_content = any(
        not isinstance(part, UserMessageTextContent) or is_visible(part.text) for part in message.content
    )
    if not has_content and not message.attachments:
        raise InvalidInputError("The message is empty. Write something or attach a file.")


def _clean_title(title: str) -> str:
    title = " ".join(_clean(title).split())
    if not 1 <= len(title) <= MAX_TITLE_CHARS or not is_visible(title):
        raise InvalidInputError(f"A title has 1 to {MAX_TITLE_CHARS} characters.")
    return title


def is_visible(text: str) -> bool:
    """Whether a text has visible characters: not only spaces, control characters and zero-width characters."""
    return any(unicodedata.category(character)[0] not in "CZ" for character in text)


def _clean(text: str) -> str:
    # PostgreSQL does not accept NUL in text.
    return text.replace("\x00", "")
