"""The order of a run's events, whatever waits in between."""

import asyncio
from typing import Any

import pytest
from agents import Agent

from backchannel import Application, Hooks
from backchannel.hooks import RunEnded, RunQueued, RunStarted
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
