"""Conversations that were archived, locked or closed elsewhere and went on all the same; each case names the report."""

import asyncio
from typing import Any

import pytest
from agents import Agent, function_tool
from agents.tool_context import ToolContext
from chatkit.types import ClosedStatus, LockedStatus

from backchannel.context import Identity
from backchannel.testing import Call, Fail, Say, ScriptedModel, ServerError
from processes import until
from visitors import visitor_id

pytestmark = pytest.mark.row("A4")

LOCKED = LockedStatus(reason="under review")


async def close(served: Any, thread_id: str, status: Any = LOCKED) -> None:
    owner = Identity(visitor_id(served.person.http))
    await served.backchannel.server.store.update_thread(thread_id, {"status": status}, owner)


async def status_of(served: Any, thread_id: str) -> str:
    return (await served.person.request("threads.get_by_id", {"thread_id": thread_id}))["status"]["type"]


# RocketChat/Rocket.Chat#12906 and #17709, Expensify/App#23595, mattermost/mattermost#10422, Nexus-Mods/web-issues#530:
# the client hid the box, and another endpoint went on writing.
async def test_no_endpoint_of_the_server_goes_on_with_it(serve):
    served = await serve(Agent(name="A", model=ScriptedModel(Say("one"))))
    thread_id, _ = await served.create()
    await close(served, thread_id)
    before = await served.items(thread_id)
    http = served.person.http
    document = (await http.get("/openapi.json")).json()
    writes = [
        path.replace("{thread_id}", thread_id)
        for path, operations in document["paths"].items()
        if path.startswith("/api/chatkit/threads/{thread_id}/") and "post" in operations
    ]
    assert writes
    message = {"type": "user_message", "content": [{"type": "text", "text": "more"}]}
    plain = await http.post("/api/chatkit/stream", json={"thread": {"id": thread_id}, "input": message})
    assert (plain.status_code, "under review" in plain.json()["message"]) == (409, True)
    for path in writes:
        decisions = {"item_id": before[-1]["id"], "decisions": {"call": {"decision": "approve"}}}
        assert (await http.post(path, json=decisions)).status_code in {400, 404, 409, 422}, path
    assert await served.items(thread_id) == before


# instructure/canvas-lms#2456, Station-Sciences/bot-crossing#16, Nexus-Mods/web-issues#1152: what was archived
# or locked while something was still saved came back as active.
@pytest.mark.parametrize("status", [LOCKED, ClosedStatus(reason="solved")])
async def test_it_stays_closed_when_an_answer_ends_and_when_it_is_renamed(serve, status):
    working, go_on = asyncio.Event(), asyncio.Event()

    @function_tool
    async def note(ctx: ToolContext[Any]) -> str:
        """Note something in the thread."""
        working.set()
        await go_on.wait()
        ctx.context.thread.metadata = {"noted": True}
        return "noted"

    model = ScriptedModel(Say("one"), Call("note"), Say("two"))
    served = await serve(Agent(name="A", model=model, tools=[note]))
    thread_id, _ = await served.create()
    stream = await served.person.say("two", thread_id)
    await asyncio.wait_for(working.wait(), 10)
    await close(served, thread_id, status)
    await served.person.request("threads.update", {"thread_id": thread_id, "title": "Another"})
    go_on.set()
    events = await stream.events()
    # What had begun is finished: a person should see no half sentence.
    assert events[-1]["item"]["content"][0]["text"] == "two"
    owner = Identity(visitor_id(served.person.http))
    kept = await served.backchannel.server.store.load_thread(thread_id, owner)
    assert (kept.status, kept.title, kept.metadata) == (status, "Another", {"noted": True})


# spikonado/sprocket#55: runs of an archived thread went on where nobody saw them. papercups-io/papercups#727 and #89:
# a message to a closed conversation disappeared without a word.
async def test_what_was_queued_before_is_not_answered(serve):
    go_on = asyncio.Event()
    model = ScriptedModel(Say("one"), Say(["tw", "o"], until=go_on), Fail(AssertionError("called")))
    served = await serve(Agent(name="A", model=model))
    thread_id, _ = await served.create()
    first = await served.person.say("two", thread_id)
    await until(lambda: model.streaming == 1, "the answer has begun")
    second = asyncio.create_task(_said(served, "three", thread_id))

    async def queued() -> bool:
        runs = (await served.person.http.get(f"/api/chatkit/threads/{thread_id}/runs")).json()["data"]
        return "queued" in [run["status"] for run in runs]

    await until(queued, "the message is queued")
    await close(served, thread_id)
    go_on.set()
    await first.events()
    refused = await asyncio.wait_for(second, 10)
    assert "under review" in str(refused)
    assert len(model.calls) == 2
    assert "three" not in str(await served.items(thread_id))


async def _said(served: Any, text: str, thread_id: str) -> Any:
    try:
        return await (await served.person.say(text, thread_id)).events()
    except ServerError as error:
        return error.message


# zammad/zammad#303, miaconsults/mia#97, hackclub/nephthys#209: people rate an answer once the matter is closed.
# mattermost/mattermost#9204: and can leave. TASVideos/tasvideos#1673, OkunaOrg/okuna-api#410 asked that nobody
# rewrites what was said: there is no operation that does.
async def test_what_stays_possible(serve):
    served = await serve(Agent(name="A", model=ScriptedModel(Say("one"))))
    thread_id, _ = await served.create()
    await close(served, thread_id)
    answer = (await served.items(thread_id))[-1]
    params = {"thread_id": thread_id, "item_ids": [answer["id"]], "kind": "positive"}
    await served.person.request("items.feedback", params)
    assert [each["kind"] for each in await served.person.feedback(thread_id)] == ["positive"]
    assert (await served.person.search("hello"))["data"] != []
    assert await status_of(served, thread_id) == "locked"
    document = (await served.person.http.get("/openapi.json")).json()
    assert not any("/items/" in path for path in document["paths"]), "an endpoint that changes items"
