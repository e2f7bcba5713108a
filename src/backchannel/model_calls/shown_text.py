"""What was shown of one message while it was streamed, to reconcile it with its end."""

import secrets
from typing import Any

from backchannel.model_calls.text import SurrogateJoiner
from backchannel.model_calls.thought_tags import Piece, ThoughtTags


class ShownPart:
    """A content part of a message.

    Attributes:
        refusal: Whether it is a refusal.
        index: Its place among the parts that were shown; `None` before it is.
        fed: Whether any delta came.
        annotations: Its annotations, from the end of the message.
        offset: The number of characters that earlier messages show of it; see `ShownMessage.split`.
    """

    def __init__(self, *, refusal: bool) -> None:
        self.refusal = refusal
        self.index: int | None = None
        self.fed = False
        self.annotations: list[Any] = []
        self.offset = 0
        self._tags = None if refusal else ThoughtTags()
        self._joiner = SurrogateJoiner()
        self._texts: list[str] = []

    def passes(self, delta: str) -> bool:
        """Whether the part is shown already, and `delta` can be shown as it is."""
        return (
            self.index is not None
            and delta.isascii()
            and "\0" not in delta
            and not self._joiner.holds
            and self._tags is not None
            and self._tags.passes(delta)
        )

    def feed(self, delta: str) -> list[Piece]:
        """The complete pieces of text and thought with a delta."""
        self.fed = True
        delta = self._joiner.feed(delta)
        return [("text", delta)] if self._tags is None else self._tags.feed(delta)

    def end(self) -> list[Piece]:
        """The pieces that were held back."""
        rest = self._joiner.end()
        if self._tags is None:
            return [("text", rest)] if rest else []
        return [*(self._tags.feed(rest) if rest else ()), *self._tags.end()]

    def add(self, text: str) -> None:
        """Add text that is shown, or blank text that waits for further text."""
        self._texts.append(text)

    def clear(self) -> None:
        """Forget what was shown: it was a thought."""
        self.index, self._texts = None, []

    @property
    def text(self) -> str:
        """The text so far."""
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
        return self._texts[0] if self._texts else ""

    @text.setter
    def text(self, text: str) -> None:
        self._texts = [text]


class ShownMessage:
    """A message of the response.

    Attributes:
        id: The id in the events that are shown. It is unique, while a server's ids repeat or change.
        source_id: The server's id in the event that began the message.
        output_index: The server's index.
        opened: Whether the message is shown: it is once it has text that is not blank.
        done: Whether its end was shown.
        parts: Its parts by the server's index and whether they are refusals: some servers use one index for both.
    """

    def __init__(self, source_id: str | None, output_index: int | None) -> None:
        self.id = f"msg_{secrets.token_hex(12)}"
        self.source_id = source_id
        self.output_index = output_index
        self.opened = False
        self.done = False
        self.parts: dict[tuple[int, bool], ShownPart] = {}

    def part(self, index: int, *, refusal: bool) -> ShownPart:
        """The part at the server's index; a new one if there is none of this kind."""
        key = (index, refusal)
        part = self.parts.get(key)
        if part is None:
            part = self.parts[key] = ShownPart(refusal=refusal)
        return part

    def split(self) -> None:
        """Begin again under a new id, after what was shown was ended: a thought comes between."""
        self.renew()
        for part in self.parts.values():
            part.index, part.offset = None, len(part.text)

    def renew(self) -> None:
        """Begin again under a new id, after what was shown was removed."""
        self.id, self.opened = f"msg_{secrets.token_hex(12)}", False

    def visible(self) -> list[ShownPart]:
        """The parts that are shown, in order."""
        return sorted(
            (part for part in self.parts.values() if part.index is not None), key=lambda part: part.index or 0
        )
