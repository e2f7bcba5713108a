"""Handlers of hooks in every form that Python has: each is called and awaited, or refused when it is registered."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import partialmethod
from typing import Any
from unittest.mock import AsyncMock

import pytest
from agents import Agent
from structlog.testing import capture_logs

from backchannel import Application, Hooks
from backchannel.errors import ConfigurationError
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.hooks import HandOff
from backchannel.testing import Say, ScriptedModel
from hook_events import HAND_OFF

pytestmark = pytest.mark.row("H14")

METHODS = [name for name in vars(Hooks) if not name.startswith("_")]
SEEN_IN_A_RUN = {"RunStarted", "FirstToken", "ItemCommitted", "ModelCall", "RunEnded"}

type Note = Callable[[Any], Awaitable[None]]


class AsyncCallable:
    def __init__(self, note: Note) -> None:
        self.note = note

    async def __call__(self, event: Any) -> None:
        await self.note(event)


class Deferred:
    """An awaitable that is no coroutine."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self.work = work

    def __await__(self) -> Generator[Any]:
        yield from self.work().__await__()


def listener(handler: Any) -> Hooks:
    """A listener whose class has `handler` as each of its methods."""
    return type("Listener", (Hooks,), dict.fromkeys(METHODS, handler))()


def as_static_method(note: Note) -> Hooks:
    async def handle(event: Any) -> None:
        await note(event)

    return listener(staticmethod(handle))


def as_class_method(note: Note) -> Hooks:
    async def handle(cls: type[Hooks], event: Any) -> None:
        await note(event)

    return listener(classmethod(handle))


def as_partial_method(note: Note) -> Hooks:
    async def handle(self: Hooks, note: Note, event: Any) -> None:
        await note(event)

    return listener(partialmethod(handle, note))


def on_the_instance(note: Note) -> Hooks:
    hooks = Hooks()
    for name in METHODS:
        setattr(hooks, name, note)
    return hooks


HANDLERS: dict[str, Callable[[Note], Hooks]] = {
    "callable object": lambda note: listener(AsyncCallable(note)),
    "mock": lambda note: listener(AsyncMock(side_effect=note)),
    "static method": as_static_method,
    "class method": as_class_method,
    "partial method": as_partial_method,
    "on the instance": on_the_instance,
    "returns a task": lambda note: listener(lambda self, event: asyncio.ensure_future(note(event))),
    "returns a future": lambda note: listener(lambda self, event: asyncio.gather(note(event))),
    "returns an awaitable": lambda note: listener(lambda self, event: Deferred(lambda: note(event))),
}


@pytest.mark.parametrize("kind", HANDLERS)
@pytest.mark.parametrize("fails", [False, True], ids=["", "and fails"])
async def test_a_handler_of_any_form_is_awaited_and_changes_nothing(
    serve: Any, eventually: Any, kind: str, fails: bool
) -> None:
    """strands-agents/harness-sdk#4337, pazz/alot#1286, NousResearch/hermes-agent#109196, kivy/kivy#7007: what was no
    plain coroutine function was never awaited, or crashed its caller."""
    seen = list[str]()

    async def note(event: Any) -> None:
        await asyncio.sleep(0)
        seen.append(type(event).__name__)
        if fails:
            raise ValueError("metrics are away")

    agent = Agent(name="A", model=ScriptedModel(Say(["Hel", "lo"])))
    served = await serve(Application(agent=agent, hooks=[HANDLERS[kind](note)]), database_url="sqlite://")
    with capture_logs() as lines:
        _, events = await served.create()
        await eventually(lambda: {*seen} >= SEEN_IN_A_RUN, "every event has been handled")
        await served.stack.aclose()
    assert events[-1]["item"]["content"][0]["text"] == "Hello"
    failures = [line for line in lines if line["event"] == "hook_failed"]
    assert len(failures) == (len(seen) if fails else 0)


async def test_what_a_handler_returns_is_closed_when_it_is_not_called(
    recwarn: pytest.WarningsRecorder,
) -> None:
    """strands-agents/harness-sdk#4337: "coroutine was never awaited"."""

    class Late(Hooks):
        async def hand_off(self, event: HandOff) -> None:
            raise AssertionError("it was called after the end")

    hooks = HookDispatcher([Late()])
    await hooks.aclose(1)
    with capture_logs() as lines:
        hooks.emit(HAND_OFF)
        await asyncio.sleep(0)
    assert [line["event"] for line in lines] == ["hook_calls_dropped"]
    assert not recwarn.list


async def generates(self: Hooks, event: Any) -> AsyncGenerator[None]:
    yield


def generates_at_once(self: Hooks, event: Any) -> Generator[None]:
    yield


UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "not callable": ({"run_ended": 3}, r"L\.run_ended is not callable"),
    "no parameter": ({"run_ended": lambda self: None}, r"L\.run_ended.*the event"),
    "self of a static method": (
        {"run_ended": staticmethod(lambda self, event: None)},
        r"L\.run_ended.*the event",
    ),
    "async generator": ({"run_ended": generates}, r"L\.run_ended.*yields"),
    "generator": ({"run_ended": generates_at_once}, r"L\.run_ended.*yields"),
    "with on_": ({"on_run_ended": lambda self, event: None}, r"L\.on_run_ended.*run_ended"),
    "in camel case": ({"onRunEnded": lambda self, event: None}, r"L\.onRunEnded.*run_ended"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_handler_that_could_not_be_called_is_refused_when_the_application_is_made(kind: str) -> None:
    """kivy/kivy#7007, strands-agents/harness-sdk#4337: it failed, or was ignored, at the first event."""
    methods, message = UNFIT[kind]
    with pytest.raises(ConfigurationError, match=message):
        Application(agent=Agent(name="A"), hooks=[type("L", (Hooks,), methods)()])


def test_other_methods_of_a_listener_are_its_own() -> None:
    """A base class may call `on_run_ended` itself, and names of other libraries mean nothing here."""

    def handle(self: Any, event: Any) -> None: ...

    own = {
        "run_ended": handle,
        "on_run_ended": handle,
        "model_calls": handle,
        "on_llm_end": handle,
        "close": handle,
    }
    Application(agent=Agent(name="A"), hooks=[type("L", (Hooks,), own)()])


async def test_one_listener_given_twice_is_called_once() -> None:
    """langchain-ai/langchainjs#11601: each event was handled twice."""
    events = list[HandOff]()

    class Counting(Hooks):
        def hand_off(self, event: HandOff) -> None:
            events.append(event)

    counting = Counting()
    HookDispatcher([counting, counting]).emit(HAND_OFF)
    assert events == [HAND_OFF]
