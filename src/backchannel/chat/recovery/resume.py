"""A turn whose process died, made ready to be resumed by another one.

Readers are first brought to the state of the store: items that they saw begin and that were not stored are removed,
stored ones that they may not have seen are sent.
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

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
from backchannel.chat.protocol.wire import is_hidden, thread_response
from backchannel.chat.recovery.replay import ReaderState
from backchannel.chat.recovery.resume_point import answer_items
from backchannel.chat.recovery.workflows import settle
from backchannel.chat.turn import Resumable, Server, Turn
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
    state: ReaderState,
    context: RequestContext,
) -> Turn:
    """The turn, to be driven to its end.

    Args:
        began_after: The newest item of the thread when the answer began.
        state: What readers of the run know. Its partial items must not be used afterwards.

    Raises:
        NotFoundError: The thread or the message is gone.
    """
    assert isinstance(server, Resumable)
    thread = await load_thread(server, thread_id, context)
    message = await _message(server, request, thread.id, began_after, context)
    stored = await answer_items(server.store, thread.id, began_after, context.for_server)
    opening = await _missing_opening(server, request, thread, message, state, context)
    opening += [
        ThreadItemDoneEvent(item=item) for item in stored if not is_hidden(item) and item.id not in state.done
    ]
    stored_ids = {item.id for item in stored}
    begun = [item for item in state.partial.items() if item.id not in stored_ids]
    workflows = [item for item in begun if isinstance(item, WorkflowItem)]
    opening += [ThreadItemRemovedEvent(item_id=item.id) for item in begun if item not in workflows]
    answer = partial(server.resume, thread, message, began_after)

    async def respond(server_context: Any) -> AsyncIterator[ThreadStreamEvent]:
        # What the agents did stays on view; only their unfinished text is written again.
        for item in workflows:
            settle(item)
            yield ThreadItemDoneEvent(item=item)
        async for event in answer(server_context):
            yield event

    return Turn(thread, respond, began_after, opening, options=not state.options)


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


async def _missing_opening(
    server: Server,
    request: StreamingReq,
    thread: ThreadMetadata,
    message: UserMessageItem | None,
    state: ReaderState,
    context: RequestContext,
) -> list[ThreadStreamEvent]:
    """What the request itself changed and readers may not know."""
    opening: list[ThreadStreamEvent] = []
    if isinstance(request, ThreadsCreateReq) and not state.created:
        opening.append(ThreadCreatedEvent(thread=thread_response(thread)))
    if (
        message is not None
        and message.id not in state.done
        and not isinstance(request, ThreadsRetryAfterItemReq)
    ):
        opening.append(ThreadItemDoneEvent(item=message))
    if isinstance(request, ThreadsAddStructuredInputReq) and request.params.item_id not in state.done:
        answered = await load_item(server, thread.id, request.params.item_id, context)
        opening.append(ThreadItemReplacedEvent(item=answered))
    return opening
