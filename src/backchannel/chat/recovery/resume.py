"""A turn whose process died, made ready to go on in another one.

Readers are first brought to where the store is: what they had seen begin and nobody kept is taken back, what was kept
and they may not have seen is told.
"""

from collections.abc import AsyncIterator
from functools import partial

from chatkit.types import (
    StreamingReq,
    ThreadCreatedEvent,
    ThreadItem,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemReplacedEvent,
    ThreadMetadata,
    ThreadsAddStructuredInputReq,
    ThreadsAddUserMessageReq,
    ThreadsCreateReq,
    ThreadsCustomActionReq,
    ThreadsRetryAfterItemReq,
    ThreadStreamEvent,
    UserMessageItem,
    WorkflowItem,
)

from backchannel.chat.protocol.commands import load_item, load_thread
from backchannel.chat.agent.activity import settle
from backchannel.chat.recovery.replay import Told
from backchannel.chat.recovery.resume_point import items_of_answer
from backchannel.chat.turn import Resumable, Server, Turn
from backchannel.chat.protocol.wire import is_hidden, thread_response
from backchannel.context import RequestContext


def can_resume(server: Server, request: StreamingReq) -> bool:
    """Whether a server can go on with an answer to this request. It cannot with a widget's action: what that does is
    the application's own, and nothing says how far it came."""
    return isinstance(server, Resumable) and not isinstance(request, ThreadsCustomActionReq)


async def resumed_turn(
    server: Server,
    request: StreamingReq,
    thread_id: str,
    began_after: str,
    told: Told,
    context: RequestContext,
) -> Turn:
    """The turn, to be driven to its end.

    Args:
        began_after: The newest item of the thread when the answer began.
        told: What readers of the run know. What they saw begin is used up.

    Raises:
        NotFoundError: The thread or the message is gone.
    """
    assert isinstance(server, Resumable)
    thread = await load_thread(server, thread_id, context)
    message = await _message(server, request, thread.id, began_after, context)
    kept = await items_of_answer(server.store, thread.id, began_after, context)
    opening = await _untold(server, request, thread, message, told, context)
    opening += [
        ThreadItemDoneEvent(item=item) for item in kept if not is_hidden(item) and item.id not in told.done
    ]
    kept_ids = {item.id for item in kept}
    begun = [item for item in told.partial.items() if item.id not in kept_ids]
    shown = [item for item in begun if isinstance(item, WorkflowItem)]
    opening += [ThreadItemRemovedEvent(item_id=item.id) for item in begun if item not in shown]
    answer = partial(server.resume, thread, message, began_after)

    async def respond(context: RequestContext) -> AsyncIterator[ThreadStreamEvent]:
        # What the agents did stays on view; only what they said is said again.
        for item in shown:
            settle(item)
            yield ThreadItemDoneEvent(item=item)
        async for event in answer(context):
            yield event

    return Turn(thread, respond, began_after, opening, options=not told.options)


async def _message(
    server: Server, request: StreamingReq, thread_id: str, began_after: str, context: RequestContext
) -> UserMessageItem | None:
    """The message that is answered, if it is one."""
    match request:
        case ThreadsCreateReq() | ThreadsAddUserMessageReq():
            item_id = began_after
        case ThreadsRetryAfterItemReq():
            item_id = request.params.item_id
        case _:
            return None
    item: ThreadItem = await load_item(server, thread_id, item_id, context)
    assert isinstance(item, UserMessageItem)
    return item


async def _untold(
    server: Server,
    request: StreamingReq,
    thread: ThreadMetadata,
    message: UserMessageItem | None,
    told: Told,
    context: RequestContext,
) -> list[ThreadStreamEvent]:
    """What the request itself changed and readers may not know."""
    opening: list[ThreadStreamEvent] = []
    if isinstance(request, ThreadsCreateReq) and not told.created:
        opening.append(ThreadCreatedEvent(thread=thread_response(thread)))
    if (
        message is not None
        and message.id not in told.done
        and not isinstance(request, ThreadsRetryAfterItemReq)
    ):
        opening.append(ThreadItemDoneEvent(item=message))
    if isinstance(request, ThreadsAddStructuredInputReq) and request.params.item_id not in told.done:
        answered = await load_item(server, thread.id, request.params.item_id, context)
        opening.append(ThreadItemReplacedEvent(item=answered))
    return opening
