"""Errors that are no `Exception`, raised by tools and servers: they fail the run at once, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, override

import pytest
from agents import Agent, function_tool
from chatkit.server import ChatKitServer
from chatkit.types import ThreadStreamEvent
from fastapi import APIRouter

from backchannel import Application, Hooks
from backchannel.hooks import RunEnded, RunTakenOver, ToolCall
from backchannel.models.response_events import Call
from backchannel.testing import Say, ScriptedModel, ServerError

pytestmark = pytest.mark.row("A3")


class PanicError(BaseException):
    """As extensions in Rust raise it."""


class Ends(Hooks):
    """Notes how runs and tools end."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, str | None]] = []
        self.tools: list[str] = []
        self.taken_over = 0

    @override
    def run_ended(self, event: RunEnded) -> None:
        self.runs.append((event.status, event.error_code))

    @override
    def run_taken_over(self, event: RunTakenOver) -> None:
        self.taken_over += 1

    @override
    def tool_call(self, event: ToolCall) -> None:
        self.tools.append(event.outcome)


ERRORS: dict[str, Callable[[], BaseException]] = {
    "panic": lambda: PanicError("index out of range"),
    "group": lambda: BaseExceptionGroup(
        "unhandled errors in a TaskGroup", [PanicError("x"), ValueError("y")]
    ),
    "cancelled": lambda: asyncio.CancelledError("by a scope of its own"),
}


def tool_of(error: BaseException, *, synchronous: bool) -> Any:
    if synchronous:

        @function_tool
        def fails() -> str:
            """Fail."""
            raise error

        return fails

    @function_tool
    async def fails_later() -> str:
        """Fail."""
        await asyncio.sleep(0)
        raise error

    return fails_later


@pytest.mark.parametrize("kind", ["panic", "group"])
@pytest.mark.parametrize("synchronous", [False, True], ids=["async", "sync"])
async def test_a_tool_that_panics_fails_its_run_at_once(serve: Any, kind: str, synchronous: bool) -> None:
    """PyO3/pyo3#3918, xerrors/Yuxi#907: `except Exception` did not see it, and the conversation hung."""
    tool, ends = tool_of(ERRORS[kind](), synchronous=synchronous), Ends()
    model = ScriptedModel(Call(tool.name, "{}"), Say("next"))
    agent = Agent(name="A", model=model, tools=[tool])
    served = await serve(Application(agent=agent, hooks=[ends]), database_url="sqlite://")
    thread_id, events = await served.create()
    assert [event["type"] for event in events].count("error") == 1
    assert (events[-1]["type"], events[-1]["reason"]) == ("error", "internal_error")
    assert (ends.runs, ends.tools) == ([("failed", "internal_error")], ["cut_off"])
    assert (len(model.calls), ends.taken_over) == (1, 0)
    events = await (await served.person.say("go on", thread_id)).events()
    assert events[-1]["item"]["content"][0]["text"] == "next"


class OwnServer(ChatKitServer[Any]):
    error: BaseException

    @override
    async def respond(
        self, thread: Any, input_user_message: Any, context: Any
    ) -> AsyncIterator[ThreadStreamEvent]:
        await asyncio.sleep(0)
        raise self.error
        yield


@pytest.mark.parametrize("kind", [*ERRORS, "exit"])
async def test_a_server_that_panics_fails_its_run_at_once(serve: Any, kind: str) -> None:
    """PyO3/pyo3#3918, Scille/parsec-cloud#3929: it went past every handler, and was started again and again."""
    ends = Ends()
    error = SystemExit(3) if kind == "exit" else ERRORS[kind]()
    server = type("Failing", (OwnServer,), {"error": error})
    served = await serve(Application(server=server, hooks=[ends]), database_url="sqlite://")
    _, events = await served.create()
    assert [event["type"] for event in events].count("error") == 1
    assert "restart" not in events[-1]["message"]
    assert (ends.runs, ends.taken_over) == ([("failed", "internal_error")], 0)


async def test_an_endpoint_that_exits_answers_500(serve: Any) -> None:
    """stoatchat/python-client-sdk#40: `exit()` in a handler ended the program."""
    router = APIRouter()

    @router.get("/leave")
    async def leave() -> None:
        raise SystemExit(3)

    agent = Agent(name="A", model=ScriptedModel(Say("Hello")))
    served = await serve(Application(agent=agent, routers=[router]), database_url="sqlite://")
    response = await served.person.http.get("/api/leave")
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")


async def test_a_request_that_panics_before_it_is_accepted_is_refused(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyO3/pyo3#3918"""
    agent = Agent(name="A", model=ScriptedModel(Say("Hello"), Say("again")))
    served = await serve(Application(agent=agent), database_url="sqlite://")
    store = served.backchannel.server.store
    thread_id, _ = await served.create()

    async def panic(*_: Any) -> None:
        raise PanicError("index out of range")

    with monkeypatch.context() as broken:
        broken.setattr(store, "add_thread_item", panic)
        with pytest.raises(ServerError) as refused:
            await served.person.say("hello?", thread_id)
    assert (refused.value.status, refused.value.code) == (500, "internal_error")
    events = await (await served.person.say("hello?", thread_id)).events()
    assert events[-1]["item"]["content"][0]["text"] == "again"
