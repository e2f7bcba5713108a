"""Accepts streaming requests: validates them, stores their input and prepares the answer.

Everything is validated before the first write, so a rejected request changes nothing.
"""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from chatkit.server import ChatKitServer
from chatkit.store import NotFoundError as StoreNotFoundError
from chatkit.types import (
    Attachment,
    ClientToolCallItem,
    LockedStatus,
    StreamingReq,
    StructuredInputAnswer,
    StructuredInputItem,
    StructuredInputMultipleChoice,
    StructuredInputSubmission,
    ThreadCreatedEvent,
    ThreadItem,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemReplacedEvent,
    ThreadMetadata,
    ThreadsAddClientToolOutputReq,
    ThreadsAddStructuredInputReq,
    ThreadsAddUserMessageReq,
    ThreadsCreateReq,
    ThreadsCustomActionReq,
    ThreadsRetryAfterItemReq,
    ThreadStreamEvent,
    UserMessageInput,
    UserMessageItem,
    WidgetItem,
)

from backchannel.chat.protocol.paging import newest_items
from backchannel.chat.protocol.wire import is_hidden, thread_response
from backchannel.chat.turn import (
    ChecksOptions,
    ChecksThreads,
    KeepsFiles,
    KnowsActions,
    Respond,
    Server,
    Turn,
)
from backchannel.context import RequestContext
from backchannel.errors import ConflictError, InvalidInputError, NotEnabledError, NotFoundError
from backchannel.stores.base import DeletesTail
from backchannel.stores.times import to_sdk, utc_now


def thread_of(request: StreamingReq) -> str | None:
    """The id of a request's thread; `None` if the request creates one."""
    return None if isinstance(request, ThreadsCreateReq) else request.params.thread_id


async def accept(server: Server, request: StreamingReq, context: RequestContext) -> Turn:
    """Validate a request and store its input.

    Raises:
        NotFoundError: The thread, an item or an attachment does not exist or has another owner.
        ConflictError: The thread is locked or closed, or the input was already submitted.
        InvalidInputError: The item is of the wrong type for the request; or the message chooses a model or a tool that
            cannot be chosen.
        NotEnabledError: The server has no widget actions.
    """
    match request:
        case ThreadsCreateReq():
            return await _create(server, request.params.input, context)
        case ThreadsAddUserMessageReq():
            thread = await open_thread(server, request.params.thread_id, context)
            return await _add_user_message(server, thread, request.params.input, context)
        case ThreadsAddClientToolOutputReq():
            return await _add_tool_output(server, request, context)
        case ThreadsAddStructuredInputReq():
            return await _add_structured_input(server, request, context)
        case ThreadsRetryAfterItemReq():
            return await _retry(server, request, context)
        case ThreadsCustomActionReq():
            return await _custom_action(server, request, context)


async def check_waiting(server: Server, request: StreamingReq, context: RequestContext) -> None:
    """Check that a request may wait behind other runs of its thread; and, at its turn, that it may still be accepted.

    Questions that were answered are not answered again, on whichever replica.

    A retry deletes what follows its message, and a client cannot know what that will be when its turn comes. So one
    that waits must be of the newest message.

    Raises:
        NotFoundError: The thread or the message to retry does not exist or has another owner.
        ConflictError: The thread is locked or closed, or has a newer message than the one to retry.
        InvalidInputError: The item to retry is not a user message; or the message chooses a model or a tool that cannot
            be chosen.
    """
    if isinstance(request, ThreadsAddStructuredInputReq):
        await _load_question(server, request.params.thread_id, request.params.item_id, context)
    if isinstance(request, ThreadsAddUserMessageReq):
        _check_options(server, request.params.input)
    if not isinstance(request, ThreadsRetryAfterItemReq):
        return
    thread, message = await _load_to_retry(server, request, context)
    async for item in newest_items(server.store, thread.id, context.for_server):
        if item.id == message.id:
            return
        if isinstance(item, UserMessageItem):
            raise ConflictError(
                "This conversation has a newer message, which regenerating this answer would delete. "
                "Read the newer message first, then try again."
            )


async def load_thread(server: Server, thread_id: str, context: RequestContext) -> ThreadMetadata:
    """Load a thread of the caller.

    Raises:
        NotFoundError: The thread does not exist or has another owner.
    """
    try:
        return await server.store.load_thread(thread_id, context.for_server)
    except StoreNotFoundError:
        raise NotFoundError(f"There is no thread {thread_id}.") from None


async def load_item(server: Server, thread_id: str, item_id: str, context: RequestContext) -> ThreadItem:
    """Load a visible item of the caller.

    Raises:
        NotFoundError: The thread has no such item, or it is hidden from clients.
    """
    try:
        item = await server.store.load_item(thread_id, item_id, context.for_server)
    except StoreNotFoundError:
        item = None
    if item is None or is_hidden(item):
        raise NotFoundError(f"There is no item {item_id} in this thread.")
    return item


async def load_widget(
    server: Server, thread_id: str, item_id: str | None, context: RequestContext
) -> WidgetItem | None:
    """Load the widget that sent an action; `None` without an `item_id`.

    Raises:
        NotFoundError: The thread has no such item.
        InvalidInputError: The item is not a widget.
    """
    if item_id is None:
        return None
    item = await load_item(server, thread_id, item_id, context)
    if not isinstance(item, WidgetItem):
        raise InvalidInputError(f"Item {item_id} is not a widget, so no action can come from it.")
    return item


async def open_thread(server: Server, thread_id: str, context: RequestContext) -> ThreadMetadata:
    """Load a thread of the caller that accepts messages.

    Raises:
        NotFoundError: The thread does not exist or has another owner.
        ConflictError: The thread is locked or closed.
    """
    thread = await load_thread(server, thread_id, context)
    if thread.status.type != "active":
        reason = f": {thread.status.reason}" if thread.status.reason else "."
        how = "locked" if isinstance(thread.status, LockedStatus) else "closed"
        raise ConflictError(f"This conversation is {how}{reason}")
    return thread


def _check_options(server: Server, message: UserMessageInput) -> None:
    if isinstance(server, ChecksOptions):
        server.check_options(message.inference_options)


async def _create(server: Server, message: UserMessageInput, context: RequestContext) -> Turn:
    _check_options(server, message)
    thread = ThreadMetadata(
        id=server.store.generate_thread_id(context.for_server), created_at=to_sdk(utc_now())
    )
    attachments = await _load_attachments(server, thread, message, context)
    await server.store.save_thread(thread, context.for_server)
    item = await _save_message(server, thread, message, attachments, context)
    opening: list[ThreadStreamEvent] = [
        ThreadCreatedEvent(thread=thread_response(thread)),
        ThreadItemDoneEvent(item=item),
    ]
    return Turn(thread, partial(server.respond, thread, item), item.id, opening)


async def _add_user_message(
    server: Server, thread: ThreadMetadata, message: UserMessageInput, context: RequestContext
) -> Turn:
    _check_options(server, message)
    if isinstance(server, ChecksThreads):
        await server.check_thread(thread, context.for_server)
    attachments = await _load_attachments(server, thread, message, context)
    item = await _save_message(server, thread, message, attachments, context)
    return Turn(thread, partial(server.respond, thread, item), item.id, [ThreadItemDoneEvent(item=item)])


async def prepare_attachments(server: Server, request: StreamingReq, context: RequestContext) -> None:
    """Check the attachments of a new message, which may take as long as reading them does. To be called before
    `accept`, and outside of its transaction.

    Raises:
        BackchannelError: One of them cannot be sent.
    """
    if not isinstance(request, ThreadsCreateReq | ThreadsAddUserMessageReq):
        return
    attachment_ids = request.params.input.attachments
    if attachment_ids and isinstance(server.attachment_store, KeepsFiles):
        await server.attachment_store.prepare(list(dict.fromkeys(attachment_ids)), context.identity)


async def _load_attachments(
    server: Server, thread: ThreadMetadata, message: UserMessageInput, context: RequestContext
) -> Sequence[Attachment]:
    # One that is named twice is sent once.
    attachment_ids = list(dict.fromkeys(message.attachments))
    if isinstance(server.attachment_store, KeepsFiles):
        return await server.attachment_store.send(attachment_ids, thread.id, context.identity)
    try:
        return [await server.store.load_attachment(each, context.for_server) for each in attachment_ids]
    except StoreNotFoundError:
        raise NotFoundError("An attachment of this message does not exist. Upload it again.") from None


async def _save_message(
    server: Server,
    thread: ThreadMetadata,
    message: UserMessageInput,
    attachments: Sequence[Attachment],
    context: RequestContext,
) -> UserMessageItem:
    in_thread = [each.model_copy(update={"thread_id": thread.id}) for each in attachments]
    for attachment in in_thread:
        await server.store.save_attachment(attachment, context.for_server)
    item = UserMessageItem(
        id=server.store.generate_item_id("message", thread, context.for_server),
        thread_id=thread.id,
        created_at=to_sdk(utc_now()),
        content=message.content,
        attachments=in_thread,
        quoted_text=message.quoted_text,
        inference_options=message.inference_options,
    )
    await server.store.add_thread_item(thread.id, item, context.for_server)
    return item


async def _add_tool_output(
    server: Server, request: ThreadsAddClientToolOutputReq, context: RequestContext
) -> Turn:
    thread = await open_thread(server, request.params.thread_id, context)
    pending: list[ClientToolCallItem] = []
    async for item in newest_items(server.store, thread.id, context.for_server):
        if isinstance(item, UserMessageItem):
            break
        if isinstance(item, ClientToolCallItem) and item.status == "pending":
            pending.append(item)
    if not pending:
        raise ConflictError("No tool call is waiting for a result: it was answered already, or never made.")
    call, *orphans = pending
    call.output = request.params.result
    call.status = "completed"
    await server.store.save_item(thread.id, call, context.for_server)
    for orphan in orphans:
        # Only the newest call can get an output. The model's input must not have calls without one.
        await server.store.delete_thread_item(thread.id, orphan.id, context.for_server)
    newest = await _newest_item_id(server, thread.id, context)
    return Turn(thread, partial(server.respond, thread, None), newest)


async def _add_structured_input(
    server: Server, request: ThreadsAddStructuredInputReq, context: RequestContext
) -> Turn:
    params = request.params
    thread = await open_thread(server, params.thread_id, context)
    item = await _load_question(server, thread.id, params.item_id, context)
    answered = _apply_submission(item, params.input)
    await server.store.save_item(thread.id, answered, context.for_server)

    async def respond(server_context: Any) -> AsyncIterator[ThreadStreamEvent]:
        yield ThreadItemReplacedEvent(item=answered)
        async for event in server.respond(thread, None, server_context):
            yield event

    return Turn(thread, respond, await _newest_item_id(server, thread.id, context))


async def _load_question(
    server: Server, thread_id: str, item_id: str, context: RequestContext
) -> StructuredInputItem:
    item = await load_item(server, thread_id, item_id, context)
    if not isinstance(item, StructuredInputItem):
        raise InvalidInputError(f"Item {item_id} does not ask for structured input.")
    if item.status != "pending":
        raise ConflictError("These questions were answered already.")
    return item


def _apply_submission(
    item: StructuredInputItem, submission: StructuredInputSubmission
) -> StructuredInputItem:
    # The SDK's rules: unanswered questions count as skipped, answers to unknown questions are ignored, and a
    # single-choice question takes the first value.
    answered = item.model_copy(deep=True)
    for question in answered.inputs:
        answer = submission.answers.get(question.id)
        if submission.status == "skipped" or answer is None or answer.skipped or not answer.values:
            question.answer = StructuredInputAnswer(skipped=True)
            continue
        single = isinstance(question, StructuredInputMultipleChoice) and not question.multiple
        question.answer = StructuredInputAnswer(values=answer.values[:1] if single else answer.values)
    answered.status = submission.status
    return answered


async def _retry(server: Server, request: ThreadsRetryAfterItemReq, context: RequestContext) -> Turn:
    thread, message = await _load_to_retry(server, request, context)
    later: list[ThreadItem] = []
    async for item in newest_items(server.store, thread.id, context.for_server):
        if item.id == message.id:
            break
        later.append(item)
    await _delete_later_items(server, thread.id, message.id, later, context)
    respond: Respond = partial(server.respond, thread, message)
    removed: list[ThreadStreamEvent] = [
        ThreadItemRemovedEvent(item_id=item.id) for item in later if not is_hidden(item)
    ]
    return Turn(thread, respond, message.id, removed)


async def _load_to_retry(
    server: Server, request: ThreadsRetryAfterItemReq, context: RequestContext
) -> tuple[ThreadMetadata, UserMessageItem]:
    params = request.params
    thread = await open_thread(server, params.thread_id, context)
    message = await load_item(server, thread.id, params.item_id, context)
    if not isinstance(message, UserMessageItem):
        raise InvalidInputError(f"Item {params.item_id} is not a user message; only those can be retried.")
    return thread, message


async def _delete_later_items(
    server: Server, thread_id: str, message_id: str, later: Sequence[ThreadItem], context: RequestContext
) -> None:
    if isinstance(server.store, DeletesTail):
        await server.store.delete_items_after(thread_id, message_id, context.for_server)
        return
    for item in later:
        await server.store.delete_thread_item(thread_id, item.id, context.for_server)


async def _custom_action(server: Server, request: ThreadsCustomActionReq, context: RequestContext) -> Turn:
    params = request.params
    check_action(server, params.action.type, sync=False)
    thread = await open_thread(server, params.thread_id, context)
    sender = await load_widget(server, thread.id, params.item_id, context)
    newest = await _newest_item_id(server, thread.id, context)
    return Turn(thread, partial(server.action, thread, params.action, sender), newest)


def check_action(server: Server, action_type: str, *, sync: bool) -> None:
    """Check that a server handles a widget action.

    Raises:
        NotEnabledError: The server has no widget actions.
        NotFoundError: The server has other widget actions.
    """
    method = type(server).sync_action if sync else type(server).action
    inherited = ChatKitServer[Any].sync_action if sync else ChatKitServer[Any].action
    known = server.action_types(sync=sync) if isinstance(server, KnowsActions) else None
    if method is inherited or (known is not None and not known):
        raise NotEnabledError("This server has no widget actions.")
    if known is not None and action_type not in known:
        raise NotFoundError(
            f"There is no widget action {action_type!r}; there are {', '.join(sorted(known))}."
        )


async def _newest_item_id(server: Server, thread_id: str, context: RequestContext) -> str:
    page = await server.store.load_thread_items(thread_id, None, 1, "desc", context.for_server)
    return page.data[0].id if page.data else ""
