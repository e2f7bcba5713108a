"""Converts a model's response events to thread events: messages, annotations, reasoning, generated images.

Produces the same events as the SDK's `stream_agent_response`.
"""

from collections.abc import Iterator
from typing import Any, cast

from agents.items import TResponseStreamEvent
from chatkit.types import (
    Annotation,
    AssistantMessageContent,
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartAnnotationAdded,
    AssistantMessageContentPartDone,
    AssistantMessageContentPartTextDelta,
    AssistantMessageItem,
    FileSource,
    ThoughtTask,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
    URLSource,
)
from openai.types.responses import (
    ResponseContentPartAddedEvent,
    ResponseImageGenCallPartialImageEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningSummaryTextDeltaEvent,
    ResponseReasoningSummaryTextDoneEvent,
    ResponseRefusalDeltaEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
)
from openai.types.responses.response_output_item import ImageGenerationCall
from openai.types.responses.response_output_text_annotation_added_event import (
    ResponseOutputTextAnnotationAddedEvent,
)

from backchannel.chat.agent.activity import Activity
from backchannel.chat.agent.images import GeneratedImages
from backchannel.ids import new_id
from backchannel.model_calls.messages import TextWasThought
from backchannel.stores.times import to_sdk, utc_now


class Messages:
    """Converts the model calls of one answer. Provider ids are replaced, as they may repeat in every turn."""

    def __init__(self, context: Any, activity: Activity) -> None:
        self._thread_id: str = context.thread.id
        self._activity = activity
        self._open: dict[str, AssistantMessageItem] = {}
        self._images = GeneratedImages(self._thread_id)
        self._annotations: dict[tuple[str, int], list[Annotation]] = {}
        self._thoughts: dict[str, str] = {}

    def translate(self, event: TResponseStreamEvent | TextWasThought) -> Iterator[ThreadStreamEvent]:
        """The thread events for one response event of the model."""
        match event:
            case ResponseTextDeltaEvent() | ResponseRefusalDeltaEvent():
                yield self._update(event.item_id, _delta(event.content_index, event.delta))
            case ResponseOutputItemAddedEvent():
                yield from self._item_added(event)
            case ResponseContentPartAddedEvent():
                if isinstance(event.part, ResponseOutputText | ResponseOutputRefusal):
                    added = AssistantMessageContentPartAdded(
                        content_index=event.content_index, content=content_from(event.part)
                    )
                    yield self._update(event.item_id, added)
            case ResponseTextDoneEvent():
                done = AssistantMessageContentPartDone(
                    content_index=event.content_index, content=AssistantMessageContent(text=event.text)
                )
                yield self._update(event.item_id, done)
            case ResponseOutputTextAnnotationAddedEvent():
                yield from self._annotation_added(event)
            case ResponseOutputItemDoneEvent():
                yield from self._item_done(event)
            case ResponseReasoningSummaryTextDeltaEvent() | ResponseReasoningSummaryTextDoneEvent():
                yield from self._reasoning_changed(event)
            case ResponseImageGenCallPartialImageEvent():
                yield from self._images.update(event)
            case TextWasThought():
                yield from self._withdraw(event.item_id)
            case _:
                pass

    def _update(self, provider_id: str, update: Any) -> ThreadItemUpdatedEvent:
        item = self._open.get(provider_id)
        return ThreadItemUpdatedEvent(item_id=item.id if item else provider_id, update=update)

    def _item_added(self, event: ResponseOutputItemAddedEvent) -> Iterator[ThreadStreamEvent]:
        if isinstance(event.item, ResponseOutputMessage):
            yield from self._activity.close()
            item = AssistantMessageItem(
                id=new_id("message"),
                thread_id=self._thread_id,
                created_at=to_sdk(utc_now()),
                content=[content_from(part) for part in event.item.content],
            )
            self._open[event.item.id] = item
            yield ThreadItemAddedEvent(item=item)
        elif isinstance(event.item, ImageGenerationCall):
            yield from self._activity.close()
            yield from self._images.begin(event.item)

    def _item_done(self, event: ResponseOutputItemDoneEvent) -> Iterator[ThreadStreamEvent]:
        if isinstance(event.item, ResponseOutputMessage):
            if event.item.id not in self._open:
                yield from self._activity.close()
            added = self._open.pop(event.item.id, None)
            yield ThreadItemDoneEvent(
                item=AssistantMessageItem(
                    id=added.id if added else new_id("message"),
                    thread_id=self._thread_id,
                    created_at=added.created_at if added else to_sdk(utc_now()),
                    content=[content_from(part) for part in event.item.content],
                )
            )
        elif isinstance(event.item, ImageGenerationCall):
            yield from self._images.end(event.item)

    def _withdraw(self, provider_id: str) -> Iterator[ThreadStreamEvent]:
        item = self._open.pop(provider_id, None)
        if item is not None:
            yield ThreadItemRemovedEvent(item_id=item.id)

    def close(self) -> Iterator[ThreadStreamEvent]:
        """End the images that have begun and are not done."""
        yield from self._images.close()

    def _annotation_added(self, event: ResponseOutputTextAnnotationAddedEvent) -> Iterator[ThreadStreamEvent]:
        annotation = _annotation(event.annotation)
        known = self._annotations.setdefault((event.item_id, event.content_index), [])
        # Some endpoints repeat each annotation.
        if annotation is None or annotation in known:
            return
        # Counted here: unsupported annotations are left out, so the model's own indexes have gaps.
        update = AssistantMessageContentPartAnnotationAdded(
            content_index=event.content_index, annotation_index=len(known), annotation=annotation
        )
        known.append(annotation)
        yield self._update(event.item_id, update)

    def _reasoning_changed(
        self, event: ResponseReasoningSummaryTextDeltaEvent | ResponseReasoningSummaryTextDoneEvent
    ) -> Iterator[ThreadStreamEvent]:
        key = f"thought:{event.item_id}:{event.summary_index}"
        known = key in self._thoughts
        text = self._thoughts.get(key, "")
        if isinstance(event, ResponseReasoningSummaryTextDeltaEvent):
            text += event.delta
        else:
            text = event.text
        self._thoughts[key] = text
        task = ThoughtTask(content=text)
        yield from self._activity.change(key, task) if known else self._activity.begin(key, task)


def content_from(part: ResponseOutputText | ResponseOutputRefusal) -> AssistantMessageContent:
    """The ChatKit content of a part of the model's message. A refusal becomes text."""
    if isinstance(part, ResponseOutputRefusal):
        return AssistantMessageContent(text=part.refusal)
    annotations: list[Annotation] = []
    for each in map(_annotation, part.annotations):
        if each is not None and each not in annotations:
            annotations.append(each)
    return AssistantMessageContent(text=part.text, annotations=annotations)


def _delta(index: int, text: str) -> AssistantMessageContentPartTextDelta:
    return AssistantMessageContentPartTextDelta(content_index=index, delta=text)


def _annotation(raw: object) -> Annotation | None:
    # For some annotation events the OpenAI client returns a dictionary or an unrelated class.
    if isinstance(raw, dict):
        values = cast("dict[str, Any]", raw)
    else:
        dump = getattr(raw, "model_dump", None)
        values = cast("dict[str, Any]", dump()) if dump else {}
    match values:
        case {"type": "file_citation", "filename": str(name), **rest} if name:
            return Annotation(source=FileSource(filename=name, title=name), index=rest.get("index"))
        case {"type": "container_file_citation", "filename": str(name), **rest} if name:
            return Annotation(source=FileSource(filename=name, title=name), index=rest.get("end_index"))
        case {"type": "url_citation", "url": str(url), **rest}:
            title = rest.get("title") or url
            return Annotation(source=URLSource(url=url, title=title), index=rest.get("end_index"))
        case _:
            return None
