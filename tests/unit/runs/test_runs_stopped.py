"""A stop that comes while something is stored: what the store has is what readers get, whatever kind of item it is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import pytest
from agents import Agent
from agents.models.multi_provider import MultiProvider
from chatkit.store import NotFoundError
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    ClientToolCallItem,
    GeneratedImage,
    GeneratedImageItem,
    ThreadItem,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadMetadata,
    ThreadStreamEvent,
    UserMessageItem,
    WidgetItem,
    Workflow,
    WorkflowItem,
)
from chatkit.widgets import Card, Text
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.chat.agent.answer_options import AnswerOptions
from backchannel.chat.agent.server import ChatServer
from backchannel.context import RequestContext
from backchannel.runs.runs import Runs
from backchannel.runs.stores import RunStores
from backchannel.stores.sql import transactions
from backchannel.stores.sql.store import SqlStore
from backchannel.testing import ScriptedModel
from unit.runs.requests import ReaderState, say

pytestmark = pytest.mark.row("C5", "P1")

COMMON: dict[str, Any] = {"thread_id": "", "created_at": datetime(2026, 11, 28, 12)}
MESSAGE = AssistantMessageItem(id="msg_1", content=[AssistantMessageContent(text="all of it")], **COMMON)
IMAGE = GeneratedImageItem(
    id="msg_1", image=GeneratedImage(id="ig_1", url="data:image/png;base64,AAAA"), **COMMON
)
WIDGET = WidgetItem(id="msg_1", widget=Card(children=[Text(value="sunny")]), **COMMON)
WORKFLOW = WorkflowItem(id="wf_1", workflow=Workflow(type="custom", tasks=[]), **COMMON)
CALL = ClientToolCallItem(
    id="tc_1", status="completed", call_id="call_1", name="look", arguments={}, output=1, **COMMON
)


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that never returns is not waited for as long as usual."""
    monkeypatch.setattr(transactions, "CANCEL_GRACE_SECONDS", 0.02)


class Scripted(ChatServer):
    """Answers with given events, then never ends."""

    def __init__(self, store: SqlStore, events: Sequence[ThreadStreamEvent]) -> None:
        options = AnswerOptions(MultiProvider())
        super().__init__(Agent(name="A", model=ScriptedModel()), store, options)
        self.events = events
        self.all_given = asyncio.Event()

    async def respond(
        self, thread: ThreadMetadata, input_user_message: UserMessageItem | None, context: RequestContext
    ) -> AsyncIterator[ThreadStreamEvent]:
        del input_user_message, context
        for event in self.events:
            if isinstance(event, ThreadItemAddedEvent | ThreadItemDoneEvent):
                event.item.thread_id = thread.id
            yield event
        self.all_given.set()
        await asyncio.Event().wait()


class Gate:
    """Lets the first write of an item never return to the run that asked for it, before or after its commit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: SqlStore, name: str, *, written: bool) -> None:
        self.reached = asyncio.Event()
        self._write = getattr(store, name)
        self._commit = getattr(store.database, "_commit")  # noqa: B009 - replaced to cause a fault
        self._written = written
        self._in_transaction = False
        monkeypatch.setattr(store, name, self.write)
        monkeypatch.setattr(store.database, "_commit", self.commit)

    async def write(self, thread_id: str, item: Any, context: RequestContext) -> None:
        await self._write(thread_id, item, context)
        if not isinstance(item, UserMessageItem) and not self.reached.is_set():
            self._in_transaction = True

    async def commit(self, connection: AsyncConnection) -> None:
        if not self._in_transaction:
            await self._commit(connection)
            return
        self._in_transaction = False
        if self._written:
            await self._commit(connection)
        self.reached.set()
        await asyncio.Event().wait()


def begun(item: ThreadItem) -> list[ThreadStreamEvent]:
    return [ThreadItemAddedEvent(item=item.model_copy(deep=True))]


def told(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What readers heard of items other than the person's."""
    heard = list[tuple[str, str]]()
    for event in events:
        if event["type"] == "thread.item.removed":
            heard.append(("removed", event["item_id"]))
        elif event["type"] == "thread.item.done" and event["item"]["type"] != "user_message":
            heard.append(("done", event["item"]["id"]))
    return heard


@pytest.mark.parametrize("written", [True, False], ids=["written", "not-written"])
@pytest.mark.parametrize(
    ("item", "before"),
    [
        (MESSAGE, begun(MESSAGE.model_copy(update={"content": []}))),
        (IMAGE, begun(IMAGE.model_copy(update={"image": None}))),
        (IMAGE, []),
        (WIDGET, begun(WIDGET)),
        (WORKFLOW, begun(WORKFLOW)),
        (CALL, []),
    ],
    ids=["message", "image", "image-at-once", "widget", "workflow", "call"],
)
async def test_an_item_that_is_being_stored_is_stored_and_done(
    stores: RunStores,
    store: SqlStore,
    ann: RequestContext,
    replay: ReaderState,
    monkeypatch: pytest.MonkeyPatch,
    item: ThreadItem,
    before: list[ThreadStreamEvent],
    *,
    written: bool,
):
    done = ThreadItemDoneEvent(item=item.model_copy(deep=True))
    runs = Runs(Scripted(store, [*before, done]), stores)
    gate = Gate(monkeypatch, store, "add_thread_item", written=written)
    run_id = await runs.start(say("go"), ann)
    await asyncio.wait_for(gate.reached.wait(), 10)
    await runs.stop(run_id, ann.identity)
    record = await runs.load(run_id, ann.identity)
    assert record.status == "cancelled"
    assert told(await replay(run_id)) == [("done", item.id)]
    kept = await store.load_thread_items(record.thread_id, None, 10, "asc", ann)
    assert [each.id for each in kept.data[1:-1]] == [item.id]
    assert kept.data[1].model_dump(exclude={"thread_id"}) == item.model_dump(exclude={"thread_id"})


async def test_an_item_that_is_being_deleted_is_deleted_and_removed(
    stores: RunStores,
    store: SqlStore,
    ann: RequestContext,
    replay: ReaderState,
    monkeypatch: pytest.MonkeyPatch,
):
    gone = ThreadItemRemovedEvent(item_id=MESSAGE.id)
    runs = Runs(Scripted(store, [*begun(MESSAGE), gone]), stores)
    gate = Gate(monkeypatch, store, "delete_thread_item", written=True)
    run_id = await runs.start(say("go"), ann)
    await asyncio.wait_for(gate.reached.wait(), 10)
    await runs.stop(run_id, ann.identity)
    record = await runs.load(run_id, ann.identity)
    assert told(await replay(run_id)) == [("removed", MESSAGE.id)]
    with pytest.raises(NotFoundError):
        await store.load_item(record.thread_id, MESSAGE.id, ann)


@pytest.mark.parametrize(
    ("item", "kept"),
    [(WIDGET, True), (WORKFLOW, True), (IMAGE, False)],
    ids=["widget", "workflow", "preview-of-an-image"],
)
async def test_unfinished_items_that_are_not_text(
    stores: RunStores,
    store: SqlStore,
    ann: RequestContext,
    replay: ReaderState,
    item: ThreadItem,
    *,
    kept: bool,
):
    server = Scripted(store, begun(item))
    runs = Runs(server, stores)
    run_id = await runs.start(say("go"), ann)
    await asyncio.wait_for(server.all_given.wait(), 10)
    record = await runs.stop(run_id, ann.identity)
    assert told(await replay(run_id)) == [("done" if kept else "removed", item.id)]
    page = await store.load_thread_items(record.thread_id, None, 10, "asc", ann)
    assert (item.id in [each.id for each in page.data]) == kept


async def test_a_title_that_is_being_stored_is_stored(
    stores: RunStores,
    store: SqlStore,
    ann: RequestContext,
    replay: ReaderState,
    monkeypatch: pytest.MonkeyPatch,
):
    class Titled(Scripted):
        async def respond(
            self, thread: ThreadMetadata, input_user_message: UserMessageItem | None, context: RequestContext
        ) -> AsyncIterator[ThreadStreamEvent]:
            thread.title = "Weather"
            async for event in super().respond(thread, input_user_message, context):
                yield event

    update, reached = store.update_thread, asyncio.Event()

    async def never_at_first(*arguments: Any, **options: Any) -> ThreadMetadata:
        if not reached.is_set():
            reached.set()
            await asyncio.Event().wait()
        return await update(*arguments, **options)

    monkeypatch.setattr(store, "update_thread", never_at_first)
    runs = Runs(Titled(store, begun(MESSAGE)), stores)
    run_id = await runs.start(say("go"), ann)
    await asyncio.wait_for(reached.wait(), 10)
    record = await runs.stop(run_id, ann.identity)
    assert (await store.load_thread(record.thread_id, ann)).title == "Weather"
    events = await replay(run_id)
    assert [event["thread"]["title"] for event in events if event["type"] == "thread.updated"] == ["Weather"]
    assert told(events) == [("done", MESSAGE.id)]
