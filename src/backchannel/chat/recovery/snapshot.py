"""The stored result of a run as events, for readers of a log that has expired or lacks its end after a crash."""

from contextlib import suppress

from chatkit.store import NotFoundError as StoreNotFoundError
from chatkit.types import (
    ThreadItem,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadStreamEvent,
    UserMessageItem,
)

from backchannel.chat.protocol.wire import encode_event, is_hidden
from backchannel.chat.recovery.replay import ReaderState
from backchannel.chat.recovery.resend import missing_items
from backchannel.chat.recovery.resume_point import answer_items
from backchannel.chat.turn import Server
from backchannel.context import RequestContext
from backchannel.event_logs.base import Frame
from backchannel.stores.run_store import RunRecord


async def snapshot(server: Server, run: RunRecord, after: int, context: RequestContext) -> list[Frame]:
    """The message and the completed items of a run, in order, as frames numbered from `after` + 1. The numbers are not
    those of the run's log."""
    return [
        Frame(number, encode_event(ThreadItemDoneEvent(item=item)))
        for number, item in enumerate(await _stored_items(server, run, context), start=after + 1)
    ]


async def missing_events(
    server: Server, run: RunRecord, state: ReaderState, context: RequestContext
) -> list[ThreadStreamEvent]:
    """The events that bring readers from `state` to the stored items of a run that has ended."""
    stored = await _stored_items(server, run, context)
    ids = {item.id for item in stored}
    removed = [item.id for item in state.partial.items() if item.id not in ids]
    return [
        *(ThreadItemRemovedEvent(item_id=item_id) for item_id in removed),
        *missing_items(stored, state),
    ]


async def _stored_items(server: Server, run: RunRecord, context: RequestContext) -> list[ThreadItem]:
    if run.began_after is None:
        return []
    items: list[ThreadItem] = []
    # The message may have been deleted, or the thread was empty.
    with suppress(StoreNotFoundError):
        items.append(await server.store.load_item(run.thread_id, run.began_after, context.for_server))
    for item in await answer_items(server.store, run.thread_id, run.began_after, context.for_server):
        if isinstance(item, UserMessageItem):
            # It belongs to the next run.
            break
        items.append(item)
    return [item for item in items if not is_hidden(item)]
