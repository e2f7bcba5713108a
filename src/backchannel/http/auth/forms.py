"""Request bodies of `/auth`: forms (`application/x-www-form-urlencoded`) and JSON objects, of strings only."""

import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import parse_qsl

from fastapi import Request

from backchannel.errors import InvalidInputError, InvalidRequestError, UnsupportedMediaTypeError

FORM = "application/x-www-form-urlencoded"
MAX_FIELDS = 20
MAX_BODY_BYTES = 16_384
"""Names and passwords are short; a body that is not costs nothing here."""


def content_type(request: Request) -> str:
    """The media type of the body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def form_fields(request: Request) -> Mapping[str, str]:
    """The fields of a form.

    Raises:
        InvalidRequestError: It is too long, not UTF-8, or has a field twice (RFC 6749, section 3.2).
    """
    body = await _body(request)
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError:
        raise InvalidRequestError("The form cannot be read: it must be percent-encoded UTF-8.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidRequestError("The form has a field twice.")
    return fields


async def login_fields(request: Request) -> Mapping[str, str]:
    """The fields of a login, of a form or of a JSON object.

    Raises:
        InvalidRequestError: The body cannot be read.
        InvalidInputError: A value is not a string.
        UnsupportedMediaTypeError: It is neither.
    """
    match content_type(request):
        case "application/x-www-form-urlencoded":
            return await form_fields(request)
        case "application/json":
            return _json_fields(await _body(request))
        case _:
            raise UnsupportedMediaTypeError(f"Send application/json or {FORM}.")


def _json_fields(body: bytes) -> Mapping[str, str]:
    try:
        parsed: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequestError("The request body is not valid JSON.") from None
    if not isinstance(parsed, dict):
        raise InvalidRequestError("The request body must be a JSON object.")
    fields = cast("dict[str, Any]", parsed)
    for name, value in fields.items():
        if not isinstance(value, str | None):
            raise InvalidInputError(f"{name[:40]}: must be a string.")
    return {name: value for name, value in fields.items() if value is not None}


async def _body(request: Request) -> bytes:
    body = await request.body()
    if len(body) > MAX_BODY_BYTES:
        raise InvalidRequestError(f"The request body is larger than {MAX_BODY_BYTES} bytes.")
    return body
