"""What a run has told so far, read back from its event log: for whoever takes it over, and for whoever looks in."""

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


class Told:
    """What readers of a run know.

    Attributes:
        last: The number of the last event.
        partial: The items that have begun and are not done.
        done: Ids of items that are done.
        created: Whether they know of the new thread.
        options: Whether they know of the stream's options.
        failed: Whether they know of an error.
    """

    def __init__(self) -> None:
        self.last = 0
        self.partial = PartialItems()
        self.done: set[str] = set()
        self.created = False
        self.options = False
        self.failed = False

    def hear(self, frames: Iterable[Frame]) -> None:
        """Take in what was told next."""
        for frame in frames:
            self.last = frame.seq
            if frame.event.plain:
                continue
            try:
                event = _EVENT.validate_json(frame.event.body())
            except ValidationError:
                # An event of the application's own, which no item depends on.
                continue
            self._hear(event)

    def _hear(self, event: ThreadStreamEvent) -> None:
        match event:
            case ThreadItemAddedEvent():
                # On the wire dates are in UTC and say so; the SDK cannot reckon with those.
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


async def told(events: EventLog, run_id: str) -> Told:
    """What a run has told up to now.

    Raises:
        LookupError: The log does not know the run.
    """
    batch = await events.read(run_id, 0, wait=0)
    so_far = Told()
    so_far.hear(batch.frames)
    return so_far


async def partial_items(events: EventLog, run_id: str) -> list[ThreadItem]:
    """The items that a run has begun and not finished, as far as they have come."""
    try:
        return (await told(events, run_id)).partial.items()
    except LookupError:
        return []
