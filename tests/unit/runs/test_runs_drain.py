"""Shutting down: nothing new is taken, answers may finish for a while, the others are handed over."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from chatkit.server import ChatKitServer
from chatkit.types import (
    AssistantMessageContentPartTextDelta,
    AssistantMessageItem,
    ThreadItemAddedEvent,
    ThreadItemUpdatedEvent,
)

from backchannel.chat.agent.server import ChatServer
from backchannel.context import RequestContext
from backchannel.errors import UnavailableError
from backchannel.event_logs.memory import MemoryEventLog
from backchannel.runs.runs import Runs
from backchannel.runs.stores import RunStores
from backchannel.stores.sql.store import SqlStore
from backchannel.testing import Say, ScriptedModel
from unit.runs.requests import Hear, ReaderState, say

pytestmark = pytest.mark.row("G2", "H1")

type Start = Callable[[asyncio.Event], Awaitable[str]]


class Holding(ChatKitServer[RequestContext]):
    """A server of somebody's own, whose answer waits in the middle."""

    async def respond(self, thread: Any, item: Any, context: RequestContext) -> AsyncIterator[Any]:
        message = AssistantMessageItem(id="msg_1", thread_id=thread.id, created_at=datetime.now(), content=[])
        yield ThreadItemAddedEvent(item=message)
        delta = AssistantMessageContentPartTextDelta(content_index=0, delta="one ")
        yield ThreadItemUpdatedEvent(item_id="msg_1", update=delta)
        await asyncio.Event().wait()


@pytest.fixture
async def other(
    chat_server: ChatServer, stores: RunStores, events: MemoryEventLog, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Runs]:
    """Another replica, whose readers stay while the first one's go."""
    monkeypatch.setattr(events, "disconnect_readers", lambda: None)
    other = Runs(chat_server, stores)
    yield other
    await other.drain(0)


@pytest.fixture
def started(runs: Runs, model: ScriptedModel, ann: RequestContext, hear: Hear) -> Start:
    """Starts a run whose answer waits before its last word."""

    async def start(hold: asyncio.Event) -> str:
        model.add(Say(["one ", "two"], until=hold))
        run_id = await runs.start(say("hi"), ann)
        await hear(run_id, "one ")
        return run_id

    return start


async def test_answers_finish_within_the_grace(
    runs: Runs, started: Start, replay: ReaderState, ann: RequestContext
):
    hold = asyncio.Event()
    run_id = await started(hold)
    draining = asyncio.create_task(runs.drain(30))
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError) as caught:
        await runs.start(say("hi"), ann)
    assert caught.value.retry_after
    assert not draining.done()
    hold.set()
    await asyncio.wait_for(draining, 10)
    assert (await runs.load(run_id, ann.identity)).status == "completed"
    assert (await replay(run_id))[-1]["item"]["content"][0]["text"] == "one two"


async def test_what_takes_longer_is_handed_over_and_finished_elsewhere(
    runs: Runs,
    other: Runs,
    started: Start,
    model: ScriptedModel,
    replay: ReaderState,
    ann: RequestContext,
    store: SqlStore,
):
    run_id = await started(asyncio.Event())
    await asyncio.wait_for(runs.drain(0.01), 10)
    assert runs.active == 0
    assert model.streaming == 0
    record = await runs.load(run_id, ann.identity)
    assert (record.status, record.replica) == ("running", None)
    model.add(Say("one two three"))
    assert await other.worker.take_over([run_id], None) == 1
    events = await replay(run_id)
    assert events[-1]["item"]["content"][0]["text"] == "one two three"
    removed = [event["item_id"] for event in events if event["type"] == "thread.item.removed"]
    begun = [event["item"]["id"] for event in events if event["type"] == "thread.item.added"]
    assert removed == begun[:1]
    assert (await other.load(run_id, ann.identity)).status == "completed"
    page = await store.load_thread_items(record.thread_id, None, 9, "asc", ann)
    assert [item.type for item in page.data] == ["user_message", "assistant_message"]


@pytest.mark.row("P8")
async def test_readers_that_are_left_are_told_to_reconnect(
    runs: Runs, started: Start, events: MemoryEventLog
):
    run_id = await started(asyncio.Event())
    await asyncio.wait_for(runs.drain(0.01), 10)
    last = (await events.read(run_id, 0, wait=0)).frames[-1].seq
    batch = await events.read(run_id, last, wait=60)
    assert (batch.frames, batch.ended, batch.released) == ([], False, True)


async def test_a_message_that_waits_its_turn_is_answered_elsewhere(
    runs: Runs,
    other: Runs,
    started: Start,
    replay: ReaderState,
    model: ScriptedModel,
    ann: RequestContext,
    store: SqlStore,
):
    first = await started(asyncio.Event())
    thread_id = (await runs.load(first, ann.identity)).thread_id
    second = await runs.start(say("second", thread_id), ann)
    await asyncio.wait_for(runs.drain(0.01), 10)
    assert (await runs.load(second, ann.identity)).status == "queued"
    model.add(Say("one two"), Say("second answer"))
    assert await other.worker.take_over([first], None) == 1
    await replay(second)
    page = await store.load_thread_items(thread_id, None, 9, "asc", ann)
    assert [item.content[0].text for item in page.data] == ["hi", "one two", "second", "second answer"]


async def test_what_nobody_can_go_on_with_is_interrupted_and_told_so(
    stores: RunStores,
    store: SqlStore,
    replay: ReaderState,
    hear: Hear,
    ann: RequestContext,
):
    runs = Runs(Holding(store), stores)
    run_id = await runs.start(say("hi"), ann)
    await hear(run_id, "one ")
    await asyncio.wait_for(runs.drain(0.01), 10)
    record = await runs.load(run_id, ann.identity)
    assert record.status == "interrupted"
    *_, partial, error = await replay(run_id)
    assert partial["item"]["content"][0]["text"] == "one "
    assert (error["type"], error["allow_retry"], error["reason"]) == ("error", True, "unavailable")
    page = await store.load_thread_items(record.thread_id, None, 9, "asc", ann)
    # The person did not stop it, so the model is not told that they did.
    assert [item.type for item in page.data] == ["user_message", "assistant_message"]


async def test_a_run_that_somebody_stops_meanwhile_stays_stopped(
    runs: Runs, started: Start, ann: RequestContext
):
    run_id = await started(asyncio.Event())
    draining = asyncio.create_task(runs.drain(30))
    await asyncio.sleep(0)
    assert (await runs.stop(run_id, ann.identity)).status == "cancelled"
    await asyncio.wait_for(draining, 10)
    assert (await runs.load(run_id, ann.identity)).status == "cancelled"


async def test_nothing_to_drain_takes_no_time(runs: Runs):
    await asyncio.wait_for(runs.drain(600), 5)


class Slow:
    """Stands before a store and returns what its method `name` did only when it is released.

    Args:
        when_found: Only if that is something.
    """

    def __init__(self, inner: Any, name: str, *, when_found: bool = False) -> None:
        self._inner = inner
        self._when_found = when_found
        self._name = name
        self.done = asyncio.Event()
        self.release = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name != self._name:
            return method

        async def slow(*args: Any, **options: Any) -> Any:
            result = await method(*args, **options)
            if result is not None or not self._when_found:
                self.done.set()
                await self.release.wait()
            return result

        return slow


async def test_a_run_that_is_taken_over_while_the_drain_begins_goes_to_another_replica(
    runs: Runs, chat_server: ChatServer, stores: RunStores, started: Start, ann: RequestContext
):
    run_id = await started(asyncio.Event())
    dead = await stores.runs.load(run_id, ann.identity)
    await runs.worker.release_all()
    slow = Slow(stores.maintenance, "take_over")
    heir = Runs(chat_server, replace(stores, maintenance=slow))
    taking = asyncio.create_task(heir.worker.take_over([run_id], dead.replica))
    await asyncio.wait_for(slow.done.wait(), 10)
    await asyncio.wait_for(heir.drain(0), 10)
    slow.release.set()
    await asyncio.wait_for(taking, 10)
    assert heir.active == 0
    assert [record.id for record in await stores.maintenance.orphans(10)] == [run_id]


async def test_a_run_that_is_claimed_while_the_drain_begins_goes_to_another_replica(
    stores: RunStores, runs: Runs, started: Start, ann: RequestContext
):
    hold = asyncio.Event()
    first = await started(hold)
    thread_id = (await runs.load(first, ann.identity)).thread_id
    second = await runs.start(say("more", thread_id), ann)
    slow = Slow(stores.runs, "claim_next", when_found=True)
    runs.worker.stores = replace(stores, runs=slow)
    hold.set()
    await asyncio.wait_for(slow.done.wait(), 10)
    draining = asyncio.create_task(runs.drain(30))
    await asyncio.sleep(0)
    slow.release.set()
    await asyncio.wait_for(draining, 10)
    assert (await runs.load(first, ann.identity)).status == "completed"
    assert [record.id for record in await stores.maintenance.orphans(10)] == [second]


async def test_a_request_that_waits_while_the_drain_begins_is_refused(
    stores: RunStores, chat_server: ChatServer, ann: RequestContext
):
    slow = Slow(stores.idempotency_keys, "load")
    runs = Runs(chat_server, replace(stores, idempotency_keys=slow))
    starting = asyncio.create_task(runs.start(say("hi"), ann, key="k" * 20))
    await asyncio.wait_for(slow.done.wait(), 10)
    await asyncio.wait_for(runs.drain(0), 10)
    slow.release.set()
    with pytest.raises(UnavailableError):
        await asyncio.wait_for(starting, 10)
    assert runs.active == 0
