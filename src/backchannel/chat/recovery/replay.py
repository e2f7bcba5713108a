"""The state of a run's readers, read back from the run's event log: what a process that takes the run over must know,
and what a newcomer is shown of an answer in progress."""

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
    """What a reader knows that has read all of a run's log.

    Attributes:
        last: The number of the last event.
        partial: The items that have begun and are not done.
        done: Ids of items that are done.
        created: Whether the new thread was shown.
        options: Whether the stream's options were shown.
        failed: Whether an error was shown.
    """

    def __init__(self) -> None:
        self.last = 0
        self.partial = PartialItems()
        self.done: set[str] = set()
        self.created = False
        self.options = False
        self.failed = False

    def apply(self, frames: Iterable[Frame]) -> None:
        """Take the next frames of the log into account."""
        for frame in frames:
            self.last = frame.seq
            if frame.event.plain:
                continue
            try:
                event = _EVENT.validate_json(frame.event.body())
            except ValidationError:
                # An event of the application's own, which no item depends on.
                continue
            self._apply(event)

    def _apply(self, event: ThreadStreamEvent) -> None:
        match event:
            case ThreadItemAddedEvent():
                # Dates on the wire are in UTC and say so; the SDK cannot calculate with those.
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
    """The state of a run's readers at the present end of its log.

    Raises:
        LookupError: The log does not know the run.
    """
    batch = await events.read(run_id, 0, wait=0)
    state = ReaderState()
    state.apply(batch.frames)
    return state


async def partial_items(events: EventLog, run_id: str) -> list[ThreadItem]:
    """The unfinished items of a run, as far as they have come."""
    try:
        return (await replay(events, run_id)).partial.items()
    except LookupError:
        return []
