"""Responses that are no event stream, although one was asked for."""

import html
import re
from typing import Any, cast

from pydantic_core import from_json

from backchannel.errors import ModelResponseError

_TITLE = re.compile(rb"<title[^>]*>(.{1,200}?)</title>", re.IGNORECASE | re.DOTALL)


def body_event(body: bytes) -> dict[str, Any]:
    """The event that stands for a whole body: the answer of an endpoint that does not stream, or its error.

    Raises:
        ModelResponseError: The body holds neither.
    """
    if body.lstrip()[:1] == b"<":
        title = _TITLE.search(body)
        named = f" («{_one_line(title[1])}»)" if title else ""
        raise ModelResponseError(
            f"The model's endpoint sent a web page{named} in place of an answer. Try again."
        )
    try:
        data: Any = from_json(body)
    except ValueError:
        raise ModelResponseError(
            "The model's endpoint sent broken JSON in place of an answer. Try again."
        ) from None
    if isinstance(data, list) and data:
        # Gemini wraps its errors in a list.
        data = cast("list[Any]", data)[0]
    if isinstance(data, dict):
        fields = cast("dict[str, Any]", data)
        if _is_chat_answer(fields):
            return fields
        if fields.get("object") == "response" and isinstance(fields.get("output"), list):
            status = fields.get("status")
            kind = status if status in {"incomplete", "failed"} else "completed"
            return {"type": f"response.{kind}", "response": fields, "sequence_number": 0}
    raise ModelResponseError("The model's endpoint sent JSON that is not an answer. Try again.")


def _is_chat_answer(data: dict[str, Any]) -> bool:
    """Whether it is an answer of Chat Completions, or an error."""
    return (
        bool(data.get("choices"))
        or data.get("object") == "error"
        or bool(data.get("error"))
        or "detail" in data
    )


def check_body(first: bytes) -> None:
    """Report a response without events.

    Raises:
        ModelResponseError: Always.
    """
    if first.strip():
        raise ModelResponseError("The model's endpoint sent text that is not an answer. Try again.")
    raise ModelResponseError("The model's endpoint sent an empty response. Try again.")


def _one_line(title: bytes) -> str:
    return " ".join(html.unescape(title.decode(errors="replace")).split())
