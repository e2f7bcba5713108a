"""The thoughts of a response, each under an id of its own."""

import secrets
from collections.abc import Iterator
from typing import Any

from agents.items import TResponseStreamEvent
from openai.types.responses import ResponseReasoningSummaryTextDeltaEvent

from backchannel.model_calls.text import SurrogateJoiner

type Events = Iterator[TResponseStreamEvent]


class Thoughts:
    """Yields all thoughts as deltas of reasoning summaries, whatever field or tag they arrived in.

    A thought ends where text or a call begins, and where the server begins another part or item. Ids decide nothing:
    servers change them with each event.

    Attributes:
        shown: Whether any thought was shown.
    """

    def __init__(self) -> None:
        self._id: str | None = None
        self._place: object = None
        self._texts: list[str] = []
        self._earlier: list[str] = []
        self._joiner = SurrogateJoiner()
        self.shown = False

    @property
    def open(self) -> bool:
        """Whether a thought is being shown."""
        return self._id is not None

    def texts(self) -> list[str]:
        """The text of all thoughts so far."""
        return [*self._earlier, *self._current()]

    def begin(self) -> Events:
        """A reasoning item begins."""
        yield from self.end()

    def part_added(self, event: Any) -> Events:
        """A part of a summary begins."""
        if self._place is None or self._place != ("summary", event.summary_index):
            yield from self.end()

    def delta(self, event: Any) -> Events:
        """A delta of a summary or of reasoning text."""
        place = _place(event)
        if self._place is not None and place != self._place:
            yield from self.end()
        yield from self.add(getattr(event, "delta", None) or "")
        self._place = place

    def text_done(self, event: Any) -> Events:
        """The end of a part, with its whole text."""
        yield from self._reconcile(getattr(event, "text", None) or "")

    def item_done(self, item: Any) -> Events:
        """The end of a reasoning item. Shows what was not shown before: some servers send no deltas."""
        texts = [
            text
            for part in (*(getattr(item, "summary", None) or ()), *(getattr(item, "content", None) or ()))
            if isinstance(text := getattr(part, "text", None), str) and text.strip()
        ]
        for text in texts:
            if self._id is not None:
                yield from self._reconcile(text)
            if not any(text in known or known in text for known in [*self._earlier, *self._current()]):
                yield from self.end()
                yield from self.add(text)
        yield from self.end()

    def add(self, text: str) -> Events:
        """Add text to the thought, or begin one. A thought is not shown before it has text that is not blank."""
        text = self._joiner.feed(text)
        self._texts.append(text)
        if self._id is None:
            text = "".join(self._texts).lstrip()
            if not text:
                return
            self._id = f"thought_{secrets.token_hex(8)}"
            self._texts = [text]
            self.shown = True
        if text:
            yield ResponseReasoningSummaryTextDeltaEvent.model_construct(
                type="response.reasoning_summary_text.delta",
                delta=text,
                item_id=self._id,
                output_index=0,
                summary_index=0,
                sequence_number=0,
            )

    def end(self) -> Events:
        """End the thought, if there is one. The next text begins another."""
        rest = self._joiner.end()
        if rest:
            yield from self.add(rest)
        self._earlier += self._current()
        self._id, self._place, self._texts = None, None, []

    def _reconcile(self, text: str) -> Events:
        shown = "".join(self._texts)
        if self._id is not None and text.startswith(shown):
            yield from self.add(text[len(shown) :])

    def _current(self) -> list[str]:
        return ["".join(self._texts)] if self._id is not None else []


def _place(event: Any) -> object:
    index = getattr(event, "summary_index", None)
    return ("summary", index) if index is not None else ("text", getattr(event, "content_index", None))
