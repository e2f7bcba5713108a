"""Replays a run's event log to the state of its readers: to resume the run, and to show an answer in progress."""

import json
from collections.abc import Iterable

from chatkit.types import (
    ErrorEvent,
    StreamOptionsEvent,
    ThreadCreatedEvent,
    ThreadItem,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemReplacedEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
)
from pydantic import TypeAdapter, ValidationError

from backchannel.chat.recovery.partial import PartialItems
from backchannel.event_logs.base import EventLog, Frame
from backchannel.stores.times import to_sdk

_EVENT: TypeAdapter[ThreadStreamEvent] = TypeAdapter(ThreadStreamEvent)


class ReaderState:
    """The state of a reader that has read a run's log.

    Attributes:
        last: The sequence number of the last event; 0 for an empty log.
        partial: The items that have begun and are not done.
        done: The ids of the items that are done.
        created: Whether `thread.created` was sent.
        options: Whether the stream options were sent.
        failed: Whether an `error` event was sent.
        error_code: The stable code in that event, if it has one.
    """

    def __init__(self) -> None:
        self.last = 0
        self.partial = PartialItems()
        self.done: set[str] = set()
        self.created = False
        self.options = False
        self.failed = False
        self.error_code: str | None = None

    def apply(self, frames: Iterable[Frame]) -> None:
        """Apply the next frames of the log."""
        for frame in frames:
            self.last = frame.seq
            if frame.event.plain:
                continue
            try:
                event = _EVENT.validate_json(frame.event.body())
            except ValidationError:
                # An event type of the application. It does not affect items.
                continue
            self._apply(event)
            if isinstance(event, ErrorEvent):
                # Not a field of the SDK's event.
                reason = json.loads(frame.event.body()).get("reason")
                self.error_code = reason if isinstance(reason, str) else None

    def _apply(self, event: ThreadStreamEvent) -> None:
        match event:
            case ThreadItemAddedEvent():
                # The wire has aware UTC dates; the SDK calculates with naive local dates.
                self.partial.begin(
                    event.item.model_copy(update={"created_at": to_sdk(event.item.created_at)})
                )
            case ThreadItemUpdatedEvent():
                self.partial.update(event)
            case ThreadItemDoneEvent() | ThreadItemReplacedEvent():
                self.partial.end(event.item.id)
                self.done.add(event.item.id)
            case ThreadItemRemovedEvent():
                self.partial.end(event.item_id)
                self.done.discard(event.item_id)
            case ThreadCreatedEvent():
                self.created = True
            case StreamOptionsEvent():
                self.options = True
            case ErrorEvent():
                self.failed = True
            case _:
                pass


async def replay(events: EventLog, run_id: str) -> ReaderState:
    """The state of a run's readers at the current end of its log.

    Raises:
        LookupError: The log has no such run.
    """
    batch = await events.read(run_id, 0, wait=0)
    state = ReaderState()
    state.apply(batch.frames)
    return state


async def partial_items(events: EventLog, run_id: str) -> list[ThreadItem]:
    """The unfinished items of a run in their current state; none if its log has expired."""
    try:
        return (await replay(events, run_id)).partial.items()
    except LookupError:
        return []
