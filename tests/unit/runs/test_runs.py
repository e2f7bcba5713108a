"""Runs start, are followed, queue up, stop and drain; whatever happens, their end is recorded."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from agents import GuardrailFunctionOutput, OutputGuardrail
from chatkit.errors import CustomStreamError
from chatkit.types import AssistantMessageItem, StreamingReq, UserMessageItem
from sqlalchemy import text

from backchannel.chat.agent.server import ChatServer
from backchannel.context import Identity, RequestContext
from backchannel.errors import BackchannelError, ConflictError, NotFoundError, UnavailableError
from backchannel.event_logs.memory import MemoryEventLog
from backchannel.runs.runs import Runs
from backchannel.stores.run_states import ACTIVE
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.runs import SqlRuns
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.sql.transactions import retryable
from backchannel.testing import Call, Fail, Say, ScriptedModel
from unit.runs.requests import Hear, ReaderState, say

pytestmark = pytest.mark.row("C4", "C5", "C6", "G2", "D1")


def thread_of(replay: list[dict[str, Any]]) -> str:
    return next(event["thread"]["id"] for event in replay if event["type"] == "thread.created")


async def texts(store: SqlStore, thread_id: str, context: RequestContext) -> list[str]:
    """What stands in a thread, oldest first, hidden items by their type."""
    page = await store.load_thread_items(thread_id, None, 100, "asc", context)
    return [
        "".join(part.text for part in item.content)
        if isinstance(item, UserMessageItem | AssistantMessageItem)
        else item.type
        for item in page.data
    ]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


async def a_thread(runs: Runs, model: ScriptedModel, replay: ReaderState, context: RequestContext) -> str:
    """A thread with one message and its answer."""
    model.add(Say("hello"))
    return thread_of(await replay(await runs.start(say("hi"), context)))


async def test_start_and_follow(
    runs: Runs, model: ScriptedModel, replay: ReaderState, ann: RequestContext, store: SqlStore
):
    model.add(Say(["one ", "two"]))
    run_id = await runs.start(say("count"), ann)
    assert run_id.startswith("run_")
    events = await replay(run_id)
    assert [event["type"] for event in events[:3]] == ["thread.created", "thread.item.done", "stream_options"]
    thread_id = thread_of(events)
    assert await texts(store, thread_id, ann) == ["count", "one two"]
    record = await runs.load(run_id, ann.identity)
    assert (record.thread_id, record.operation, record.status) == (thread_id, "threads.create", "completed")
    assert record.ended_at is not None
    assert record.ended_at >= record.created_at
    assert record.error_code is None
    assert [run.id for run in await runs.list_by_thread(thread_id, ann.identity, status=None, limit=9)] == [
        run_id
    ]
    assert await runs.list_by_thread(thread_id, ann.identity, status=ACTIVE, limit=9) == []
    assert runs.active == 0


async def test_usage_is_booked_with_the_run(
    runs: Runs, model: ScriptedModel, replay: ReaderState, ann: RequestContext, database: Database
):
    model.add(Call("add_todo", {"title": "a"}), Say("done"))
    run_id = await runs.start(say("add a"), ann)
    await replay(run_id)
    async with database.read() as connection:
        columns = "tenant, user_id, run_id, requests, input_tokens, output_tokens"
        rows = (await connection.execute(text(f"SELECT {columns} FROM usage"))).all()
    assert [tuple(row) for row in rows] == [("acme", "ann", run_id, 2, 20, 10)]


async def test_stop_keeps_what_was_said_and_lets_go_of_the_model(
    runs: Runs, model: ScriptedModel, replay: ReaderState, hear: Hear, ann: RequestContext, store: SqlStore
):
    model.add(Say(["one ", "two ", "three"], until=asyncio.Event()))
    run_id = await runs.start(say("count"), ann)
    await hear(run_id, "two ")
    live = await runs.load(run_id, ann.identity)
    assert (live.status, live.ended_at) == ("running", None)
    stopped = await runs.stop(run_id, ann.identity)
    assert stopped.status == "cancelled"
    await until(lambda: model.streaming == 0)
    events = await replay(run_id)
    assert events[-1]["type"] == "thread.item.done"
    assert events[-1]["item"]["content"][0]["text"] == "one two "
    assert not any(event["type"] == "error" for event in events)
    assert await texts(store, thread_of(events), ann) == ["count", "one two ", "sdk_hidden_context"]
    assert (await runs.load(run_id, ann.identity)).status == "cancelled"
    # Stopping again is the same as once.
    assert (await runs.stop(run_id, ann.identity)).status == "cancelled"


async def test_stopping_twice_at_once_keeps_what_was_said(
    runs: Runs, model: ScriptedModel, replay: ReaderState, hear: Hear, ann: RequestContext, store: SqlStore
):
    model.add(Say(["one ", "two"], until=asyncio.Event()))
    run_id = await runs.start(say("count"), ann)
    await hear(run_id, "one ")
    both = await asyncio.gather(*(runs.stop(run_id, ann.identity) for _ in range(2)))
    assert [record.status for record in both] == ["cancelled", "cancelled"]
    assert "one " in await texts(store, thread_of(await replay(run_id)), ann)


async def test_the_same_person_can_stop_with_another_token(
    runs: Runs, model: ScriptedModel, replay: ReaderState, ann: RequestContext
):
    model.add(Say(["one ", "two"], until=asyncio.Event()))
    run_id = await runs.start(say("count"), ann)
    await until(lambda: model.deltas_sent == 1)
    refreshed = Identity("ann", tenant="acme", name="Ann", scopes=frozenset({"beta"}))
    stopped = await runs.stop(run_id, refreshed)
    assert stopped.status == "cancelled"
    await until(lambda: model.streaming == 0)


@pytest.mark.parametrize("committed", [False, True], ids=["before the commit", "after it"])
async def test_a_stop_that_comes_as_the_run_ends_leaves_its_end_recorded(
    committed: bool,
    runs: Runs,
    model: ScriptedModel,
    replay: ReaderState,
    ann: RequestContext,
    run_store: SqlRuns,
    monkeypatch: pytest.MonkeyPatch,
):
    finishing, go_on = asyncio.Event(), asyncio.Event()
    finish = run_store.finish

    async def slow_finish(*args: Any) -> None:
        if committed:
            await finish(*args)
        finishing.set()
        await go_on.wait()
        if not committed:
            await finish(*args)

    monkeypatch.setattr(run_store, "finish", slow_finish)
    model.add(Say("done"))
    run_id = await runs.start(say("hi"), ann)
    await finishing.wait()
    stopping = asyncio.create_task(runs.stop(run_id, ann.identity))
    await asyncio.sleep(0)
    go_on.set()
    assert (await stopping).status == "completed"
    await replay(run_id)
    assert (await run_store.load(run_id, ann.identity)).status == "completed"


async def test_a_database_that_is_busy_costs_an_answer_some_time_and_not_its_end(
    runs: Runs,
    model: ScriptedModel,
    replay: ReaderState,
    ann: RequestContext,
    monkeypatch: pytest.MonkeyPatch,
):
    thread_id = await a_thread(runs, model, replay, ann)
    refusals = 0
    load = SqlStore.load_thread_items.__wrapped__  # type: ignore[attr-defined]

    async def busy(self: SqlStore, *args: Any) -> Any:
        nonlocal refusals
        refusals += 1
        if refusals < 3:
            raise UnavailableError("Every connection is in use.")
        return await load(self, *args)

    monkeypatch.setattr(SqlStore, "load_thread_items", retryable(busy))
    model.add(Say("hello again"))
    run_id = await runs.start(say("hi again", thread_id), ann)
    assert not [event for event in await replay(run_id) if event["type"] == "error"]
    assert (await runs.load(run_id, ann.identity)).status == "completed"
    assert refusals >= 3


async def test_two_messages_on_one_thread_follow_each_other(
    runs: Runs, model: ScriptedModel, replay: ReaderState, ann: RequestContext, store: SqlStore
):
    thread_id = await a_thread(runs, model, replay, ann)
    hold = asyncio.Event()
    model.add(Say(["first ", "answer"], until=hold), Say("second answer"))
    first = await runs.start(say("first", thread_id), ann)
    second = await runs.start(say("second", thread_id), ann)
    await until(lambda: model.deltas_sent == 2)
    active = await runs.list_by_thread(thread_id, ann.identity, status=ACTIVE, limit=9)
    assert [(run.id, run.status) for run in active] == [(second, "queued"), (first, "running")]
    await until(lambda: runs.active == 1)
    hold.set()
    await replay(second)
    assert await texts(store, thread_id, ann) == [
        "hi",
        "hello",
        "first",
        "first answer",
        "second",
        "second answer",
    ]
    assert len(model.calls[-1]) == 5


async def test_messages_that_come_together_keep_their_order(
    runs: Runs,
    model: ScriptedModel,
    replay: ReaderState,
    ann: RequestContext,
    store: SqlStore,
    monkeypatch: pytest.MonkeyPatch,
):
    thread_id = await a_thread(runs, model, replay, ann)
    hold = asyncio.Event()
    model.add(Say(["a", "b"], until=hold), Say("c"), Say("d"))
    first = await runs.start(say("first", thread_id), ann)
    await until(lambda: model.deltas_sent == 2)
    load, slow = store.load_thread, asyncio.Event()
    loads = 0

    async def load_slowly_once(thread_id: str, context: object) -> Any:
        nonlocal loads
        loads += 1
        if loads == 1:
            await slow.wait()
        return await load(thread_id, context)

    monkeypatch.setattr(store, "load_thread", load_slowly_once)
    second = asyncio.create_task(runs.start(say("second", thread_id), ann))
    await until(lambda: loads > 0)
    third = asyncio.create_task(runs.start(say("third", thread_id), ann))
    await asyncio.wait([third], timeout=0.2)
    hold.set()
    # The third one could go ahead now, if it were admitted before the second one.
    await until(lambda: runs.worker.get(first) is None)
    slow.set()
    for run_id in (await second, await third):
        await replay(run_id)
    said = await texts(store, thread_id, ann)
    assert said[2::2] == ["first", "second", "third"]


async def test_a_message_that_waits_can_be_stopped_and_is_not_kept(
    runs: Runs, model: ScriptedModel, replay: ReaderState, ann: RequestContext, store: SqlStore
):
    thread_id = await a_thread(runs, model, replay, ann)
    hold = asyncio.Event()
    model.add(Say(["a", "b"], until=hold))
    first = await runs.start(say("first", thread_id), ann)
    second = await runs.start(say("second", thread_id), ann)
    assert (await runs.stop(second, ann.identity)).status == "cancelled"
    hold.set()
    await replay(first)
    assert await texts(store, thread_id, ann) == ["hi", "hello", "first", "ab"]


@pytest.mark.parametrize(
    "request_",
    [
        say("hi", "thr_unknown"),
        say("hi", attachments=["atc_unknown"]),
    ],
)
async def test_a_refused_request_leaves_nothing(
    runs: Runs, ann: RequestContext, database: Database, request_: StreamingReq
):
    with pytest.raises(NotFoundError):
        await runs.start(request_, ann)
    assert runs.active == 0
    async with database.read() as connection:
        for table in ("threads", "items", "runs", "usage", "attachments"):
            assert (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one() == 0, table


async def test_a_message_to_a_busy_thread_of_somebody_else_is_refused_at_once(
    runs: Runs, model: ScriptedModel, replay: ReaderState, ann: RequestContext, eve: RequestContext
):
    thread_id = await a_thread(runs, model, replay, ann)
    model.add(Say(["a", "b"], until=asyncio.Event()))
    await runs.start(say("first", thread_id), ann)
    async with asyncio.timeout(5):
        with pytest.raises(NotFoundError):
            await runs.start(say("second", thread_id), eve)


async def test_several_messages_to_a_thread_that_does_not_exist_are_all_refused_at_once(
    runs: Runs, ann: RequestContext
):
    asking = [runs.start(say("hi", "thr_unknown"), ann) for _ in range(3)]
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(answer) for answer in answers] == [NotFoundError] * 3


@pytest.mark.parametrize("other", [Identity("eve", tenant="acme"), Identity("ann", tenant="other")])
async def test_somebody_elses_run_does_not_exist(
    runs: Runs, model: ScriptedModel, replay: ReaderState, ann: RequestContext, other: Identity
):
    hold = asyncio.Event()
    model.add(Say(["a", "b"], until=hold))
    run_id = await runs.start(say("hi"), ann)
    for _ in range(2):
        for asking in (runs.load(run_id, other), runs.stop(run_id, other)):
            with pytest.raises(NotFoundError):
                await asking
        hold.set()
        await replay(run_id)
    assert (await runs.load(run_id, ann.identity)).status == "completed"
    with pytest.raises(NotFoundError):
        await runs.load("run_unknown", ann.identity)


async def test_a_failed_run_is_told_and_recorded_with_its_code(
    runs: Runs, model: ScriptedModel, replay: ReaderState, ann: RequestContext, store: SqlStore
):
    model.add([Say("Let me see."), Call("add_todo", {"title": "a"})], Fail(RuntimeError("broken pipe")))
    run_id = await runs.start(say("hi"), ann)
    events = await replay(run_id)
    assert [event["type"] for event in events].count("error") == 1
    error = events[-1]
    assert (error["type"], error["code"], error["allow_retry"]) == ("error", "custom", True)
    assert (error["reason"], error["run_id"], error["request_id"]) == (
        "internal_error",
        run_id,
        ann.request_id,
    )
    assert "broken pipe" not in str(events)
    record = await runs.load(run_id, ann.identity)
    assert (record.status, record.error_code) == ("failed", "internal_error")
    said = await texts(store, thread_of(events), ann)
    assert [each for each in said if each not in {"hidden_context_item", "workflow"}] == ["hi", "Let me see."]


@pytest.mark.parametrize("error", [ConflictError("Locked."), CustomStreamError("Out of credit.")])
async def test_the_code_that_is_told_is_the_code_that_is_recorded(
    runs: Runs, model: ScriptedModel, replay: ReaderState, ann: RequestContext, error: Exception
):
    model.add(Fail(error))
    run_id = await runs.start(say("hi"), ann)
    reason = (await replay(run_id))[-1]["reason"]
    assert (await runs.load(run_id, ann.identity)).error_code == reason


async def test_no_client_hears_of_hidden_items(
    runs: Runs, model: ScriptedModel, replay: ReaderState, ann: RequestContext
):
    model.add(Call("add_todo", {"title": "a"}), Say("done"))
    events = await replay(await runs.start(say("hi"), ann))
    assert "hcx_" not in str(events)
    assert "hidden" not in str(events)


async def test_a_guardrail_takes_back_what_was_shown_and_names_nothing_hidden(
    runs: Runs, chat_server: ChatServer, model: ScriptedModel, replay: ReaderState, ann: RequestContext
):
    def trip(_context: Any, _agent: Any, _output: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    chat_server.agent.output_guardrails = [OutputGuardrail(trip)]
    model.add(Call("add_todo", {"title": "a"}), Say("Secret!"))
    events = await replay(await runs.start(say("hi"), ann))
    shown = {event["item"]["id"] for event in events if event["type"] == "thread.item.added"}
    removed = {event["item_id"] for event in events if event["type"] == "thread.item.removed"}
    assert removed == shown
    assert events[-1]["reason"] == "guardrail"


async def test_whoever_asked_can_go_away(
    runs: Runs, model: ScriptedModel, ann: RequestContext, events: MemoryEventLog, store: SqlStore
):
    hold = asyncio.Event()
    model.add(Say(["a", "b"], until=hold))
    asking = asyncio.create_task(runs.start(say("hi"), ann))
    await until(lambda: runs.active == 1)
    asking.cancel()
    await asyncio.wait([asking])
    hold.set()
    await until(lambda: runs.active == 0)
    page = await store.load_threads(9, None, "asc", ann)
    assert await texts(store, page.data[0].id, ann) == ["hi", "ab"]


async def test_nobody_is_left_when_all_is_done(
    runs: Runs, model: ScriptedModel, replay: ReaderState, ann: RequestContext
):
    model.add(Say("x"), Fail(BackchannelError("no")), Say("y"))
    for _ in range(3):
        await replay(await runs.start(say("hi"), ann))
    await until(lambda: runs.active == 0)
    await runs.drain(5)
    with pytest.raises(UnavailableError):
        await runs.start(say("hi"), ann)
