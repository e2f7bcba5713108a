"""A run whose process died goes on elsewhere: nothing is lost, nothing is said twice, no tool runs twice."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from agents import Agent, function_tool
from agents.models.multi_provider import MultiProvider
from agents.tool_context import ToolContext

from backchannel.chat.agent.answer_options import AnswerOptions
from backchannel.chat.agent.server import ChatServer
from backchannel.context import Identity, RequestContext
from backchannel.errors import ModelQuotaError
from backchannel.event_logs.memory import MemoryEventLog
from backchannel.runs import output
from backchannel.runs.executor import MAX_ATTEMPTS
from backchannel.runs.runs import Runs
from backchannel.runs.stores import RunStores
from backchannel.stores.run_store import RunFencedError
from backchannel.stores.sql.store import SqlStore
from backchannel.testing import Call, Say, ScriptedModel
from backchannel.tools import idempotent
from unit.runs.requests import Hear, ReaderState, say

pytestmark = pytest.mark.row("H1", "C4")

type Serve = Callable[[], Runs]


class Ledger:
    """What the tools did, and a gate at which they wait."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.gate = asyncio.Event()
        self.waiting = asyncio.Event()

    async def enter(self, what: str) -> None:
        self.done.append(what)
        self.waiting.set()
        await self.gate.wait()


@pytest.fixture
async def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
async def serve(
    store: SqlStore, stores: RunStores, model: ScriptedModel, ledger: Ledger, events: MemoryEventLog,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[Serve]:  # fmt: skip
    """Another process each time, on the same stores."""
    monkeypatch.setattr(events, "disconnect_readers", lambda: None)

    @function_tool
    async def note(value: str) -> str:
        """Note something."""
        await ledger.enter(f"note {value}")
        return "noted"

    @idempotent
    @function_tool
    async def note_once(ctx: ToolContext[Any], value: str) -> str:
        """Note something, once per key."""
        await ledger.enter(f"once {value}")
        return "noted once"

    second = Agent(name="Second", model=model, tools=[note, note_once])
    first = Agent(name="First", model=model, tools=[note, note_once], handoffs=[second])
    made: list[Runs] = []

    def serve() -> Runs:
        server = ChatServer(first, store, AnswerOptions(MultiProvider()))
        made.append(Runs(server, stores))
        return made[-1]

    yield serve
    for runs in made:
        await runs.drain(0)


async def die(runs: Runs, run_id: str) -> None:
    """Leave everything about a run as it is, as a process does that is killed."""
    run = runs.worker.get(run_id)
    assert run is not None
    assert run.task is not None
    run.stop("fenced")
    await asyncio.wait([run.task], timeout=10)


async def take_over(runs: Runs, run_id: str, ann: RequestContext) -> None:
    former = (await runs.load(run_id, ann.identity)).replica
    assert await runs.worker.take_over([run_id], former) == 1


async def texts(store: SqlStore, thread_id: str, ann: RequestContext) -> list[str]:
    page = await store.load_thread_items(thread_id, None, 100, "asc", ann)
    spoken = [item for item in page.data if item.type in {"user_message", "assistant_message"}]
    return ["".join(part.text for part in item.content) for item in spoken]


async def test_what_was_being_said_is_taken_back_and_said_again(
    serve: Serve, model: ScriptedModel, replay: ReaderState, hear: Hear, ann: RequestContext, store: SqlStore
):
    one, two = serve(), serve()
    model.add(Say(["one ", "two"], until=asyncio.Event()), Say("one two three"))
    run_id = await one.start(say("count"), ann)
    await hear(run_id, "one ")
    await die(one, run_id)
    await take_over(two, run_id, ann)
    events = await replay(run_id)
    partial, whole = [event["item"]["id"] for event in events if event["type"] == "thread.item.added"]
    assert [event["item_id"] for event in events if event["type"] == "thread.item.removed"] == [partial]
    assert events[-1]["item"]["id"] == whole
    record = await two.load(run_id, ann.identity)
    assert (record.status, record.fence, record.attempt) == ("completed", 2, 2)
    assert await texts(store, record.thread_id, ann) == ["count", "one two three"]
    assert [event["type"] for event in events].count("thread.created") == 1


async def test_a_tool_that_was_running_is_not_called_again_and_the_model_is_told(
    serve: Serve, model: ScriptedModel, replay: ReaderState, ledger: Ledger, ann: RequestContext
):
    one, two = serve(), serve()
    model.add(Call("note", {"value": "a"}), Say("I cannot tell."))
    run_id = await one.start(say("note a"), ann)
    await asyncio.wait_for(ledger.waiting.wait(), 10)
    await die(one, run_id)
    await take_over(two, run_id, ann)
    await replay(run_id)
    assert ledger.done == ["note a"]
    outputs = [item["output"] for item in model.calls[-1] if item.get("type") == "function_call_output"]
    assert len(outputs) == 1
    assert "may or may not have taken effect" in outputs[0]


async def test_an_idempotent_tool_that_was_running_is_called_again(
    serve: Serve, model: ScriptedModel, replay: ReaderState, ledger: Ledger, ann: RequestContext
):
    one, two = serve(), serve()
    model.add(Call("note_once", {"value": "a"}), Say("Noted."))
    run_id = await one.start(say("note a"), ann)
    await asyncio.wait_for(ledger.waiting.wait(), 10)
    await die(one, run_id)
    ledger.gate.set()
    await take_over(two, run_id, ann)
    await replay(run_id)
    assert ledger.done == ["once a", "once a"]
    outputs = [item["output"] for item in model.calls[-1] if item.get("type") == "function_call_output"]
    assert outputs == ["noted once"]
    assert len(model.calls) == 2, "the model call that asked for the tool is not made again"


async def test_the_agent_that_was_handed_to_goes_on(
    serve: Serve,
    model: ScriptedModel,
    replay: ReaderState,
    hear: Hear,
    ann: RequestContext,
    events: MemoryEventLog,
):
    one, two = serve(), serve()
    model.add(Call("transfer_to_second"), Say(["I ", "am"], until=asyncio.Event()), Say("I am the second."))
    run_id = await one.start(say("hi"), ann)
    await hear(run_id, "I ")
    await die(one, run_id)
    await take_over(two, run_id, ann)
    await replay(run_id)
    frames = (await events.read(run_id, 0, wait=0)).frames
    agents = [frame.event.head for frame in frames if frame.event.plain and b"agent_call" in frame.event.head]
    assert agents[-1] == b'{"type": "agent_call.started", "agent": "Second"}'


async def test_a_run_whose_last_word_was_kept_says_nothing_more(
    serve: Serve, model: ScriptedModel, replay: ReaderState, ann: RequestContext, stores: RunStores,
    monkeypatch: pytest.MonkeyPatch, store: SqlStore,
):  # fmt: skip
    one, two = serve(), serve()
    model.add(Say("done"))
    stuck, dead = asyncio.Event(), asyncio.Event()

    async def wait(run_id: str, *_: Any) -> None:
        stuck.set()
        await dead.wait()
        raise RunFencedError(run_id)

    with monkeypatch.context() as patch:
        patch.setattr(stores.runs, "finish", wait)
        run_id = await one.start(say("hi"), ann)
        await asyncio.wait_for(stuck.wait(), 10)
        # Nothing interrupts an end that has begun; this one never comes.
        dead.set()
        await die(one, run_id)
    await take_over(two, run_id, ann)
    events = await replay(run_id)
    record = await two.load(run_id, ann.identity)
    assert record.status == "completed"
    assert len(model.calls) == 1
    assert await texts(store, record.thread_id, ann) == ["hi", "done"]
    assert [event["type"] for event in events].count("thread.item.added") == 1


async def test_a_run_that_was_to_be_stopped_is_stopped_by_who_takes_it_over(
    serve: Serve,
    model: ScriptedModel,
    replay: ReaderState,
    hear: Hear,
    ann: RequestContext,
    stores: RunStores,
    store: SqlStore,
):
    one, two = serve(), serve()
    model.add(Say(["one ", "two"], until=asyncio.Event()))
    run_id = await one.start(say("count"), ann)
    await hear(run_id, "one ")
    await stores.runs.request_stop(run_id, ann.identity, "cancelled")
    await die(one, run_id)
    await take_over(two, run_id, ann)
    events = await replay(run_id)
    assert events[-1]["item"]["content"][0]["text"] == "one "
    record = await two.load(run_id, ann.identity)
    assert record.status == "cancelled"
    assert await texts(store, record.thread_id, ann) == ["count", "one "]


async def test_a_run_that_kills_whoever_makes_it_is_given_up(
    serve: Serve, model: ScriptedModel, replay: ReaderState, hear: Hear, ann: RequestContext
):
    runs = serve()
    model.add(*(Say(["x", "y"], until=asyncio.Event()) for _ in range(MAX_ATTEMPTS)))
    run_id = await runs.start(say("hi"), ann)
    for attempt in range(MAX_ATTEMPTS):
        await until(lambda number=attempt: model.deltas_sent == number + 1)
        await die(runs, run_id)
        runs = serve()
        await take_over(runs, run_id, ann)
    events = await replay(run_id)
    assert (events[-1]["type"], events[-1]["reason"], events[-1]["allow_retry"]) == (
        "error",
        "interrupted",
        True,
    )
    assert (await runs.load(run_id, ann.identity)).status == "interrupted"


async def test_a_run_that_is_handed_over_again_and_again_is_not(
    serve: Serve, model: ScriptedModel, replay: ReaderState, ann: RequestContext
):
    """As when a long one meets every restart of several deploys."""
    runs = serve()
    model.add(*(Say(["x", "y"], until=asyncio.Event()) for _ in range(MAX_ATTEMPTS + 1)), Say("done"))
    run_id = await runs.start(say("hi"), ann)
    for number in range(1, MAX_ATTEMPTS + 2):
        await until(lambda number=number: model.deltas_sent == number)
        await runs.drain(0)
        runs = serve()
        await take_over(runs, run_id, ann)
    events = await replay(run_id)
    assert events[-1]["item"]["content"][0]["text"] == "done"
    assert (await runs.load(run_id, ann.identity)).status == "completed"


async def test_a_run_that_is_handed_over_before_it_began_is_begun_as_one_of_another_process(
    serve: Serve, model: ScriptedModel, replay: ReaderState, ann: RequestContext, stores: RunStores,
    events: MemoryEventLog, monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    """What its former owner said, or did not get to say, must not get the same numbers."""
    one, two = serve(), serve()
    go_on, claimed = asyncio.Event(), asyncio.Event()
    model.add(Say(["x", "y"], until=go_on), Say("done"))
    first = await one.start(say("hi"), ann)
    thread_id = (await one.load(first, ann.identity)).thread_id
    second = await one.start(say("and you?", thread_id), ann)

    guard = stores.runs.check_fence

    async def wait(run_id: str, fence: int) -> None:
        if run_id == second:
            claimed.set()
            await asyncio.Event().wait()
        await guard(run_id, fence)

    with monkeypatch.context() as patch:
        patch.setattr(stores.runs, "check_fence", wait)
        go_on.set()
        await asyncio.wait_for(claimed.wait(), 10)
        await one.drain(0)
    begun: list[tuple[int, bool]] = []
    begin = events.begin

    async def noted(run_id: str, identity: Identity, *, fence: int, after_crash: bool = False) -> Any:
        begun.append((fence, after_crash))
        return await begin(run_id, identity, fence=fence, after_crash=after_crash)

    monkeypatch.setattr(events, "begin", noted)
    await take_over(two, second, ann)
    assert (await replay(second))[-1]["item"]["content"][0]["text"] == "done"
    assert begun[0] == (2, True)
    assert (await two.load(second, ann.identity)).attempt == 1


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


async def test_an_owner_that_wakes_up_late_writes_nothing(
    serve: Serve, model: ScriptedModel, replay: ReaderState, hear: Hear, ann: RequestContext, store: SqlStore
):
    one, two = serve(), serve()
    asleep = asyncio.Event()
    model.add(Say(["one ", "two"], until=asleep), Say("one two three"))
    run_id = await one.start(say("count"), ann)
    await hear(run_id, "one ")
    late = one.worker.get(run_id)
    assert late is not None
    assert late.task is not None
    await take_over(two, run_id, ann)
    events = await replay(run_id)
    asleep.set()
    await asyncio.wait([late.task], timeout=10)
    assert late.task.done()
    record = await two.load(run_id, ann.identity)
    assert (record.status, record.fence) == ("completed", 2)
    assert await texts(store, record.thread_id, ann) == ["count", "one two three"]
    assert await replay(run_id) == events


@pytest.mark.row("C5")
async def test_a_run_that_is_stopped_as_soon_as_it_is_taken_over_ends(
    serve: Serve, model: ScriptedModel, replay: ReaderState, hear: Hear, ann: RequestContext, store: SqlStore
):
    first = serve()
    model.add(Say(["one ", "two"], until=asyncio.Event()))
    run_id = await first.start(say("count"), ann)
    await hear(run_id, "one ")
    await die(first, run_id)
    second = serve()
    former = (await second.load(run_id, ann.identity)).replica
    taking = asyncio.create_task(second.worker.take_over([run_id], former))
    while (run := second.worker.get(run_id)) is None:  # noqa: ASYNC110 - each turn of the loop counts
        await asyncio.sleep(0)
    # Nothing else has run since: its task is at its very beginning.
    run.stop("cancelled")
    await taking
    await replay(run_id)
    record = await second.load(run_id, ann.identity)
    assert record.status == "cancelled"
    assert await texts(store, record.thread_id, ann) == ["count", "one "]


@pytest.mark.parametrize("when", ["before-it-was-sent", "after-it-was-sent"])
async def test_an_answer_that_had_failed_when_its_process_died_fails_once(
    serve: Serve,
    model: ScriptedModel,
    replay: ReaderState,
    events: MemoryEventLog,
    ann: RequestContext,
    stores: RunStores,
    store: SqlStore,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
):
    """Whether readers have the error or not: no second answer, and no second error, may follow it."""
    finish, died = stores.runs.finish, asyncio.Event()

    async def die_first(*arguments: Any) -> None:
        if not died.is_set():
            died.set()
            await asyncio.Event().wait()
        await finish(*arguments)

    monkeypatch.setattr(stores.runs, "finish", die_first)
    if when == "after-it-was-sent":
        monkeypatch.setattr(output, "PERSIST_SECONDS", 0.05)
    one, two = serve(), serve()
    model.add(Say(["half ", "more"], error=ModelQuotaError()), Say("again"))
    run_id = await one.start(say("go"), ann)
    await asyncio.wait_for(died.wait(), 10)
    if when == "after-it-was-sent":
        after, said = 0, b""
        while b"model_quota" not in said:
            batch = await events.read(run_id, after, wait=10)
            assert batch.frames, "the error was not sent"
            said, after = said + b"".join(frame.event.body() for frame in batch.frames), batch.frames[-1].seq
    run = one.worker.get(run_id)
    assert run is not None
    assert run.task is not None
    run.task.cancel()
    await asyncio.wait([run.task], timeout=10)
    await take_over(two, run_id, ann)
    replayed = await replay(run_id)
    assert [event["reason"] for event in replayed if event["type"] == "error"] == ["model_quota"]
    record = await two.load(run_id, ann.identity)
    assert (record.status, record.error_code) == ("failed", "model_quota")
    assert await texts(store, record.thread_id, ann) == ["go", "half "]
    assert len(model.calls) == 1
