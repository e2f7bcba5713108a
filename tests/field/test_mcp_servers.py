"""MCP servers of agents as real processes: connected, killed, hanging, slow, with odd lists of tools."""

import asyncio
from collections.abc import Callable

import pytest
from agents import Agent

from backchannel.mcp import servers, supervisor
from backchannel.retry import Backoff
from backchannel.testing import Call, Say
from field.mcp_chat import McpChat, lives, offered, tasks, told
from field.odd_models import error, lookup, say
from wire.conftest import eventually

pytestmark = pytest.mark.row("M20", "B9")

type New = Callable[[], McpChat]


def unavailable(name: str) -> str:
    return f"The tools of {name} are not available right now."


async def test_a_server_of_an_agent_is_connected_used_and_closed(mcp_chat: New):
    """openai/openai-agents-python#446; pydantic/pydantic-ai#2983: one process and one handshake for all messages."""
    chat = mcp_chat()
    await chat.start(chat.official())
    await chat.until("files", "connected")
    chat.endpoint.add(Call("look", {"q": "x"}), Say("Found."), Call("look", {"q": "y"}), Say("Found, too."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    assert told(chat.endpoint) == ["found x"]
    await say(chat.served, thread_id, "again")
    assert told(chat.endpoint)[-1] == "found y"
    assert (await chat.health())["mcp_servers"] == {"files": {"status": "connected", "tools": 2}}
    assert tasks(await chat.served.items(thread_id)) == ["Look", "Look"]
    assert chat.endpoint.refused == []
    assert chat.done()[1:] == ["look x", "look y"]
    await chat.served.backchannel.parts.mcp_servers.aclose()
    assert not lives(chat.started()[0])


@pytest.mark.parametrize("how", ["hand-off", "tool"])
async def test_servers_of_agents_that_are_reached_later(mcp_chat: New, how: str):
    """kagent-dev/kagent#1276."""
    chat = mcp_chat()
    inner = Agent(name="Clerk", mcp_servers=[chat.files()])
    if how == "tool":
        outer = Agent(name="Boss", tools=[inner.as_tool("ask_clerk", "Asks the clerk.")])
        chat.endpoint.add(
            Call("ask_clerk", {"input": "x"}), Call("look", {"q": "x"}), Say("inner"), Say("Done.")
        )
    else:
        outer = Agent(name="Boss", handoffs=[inner])
        chat.endpoint.add(Call("transfer_to_clerk", {}), Call("look", {"q": "x"}), Say("Done."))
    await chat.start(agent=outer)
    await chat.until("files", "connected")
    _, events = await chat.served.create()
    assert error(events) is None
    assert chat.done()[1:] == ["look x"]
    assert chat.endpoint.refused == []


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["silent", "exits", "bad-schema"])
async def test_a_server_that_is_down_costs_its_tools_and_a_sentence(mcp_chat: New, how: str):
    """langchain-ai/langchain-mcp-adapters#276, modelcontextprotocol/python-sdk#468, databricks/app-templates#241."""
    chat = mcp_chat()
    agent = Agent(name="Clerk", mcp_servers=[chat.odd(how), chat.files()], tools=[lookup])
    await chat.start(agent=agent)
    await chat.until("files", "connected")
    chat.endpoint.add(Say("Hello."), Call("look", {"q": "x"}), Say("Found."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    assert tasks(await chat.served.items(thread_id)) == [unavailable(how)]
    assert offered(chat.endpoint) == ["look", "erase", "wait", "refuse", "leave", "lookup"]
    await say(chat.served, thread_id, "look")
    assert told(chat.endpoint) == ["found x"]
    health = await chat.health()
    assert health["status"] == "ok"
    assert health["mcp_servers"][how]["status"] in {"down", "connecting"}
    assert health["mcp_servers"]["files"]["status"] == "connected"


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_exits_at_once_is_not_started_in_a_storm(
    mcp_chat: New, monkeypatch: pytest.MonkeyPatch
):
    """danny-avila/LibreChat#12162: 6 212 starts, and a ladder that never climbs."""
    chat = mcp_chat()
    monkeypatch.setattr(supervisor, "BACKOFF", Backoff(initial=0.1, maximum=60))
    await chat.start(chat.odd("exits"))
    own = chat.served.backchannel.parts.mcp_servers
    await eventually(lambda: own.health()["exits"].get("failures", 0) >= 2, "it was tried again")
    chat.endpoint.add(*[Say("Hello.")] * 20)
    await asyncio.gather(*(chat.served.create() for _ in range(20)))
    assert own.health()["exits"]["failures"] <= 6
    assert own.health()["exits"]["reason"] == "It closed the connection."


async def test_a_server_that_is_killed_during_a_call(mcp_chat: New):
    """modelcontextprotocol/python-sdk#332, NousResearch/hermes-agent#19417."""
    chat = mcp_chat()
    await chat.start(chat.files())
    chat.endpoint.add(Call("wait", {"seconds": 60}), Say("Lost."), Call("look", {"q": "x"}), Say("Found."))
    answer = asyncio.create_task(chat.served.create())
    await eventually(lambda: "wait" in chat.done(), "the call has begun")
    chat.kill()
    thread_id, events = await asyncio.wait_for(answer, 5)
    assert error(events) is None
    assert "may or may not have taken effect" in told(chat.endpoint)[0]
    assert tasks(await chat.served.items(thread_id)) == ["Wait Failed"]
    await say(chat.served, thread_id, "again")
    assert told(chat.endpoint)[-1] == "found x"
    assert chat.done().count("wait") == 1
    assert len(chat.started()) == 2
    assert not lives(chat.started()[0])


async def test_a_server_that_is_killed_between_two_messages(mcp_chat: New, monkeypatch: pytest.MonkeyPatch):
    """openai/openai-agents-python#693, pipecat-ai/pipecat#5793: a dead session is kept for ever."""
    chat = mcp_chat()
    await chat.start(chat.files())
    chat.endpoint.add(Call("look", {"q": "x"}), Say("Found."), Call("look", {"q": "y"}), Say("Found."))
    thread_id, _ = await chat.served.create()
    chat.kill()
    await eventually(lambda: not lives(chat.started()[0]), "it is dead")
    # Its list of tools is looked at again, however new it is.
    monkeypatch.setattr(supervisor, "FRESH_SECONDS", 0)
    await say(chat.served, thread_id, "again")
    assert told(chat.endpoint)[-1] == "found y"
    assert tasks(await chat.served.items(thread_id)) == ["Look", "Look"]


async def test_many_calls_that_fail_together_cause_one_connection(mcp_chat: New):
    """NousResearch/hermes-agent#103211, agno-agi/agno#7347: several answers share one server."""
    chat = mcp_chat()
    await chat.start(chat.files())
    await chat.until("files", "connected")
    chat.endpoint.add(*[Call("wait", {"seconds": 60})] * 8, *[Say("Lost.")] * 8)
    answers = [asyncio.create_task(chat.served.create()) for _ in range(8)]
    await eventually(lambda: chat.done().count("wait") == 8, "all calls have begun")
    chat.kill()
    for _, events in await asyncio.gather(*answers):
        assert error(events) is None
    await eventually(lambda: len(chat.started()) == 2, "it was started again")
    await chat.until("files", "connected")
    assert len(chat.started()) == 2


async def test_a_program_that_outlives_its_server_is_ended(mcp_chat: New):
    """ihor-sokoliuk/mcp-searxng#60: 1 073 orphans of `npx`."""
    chat = mcp_chat()
    await chat.start(chat.files())
    chat.endpoint.add(Call("leave", {}), Say("Gone."))
    answer = asyncio.create_task(chat.served.create())
    await eventually(lambda: any(line.startswith("left ") for line in chat.done()), "it has left a program")
    left = next(int(line.split()[1]) for line in chat.done() if line.startswith("left "))
    await chat.served.backchannel.parts.mcp_servers.aclose()
    assert not lives(left)
    _, events = await answer
    assert error(events) is None


async def test_a_slow_call_and_an_error_result(mcp_chat: New, monkeypatch: pytest.MonkeyPatch):
    """cline/cline#12576: calls end after the 5 seconds of the SDK; google-gemini/gemini-cli#6194: errors look well."""
    # The SDK's own would make the test slow.
    monkeypatch.setattr(servers, "SDK_TIMEOUT_SECONDS", 1)
    chat = mcp_chat()
    await chat.start(chat.files(client_session_timeout_seconds=1), tool_timeout_seconds=2)
    await chat.until("files", "connected")
    chat.endpoint.add([Call("wait", {"seconds": 1.2}), Call("refuse", {}), Call("wait", {"seconds": 60})])
    chat.endpoint.add(Say("Done."))
    thread_id, _ = await chat.served.create()
    slow, refused, too_slow = told(chat.endpoint)
    assert slow == "waited"
    assert "the disk is full" in refused
    assert "did not return within 2 seconds" in too_slow
    assert tasks(await chat.served.items(thread_id))[:2] == ["Wait", "Refuse Failed"]
    assert (await chat.health())["mcp_servers"]["files"]["status"] == "connected"


async def test_a_tool_that_appears_during_an_answer(mcp_chat: New, monkeypatch: pytest.MonkeyPatch):
    """openai/codex#33266: a server with one tool, which announces the others after it was called, in the old protocol."""
    monkeypatch.setattr(supervisor, "FRESH_SECONDS", 3600)
    chat = mcp_chat()
    await chat.start(chat.files(environment={"GROWS": "1"}, cache_tools_list=True))
    await chat.until("files", "connected")
    chat.endpoint.add(Call("grow", {}), Call("grown", {}), Say("Done."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    assert told(chat.endpoint) == ["grown up", "grown"]
    assert tasks(await chat.served.items(thread_id)) == ["Grow", "Grown"]


async def test_a_stopped_answer_leaves_the_server_as_it_is(mcp_chat: New):
    """anomalyco/opencode#24312."""
    chat = mcp_chat()
    await chat.start(chat.files())
    chat.endpoint.add(Call("wait", {"seconds": 60}), Call("look", {"q": "x"}), Say("Found."))
    stream = await chat.served.person.say("hello")
    assert stream.run_id is not None
    await eventually(lambda: "wait" in chat.done(), "the call has begun")
    await chat.served.person.stop(stream.run_id)
    await stream.events()
    _, events = await chat.served.create()
    assert error(events) is None
    assert told(chat.endpoint) == ["found x"]
    assert lives(chat.started()[0])
    assert (await chat.health())["mcp_servers"]["files"]["status"] == "connected"


async def test_200_tools_and_names_that_meet(mcp_chat: New):
    """anomalyco/opencode#1814, microsoft/vscode-copilot-release#9375, openai/openai-agents-python#464."""
    chat = mcp_chat()
    many = chat.files(environment={"MORE_TOOLS": "200"}, name="many")
    agent = Agent(name="Clerk", mcp_servers=[chat.odd("noisy"), many], tools=[lookup])
    await chat.start(agent=agent)
    for name in ("noisy", "many"):
        await chat.until(name, "connected")
    chat.endpoint.add(Call("look", {"q": "x"}), Say("Found."))
    _, events = await chat.served.create()
    assert error(events) is None
    names = offered(chat.endpoint)
    assert len(names) == 128
    assert [names[0], names[1], names[-1]] == ["look", "erase", "lookup"]
    # The first server's tool has the name.
    assert told(chat.endpoint) == ["found it"]
