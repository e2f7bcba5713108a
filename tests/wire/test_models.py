"""Agents on models behind an OpenAI-compatible endpoint, with either API (A5, C5)."""

import asyncio
import json
from typing import Any

import pytest
from agents import Agent, function_tool

from backchannel.testing import ServerError
from wire.upstream import Upstream, listening_upstream


@function_tool
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


@pytest.fixture
async def upstream():
    async with listening_upstream() as upstream:
        yield upstream


async def served_with(serve, upstream: Upstream, agent: Agent, **settings: Any):
    environment = {"OPENAI_API_KEY": "sk-test-key-000", "OPENAI_BASE_URL": upstream.url, "titles": "rule"}
    environment |= settings
    return await serve(agent, **environment)


def text_of(events) -> str:
    return "".join(e["update"].get("delta", "") for e in events if e["type"] == "thread.item.updated")


@pytest.mark.row("A5")
@pytest.mark.parametrize(
    ("api", "path"), [("responses", "/v1/responses"), ("chat_completions", "/v1/chat/completions")]
)
async def test_an_agent_without_a_model_gets_the_servers(serve, upstream, api, path):
    agent = Agent(name="A", instructions="Be kind.")
    served = await served_with(serve, upstream, agent, model="vendor/small-1", model_api=api)
    thread_id, events = await served.create()
    assert text_of(events) == "Hello from afar"
    await (await served.person.say("again", thread_id)).events()
    assert [request[0] for request in upstream.requests] == [path, path]
    assert upstream.requests[0][1]["model"] == "vendor/small-1"
    items = await served.items(thread_id)
    assert [item["type"] for item in items] == ["user_message", "assistant_message"] * 2
    assert len({item["id"] for item in items}) == 4, "the model's own ids repeat; ours do not"
    assert "Hello from afar" in json.dumps(upstream.requests[1][1])
    health = (await served.person.http.get("/health")).json()
    assert health["model"] == {"name": "vendor/small-1", "offline": False}


@pytest.mark.row("A5")
async def test_an_agent_that_names_a_model_keeps_it(serve, upstream):
    served = await served_with(serve, upstream, Agent(name="A", model="its-own"), model="the-servers")
    await served.create()
    assert upstream.requests[0][1]["model"] == "its-own"


@pytest.mark.row("A5", "B5", "H7")
async def test_tools_work_over_chat_completions(serve, upstream):
    upstream.call_tool = True
    agent = Agent(name="A", tools=[add])
    served = await served_with(serve, upstream, agent, model="m", model_api="chat_completions")
    thread_id, events = await served.create()
    assert text_of(events) == "Hello from afar"
    assert upstream.requests[1][1]["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "call_1",
        "content": "5",
    }
    upstream.call_tool = False
    await (await served.person.say("again", thread_id)).events()
    roles = [message["role"] for message in upstream.requests[-1][1]["messages"]]
    assert roles.count("tool") == 1


@pytest.mark.row("C5", "P2")
async def test_stop_closes_the_connection_to_the_model(serve, upstream, eventually):
    upstream.hold = asyncio.Event()
    served = await served_with(serve, upstream, Agent(name="A"), model="m")
    stream = await served.person.say("hi")
    said = ""
    async for event in stream:
        said += event.get("update", {}).get("delta", "")
        if said == "Hello from ":
            break
    await served.person.stop(stream.run_id)
    await eventually(lambda: upstream.closed == 1, "the model's connection is closed")
    last = (await stream.events())[-1]
    assert last["item"]["content"][0]["text"] == "Hello from "


@pytest.mark.row("A3")
@pytest.mark.parametrize(
    ("status", "reason", "retry"),
    [
        (401, "model_not_configured", False),
        (404, "model_not_configured", False),
        (400, "model_request_rejected", False),
    ],
)
async def test_a_models_refusal_is_told_without_its_details(serve, upstream, status, reason, retry):
    upstream.status = status
    served = await served_with(serve, upstream, Agent(name="A"), model="m")
    _, events = await served.create()
    assert events[-1]["type"] == "error"
    assert (events[-1]["reason"], events[-1]["allow_retry"]) == (reason, retry)
    assert "upstream detail" not in json.dumps(events)
    assert "sk-test" not in json.dumps(events)


@pytest.mark.row("A5")
async def test_an_agent_that_needs_a_key_says_so_when_there_is_none(serve):
    served = await serve(Agent(name="A", model="gpt-5.1"))
    _, events = await served.create()
    assert (events[-1]["reason"], events[-1]["allow_retry"]) == ("model_not_configured", False)
    assert "OPENAI_API_KEY" in events[-1]["message"]
    with pytest.raises(ServerError):
        await served.person.request("threads.create", {})


@pytest.mark.row("H8")
@pytest.mark.parametrize("api", ["responses", "chat_completions"])
async def test_a_model_names_the_thread_and_clients_are_told(serve, upstream: Upstream, api: str) -> None:
    served = await served_with(serve, upstream, Agent(name="A"), titles="model", model="m", model_api=api)

    thread_id, events = await served.create("please remind me of oat milk\nand of other errands")

    told = [event["thread"]["title"] for event in events if event["type"] == "thread.updated"]
    assert told[-1] == "Oat milk & errands"
    assert set(told) <= {"Please remind me of oat milk", "Oat milk & errands"}
    (named,) = [body for _, body in upstream.requests if not body.get("stream")]
    assert "<message>" in json.dumps(named)
    response = await served.person.http.get(f"/api/chatkit/threads/{thread_id}")
    assert response.json()["title"] == "Oat milk & errands"
    # It is named once.
    await (await served.person.say("more", thread_id)).events()
    assert len([body for _, body in upstream.requests if not body.get("stream")]) == 1


@pytest.mark.row("H8")
async def test_a_title_that_fails_leaves_the_rules_and_the_answer(serve, upstream: Upstream) -> None:
    upstream.title = " *** "
    served = await served_with(serve, upstream, Agent(name="A"), titles="model", model="m")
    _, events = await served.create("find milk")
    assert [event["thread"]["title"] for event in events if event["type"] == "thread.updated"] == [
        "Find milk"
    ]
    assert not [event for event in events if event["type"] == "error"]


@pytest.mark.row("H8")
async def test_a_persons_title_is_never_overwritten(serve, upstream: Upstream) -> None:
    upstream.hold = asyncio.Event()
    served = await served_with(serve, upstream, Agent(name="A"), titles="model", model="m")
    stream = await served.person.say("find milk")
    events: list[dict[str, Any]] = []
    async for event in stream:
        events.append(event)
        if event["type"] == "thread.item.added":
            thread_id = events[0]["thread"]["id"]
            await served.person.request("threads.update", {"thread_id": thread_id, "title": "Mine"})
            upstream.hold.set()
    assert (await served.person.request("threads.get_by_id", {"thread_id": thread_id}))["title"] == "Mine"
