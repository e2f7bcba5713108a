"""Makes an input smaller when it exceeds a model's context."""

from collections.abc import Sequence
from typing import Any, cast

from agents import TResponseInputItem

from backchannel.model_calls.tokens import estimate_item_tokens

MIN_OUTPUT_CHARS = 2_000
"""Tool outputs of the last turn are not cut shorter than this."""

_MARGIN = 0.8
_SMALLEST = 1_000
"""Tokens. No chat model has a smaller context: an endpoint that refuses a smaller input means something else, such as
its limit of output. A limit learned from it would take the earlier turns from everyone's conversations."""
_FORGET_AFTER = 50
"""Calls after which a learned limit is forgotten: the operator may have given the model a larger context."""


class ContextWindow:
    """What is known of the context of one model.

    The size is learned from refused inputs, in estimated tokens. Later inputs are made smaller before the call.
    """

    def __init__(self) -> None:
        self._limit: float | None = None
        self._calls = 0

    def fit(self, items: list[TResponseInputItem]) -> list[TResponseInputItem]:
        """The newest turns of an input that are expected to fit."""
        if self._limit is None:
            return items
        self._calls += 1
        if self._calls > _FORGET_AFTER:
            self._limit, self._calls = None, 0
            return items
        while (size := _size(items)) > self._limit:
            smaller = shrink(items)
            if smaller is None or _size(smaller) >= size:
                break
            items = smaller
        return items

    def refused(self, items: Sequence[TResponseInputItem]) -> None:
        """An input was refused because of its size."""
        limit = max(_size(items) * _MARGIN, _SMALLEST)
        self._limit = limit if self._limit is None else min(limit, self._limit)
        self._calls = 0


def shrink(items: Sequence[TResponseInputItem]) -> list[TResponseInputItem] | None:
    """The input without the older half of its earlier turns; if there are none, with shorter tool outputs.

    Returns:
        The smaller input, or `None` if it can be no smaller without the last message itself.
    """
    starts = [place for place, item in enumerate(items) if _role(item) == "user"]
    if len(starts) > 1:
        prefix = [item for item in items[: starts[0]] if _role(item) in {"system", "developer"}]
        return [*prefix, *items[starts[len(starts) // 2] :]]
    shortened = [_shorter_output(item) for item in items]
    return shortened if _size(shortened) < _size(items) else None


def _shorter_output(item: TResponseInputItem) -> TResponseInputItem:
    fields = cast("dict[str, Any]", item)
    output = fields.get("output")
    if fields.get("type") != "function_call_output":
        return item
    if not isinstance(output, str):
        return cast(
            "TResponseInputItem", {**fields, "output": "[Left out: it does not fit into the context.]"}
        )
    return cast(
        "TResponseInputItem", {**fields, "output": shorten(output, max(MIN_OUTPUT_CHARS, len(output) // 2))}
    )


def shorten(text: str, max_chars: int) -> str:
    """The beginning and the end of `text`, with a note between them on what was left out.

    Returns:
        `text` itself if it has at most `max_chars` characters; else about that many.
    """
    if len(text) <= max_chars:
        return text
    head, tail = max_chars * 3 // 4, max_chars // 4
    left_out = len(text) - head - tail
    return (
        f"{text[:head]}\n[… {left_out:,} of {len(text):,} characters are left out here. If you need them, call the "
        f"tool again and ask for less at once. …]\n{text[-tail:]}"
    )


def _role(item: TResponseInputItem) -> str | None:
    role = cast("dict[str, Any]", item).get("role")
    return role if isinstance(role, str) else None


def _size(items: Sequence[TResponseInputItem]) -> int:
    return sum(map(estimate_item_tokens, items))
