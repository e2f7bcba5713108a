"""Pictures and documents in the input of models that do not take them.

Endpoints refuse the whole request then, and would refuse every later one of the thread. The call is repeated without
them, and the model reads that there were some.
"""

import re
import time
from collections.abc import Sequence
from typing import Any, cast

from agents import TResponseInputItem
from openai import APIStatusError

from backchannel.model_calls.provider_errors import provider_facts

REMEMBER_SECONDS = 3_600
"""How long a model that has said that it takes none gets none."""

NOT_SEEN = "[This model cannot see the picture or document that is here. Say so if it matters.]"

_MEDIA = frozenset({"input_image", "input_file"})

_ABOUT_MEDIA = re.compile(
    r"image|vision|multi-?modal|mmproj|input_file|file_data|\bpdf\b|\bmedia\b|content must be a string"
    r"|expected `?text|content\.?(?:type)?.{0,20}unsupported",
    re.IGNORECASE,
)
# OpenRouter, DeepSeek, vLLM, Groq, llama.cpp, Ollama and OpenAI, in this order.
_NEVER = re.compile(
    r"no endpoints found|unknown variant|at most 0 |content must be a string|mmproj|missing data required for image"
    r"|(?:does|do)(?: not|n't) support|not (?:a )?(?:multi-?modal|vision)|only supported by"
    r"|not supported (?:by|for|in)",
    re.IGNORECASE,
)


class MediaRefusals:
    """What one model has said about pictures and documents."""

    def __init__(self) -> None:
        self._until = 0.0

    def fit(self, items: list[TResponseInputItem]) -> list[TResponseInputItem]:
        """The input, without pictures and documents if the model has said lately that it takes none."""
        if time.monotonic() >= self._until:
            return items
        return without_media(items) or items

    def refused(
        self, items: list[TResponseInputItem], error: BaseException
    ) -> list[TResponseInputItem] | None:
        """The input without pictures and documents, if the model refused it because of them; else `None`."""
        if not isinstance(error, APIStatusError) or not 400 <= error.status_code < 500:
            return None
        facts = provider_facts(error)
        said = f"{facts.message if facts is not None else error} {error}"
        if not _ABOUT_MEDIA.search(said):
            return None
        fewer = without_media(items)
        if fewer is not None and _NEVER.search(said):
            self._until = time.monotonic() + REMEMBER_SECONDS
        return fewer


def without_media(items: Sequence[TResponseInputItem]) -> list[TResponseInputItem] | None:
    """The items with a sentence in place of each picture and document; `None` if there is none."""
    found = False
    fewer: list[TResponseInputItem] = []
    for item in items:
        fields = cast("dict[str, Any]", item)
        for name in ("content", "output"):
            parts = fields.get(name)
            if isinstance(parts, list) and any(_is_medium(part) for part in cast("list[Any]", parts)):
                found = True
                fields = {**fields, name: [_replaced(part) for part in cast("list[Any]", parts)]}
        fewer.append(cast("TResponseInputItem", fields))
    return fewer if found else None


def _is_medium(part: Any) -> bool:
    return isinstance(part, dict) and cast("dict[str, Any]", part).get("type") in _MEDIA


def _replaced(part: Any) -> Any:
    return {"type": "input_text", "text": NOT_SEEN} if _is_medium(part) else part
