"""Listeners that misbehave, as people wrote them for other systems: no run may notice."""

import asyncio
import gc
from dataclasses import dataclass, replace
from typing import Any

import pytest
import structlog
from agents import Agent, function_tool
from structlog.testing import capture_logs

from backchannel import Application, Hooks
from backchannel.context import Identity, Usage
from backchannel.errors import ConfigurationError
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.hooks import MAX_PENDING, ModelCall, RunEnded, StreamClosed, ToolCall
from backchannel.models.response_events import Call
from backchannel.runs.run import Run
from backchannel.testing import Fail, Say, ScriptedModel, ServerError

pytestmark = pytest.mark.row("H14")

METHODS = [name for name in vars(Hooks) if not name.startswith("_")]


class Recorder(Hooks):
    """Notes the name of each event."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.events: list[Any] = []

    def note(self, name: str, event: Any) -> None:
        self.names.append(name)
        self.events.append(event)


for _name in METHODS:
    setattr(Recorder, _name, lambda self, event, name=_name: self.note(name, event))


def raising(error: BaseException) -> Hooks:
    """A listener each of whose methods raises."""

    def fail(self: Hooks, event: Any) -> None:
        raise error

    return type("Raising", (Hooks,), dict.fromkeys(METHODS, fail))()


def said(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)
async def test_a_listener_that_raises_changes_nothing(serve: Any, error: BaseException) -> None:
    """celery/celery#36, Bogdanp/dramatiq#445: a raising handler lost the task, or ended the worker."""
    recorder = Recorder()
    agent = Agent(name="A", model=ScriptedModel(Say(["Hel", "lo"])))
    served = await serve(Application(agent=agent, hooks=[raising(error), recorder]))
    _, events = await served.create()
    assert said(events)[-1] == "thread.item.done"
    assert events[-1]["item"]["content"][0]["text"] == "Hello"
    assert {"run_started", "first_token", "item_committed", "model_call", "run_ended"} <= {*recorder.names}


async def test_a_listener_that_never_returns_holds_nothing_up(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """strands-agents/harness-sdk#1017: I/O in a listener has to be possible, and must not be waited for."""
    monkeypatch.setattr("backchannel.app.CLOSE_SECONDS", 1)

    class Slow(Hooks):
        async def run_started(self, event: Any) -> None:
            await asyncio.Event().wait()

    agent = Agent(name="A", model=ScriptedModel(Say("Hello")))
    served = await serve(Application(agent=agent, hooks=[Slow()]))
    async with asyncio.timeout(8):
        _, events = await served.create()
    assert events[-1]["type"] == "thread.item.done"


async def test_each_run_ends_once_however_it_ends(serve: Any, eventually: Any) -> None:
    """riverqueue/river#1073, openai/openai-agents-js#753: failures had a beginning and no end."""
    recorder, held = Recorder(), asyncio.Event()
    model = ScriptedModel(Say("fine"), Fail(RuntimeError("down")), Say(["stopped", " here"], until=held))
    served = await serve(Application(agent=Agent(name="A", model=model), hooks=[recorder]))
    thread_id, _ = await served.create()
    await (await served.person.say("again", thread_id)).events()
    stream = await served.person.say("once more", thread_id)
    await eventually(lambda: model.streaming == 1, "the answer has begun")
    await served.person.stop(stream.run_id)
    await eventually(lambda: recorder.names.count("run_ended") == 3, "three ends")
    ended = [event for event in recorder.events if isinstance(event, RunEnded)]
    assert [event.status for event in ended] == ["completed", "failed", "cancelled"]
    assert len({event.run_id for event in ended}) == recorder.names.count("run_started") == 3
    assert recorder.names.count("model_call") == 3


async def test_a_refused_request_is_reported_and_starts_nothing(serve: Any, eventually: Any) -> None:
    """langchain-ai/langchain#8051: observers see refusals, they do not make them."""
    recorder = Recorder()
    served = await serve(Application(agent=Agent(name="A", model=ScriptedModel()), hooks=[recorder]))
    with pytest.raises(ServerError):
        await served.person.say("hi", "thr_nowhere")
    await eventually(lambda: "request_refused" in recorder.names, "the refusal is reported")
    (refused,) = recorder.events
    assert (refused.status, refused.code, refused.path) == (404, "not_found", "/api/chatkit")


def ended() -> RunEnded:
    return RunEnded(
        run_id="run_1",
        thread_id="thr_1",
        identity=Identity("ann"),
        request_id="req_1",
        operation="threads.create",
        status="completed",
        error_code=None,
        usage=Usage(),
        seconds=1.0,
    )


async def test_an_asynchronous_listener_gets_its_events_in_order_and_may_lose_the_surplus() -> None:
    """riverqueue/river PR#1271: a slow subscriber's events were dropped without a word."""
    go, got = asyncio.Event(), list[int]()

    class Slow(Hooks):
        async def run_ended(self, event: RunEnded) -> None:
            await go.wait()
            got.append(int(event.seconds))

    dispatcher = HookDispatcher([Slow()])
    for number in range(MAX_PENDING + 10):
        dispatcher.emit(replace(ended(), seconds=number))
    go.set()
    await dispatcher.aclose(5)
    assert got == list(range(MAX_PENDING))


async def test_events_without_a_listener_are_not_even_made() -> None:
    """langflow-ai/langflow#5275: observers cost memory with each call."""
    before = asyncio.all_tasks()
    assert HookDispatcher([Recorder(), Hooks()]).listens(RunEnded)
    assert not HookDispatcher([Hooks()]).listens(RunEnded)
    HookDispatcher().emit(ended())
    assert asyncio.all_tasks() == before


class StrayError(BaseException):
    """As time limits of other libraries raise them: no `Exception`."""


@pytest.mark.parametrize(
    "error", [ValueError, StrayError, SystemExit, KeyboardInterrupt, asyncio.CancelledError]
)
async def test_an_asynchronous_listener_that_raises_changes_nothing(
    serve: Any, eventually: Any, error: type[BaseException]
) -> None:
    """Bogdanp/dramatiq#445: what was no `Exception` went past the guard and ended the worker."""

    async def fail(self: Hooks, event: Any) -> None:
        await asyncio.sleep(0)
        raise error("metrics are away")

    recorder = Recorder()
    listener = type("Raising", (Hooks,), dict.fromkeys(METHODS, fail))()
    agent = Agent(name="A", model=ScriptedModel(Say(["Hel", "lo"])))
    served = await serve(Application(agent=agent, hooks=[listener, recorder]))
    with capture_logs() as lines:
        _, events = await served.create()
        await eventually(lambda: "stream_closed" in recorder.names, "the stream is closed")

        def failures() -> int:
            return sum(line["event"] == "hook_failed" for line in lines)

        await eventually(lambda: failures() == len(recorder.names), "each failure is logged")
    assert events[-1]["item"]["content"][0]["text"] == "Hello"


@pytest.mark.parametrize("hooks", [[Hooks], [object()], [None]], ids=["class", "object", "none"])
def test_what_is_no_listener_is_refused_when_the_application_is_made(hooks: Any) -> None:
    """Bogdanp/dramatiq#253: a middleware of another shape failed inside, with words about its internals."""
    with pytest.raises(ConfigurationError, match="hooks"):
        Application(agent=Agent(name="A"), hooks=hooks)


async def test_listeners_may_be_equal_and_need_not_be_hashable(serve: Any) -> None:
    """taskiq-python/taskiq#505: several middlewares of one class, each with what it has counted."""

    @dataclass
    class Counting(Hooks):
        ended: int = 0

        async def run_ended(self, event: RunEnded) -> None:
            self.ended += 1

    first, second = Counting(), Counting()
    agent = Agent(name="A", model=ScriptedModel(Say("Hello")))
    served = await serve(Application(agent=agent, hooks=[first, second]))
    await served.create()
    await served.stack.aclose()
    assert (first.ended, second.ended) == (1, 1)


async def test_a_message_that_was_withdrawn_has_an_end_too(serve: Any, eventually: Any) -> None:
    """celery/celery#1582: what never got to run was never reported as over."""
    recorder, held = Recorder(), asyncio.Event()
    model = ScriptedModel(Say(["one ", "two"], until=held), Say("three"))
    served = await serve(Application(agent=Agent(name="A", model=model), hooks=[recorder]))
    first = await served.person.say("a")
    await eventually(lambda: model.streaming == 1, "the answer has begun")
    thread_id = (await served.person.request("threads.list", {}))["data"][0]["id"]
    withdrawn = await served.person.say("b", thread_id)
    second = await served.person.say("c", thread_id)
    await served.person.stop(withdrawn.run_id)
    held.set()
    await asyncio.gather(first.events(), withdrawn.events(), second.events())
    await eventually(lambda: recorder.names.count("run_ended") == 3, "three ends")

    def life_of(run_id: str) -> list[str]:
        events = zip(recorder.names, recorder.events, strict=True)
        wanted = {"run_queued", "run_started", "run_ended"}
        return [name for name, event in events if name in wanted and event.run_id == run_id]

    assert life_of(first.run_id) == ["run_started", "run_ended"]
    assert life_of(withdrawn.run_id) == ["run_queued", "run_ended"]
    assert life_of(second.run_id) == ["run_queued", "run_started", "run_ended"]


async def test_model_calls_have_their_outcome(serve: Any, eventually: Any) -> None:
    """openai/openai-agents-python#1612: `on_llm_end` never came for a call that failed or was cut off."""
    recorder, held = Recorder(), asyncio.Event()
    model = ScriptedModel(Say("fine"), Fail(RuntimeError("down")), Say(["half ", "never"], until=held))
    served = await serve(Application(agent=Agent(name="A", model=model), hooks=[recorder]))
    await served.create()
    await served.create()
    stream = await served.person.say("go")
    await eventually(lambda: model.streaming == 1, "the answer has begun")
    await served.person.stop(stream.run_id)
    await eventually(lambda: recorder.names.count("model_call") == 3, "three model calls")
    calls = [event for event in recorder.events if isinstance(event, ModelCall)]
    assert [call.outcome for call in calls] == ["completed", "failed", "cancelled"]
    assert [call.usage.requests for call in calls] == [1, 0, 0]


async def test_streams_open_and_close_in_pairs_with_their_outcome(serve: Any, eventually: Any) -> None:
    """sysid/sse-starlette#167: streams that had ended still looked open."""
    recorder, held = Recorder(), asyncio.Event()
    model = ScriptedModel(Say("fine"), Say(["half ", "never"], until=held))
    served = await serve(Application(agent=Agent(name="A", model=model), hooks=[recorder]))
    await served.create()
    left = await served.person.say("go")
    await left.aclose()
    await eventually(lambda: recorder.names.count("stream_closed") == 2, "the client is missed")
    again = await served.person.open_events(left.run_id, "")
    await eventually(lambda: recorder.names.count("stream_opened") == 3, "the stream is open")
    await served.backchannel.runs.drain(0)
    await eventually(lambda: recorder.names.count("stream_closed") == 3, "the server lets go of its reader")
    await again.aclose()
    assert [name for name in recorder.names if name.startswith("stream")] == [
        "stream_opened",
        "stream_closed",
    ] * 3
    closed = [event for event in recorder.events if isinstance(event, StreamClosed)]
    assert [event.outcome for event in closed] == ["ended", "disconnected", "reconnect"]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_listener_runs_in_the_context_of_its_run(serve: Any, asynchronous: bool) -> None:
    """langchain-ai/langchain PR#26857: handlers ran without the variables of what they were about."""
    wrong, seen = list[Any](), set[str]()

    def check(name: str, event: Any) -> None:
        bound = structlog.contextvars.get_contextvars()
        seen.add(name)
        names = ["request_id"] if name.startswith(("stream", "request")) else ["request_id", "run_id"]
        wrong.extend((name, bound) for each in names if bound.get(each) != getattr(event, each))

    async def check_later(name: str, event: Any) -> None:
        await asyncio.sleep(0)
        check(name, event)

    def method(name: str) -> Any:
        handle = check_later if asynchronous else check
        return lambda self, event: handle(name, event)

    listener = type("Checking", (Hooks,), {name: method(name) for name in METHODS})()
    agent = Agent(name="A", model=ScriptedModel(Say("one"), Say("two")))
    served = await serve(Application(agent=agent, hooks=[listener]))
    await asyncio.gather(served.create(), served.create())
    await served.person.http.get("/api/chatkit/runs/run_x")
    await served.stack.aclose()
    assert wrong == []
    assert seen >= {"run_started", "model_call", "run_ended", "stream_closed", "request_refused"}


async def test_what_an_agent_that_is_a_tool_does_is_one_tool_call_and_its_usage_counts(serve: Any) -> None:
    """HexamindOrganisation/hexgate#216, openai/openai-agents-python#2036: nested runs were missing from the audit. The
    SDK gives its run hooks to the outer run only, which the reference of the hooks says."""

    @function_tool
    def look_up() -> str:
        """Look something up."""
        return "found"

    recorder = Recorder()
    inner = Agent(name="Inner", model=ScriptedModel(Call("look_up"), Say("it is found")), tools=[look_up])
    tool = inner.as_tool(tool_name="ask_inner", tool_description="Ask.")
    outer = Agent(
        name="Outer", model=ScriptedModel(Call("ask_inner", {"input": "?"}), Say("Hello")), tools=[tool]
    )
    served = await serve(Application(agent=outer, hooks=[recorder]))
    await served.create()
    model_calls = [event for event in recorder.events if isinstance(event, ModelCall)]
    assert [call.agent for call in model_calls] == ["Outer", "Outer"]
    assert [event.tool for event in recorder.events if isinstance(event, ToolCall)] == ["ask_inner"]
    (ended,) = [event for event in recorder.events if isinstance(event, RunEnded)]
    assert (ended.usage.requests, sum(call.usage.requests for call in model_calls)) == (4, 2)


async def test_nothing_grows_with_the_number_of_runs(serve: Any) -> None:
    """langflow-ai/langflow#5275: observers were registered for each run and never let go."""

    async def handle(self: Hooks, event: Any) -> None:
        await asyncio.sleep(0)

    runs = 25
    listener = type("Asynchronous", (Hooks,), dict.fromkeys(METHODS, handle))()
    agent = Agent(name="A", model=ScriptedModel(*[Say("x")] * (runs + 5)))
    served = await serve(Application(agent=agent, hooks=[listener]), database_url="sqlite://")
    for _ in range(5):
        await served.create()

    def left_over() -> int:
        gc.collect()
        return sum(isinstance(each, Run) for each in gc.get_objects())

    tasks, objects = len(asyncio.all_tasks()), left_over()
    for _ in range(runs):
        await served.create()
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > tasks or left_over() > objects:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.05)
