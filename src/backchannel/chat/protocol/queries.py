"""The non-streaming operations of the protocol."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from chatkit.server import ChatKitServer
from chatkit.store import AttachmentStore
from chatkit.store import NotFoundError as StoreNotFoundError
from chatkit.types import (
    Attachment,
    AttachmentsCreateReq,
    AttachmentsDeleteReq,
    AudioInput,
    InputTranscribeReq,
    ItemsFeedbackReq,
    ItemsListReq,
    NonStreamingReq,
    Page,
    Thread,
    ThreadItem,
    ThreadMetadata,
    ThreadsDeleteReq,
    ThreadsGetByIdReq,
    ThreadsListReq,
    ThreadsSyncCustomActionReq,
    ThreadsUpdateReq,
    UserMessageItem,
)

from backchannel.chat.protocol.commands import (
    check_action,
    load_item,
    load_thread,
    load_widget,
    open_thread,
)
from backchannel.chat.protocol.paging import visible_items
from backchannel.chat.protocol.wire import encode, items_response, thread_response, with_utc_date
from backchannel.chat.turn import KeepsFiles, Server
from backchannel.context import Identity, RequestContext
from backchannel.errors import InvalidInputError, NotEnabledError, NotFoundError
from backchannel.stores.base import Feedback, KeepsFeedback, PatchesThreads, SearchesThreads, SearchResult
from backchannel.stores.times import to_sdk, utc_now

DEFAULT_PAGE = 20
MAX_PAGE = 100
"""Some clients request 9999 items; they get this many and a cursor."""

MAX_FEEDBACK_ITEMS = 100

_EMPTY_OBJECT = b"{}"


type LoadPartialItems = Callable[[str, Identity], Awaitable[Sequence[ThreadItem]]]
"""Loads the load_partial items of the run in progress in a thread, in their current state."""


async def answer(
    server: Server, request: NonStreamingReq, context: RequestContext, load_partial: LoadPartialItems
) -> bytes:
    """Handle a request and return its JSON response.

    Raises:
        NotFoundError: The thread, item or attachment does not exist or has another owner.
        InvalidInputError: A parameter is not acceptable.
        NotEnabledError: The server does not support the operation.
    """
    match request:
        case ThreadsListReq():
            params = request.params
            page = await list_threads(server, page_size(params.limit), params.after, params.order, context)
            return encode(page)
        case ThreadsGetByIdReq():
            return encode(await get_thread(server, request.params.thread_id, context, load_partial))
        case ItemsListReq():
            params = request.params
            await load_thread(server, params.thread_id, context)
            size = page_size(params.limit)
            page_params = (size, params.after, params.order)
            return encode(await list_items(server, params.thread_id, *page_params, context, load_partial))
        case ThreadsUpdateReq():
            return encode(await rename(server, request.params.thread_id, request.params.title, context))
        case ThreadsDeleteReq():
            await delete_thread(server, request.params.thread_id, context)
            return _EMPTY_OBJECT
        case ItemsFeedbackReq():
            return await _add_feedback(server, request, context)
        case ThreadsSyncCustomActionReq():
            return await _sync_action(server, request, context)
        case AttachmentsCreateReq() | AttachmentsDeleteReq():
            return await _attachments(server, request, context)
        case InputTranscribeReq():
            return await _transcribe(server, request, context)


def page_size(limit: int | None) -> int:
    """The page size for a requested `limit`: 20 without one, and at most 100.

    Raises:
        InvalidInputError: The limit is less than 1.
    """
    if limit is not None and limit < 1:
        raise InvalidInputError(f"limit must be 1 to {MAX_PAGE}.")
    return min(limit or DEFAULT_PAGE, MAX_PAGE)


async def list_threads(
    server: Server, limit: int, after: str | None, order: str, context: RequestContext
) -> Page[Thread]:
    """A page of the caller's threads, without items.

    Raises:
        NotFoundError: There is no thread with the id `after`.
    """
    try:
        page = await server.store.load_threads(limit, after, order, context.for_server)
    except StoreNotFoundError:
        raise NotFoundError(f"after: there is no thread {after}.") from None
    return Page(data=[thread_response(each) for each in page.data], has_more=page.has_more, after=page.after)


async def get_thread(
    server: Server, thread_id: str, context: RequestContext, load_partial: LoadPartialItems
) -> Thread:
    """A thread with its first page of items, oldest first. Items of a run in progress come last.

    Raises:
        NotFoundError: The thread does not exist or has another owner.
    """
    thread = await load_thread(server, thread_id, context)
    partial = await load_partial(thread_id, context.identity)
    items = await visible_items(server.store, thread_id, None, MAX_PAGE, "asc", context.for_server)
    if not items.has_more:
        items.data += _missing(partial, items)
    return thread_response(thread, items)


def _missing(partial: Sequence[ThreadItem], page: Page[ThreadItem]) -> list[ThreadItem]:
    # The partial items were loaded before the page, so the page has those that were completed in between.
    known = {item.id for item in page.data}
    return [item for item in partial if item.id not in known]


async def list_items(
    server: Server,
    thread_id: str,
    limit: int,
    after: str | None,
    order: str,
    context: RequestContext,
    load_partial: LoadPartialItems,
) -> Page[Any]:
    """A page of a thread's items. Items of a run in progress count as the newest and may exceed `limit`.

    Raises:
        NotFoundError: There is no item with the id `after`.
    """
    shows_end = after is None or order == "asc"
    partial: Sequence[ThreadItem] = await load_partial(thread_id, context.identity) if shows_end else ()
    try:
        page = await visible_items(server.store, thread_id, after, limit, order, context.for_server)
    except StoreNotFoundError:
        raise NotFoundError(f"after: there is no item {after} in this thread.") from None
    if order == "desc":
        page.data = [*reversed(_missing(partial, page)), *page.data]
    elif not page.has_more:
        page.data += _missing(partial, page)
    return items_response(page)


async def create_thread(
    server: Server, title: str | None, metadata: dict[str, Any], context: RequestContext
) -> Thread:
    """Store a new thread of the caller, without items."""
    thread = ThreadMetadata(
        id=server.store.generate_thread_id(context.for_server),
        created_at=to_sdk(utc_now()),
        title=title,
        metadata=metadata,
    )
    await server.store.save_thread(thread, context.for_server)
    return thread_response(thread)


async def rename(server: Server, thread_id: str, title: str, context: RequestContext) -> Thread:
    """Set a thread's title.

    Raises:
        NotFoundError: The thread does not exist or has another owner.
    """
    thread = await load_thread(server, thread_id, context)
    if isinstance(server.store, PatchesThreads):
        return thread_response(
            await server.store.update_thread(thread_id, {"title": title}, context.for_server)
        )
    thread.title = title
    await server.store.save_thread(thread, context.for_server)
    return thread_response(thread)


async def search(server: Server, query: str, limit: int, context: RequestContext) -> SearchResult:
    """The caller's threads that contain every word of `query`.

    Raises:
        NotEnabledError: The server's store does not support search.
        InvalidInputError: The query is empty.
    """
    if not query.strip():
        raise InvalidInputError("q: say what to look for.")
    if not isinstance(server.store, SearchesThreads):
        raise NotEnabledError("This server's store cannot search.")
    return await server.store.search_threads(query, limit, context.for_server)


async def feedback(server: Server, thread_id: str, context: RequestContext) -> Sequence[Feedback]:
    """The caller's feedback on items of a thread.

    Raises:
        NotFoundError: The thread does not exist or has another owner.
        NotEnabledError: The server's store does not support feedback.
    """
    await load_thread(server, thread_id, context)
    if not isinstance(server.store, KeepsFeedback):
        raise NotEnabledError("This server's store keeps no feedback.")
    return await server.store.load_feedback(thread_id, context.for_server)


async def delete_thread(server: Server, thread_id: str, context: RequestContext) -> None:
    """Delete a thread with its items.

    Raises:
        NotFoundError: The thread does not exist or has another owner.
    """
    await load_thread(server, thread_id, context)
    await server.store.delete_thread(thread_id, context.for_server)
    if isinstance(server.attachment_store, KeepsFiles):
        # A store of the application's own does not do that.
        await server.attachment_store.delete_by_thread(thread_id, context.identity)


async def _add_feedback(server: Server, request: ItemsFeedbackReq, context: RequestContext) -> bytes:
    params = request.params
    item_ids: Sequence[str] = list(dict.fromkeys(params.item_ids))
    if not 1 <= len(item_ids) <= MAX_FEEDBACK_ITEMS:
        raise InvalidInputError(f"item_ids must name 1 to {MAX_FEEDBACK_ITEMS} items.")
    await load_thread(server, params.thread_id, context)
    for item_id in item_ids:
        item = await load_item(server, params.thread_id, item_id, context)
        if isinstance(item, UserMessageItem):
            raise InvalidInputError(f"Item {item_id} is the person's own message; feedback is on answers.")
    await server.add_feedback(params.thread_id, list(item_ids), params.kind, context.for_server)
    return _EMPTY_OBJECT


async def _sync_action(server: Server, request: ThreadsSyncCustomActionReq, context: RequestContext) -> bytes:
    params = request.params
    check_action(server, params.action.type, sync=True)
    thread = await open_thread(server, params.thread_id, context)
    sender = await load_widget(server, thread.id, params.item_id, context)
    response = await server.sync_action(thread, params.action, sender, context.for_server)
    if response.updated_item is not None:
        # The SDK only sends the changed item. Unless it is stored, a reload shows the old one.
        await server.store.save_item(thread.id, response.updated_item, context.for_server)
        response = response.model_copy(update={"updated_item": with_utc_date(response.updated_item)})
    return encode(response)


async def _attachments(
    server: Server, request: AttachmentsCreateReq | AttachmentsDeleteReq, context: RequestContext
) -> bytes:
    if server.attachment_store is None:
        raise NotEnabledError("This server does not take files.")
    if isinstance(request, AttachmentsCreateReq):
        return encode(await _create_attachment(server, server.attachment_store, request, context))
    attachment_id = request.params.attachment_id
    if not isinstance(server.attachment_store, KeepsFiles):
        # Ours knows the owner of each.
        try:
            await server.store.load_attachment(attachment_id, context.for_server)
        except StoreNotFoundError:
            raise NotFoundError(f"There is no attachment {attachment_id}.") from None
    await server.attachment_store.delete_attachment(attachment_id, context.for_server)
    await server.store.delete_attachment(attachment_id, context.for_server)
    return _EMPTY_OBJECT


async def _create_attachment(
    server: Server, attachments: AttachmentStore[Any], request: AttachmentsCreateReq, context: RequestContext
) -> Attachment:
    if isinstance(attachments, KeepsFiles):
        attachment = await attachments.announce(request.params, context)
        # Its descriptor has a signature, which is for the client only.
        stored = attachment.model_copy(update={"upload_descriptor": None})
        await server.store.save_attachment(stored, context.for_server)
        return attachment
    try:
        attachment = await attachments.create_attachment(request.params, context.for_server)
    except NotImplementedError:
        raise NotEnabledError("This server takes files only by direct upload.") from None
    await server.store.save_attachment(attachment, context.for_server)
    return attachment


async def _transcribe(server: Server, request: InputTranscribeReq, context: RequestContext) -> bytes:
    if type(server).transcribe is ChatKitServer[Any].transcribe:
        raise NotEnabledError("This server does not transcribe speech.")
    try:
        audio = base64.b64decode(request.params.audio_base64, validate=True)
    except binascii.Error:
        raise InvalidInputError("audio_base64 is not valid base64.") from None
    return encode(
        await server.transcribe(
            AudioInput(data=audio, mime_type=request.params.mime_type), context.for_server
        )
    )
