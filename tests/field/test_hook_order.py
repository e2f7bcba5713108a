"""When the events of a run are reported, whatever waits in between."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents import Agent
from chatkit.server import ChatKitServer
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartDone,
    AssistantMessageContentPartTextDelta,
    AssistantMessageItem,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
)

from backchannel import Application, Hooks
from backchannel.hooks import FirstToken, RunEnded, RunQueued, RunStarted
from backchannel.stores.times import to_sdk, utc_now
from backchannel.testing import Say, ScriptedModel

pytestmark = pytest.mark.row("H14")


class Lives(Hooks):
    """Notes the events of each run in order."""

    def __init__(self) -> None:
        self.events: dict[str, list[str]] = {}

    def note(self, event: Any) -> None:
        self.events.setdefault(event.run_id, []).append(type(event).__name__)

    def run_queued(self, event: RunQueued) -> None:
        self.note(event)

    def run_started(self, event: RunStarted) -> None:
        self.note(event)

    def run_ended(self, event: RunEnded) -> None:
        self.note(event)


@pytest.mark.parametrize("ends_as", ["answered", "withdrawn"])
async def test_a_run_is_queued_before_it_starts_even_if_the_log_is_slow(
    serve: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch, ends_as: str
) -> None:
    """Automattic/kue#1138, browser-use/bubus#23: "start" was seen before "enqueue"."""
    lives, held, slow, releasing = Lives(), asyncio.Event(), asyncio.Event(), list[str]()
    model = ScriptedModel(Say(["one ", "two"], until=held), Say("three"))
    served = await serve(Application(agent=Agent(name="A", model=model), hooks=[lives]))
    release = served.backchannel.events.release
    first = await served.person.say("a")
    await eventually(lambda: model.streaming == 1, "the answer has begun")
    thread_id = (await served.person.request("threads.list", {}))["data"][0]["id"]

    async def release_slowly(run_id: str) -> None:
        releasing.append(run_id)
        await slow.wait()
        await release(run_id)

    monkeypatch.setattr(served.backchannel.events, "release", release_slowly)
    saying = asyncio.create_task(served.person.say("b", thread_id))
    await eventually(lambda: len(releasing) == 1, "the second message is stored and its log is slow")
    (second,) = releasing
    if ends_as == "answered":
        held.set()
        await first.events()
    else:
        await served.person.stop(second)
    await eventually(lambda: "RunEnded" in lives.events.get(second, []), "the second run has ended")
    slow.set()
    held.set()
    await (await saying).events()
    between = ["RunStarted"] if ends_as == "answered" else []
    assert lives.events[second] == ["RunQueued", *between, "RunEnded"]


def message(thread_id: str, *texts: str) -> AssistantMessageItem:
    content = [AssistantMessageContent(text=text) for text in texts]
    return AssistantMessageItem(
        id="msg_1", thread_id=thread_id, created_at=to_sdk(utc_now()), content=content
    )


def delta(text: str, item_id: str = "msg_1") -> ThreadItemUpdatedEvent:
    update = AssistantMessageContentPartTextDelta(content_index=0, delta=text)
    return ThreadItemUpdatedEvent(item_id=item_id, update=update)


def part(kind: Any, text: str) -> ThreadItemUpdatedEvent:
    update = kind(content_index=0, content=AssistantMessageContent(text=text))
    return ThreadItemUpdatedEvent(item_id="msg_1", update=update)


FIRST_TEXTS = {
    "delta": delta("Hello"),
    "part added": part(AssistantMessageContentPartAdded, "Hello"),
    "part done": part(AssistantMessageContentPartDone, "Hello"),
    "item done": None,
}


@pytest.mark.parametrize("kind", FIRST_TEXTS)
async def test_the_first_token_is_the_first_text_that_a_reader_sees(serve: Any, kind: str) -> None:
    """assistant-ui/assistant-ui#5173, sgl-project/sglang#29251, Bike4Mind/bike4mind#2220: empty and dropped deltas
    counted."""
    counts, reported = list[int](), list[FirstToken]()

    class Own(ChatKitServer[Any]):
        async def respond(
            self, thread: Any, input_user_message: Any, context: Any
        ) -> AsyncIterator[ThreadStreamEvent]:
            yield ThreadItemAddedEvent(item=message(thread.id))
            yield part(AssistantMessageContentPartAdded, "")
            yield delta("")
            yield delta("\n")
            yield delta("nobody sees this", "msg_unknown")
            counts.append(len(reported))
            if (first := FIRST_TEXTS[kind]) is not None:
                yield first
                counts.append(len(reported))
                yield delta(" again")
            yield ThreadItemDoneEvent(item=message(thread.id, "Hello"))

    class Tokens(Hooks):
        def first_token(self, event: FirstToken) -> None:
            reported.append(event)

    served = await serve(Application(server=Own, hooks=[Tokens()]), database_url="sqlite://")
    await served.create()
    assert [*counts, len(reported)] == ([0, 1] if kind == "item done" else [0, 1, 1])


async def test_an_answer_without_text_has_no_first_token(serve: Any) -> None:
    """assistant-ui/assistant-ui#5173"""
    reported = list[FirstToken]()

    class Own(ChatKitServer[Any]):
        async def respond(
            self, thread: Any, input_user_message: Any, context: Any
        ) -> AsyncIterator[ThreadStreamEvent]:
            yield ThreadItemAddedEvent(item=message(thread.id))
            yield ThreadItemDoneEvent(item=message(thread.id, ""))

    class Tokens(Hooks):
        def first_token(self, event: FirstToken) -> None:
            reported.append(event)

    served = await serve(Application(server=Own, hooks=[Tokens()]), database_url="sqlite://")
    await served.create()
    assert reported == []
