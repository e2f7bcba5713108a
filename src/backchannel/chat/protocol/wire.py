"""Thread events and answers as JSON: the SDK's bytes, except that every date says that it is UTC.

The SDK sends naive local dates, which strict clients reject and others misread by the server's offset.
"""

import json
from collections.abc import Sequence
from functools import lru_cache

from chatkit.types import (
    AssistantMessageContentPartTextDelta,
    HiddenContextItem,
    Page,
    SDKHiddenContextItem,
    Thread,
    ThreadCreatedEvent,
    ThreadItem,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemReplacedEvent,
    ThreadItemUpdatedEvent,
    ThreadMetadata,
    ThreadStreamEvent,
    ThreadUpdatedEvent,
)
from pydantic import BaseModel

from backchannel.event_logs.base import Event
from backchannel.stores.text import json_of
from backchannel.stores.times import to_utc


def encode(model: BaseModel) -> bytes:
    """A model's JSON as ChatKit clients get it: no nulls, and no metadata of attachments."""
    return json_of(model, by_alias=True, context={"exclude_metadata": True}).encode()


def encode_event(event: ThreadStreamEvent) -> Event:
    """An event for the log. A text delta is put together by hand, which costs a twentieth of a model dump."""
    match event:
        case ThreadItemUpdatedEvent(update=AssistantMessageContentPartTextDelta() as update):
            return Event(_head(event.item_id, update.content_index), update.delta)
        case ThreadItemAddedEvent() | ThreadItemDoneEvent() | ThreadItemReplacedEvent():
            return Event(encode(event.model_copy(update={"item": dated(event.item)})))
        case ThreadCreatedEvent() | ThreadUpdatedEvent():
            return Event(encode(event.model_copy(update={"thread": thread_response(event.thread)})))
        case _:
            return Event(encode(event))


@lru_cache(maxsize=1024)
def _head(item_id: str, content_index: int) -> bytes:
    """What stands before the text in each delta of a part."""
    return (
        f'{{"type":"thread.item.updated","item_id":{json.dumps(item_id, ensure_ascii=False)},"update":'
        f'{{"type":"assistant_message.content_part.text_delta","content_index":{content_index},"delta":'
    ).encode()


def dated[T: (ThreadItem, Thread)](item: T) -> T:
    """A copy whose date is in UTC and says so."""
    return item.model_copy(update={"created_at": to_utc(item.created_at)})


def thread_response(thread: ThreadMetadata, items: Page[ThreadItem] | None = None) -> Thread:
    """A thread as clients see it: its metadata is the server's own and stays here."""
    shown = items or (thread.items if isinstance(thread, Thread) else Page[ThreadItem]())
    return Thread(
        id=thread.id,
        title=thread.title,
        created_at=to_utc(thread.created_at),
        status=thread.status,
        allowed_image_domains=thread.allowed_image_domains,
        items=items_response(shown),
    )


def items_response(page: Page[ThreadItem]) -> Page[ThreadItem]:
    """A page of items as clients see it."""
    shown: Sequence[ThreadItem] = [dated(item) for item in page.data if not is_hidden(item)]
    return Page(data=list(shown), has_more=page.has_more, after=page.after)


def is_hidden(item: ThreadItem) -> bool:
    """Whether an item is for the model only and never leaves the server."""
    return isinstance(item, HiddenContextItem | SDKHiddenContextItem)
