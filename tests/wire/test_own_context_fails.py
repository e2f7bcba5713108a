"""A context function that fails for a run without a live request ends that run, and its thread goes on (K5)."""

import asyncio

import pytest
from agents import Agent

from backchannel import Application
from backchannel.testing import Say, ScriptedModel

pytestmark = pytest.mark.row("K5")


async def test_a_queued_run_whose_context_cannot_be_made_ends_with_an_error(serve, eventually):
    def page(_base, request):
        return request.headers["host"]

    held = asyncio.Event()
    model = ScriptedModel(Say(["Once", " upon"], until=held), Say("free"))
    served = await serve(Application(agent=Agent(name="A", model=model), context=page))
    first = await served.person.say("hello")
    await eventually(lambda: model.deltas_sent, "the answer has begun")
    (thread,) = (await served.person.request("threads.list", {}))["data"]
    waiting = await served.person.say("and now?", thread["id"])
    held.set()
    await first.events()
    async with asyncio.timeout(10):
        events = await waiting.events()
    assert events[-1]["type"] == "error"
    run = (await served.person.http.get(f"/api/chatkit/runs/{waiting.run_id}")).json()
    assert run["status"] == "failed"
    events = await (await served.person.say("once more", thread["id"])).events()
    assert events[-1]["item"]["content"][0]["text"] == "free"
