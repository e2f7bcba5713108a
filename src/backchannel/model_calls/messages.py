"""The messages of a response: shown while they are streamed, and reconciled with their ends."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from agents.items import TResponseStreamEvent
from agents.models.fake_id import FAKE_RESPONSES_ID
from openai.types.responses import (
    ResponseContentPartAddedEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseRefusalDeltaEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
)

from backchannel.model_calls.shown_text import ShownMessage, ShownPart
from backchannel.model_calls.text import valid_text
from backchannel.model_calls.thought_tags import split_thoughts
from backchannel.model_calls.thoughts import Thoughts

type Events = Iterator[TResponseStreamEvent]


@dataclass(frozen=True, slots=True)
class TextWasThought:
    """What was shown of a message was a thought, as its closing tag says. The message is to be removed; the thought
    and the rest of the message follow as new items."""

    item_id: str
    type: Literal["backchannel.text_was_thought"] = "backchannel.text_was_thought"


class MessageStream:
    """Normalizes the events of messages.

    Attributes:
        shown: Whether any text was shown.
    """

    def __init__(self, thoughts: Thoughts) -> None:
        self._thoughts = thoughts
        self._messages: list[ShownMessage] = []
        self._reconciled: set[str] = set()
        self.shown = False

    def begin(self, source_id: str | None, output_index: int | None) -> ShownMessage:
        """A message begins. It is shown with its first text."""
        message = ShownMessage(source_id, output_index)
        self._messages.append(message)
        return message

    def text_delta(self, event: Any) -> Iterable[TResponseStreamEvent]:
        """A delta of text."""
        message = self._find(event.item_id, event.output_index)
        part = message.part(event.content_index, refusal=False)
        delta = event.delta or ""
        if not part.passes(delta):
            return self._show(message, part, delta, event)
        # Nearly all events get here: no generators for them.
        part.add(delta)
        event.item_id, event.content_index = message.id, part.index
        return (event,)

    def refusal_delta(self, event: Any) -> Events:
        """A delta of a refusal."""
        message = self._find(event.item_id, event.output_index)
        yield from self._show(
            message, message.part(event.content_index, refusal=True), event.delta or "", event
        )

    def text_done(self, event: Any) -> Events:
        """The end of a text, with all of it."""
        message = self._find(event.item_id, event.output_index)
        part = message.part(event.content_index, refusal=False)
        yield from self._reconcile(message, part, getattr(event, "text", None))
        if part.index is not None:
            event.item_id, event.content_index, event.text = message.id, part.index, part.text[part.offset :]
            yield event

    def refusal_done(self, event: Any) -> Events:
        """The end of a refusal, with all of it."""
        message = self._find(event.item_id, event.output_index)
        part = message.part(event.content_index, refusal=True)
        yield from self._reconcile(message, part, getattr(event, "refusal", None))

    def part_added(self, event: Any) -> Events:
        """A part begins; it is shown with its first text. Text in it is shown at its end, if it is not streamed."""
        yield from ()

    def part_done(self, event: Any) -> Events:
        """The end of a part, with all of it."""
        kind = getattr(event.part, "type", None)
        if kind in {"output_text", "refusal"}:
            message = self._find(event.item_id, event.output_index)
            part = message.part(event.content_index, refusal=kind == "refusal")
            full = getattr(event.part, "refusal" if kind == "refusal" else "text", None)
            yield from self._reconcile(message, part, full)

    def annotation_added(self, event: Any) -> Events:
        """An annotation of text that is shown."""
        message = self._find(event.item_id, event.output_index)
        part = message.part(event.content_index, refusal=False)
        if part.index is not None:
            event.item_id, event.content_index = message.id, part.index
            yield event

    def split(self) -> Events:
        """A thought begins: end what is shown of open messages. Further text of theirs is shown as new messages."""
        for message in self._messages:
            if message.opened and not message.done:
                yield _item_done(message)
                message.split()

    def finish(self, item: Any, output_index: int | None, message: ShownMessage | None = None) -> Events:
        """The end of a message, with all of it."""
        if message is None:
            message = self._ended(output_index) or self._find(getattr(item, "id", None), output_index)
        if message.done:
            return
        for index, raw in enumerate(getattr(item, "content", None) or ()):
            refusal = getattr(raw, "type", None) == "refusal"
            part = message.part(index, refusal=refusal)
            yield from self._reconcile(message, part, getattr(raw, "refusal" if refusal else "text", None))
            part.annotations = getattr(raw, "annotations", None) or []
        yield from self._end(message)

    def finish_all(self) -> Events:
        """End the messages that are open, with what was shown."""
        for message in self._messages:
            if not message.done:
                yield from self._end(message)

    def match(self, item: Any) -> ShownMessage:
        """The message that an item of the completed response is about; a new one if it was not streamed."""
        source_id = getattr(item, "id", None)
        left = [message for message in self._messages if message.id not in self._reconciled]
        same_id = [each for each in left if each.source_id == source_id and source_id != FAKE_RESPONSES_ID]
        message = next(iter([*same_id, *left]), None) or self.begin(source_id, None)
        self._reconciled.add(message.id)
        return message

    def texts(self) -> list[str]:
        """The text of all parts of all messages so far."""
        return [part.text for message in self._messages for part in message.parts.values()]

    def unmatched(self) -> list[ShownMessage]:
        """The messages that were shown and that `match` did not return."""
        return [each for each in self._messages if each.opened and each.id not in self._reconciled]

    def _find(self, source_id: str | None, output_index: int | None) -> ShownMessage:
        """The open message that an event is about: by index, by id, or the last one; else a new one."""
        last = self._messages[-1] if self._messages else None
        if (
            last is not None
            and not last.done
            and last.output_index == output_index
            and output_index is not None
        ):
            return last
        left = [message for message in self._messages if not message.done]
        for message in left:
            if message.output_index == output_index and output_index is not None:
                return message
        for message in left:
            if message.source_id == source_id and source_id is not None:
                return message
        if left and (output_index is None or left[-1].output_index is None):
            return left[-1]
        return self.begin(source_id, output_index)

    def _ended(self, output_index: int | None) -> ShownMessage | None:
        # Some servers repeat the end of a message.
        ended = (each for each in self._messages if each.done and each.output_index == output_index)
        return next(ended, None) if output_index is not None else None

    def _show(self, message: ShownMessage, part: ShownPart, delta: str, event: Any = None) -> Events:
        for kind, text in part.feed(delta):
            yield from self._show_piece(message, part, kind, text, event)
            event = None

    def _show_piece(self, message: ShownMessage, part: ShownPart, kind: str, text: str, event: Any) -> Events:
        if kind == "thought":
            yield from self._thoughts.add(text)
        elif kind == "text_was_thought":
            yield from self._withdraw(message, part)
        else:
            yield from self._show_text(message, part, text, event)

    def _show_text(self, message: ShownMessage, part: ShownPart, text: str, event: Any) -> Events:
        part.add(text)
        if part.index is None:
            text = part.text[part.offset :]
            if not text.strip():
                return
            yield from self._open(message, part)
        if event is None:
            yield self._delta(message, part, text)
        else:
            event.delta, event.item_id, event.content_index = text, message.id, part.index
            yield event

    def _open(self, message: ShownMessage, part: ShownPart) -> Events:
        yield from self._thoughts.end()
        self.shown = True
        if not message.opened:
            message.opened = True
            item = ResponseOutputMessage.model_construct(
                id=message.id, type="message", role="assistant", status="in_progress", content=[]
            )
            yield ResponseOutputItemAddedEvent.model_construct(
                type="response.output_item.added",
                item=item,
                output_index=message.output_index or 0,
                sequence_number=0,
            )
        part.index = len(message.visible())
        yield ResponseContentPartAddedEvent.model_construct(
            type="response.content_part.added", part=_content(part, ""), **_place(message, part)
        )

    def _withdraw(self, message: ShownMessage, part: ShownPart) -> Events:
        if message.opened:
            yield TextWasThought(message.id)  # pyright: ignore[reportReturnType]
        thought = part.text
        message.renew()
        part.clear()
        yield from self._thoughts.add(thought)

    def _reconcile(self, message: ShownMessage, part: ShownPart, full: object) -> Events:
        if not part.fed and isinstance(full, str):
            yield from self._show(message, part, full)
        for kind, text in part.end():
            yield from self._show_piece(message, part, kind, text, None)
        if not isinstance(full, str):
            return
        visible = valid_text(full) if part.refusal else split_thoughts(valid_text(full))[1]
        if not visible.strip() or visible == part.text:
            return
        if visible.startswith(part.text):
            yield from self._show_text(message, part, visible[len(part.text) :], None)
        else:
            part.text = visible
            if part.index is not None:
                yield ResponseTextDoneEvent.model_construct(
                    type="response.output_text.done",
                    text=visible[part.offset :],
                    logprobs=[],
                    **_place(message, part),
                )

    def _end(self, message: ShownMessage) -> Events:
        for part in list(message.parts.values()):
            for kind, text in part.end():
                yield from self._show_piece(message, part, kind, text, None)
        message.done = True
        if message.opened:
            yield _item_done(message)

    def _delta(self, message: ShownMessage, part: ShownPart, text: str) -> TResponseStreamEvent:
        if part.refusal:
            return ResponseRefusalDeltaEvent.model_construct(
                type="response.refusal.delta", delta=text, **_place(message, part)
            )
        return ResponseTextDeltaEvent.model_construct(
            type="response.output_text.delta", delta=text, logprobs=[], **_place(message, part)
        )


def to_item(message: ShownMessage) -> ResponseOutputMessage:
    """What was shown of a message, as an output item."""
    return ResponseOutputMessage.model_construct(
        id=message.id,
        type="message",
        role="assistant",
        status="completed",
        content=[_content(part, part.text[part.offset :]) for part in message.visible()],
    )


def _item_done(message: ShownMessage) -> TResponseStreamEvent:
    return ResponseOutputItemDoneEvent.model_construct(
        type="response.output_item.done",
        item=to_item(message),
        output_index=message.output_index or 0,
        sequence_number=0,
    )


def _content(part: ShownPart, text: str) -> ResponseOutputText | ResponseOutputRefusal:
    if part.refusal:
        return ResponseOutputRefusal.model_construct(type="refusal", refusal=text)
    return ResponseOutputText.model_construct(
        type="output_text", text=text, annotations=part.annotations if text else [], logprobs=[]
    )


def _place(message: ShownMessage, part: ShownPart) -> dict[str, Any]:
    return {
        "item_id": message.id,
        "output_index": message.output_index or 0,
        "content_index": part.index,
        "sequence_number": 0,
    }
