"""Prepares an interrupted turn to be resumed by another process.

Readers are first brought to the state of the store: items that began but were not stored are removed, and stored items
that may not have been sent are sent, from their beginning where a part of their text may have been lost.
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from chatkit.types import (
    ClientToolCallItem,
    StreamingReq,
    StructuredInputItem,
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
from backchannel.chat.protocol.wire import thread_response
from backchannel.chat.recovery.replay import ReaderState
from backchannel.chat.recovery.resend import missing_items
from backchannel.chat.recovery.resume_point import answer_items
from backchannel.chat.recovery.workflows import close_workflow
from backchannel.chat.turn import Resumable, Server, Turn
from backchannel.context import RequestContext


def can_resume(server: Server, request: StreamingReq) -> bool:
    """Whether a server can resume an answer to this request. Widget actions cannot be resumed: they run application
    code, which has no journal."""
    return isinstance(server, Resumable) and not isinstance(request, ThreadsCustomActionReq)


async def resumed_turn(
    server: Server,
    request: StreamingReq,
    thread_id: str,
    began_after: str,
    state: ReaderState,
    context: RequestContext,
) -> Turn:
    """The turn that resumes the answer.

    Args:
        began_after: The id of the newest item of the thread when the answer began.
        state: The state of the run's readers. Its partial items must not be used afterwards.

    Raises:
        NotFoundError: The thread or the message was deleted.
    """
    assert isinstance(server, Resumable)
    thread = await load_thread(server, thread_id, context)
    message = await _message(server, request, thread.id, began_after, context)
    stored = await answer_items(server.store, thread.id, began_after, context.for_server)
    opening = await _missing_opening(server, request, thread, message, state, context)
    opening += missing_items(stored, state)
    stored_ids = {item.id for item in stored}
    unfinished = [item for item in state.partial.items() if item.id not in stored_ids]
    workflows = [item for item in unfinished if isinstance(item, WorkflowItem)]
    opening += [ThreadItemRemovedEvent(item_id=item.id) for item in unfinished if item not in workflows]
    answer = partial(server.resume, thread, message, began_after)

    async def respond(server_context: Any) -> AsyncIterator[ThreadStreamEvent]:
        # Workflows stay in the answer; only unfinished text is generated again.
        for item in workflows:
            close_workflow(item)
            yield ThreadItemDoneEvent(item=item)
        async for event in answer(server_context):
            yield event

    questions = [item for item in stored if isinstance(item, ClientToolCallItem | StructuredInputItem)]
    pending = any(item.status == "pending" for item in questions)
    return Turn(thread, respond, began_after, opening, options=not state.options, awaits_input=pending)


async def _message(
    server: Server, request: StreamingReq, thread_id: str, began_after: str, context: RequestContext
) -> UserMessageItem | None:
    """The user message that the request asks to answer, if any."""
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
    """Events for what the request itself changed and readers may not have received."""
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
