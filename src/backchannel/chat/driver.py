"""Drives one accepted turn: runs the server's answer to its end and commits each item as it completes.

Only the public methods of `ChatKitServer` and `Store` are used, so any server written against the SDK can be driven.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from time import perf_counter

import structlog
from chatkit.errors import BaseStreamError
from chatkit.server import agents_sdk_user_agent_override
from chatkit.store import NotFoundError as StoreNotFoundError
from chatkit.types import (
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartDone,
    AssistantMessageContentPartTextDelta,
    AssistantMessageItem,
    ClientToolCallItem,
    ErrorEvent,
    StreamOptions,
    StreamOptionsEvent,
    StructuredInputItem,
    ThreadItem,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemReplacedEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
    WidgetItem,
    WidgetRootUpdated,
    WorkflowItem,
)
from chatkit.widgets import WidgetRoot

from backchannel.chat.item_ids import ItemIds
from backchannel.chat.protocol.failures import as_exception, explain, failure_event, own_cancellation
from backchannel.chat.protocol.wire import is_hidden
from backchannel.chat.recovery import journal
from backchannel.chat.recovery.partial import PartialItems
from backchannel.chat.recovery.resend import halves, sent
from backchannel.chat.recovery.workflows import close_workflow
from backchannel.chat.thread_changes import Commit, ThreadChanges
from backchannel.chat.turn import Resumable, Server, Turn
from backchannel.context import RequestContext
from backchannel.errors import BackchannelError, ModelError, TooLargeToStoreError
from backchannel.faultpoints import reached
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.hooks import FirstToken, ItemCommitted, run_fields
from backchannel.stores.run_store import RunFencedError

log = structlog.get_logger(__name__)

MIN_PIECE_CHARS = 1000
"""Shorter pieces of a message are not split further."""

type Emit = Callable[[ThreadStreamEvent], None]
"""Performs a write, and raises `RunFencedError` without writing anything if another process has taken the run over."""

type Persist = Callable[[], Awaitable[None]]
"""Waits, for a bounded time, until every emitted event is persisted. Raises nothing if that fails."""


class TurnFailedError(Exception):
    """The answer ended with an error.

    Attributes:
        cause: What is stored of it.
        event: The event for readers, which is sent once the error is stored: else a process that takes the run over
            after a crash could not know that it had failed. `None` if the server has sent one itself.
    """

    def __init__(self, cause: BackchannelError, event: ErrorEvent | None = None) -> None:
        super().__init__(cause.message)
        self.cause = cause
        self.event = event


class TurnDriver:
    """Runs one accepted turn to its end.

    Args:
        emit: Takes every event that clients may see, in order. Must not block.
        commit: Performs every write.
        persist: Called before an item that readers have seen begin is stored.
        can_stop: Whether the client can stop the answer, and may offer that.
        partial: The unfinished items of the process that had the run before.
        debug: Whether the error event says what was raised.
        is_stopped: Whether the run was asked to end; by default, whether the task was cancelled, which a server can
            also do itself.

    Attributes:
        awaits_input: Whether the answer asked the person for something: a client tool's result, or structured input.
    """

    def __init__(
        self,
        server: Server,
        turn: Turn,
        context: RequestContext,
        emit: Emit,
        commit: Commit,
        persist: Persist,
        hooks: HookDispatcher,
        *,
        can_stop: bool = True,
        partial: PartialItems | None = None,
        debug: bool,
        is_stopped: Callable[[], bool] | None = None,
    ) -> None:
        self._server = server
        self._turn = turn
        self._context = context
        self._emit = emit
        self._commit = commit
        self._persist = persist
        self._hooks = hooks
        self._can_stop = can_stop
        self._debug = debug
        self._is_stopped = is_stopped or _is_cancelled
        self.awaits_input = turn.awaits_input
        self._reported_error: ErrorEvent | None = None
        self._partial = partial or PartialItems()
        self._cut_off: ThreadStreamEvent | None = None
        self._thread_changes = ThreadChanges(server.store, turn.thread, context.for_server, commit)
        self._began = perf_counter()
        self._await_first_token = hooks.listens(FirstToken)
        # A server that can resume gives unique ids itself.
        unique_ids = isinstance(server, Resumable)
        self._ids = None if unique_ids else ItemIds(server, turn.thread.id, context.for_server)

    async def drive(self) -> None:
        """Emit and commit everything up to the end of the answer.

        Raises:
            TurnFailedError: The answer failed, or its server yielded an `ErrorEvent`.
            RunFencedError: Another process executes the run now.
            asyncio.CancelledError: The run was cancelled. One that the server raises by itself is a failure like any
                other error.

        After a failure or a cancellation the caller goes on with `save_partial_items`.
        """
        context = self._context
        for event in self._turn.opening:
            self._emit(event)
        try:
            if self._turn.options:
                options = self._server.get_stream_options(self._turn.thread, context.for_server)
                allowed = options.allow_cancel and self._can_stop
                self._emit(StreamOptionsEvent(stream_options=StreamOptions(allow_cancel=allowed)))
            reached("answer.began")
            with agents_sdk_user_agent_override():
                await self._consume(self._turn.respond(context.for_server))
            await self._save_thread_changes()
        except (RunFencedError, GeneratorExit):
            raise
        except BaseException as error:  # extensions in Rust, and SystemExit, which would end the event loop
            if isinstance(error, asyncio.CancelledError) and self._is_stopped():
                raise
            cause = own_cancellation() if isinstance(error, asyncio.CancelledError) else explain(error)
            if isinstance(error, BaseStreamError) or cause.code not in {"internal_error", "tool_failed"}:
                facts = cause.provider or {} if isinstance(cause, ModelError) else {}
                log.warning("turn_failed", code=cause.code, error=type(error).__name__, **facts)
            else:
                log.exception("turn_failed", code=cause.code)
            shown = cause if isinstance(error, asyncio.CancelledError) else error
            raise TurnFailedError(cause, failure_event(shown, context, debug=self._debug)) from error
        if self._reported_error is not None:
            cause = explain(as_exception(self._reported_error))
            log.warning("turn_failed", code=cause.code, error="ErrorEvent")
            raise TurnFailedError(cause)

    async def save_partial_items(self, *, stopped: bool) -> None:
        """Store the unfinished items and emit them as done, or as removed where there is nothing worth storing.

        Args:
            stopped: The person stopped the answer, which the server may note for the model.
        """
        server, thread, context = self._server, self._turn.thread, self._context.for_server
        unfinished: list[ThreadItem] = []
        stored = False
        try:
            if self._cut_off is not None:
                await self._complete(self._cut_off)
            unfinished = self._partial.items()
            for item in unfinished:
                if isinstance(item, WorkflowItem):
                    close_workflow(item)
            if unfinished:
                await self._persist()
            if stopped:
                with suppress(TooLargeToStoreError):
                    await self._commit(lambda: server.handle_stream_cancelled(thread, unfinished, context))
                    stored = True
            for item in unfinished:
                if not _is_worth_storing(item):
                    self._emit(ThreadItemRemovedEvent(item_id=item.id))
                elif stored and isinstance(item, AssistantMessageItem):
                    self._emit(ThreadItemDoneEvent(item=item))
                else:
                    await self._store_partial_item(item)
            if stopped:
                await self._save_thread_changes()
        except (RunFencedError, asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException:
            log.exception("partial_answer_lost", items=len(unfinished))

    async def _complete(self, cut_off: ThreadStreamEvent) -> None:
        """Store and emit what an event completes whose write was cut off by a stop."""
        item = cut_off.item if isinstance(cut_off, ThreadItemDoneEvent) else None
        if item is None or not await self._is_stored(item):
            await self._apply(cut_off)
            return
        self._partial.end(item.id)
        if not is_hidden(item):
            self._emit(cut_off)

    async def _is_stored(self, item: ThreadItem) -> bool:
        thread_id, context = self._turn.thread.id, self._context.for_server
        with suppress(StoreNotFoundError):
            return await self._server.store.load_item(thread_id, item.id, context) == item
        return False

    async def _store_partial_item(self, item: ThreadItem) -> None:
        """Store an item and emit it as done. A message that the database does not take is stored as several."""
        try:
            await self._commit_item(item)
        except TooLargeToStoreError:
            self._emit(ThreadItemRemovedEvent(item_id=item.id))
            if isinstance(item, AssistantMessageItem):
                await self._store_in_pieces(item)
        else:
            self._emit(ThreadItemDoneEvent(item=item))

    async def _store_in_pieces(self, item: AssistantMessageItem) -> None:
        store, thread, context = self._server.store, self._turn.thread, self._context.for_server
        pieces = [item]
        while pieces:
            piece = pieces.pop(0)
            try:
                await self._commit(partial(store.add_thread_item, thread.id, piece, context))
            except TooLargeToStoreError:
                if sum(len(part.text) for part in piece.content) < MIN_PIECE_CHARS:
                    raise
                pieces[:0] = halves(piece, store.generate_item_id("message", thread, context))
            else:
                for event in (*sent(piece), ThreadItemDoneEvent(item=piece)):
                    self._emit(event)

    async def _consume(self, events: AsyncIterator[ThreadStreamEvent]) -> None:
        if not hasattr(events, "aclose"):
            async for event in events:
                await self._handle(event)
            return
        # Closing at once, not when garbage is collected, is what stops the model behind a generator.
        async with aclosing(events) as stream:  # pyright: ignore[reportArgumentType, reportUnknownVariableType]
            async for event in stream:  # pyright: ignore[reportUnknownVariableType]
                await self._handle(event)  # pyright: ignore[reportUnknownArgumentType]

    async def _handle(self, event: ThreadStreamEvent) -> None:
        if self._ids is not None:
            event = await self._ids.renamed(event)
        if isinstance(event, ThreadItemUpdatedEvent):
            self._partial.update(event)
            if self._await_first_token and self._shows_text(event):
                self._report_first_token()
            if isinstance(event.update, AssistantMessageContentPartTextDelta):
                self._emit(event)
                return
        try:
            await self._apply(event)
        except asyncio.CancelledError:
            if self._is_stopped():
                # Its write may have reached the store, and readers do not have it.
                self._cut_off = event
            raise
        await self._save_thread_changes()

    async def _apply(self, event: ThreadStreamEvent) -> None:
        """Store what an event completes, then emit it. Doing that twice stores it once."""
        store, thread_id, context = self._server.store, self._turn.thread.id, self._context.for_server
        match event:
            case ThreadItemUpdatedEvent(update=WidgetRootUpdated(widget=widget)):
                if event.item_id not in self._partial:
                    await self._save_widget(event.item_id, widget)
            case ThreadItemAddedEvent():
                self._partial.begin(event.item)
                if self._await_first_token and _has_text(event.item):
                    self._report_first_token()
            case ThreadItemDoneEvent():
                if event.item.id in self._partial:
                    # After a crash, the process that takes the run over finds the item stored and sends it as done. All
                    # updates before that must be in the log: readers may have put the item together from them.
                    await self._persist()
                await self._commit_item(event.item)
                self._partial.end(event.item.id)
            case ThreadItemRemovedEvent():
                await self._commit(lambda: store.delete_thread_item(thread_id, event.item_id, context))
                self._partial.end(event.item_id)
            case ThreadItemReplacedEvent():
                await self._commit(lambda: store.save_item(thread_id, event.item, context))
                self._partial.end(event.item.id)
            case ErrorEvent():
                self._reported_error = event
            case _:
                pass
        has_item = isinstance(event, ThreadItemAddedEvent | ThreadItemDoneEvent | ThreadItemReplacedEvent)
        if not (has_item and is_hidden(event.item)):
            self._emit(event)

    async def _commit_item(self, item: ThreadItem) -> None:
        thread_id, context = self._turn.thread.id, self._context.for_server
        call = journal.tool_call(item)
        reached("tool.returned" if call is not None and call.finished else "item.completed")
        try:
            await self._commit(lambda: self._server.store.add_thread_item(thread_id, item, context))
        except TooLargeToStoreError as error:
            log.error(
                "item_too_large_to_store",
                item_id=item.id,
                type=item.type,
                size=error.size,
                limit=error.limit,
                hint="max_allowed_packet of the database",
            )
            raise
        reached("tool.journaled" if call is not None and not call.finished else "item.stored")
        if isinstance(item, ClientToolCallItem | StructuredInputItem):
            self.awaits_input = item.status == "pending"
        if self._await_first_token and _has_text(item):
            self._report_first_token()
        if self._hooks.listens(ItemCommitted):
            self._hooks.emit(ItemCommitted(**run_fields(self._context, thread_id), item=item))

    async def _save_widget(self, item_id: str, widget: WidgetRoot) -> None:
        """Store the new content of a widget of an earlier turn: after a reload the old one would be back."""
        store, thread_id, context = self._server.store, self._turn.thread.id, self._context.for_server

        async def save() -> None:
            item = await store.load_item(thread_id, item_id, context)
            if isinstance(item, WidgetItem):
                changed = item.model_copy(update={"widget": widget})
                await store.save_item(thread_id, changed, context)

        await self._commit(save)

    async def _save_thread_changes(self) -> None:
        if (event := await self._thread_changes.save()) is not None:
            self._emit(event)

    def _shows_text(self, event: ThreadItemUpdatedEvent) -> bool:
        """Whether an update adds text that a reader can see. Models begin with empty deltas, and clients ignore those
        of unknown items."""
        match event.update:
            case AssistantMessageContentPartTextDelta(delta=text):
                pass
            case (
                AssistantMessageContentPartAdded(content=content)
                | AssistantMessageContentPartDone(content=content)
            ):
                text = content.text
            case _:
                return False
        return bool(text.strip()) and event.item_id in self._partial

    def _report_first_token(self) -> None:
        self._await_first_token = False
        seconds = perf_counter() - self._began
        self._hooks.emit(FirstToken(**run_fields(self._context, self._turn.thread.id), seconds=seconds))


def _is_cancelled() -> bool:
    """Whether the current task was asked to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _is_worth_storing(item: ThreadItem) -> bool:
    """Whether an unfinished item is more than a place holder. The preview of an image is not the image."""
    return _has_text(item) or item.type in {"workflow", "widget"}


def _has_text(item: ThreadItem) -> bool:
    return isinstance(item, AssistantMessageItem) and any(part.text.strip() for part in item.content)
