"""Shutting down: nothing new is taken, answers may finish for a while, the others are interrupted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from chatkit.types import ChatKitReq, StreamingReq
from pydantic import TypeAdapter

from backchannel.context import RequestContext
from backchannel.errors import UnavailableError
from backchannel.runs.runs import Runs
from backchannel.stores.sql.runs import SqlRuns
from backchannel.stores.sql.store import SqlStore
from backchannel.testing import Say, ScriptedModel, user_message

pytestmark = pytest.mark.row("G2", "H1")

type Told = Callable[[str], Awaitable[list[dict[str, Any]]]]
type Start = Callable[[asyncio.Event], Awaitable[str]]

REQUEST: TypeAdapter[Any] = TypeAdapter(ChatKitReq)


def say(message: str, thread_id: str | None = None) -> StreamingReq:
    params: dict[str, Any] = {"input": user_message(message)}
    kind = "threads.create" if thread_id is None else "threads.add_user_message"
    if thread_id is not None:
        params["thread_id"] = thread_id
    return REQUEST.validate_python({"type": kind, "params": params})


@pytest.fixture
def started(
    runs: Runs, model: ScriptedModel, ann: RequestContext, hear: Callable[[str, str], Awaitable[None]]
) -> Start:
    """Starts a run whose answer waits before its last word."""

    async def start(hold: asyncio.Event) -> str:
        model.add(Say(["one ", "two"], until=hold))
        run_id = await runs.start(say("hi"), ann)
        await hear(run_id, "one ")
        return run_id

    return start


async def test_answers_finish_within_the_grace(runs: Runs, started: Start, told: Told, ann: RequestContext):
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
    assert (await told(run_id))[-1]["item"]["content"][0]["text"] == "one two"


async def test_what_takes_longer_is_interrupted_and_told_so(
    runs: Runs, started: Start, model: ScriptedModel, told: Told, ann: RequestContext, store: SqlStore
):
    run_id = await started(asyncio.Event())
    await asyncio.wait_for(runs.drain(0.01), 10)
    assert runs.active == 0
    record = await runs.load(run_id, ann.identity)
    assert record.status == "interrupted"
    *_, partial, error = await told(run_id)
    assert partial["item"]["content"][0]["text"] == "one "
    assert (error["type"], error["allow_retry"], error["reason"]) == ("error", True, "unavailable")
    page = await store.load_thread_items(record.thread_id, None, 9, "asc", ann)
    # The person did not stop it, so the model is not told that they did.
    assert [item.type for item in page.data] == ["user_message", "assistant_message"]
    assert model.streaming == 0


async def test_a_message_that_waits_its_turn_is_told_that_it_was_not_answered(
    runs: Runs, started: Start, told: Told, ann: RequestContext, store: SqlStore
):
    first = await started(asyncio.Event())
    thread_id = (await runs.load(first, ann.identity)).thread_id
    second = await runs.start(say("second", thread_id), ann)
    await asyncio.wait_for(runs.drain(0.01), 10)
    (error,) = await told(second)
    assert (error["type"], error["allow_retry"]) == ("error", True)
    page = await store.load_thread_items(thread_id, None, 9, "asc", ann)
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


async def test_what_a_crash_left_running_is_found_at_the_next_start(
    started: Start, ann: RequestContext, run_store: SqlRuns
):
    run_id = await started(asyncio.Event())
    assert (await run_store.load(run_id, ann.identity)).status == "running"
    assert await run_store.interrupt_abandoned() == 1
    assert await run_store.interrupt_abandoned() == 0
    found = await run_store.load(run_id, ann.identity)
    assert found.status == "interrupted"
    assert found.ended_at is not None
