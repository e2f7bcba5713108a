"""A store in memory, a thread in it, and an agent's answer in that thread."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, override

import pytest
from agents import Agent, Runner
from chatkit.store import NotFoundError, Store, StoreItemType
from chatkit.types import Attachment, Page, ThreadItem, ThreadMetadata, ThreadStreamEvent

from backchannel.chat.agent.answer import stream_answer
from backchannel.chat.agent.approval_flow import ApprovalFlow
from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.run_hooks import AnswerHooks
from backchannel.context import Identity, RequestContext
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.ids import new_id


def _page[T: (ThreadItem, ThreadMetadata)](
    found: Sequence[T], after: str | None, limit: int, order: str
) -> Page[T]:
    """A page of `found`, which is oldest first."""
    ordered = list(found) if order == "asc" else list(reversed(found))
    if after is not None:
        places = [index for index, each in enumerate(ordered) if each.id == after]
        if not places:
            raise NotFoundError(after)
        ordered = ordered[places[0] + 1 :]
    data = ordered[:limit]
    more = len(ordered) > limit
    return Page(data=data, has_more=more, after=data[-1].id if more else None)


class MemoryStore(Store[Any]):
    """The least that keeps the SDK's contract, with pages of at most `largest` rows."""

    largest = 7

    def __init__(self) -> None:
        self.threads: dict[str, ThreadMetadata] = {}
        self.items: dict[str, dict[str, ThreadItem]] = {}
        self.attachments: dict[str, Attachment] = {}

    @override
    def generate_item_id(self, item_type: StoreItemType, thread: ThreadMetadata, context: Any) -> str:
        return new_id(item_type)

    @override
    async def load_thread(self, thread_id: str, context: Any) -> ThreadMetadata:
        if thread_id not in self.threads:
            raise NotFoundError(thread_id)
        return self.threads[thread_id].model_copy(deep=True)

    @override
    async def save_thread(self, thread: ThreadMetadata, context: Any) -> None:
        self.threads[thread.id] = thread.model_copy(deep=True)
        self.items.setdefault(thread.id, {})

    @override
    async def load_threads(
        self, limit: int, after: str | None, order: str, context: Any
    ) -> Page[ThreadMetadata]:
        return _page(list(self.threads.values()), after, min(limit, self.largest), order)

    @override
    async def delete_thread(self, thread_id: str, context: Any) -> None:
        self.threads.pop(thread_id, None)
        self.items.pop(thread_id, None)

    @override
    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: Any
    ) -> Page[ThreadItem]:
        return _page(list(self.items[thread_id].values()), after, min(limit, self.largest), order)

    @override
    async def load_item(self, thread_id: str, item_id: str, context: Any) -> ThreadItem:
        if item_id not in self.items.get(thread_id, {}):
            raise NotFoundError(item_id)
        return self.items[thread_id][item_id].model_copy(deep=True)

    @override
    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: Any) -> None:
        self.items[thread_id][item.id] = item.model_copy(deep=True)

    @override
    async def save_item(self, thread_id: str, item: ThreadItem, context: Any) -> None:
        await self.add_thread_item(thread_id, item, context)

    @override
    async def delete_thread_item(self, thread_id: str, item_id: str, context: Any) -> None:
        self.items[thread_id].pop(item_id, None)

    @override
    async def save_attachment(self, attachment: Attachment, context: Any) -> None:
        self.attachments[attachment.id] = attachment

    @override
    async def load_attachment(self, attachment_id: str, context: Any) -> Attachment:
        if attachment_id not in self.attachments:
            raise NotFoundError(attachment_id)
        return self.attachments[attachment_id]

    @override
    async def delete_attachment(self, attachment_id: str, context: Any) -> None:
        self.attachments.pop(attachment_id, None)


@pytest.fixture
def thread() -> ThreadMetadata:
    return ThreadMetadata(id="thr_1", created_at=datetime(2026, 11, 22, 12, 0))


@pytest.fixture
def store(thread: ThreadMetadata) -> Store[Any]:
    store = MemoryStore()
    store.threads[thread.id] = thread.model_copy(deep=True)
    store.items[thread.id] = {}
    return store


@pytest.fixture
def request_context() -> RequestContext:
    return RequestContext(Identity("ann"), request_id="req_1", run_id="run_1")


@pytest.fixture
def answering(
    store: Store[Any], thread: ThreadMetadata, request_context: RequestContext
) -> Callable[[Agent[Any]], AsyncGenerator[ThreadStreamEvent]]:
    """Runs an agent with the SDK's own runner and tells its answer in the thread."""

    def answer(agent: Agent[Any]) -> AsyncGenerator[ThreadStreamEvent]:
        context = AnswerContext(thread=thread, store=store, request_context=request_context)
        hooks = AnswerHooks(context, HookDispatcher(), "default")
        start = partial(Runner.run_streamed, agent, context=context, hooks=hooks)
        return stream_answer(context, start("hello"), hooks, ApprovalFlow(context, hooks, "", start))

    return answer


@pytest.fixture
def ask(
    answering: Callable[[Agent[Any]], AsyncGenerator[ThreadStreamEvent]],
) -> Callable[[Agent[Any]], Awaitable[list[ThreadStreamEvent]]]:
    """All events of an agent's answer."""

    async def events(agent: Agent[Any]) -> list[ThreadStreamEvent]:
        return [event async for event in answering(agent)]

    return events
