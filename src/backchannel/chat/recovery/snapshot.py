"""What a run left in its thread, told as if it happened now: for readers who come after its events have expired, and
for those who were not told everything before its process died."""

from contextlib import suppress

from chatkit.store import NotFoundError as StoreNotFoundError
from chatkit.types import (
    ThreadItem,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadStreamEvent,
    UserMessageItem,
)

from backchannel.chat.recovery.replay import Told
from backchannel.chat.recovery.resume_point import items_of_answer
from backchannel.chat.turn import Server
from backchannel.chat.protocol.wire import encode_event, is_hidden
from backchannel.context import RequestContext
from backchannel.event_logs.base import Frame
from backchannel.stores.run_store import RunRecord


async def snapshot(server: Server, run: RunRecord, after: int, context: RequestContext) -> list[Frame]:
    """The message and the finished items of a run, in order. Their numbers follow `after` and mean nothing else."""
    return [
        Frame(number, encode_event(ThreadItemDoneEvent(item=item)))
        for number, item in enumerate(await _left(server, run, context), start=after + 1)
    ]


async def untold(
    server: Server, run: RunRecord, so_far: Told, context: RequestContext
) -> list[ThreadStreamEvent]:
    """What readers of a run that has ended are to be told after `so_far`, so that they know what is kept of it."""
    kept = await _left(server, run, context)
    ids = {item.id for item in kept}
    gone = [item.id for item in so_far.partial.items() if item.id not in ids]
    return [
        *(ThreadItemRemovedEvent(item_id=item_id) for item_id in gone),
        *(ThreadItemDoneEvent(item=item) for item in kept if item.id not in so_far.done),
    ]


async def _left(server: Server, run: RunRecord, context: RequestContext) -> list[ThreadItem]:
    if run.began_after is None:
        return []
    items: list[ThreadItem] = []
    # It may have been deleted since then, or there was none.
    with suppress(StoreNotFoundError):
        items.append(await server.store.load_item(run.thread_id, run.began_after, context))
    for item in await items_of_answer(server.store, run.thread_id, run.began_after, context):
        if isinstance(item, UserMessageItem):
            # The next run's.
            break
        items.append(item)
    return [item for item in items if not is_hidden(item)]
