"""Removes secrets and people's words from the error messages of providers, which are logged."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

MAX_CHARS = 300
_SHORTEST = 4
"""Characters. Shorter texts of the request are not searched for: they occur by chance."""
_RUN = 5
"""Words in sequence that also occur in the request are taken for a quotation."""

_SECRET = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|key|hf|AIza|eyJ)[-_A-Za-z0-9*.]{6,}"
    r"|(?i:\b(?:bearer|basic)\s+[-._~+/=A-Za-z0-9*]{6,})"
    r"|(?i:\b(?:api[-_ ]?key|token|secret|password|authorization)\b[\"']?\s*[:=]\s*[\"']?[^\s\"',;}]+)"
    r"|\b[A-Za-z0-9+/_-]{32,}={0,2}"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")


def redact(message: str, request: object = ()) -> str:
    """`message` without secrets and without what it quotes of the request, in at most 300 characters.

    Args:
        request: The input items of the model call.
    """
    texts = sorted({*_texts(request)}, key=len, reverse=True)
    message = message[:4_000]
    for text in texts:
        if len(text) >= _SHORTEST:
            message = message.replace(text, "[…]")
    message = _without_quotations(message, " \n ".join(" ".join(text.split()) for text in texts))
    message = _EMAIL.sub("[…]", _SECRET.sub("[…]", message))
    return message[:MAX_CHARS]


def _without_quotations(message: str, request: str) -> str:
    words, rest = message.split(), list[str]()
    first = 0
    while first < len(words):
        end = first
        while end < len(words) and " ".join(words[first : end + 1]) in request:
            end += 1
        if end - first >= _RUN:
            rest.append("[…]")
            first = end
        else:
            rest.append(words[first])
            first += 1
    return " ".join(rest)


def _texts(value: object) -> Iterator[str]:
    """The texts of a request: values of strings, not the names of fields."""
    if isinstance(value, str):
        stripped = value.strip()
        if stripped:
            yield stripped
    elif isinstance(value, Mapping):
        for name, each in cast("Mapping[str, Any]", value).items():
            if name not in {"type", "role", "id", "call_id", "name", "status"}:
                yield from _texts(each)
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for each in cast("Sequence[object]", value):
            yield from _texts(each)
