"""Listeners that misbehave, as people wrote them for other systems: no run may notice."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from agents import Agent

from backchannel import Application, Hooks
from backchannel.context import Identity, Usage
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.hooks import MAX_PENDING, RunEnded
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


async def test_a_listener_that_never_returns_holds_nothing_up(serve: Any) -> None:
    """strands-agents/harness-sdk#1017: I/O in a listener has to be possible, and must not be waited for."""

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
