"""Errors that a server reports itself, and cancellations that nobody asked for: the run has failed, and says so."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import pytest
from chatkit.errors import ErrorCode
from chatkit.server import ChatKitServer
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    ErrorEvent,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadMetadata,
    ThreadStreamEvent,
    UserMessageItem,
)

from backchannel.testing.memory_store import MemoryStore
from programs import events_of

pytestmark = pytest.mark.row("K7")

type Events = Callable[[ThreadMetadata], AsyncIterator[ThreadStreamEvent]]


class Own(ChatKitServer[Any]):
    """A server with these events."""

    def __init__(self, events: Events) -> None:
        super().__init__(MemoryStore())
        self._events = events

    def respond(
        self, thread: ThreadMetadata, input_user_message: UserMessageItem | None, context: Any
    ) -> AsyncIterator[ThreadStreamEvent]:
        return self._events(thread)


def item(thread: ThreadMetadata, text: str) -> AssistantMessageItem:
    content = [AssistantMessageContent(text=text)] if text else []
    return AssistantMessageItem(id="msg_1", thread_id=thread.id, created_at=datetime.now(), content=content)


async def outcome(served: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The events of an answer, and its run."""
    stream = await served.person.say("hi")
    events = await stream.events()
    run = await served.person.http.get(f"/api/chatkit/runs/{stream.run_id}")
    [*_, (_, done)] = await events_of(served.person, stream.run_id)
    assert (done["type"], done["status"]) == ("done", run.json()["status"])
    return events, run.json()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ErrorEvent(message="The archive is closed.", allow_retry=True), "custom"),
        (ErrorEvent(), "custom"),
        (ErrorEvent(code=ErrorCode.STREAM_ERROR), "stream.error"),
    ],
)
async def test_an_error_event_of_a_server_is_a_failure(serve: Any, error: ErrorEvent, code: str):
    """openai/chatkit-python, `ErrorEvent`: servers yield it in their own `except`, and end."""

    async def events(thread: ThreadMetadata) -> AsyncIterator[ThreadStreamEvent]:
        yield ThreadItemAddedEvent(item=item(thread, ""))
        yield ThreadItemAddedEvent(item=item(thread, "So far"))
        yield error

    served = await serve(Own(events))
    sent, run = await outcome(served)
    assert (run["status"], run["error_code"]) == ("failed", code)
    [shown] = [event for event in sent if event["type"] == "error"]
    assert shown == error.model_dump(mode="json", exclude_none=True)
    # What had been shown is stored, and no item stays open.
    [stored] = [each for each in await served.items(run["thread_id"]) if each["type"] == "assistant_message"]
    assert stored["content"][0]["text"] == "So far"
    assert [event["item"]["id"] for event in sent if event["type"] == "thread.item.done"][-1] == "msg_1"


async def test_what_a_server_sends_after_its_error_is_sent_too(serve: Any):
    async def events(thread: ThreadMetadata) -> AsyncIterator[ThreadStreamEvent]:
        yield ErrorEvent(message="One source is away.")
        yield ThreadItemDoneEvent(item=item(thread, "The others say yes."))

    sent, run = await outcome(await serve(Own(events)))
    assert (run["status"], run["error_code"]) == ("failed", "custom")
    assert [event["type"] for event in sent][-2:] == ["error", "thread.item.done"]


async def a_cancelled_task() -> None:
    task = asyncio.create_task(asyncio.Event().wait())
    asyncio.get_running_loop().call_soon(task.cancel)
    await task


async def a_raise() -> None:
    raise asyncio.CancelledError


async def its_own_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


@pytest.mark.parametrize("cancellation", [a_cancelled_task, a_raise, its_own_task])
async def test_a_cancellation_that_nobody_asked_for_is_a_failure(serve: Any, cancellation: Any):
    """langflow-ai/langflow PR#6625, IBM/mcp-context-forge PR#2941: whose cancellation it was is not seen from the error."""

    async def events(thread: ThreadMetadata) -> AsyncIterator[ThreadStreamEvent]:
        yield ThreadItemAddedEvent(item=item(thread, "So far"))
        await cancellation()

    served = await serve(Own(events))
    sent, run = await outcome(served)
    assert (run["status"], run["error_code"]) == ("failed", "internal_error")
    [error] = [event for event in sent if event["type"] == "error"]
    assert "cancelled" in error["message"]
    assert "restart" not in error["message"]
    assert error["allow_retry"] is True
    assert [each["type"] for each in await served.items(run["thread_id"])] == [
        "user_message",
        "assistant_message",
    ]
    # The thread can be used.
    assert (await outcome(served))[1]["status"] == "failed"
