"""MCP servers over HTTP and SSE: down at start, restarted, replaced, slow, refusing, behind proxies, not what they should
be."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from agents import RunContextWrapper
from agents.mcp import MCPServerSse, MCPServerStreamableHttp, MCPToolMetaContext
from mcp.server import MCPServer
from mcp.server.subscriptions import InMemorySubscriptionBus, ToolsListChanged
from starlette.responses import HTMLResponse, RedirectResponse, Response

from backchannel.mcp import supervisor
from backchannel.retry import Backoff
from backchannel.testing import Call, Say
from field.mcp_apps import App, Gate, Sessions, cut_short, listening
from field.mcp_chat import McpChat, free_port, tasks, told
from field.odd_models import error, say
from visitors import visitor_id
from wire.conftest import eventually

pytestmark = pytest.mark.row("M20", "B9")

type New = Callable[[], McpChat]


def found(changes: InMemorySubscriptionBus | None = None) -> MCPServer:
    """A server of the official library, which announces what is written to `changes`."""
    server = MCPServer("found", log_level="CRITICAL", subscriptions=changes)

    @server.tool()
    async def look() -> str:  # pyright: ignore[reportUnusedFunction]
        """Look."""
        return "found it"

    @server.tool()
    async def wait(seconds: float) -> str:  # pyright: ignore[reportUnusedFunction]
        """Wait."""
        await asyncio.sleep(seconds)
        return "waited"

    return server


async def test_a_server_that_is_killed_and_restarted(mcp_chat: New):
    """modelcontextprotocol/python-sdk#1577: a call to a dead server waits for ever; #1676, google/adk-python#6822: the
    sessions of a restarted one are gone."""
    chat, port = mcp_chat(), free_port()
    process, server = await chat.http(port)
    await chat.start(server)
    await chat.until("files", "connected")
    chat.endpoint.add(Call("wait", {"seconds": 60}), Say("Lost."), Call("look", {"q": "y"}), Say("Found."))
    answer = asyncio.create_task(chat.served.create())
    await eventually(lambda: "wait" in chat.done(), "the call has begun")
    await process.kill()
    thread_id, events = await asyncio.wait_for(answer, 6)
    assert error(events) is None
    assert "may or may not have taken effect" in told(chat.endpoint)[0]
    assert tasks(await chat.served.items(thread_id)) == ["Wait Failed"]
    assert chat.done().count("wait") == 1
    chat.run_http(port)
    await chat.until("files", "connected")
    await say(chat.served, thread_id, "again")
    assert told(chat.endpoint)[-1] == "found y"
    assert chat.endpoint.refused == []


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_is_down_at_start_comes_later(mcp_chat: New):
    """cline/cline#13597."""
    chat, port = mcp_chat(), free_port()
    server = MCPServerStreamableHttp({"url": f"http://127.0.0.1:{port}/mcp?token=secret"})
    await chat.start(server)
    chat.endpoint.add(Say("Hello."), Call("look", {}), Say("Found."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    assert tasks(await chat.served.items(thread_id)) == [
        "The tools of 127.0.0.1 are not available right now."
    ]
    health = await chat.health()
    assert health["mcp_servers"]["127.0.0.1"]["reason"] == "It cannot be reached."
    assert "secret" not in str(health)
    async with listening(found().streamable_http_app(), port):
        await chat.until("127.0.0.1", "connected")
        await say(chat.served, thread_id, "look")
        assert told(chat.endpoint) == ["found it"]
        await chat.served.stack.aclose()


async def test_a_slow_call_does_not_delay_others(mcp_chat: New):
    """microsoft/agent-framework#4938, modelcontextprotocol/python-sdk#508."""
    chat = mcp_chat()
    gate = Gate(found().streamable_http_app())
    async with listening(gate) as url:
        await chat.start(MCPServerStreamableHttp({"url": f"{url}/mcp"}, name="found"))
        await chat.until("found", "connected")
        chat.endpoint.add(Call("wait", {"seconds": 60}), Call("look", {}), Say("Found."))
        slow = asyncio.create_task(chat.served.create())
        await eventually(lambda: "tools/call" in gate.seen, "the slow call has begun")
        _, events = await asyncio.wait_for(chat.served.create(), 3)
        assert error(events) is None
        assert told(chat.endpoint) == ["found it"]
        slow.cancel()
        await chat.served.stack.aclose()


async def test_a_server_over_sse_is_used_lost_and_used_again(mcp_chat: New):
    """openkursar/hello-halo#290: a connection over SSE that was dropped is never made again; mhackermsft/BlazorAIChat#11:
    a call to a server that has gone waits for ever."""
    chat, port = mcp_chat(), free_port()
    server = MCPServerSse({"url": f"http://127.0.0.1:{port}/sse"}, name="found")
    await chat.start(server)
    chat.endpoint.add(Call("look", {}), Say("Found."), Call("wait", {"seconds": 60}), Say("Lost."))
    chat.endpoint.add(Call("look", {}), Say("Found."))
    async with listening(found().sse_app(), port):
        await chat.until("found", "connected")
        thread_id, events = await chat.served.create()
        assert error(events) is None
        assert told(chat.endpoint) == ["found it"]
        lost = asyncio.create_task(say(chat.served, thread_id, "wait"))
        await eventually(lambda: len(chat.endpoint.requests) == 3, "the model has answered")
        servers = chat.served.backchannel.parts.mcp_servers
        assert servers is not None
        await eventually(lambda: server_is_busy(chat), "the call has begun")
    assert error(await asyncio.wait_for(lost, 6)) is None
    assert "may or may not have taken effect" in told(chat.endpoint)[-1]
    async with listening(found().sse_app(), port):
        await chat.until("found", "connected")
        await say(chat.served, thread_id, "again")
        assert told(chat.endpoint)[-1] == "found it"
        await chat.served.stack.aclose()


def server_is_busy(chat: McpChat) -> bool:
    servers = chat.served.backchannel.parts.mcp_servers
    assert servers is not None
    return any(each.supervisor.busy for each in servers._all())


@pytest.mark.parametrize(
    "forgotten",
    [
        (404, None),
        (404, {"code": -32001, "message": "Session not found"}),
        (400, {"code": -32000, "message": "Bad Request: No valid session ID provided"}),
    ],
    ids=["status", "typescript", "typescript-example"],
)
async def test_a_session_that_the_server_has_forgotten(
    mcp_chat: New, forgotten: tuple[int, dict[str, Any] | None]
):
    """modelcontextprotocol/python-sdk#3556, google/adk-python#3321: 404 after a deployment; the call is made once.
    sparfenyuk/mcp-proxy#149, markmhendrickson/neotoma#1750: servers in TypeScript say so with other codes."""
    chat, sessions = mcp_chat(), Sessions()
    sessions.forgotten = forgotten
    async with listening(sessions.app) as url:
        await chat.start(MCPServerStreamableHttp({"url": f"{url}/mcp"}, name="sessions"))
        await chat.until("sessions", "connected")
        chat.endpoint.add(Call("look", {}), Say("Found."), Call("look", {}), Say("Found."))
        thread_id, _ = await chat.served.create()
        sessions.known.clear()
        await say(chat.served, thread_id, "again")
        assert told(chat.endpoint) == ["found it with look"] * 2
        assert (len(sessions.log), sessions.connections) == (2, 2)
        await chat.served.stack.aclose()


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_wants_permission(mcp_chat: New):
    """Doist/todoist-mcp#366: 401 hangs clients, or they repeat it without a pause."""
    chat, sessions = mcp_chat(), Sessions()
    sessions.refuses = True
    async with listening(sessions.app) as url:
        await chat.start(MCPServerStreamableHttp({"url": f"{url}/mcp"}, name="sessions"))
        chat.endpoint.add(Say("Hello."))
        thread_id, events = await chat.served.create()
        assert error(events) is None
        assert tasks(await chat.served.items(thread_id)) == [
            "The tools of sessions are not available right now."
        ]
        assert (await chat.health())["mcp_servers"]["sessions"]["status"] in {"down", "connecting"}
        sessions.refuses = False
        await chat.until("sessions", "connected")
        await chat.served.stack.aclose()


WRONG: dict[str, tuple[App, str]] = {
    "502": (Response("<h1>Bad Gateway</h1>", 502), "It answered with HTTP 502."),
    "503": (Response(status_code=503, headers={"retry-after": "200"}), "It answered with HTTP 503."),
    "html": (
        HTMLResponse("<h1>Sign in</h1>"),
        "It did not answer with MCP, but with text/html: check its address.",
    ),
    "redirect": (
        RedirectResponse("https://other.example/mcp?token=secret"),
        "It redirects to another address: use that one.",
    ),
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", WRONG)
async def test_something_else_answers_in_place_of_the_server(
    mcp_chat: New, how: str, caplog: pytest.LogCaptureFixture
):
    """pgEdge/pgedge-postgres-mcp#47: the HTML of a proxy is shown; decocms/studio#3915: 503 with `Retry-After`, asked again
    and again; huggingface/chat-ui#2250: the token goes to the address of a redirect; modelcontextprotocol/python-sdk#732."""
    chat = mcp_chat()
    gate = Gate(found().streamable_http_app())
    answer, why = WRONG[how]
    gate.answers["*"] = answer
    async with listening(gate) as url:
        # The Agents SDK hides the headers of an answer if the address could hold a secret.
        query = "" if how == "503" else "?key=secret"
        params: Any = {"url": f"{url}/mcp{query}", "headers": {"Authorization": "Bearer secret"}}
        await chat.start(MCPServerStreamableHttp(params, name="found"))
        await chat.until("found", "down")
        chat.endpoint.add(Say("Hello."))
        _, events = await chat.served.create()
        assert error(events) is None
        health = (await chat.health())["mcp_servers"]["found"]
        assert health["reason"] == why
        assert "secret" not in caplog.text
        if how == "503":
            assert health["next_try_in"] > 100
            assert gate.seen.count("server/discover") == 1
        else:
            gate.answers.clear()
            await chat.until("found", "connected")
        await chat.served.stack.aclose()


@pytest.mark.parametrize("how", ["502", "html", "redirect", "cut-short"])
async def test_one_call_that_fails_leaves_the_calls_of_others(mcp_chat: New, how: str):
    """netclaw-dev/netclaw#2056: every failed request makes a new connection, which ends all calls on the old one;
    anthropics/claude-code#60061: a call whose stream has ended waits for ever."""
    chat = mcp_chat()
    gate = Gate(found().streamable_http_app())
    async with listening(gate) as url:
        await chat.start(MCPServerStreamableHttp({"url": f"{url}/mcp"}, name="found"))
        await chat.until("found", "connected")
        chat.endpoint.add(Call("wait", {"seconds": 1}), Call("look", {}), Say("Failed."), Say("Waited."))
        slow = asyncio.create_task(chat.served.create())
        await eventually(lambda: "tools/call" in gate.seen, "the slow call has begun")
        gate.answers["tools/call"] = cut_short() if how == "cut-short" else WRONG[how][0]
        thread_id, events = await asyncio.wait_for(chat.served.create(), 5)
        assert error(events) is None
        assert told(chat.endpoint)[0].startswith("The call failed: found ")
        assert "secret" not in told(chat.endpoint)[0]
        assert tasks(await chat.served.items(thread_id)) == ["Look Failed"]
        slow_id, events = await slow
        assert error(events) is None
        assert tasks(await chat.served.items(slow_id)) == ["Wait"]
        assert gate.seen.count("server/discover") == 1
        await chat.served.stack.aclose()


async def test_each_call_carries_its_own_person(mcp_chat: New):
    """IBM/mcp-context-forge#1078, Softeria/ms-365-mcp-server#187: one person's token is used for another;
    open-webui/open-webui#19313. One connection serves all people: what is a person's own goes with the call."""

    def person(context: MCPToolMetaContext) -> dict[str, Any]:
        run: RunContextWrapper[Any] = context.run_context
        return {"person": run.context.request_context.identity.user, "tool": context.tool_name}

    chat, sessions = mcp_chat(), Sessions()
    sessions.tools = [{"name": "find.it", "inputSchema": {"type": "object"}}]
    async with listening(sessions.app) as url:
        await chat.start(
            MCPServerStreamableHttp({"url": f"{url}/mcp"}, name="sessions", tool_meta_resolver=person)
        )
        await chat.until("sessions", "connected")
        others = [await chat.served.someone() for _ in range(4)]
        sessions.together = asyncio.Barrier(len(others))
        name = next(iter(offered_names(chat)))
        for _ in others:
            chat.endpoint.add(Call(name, {}))
        chat.endpoint.add(*[Say("Found.")] * len(others))

        async def ask(other: Any) -> str:
            await (await other.say("hello")).events()
            return visitor_id(other.http)

        people = await asyncio.gather(*map(ask, others))
        assert sorted(sessions.log) == sorted(people)
        assert sessions.connections == 1
        await chat.served.stack.aclose()


def offered_names(chat: McpChat) -> list[str]:
    """The names under which an agent gets the tools of its server."""
    servers = chat.served.backchannel.parts.mcp_servers
    assert servers is not None
    return [
        each.policies.rename(tool.name) for each in servers._all() for tool in each.supervisor.tools or ()
    ]


@pytest.mark.parametrize("mode", ["http", "sse"])
async def test_a_changed_list_of_tools_is_used_at_once(
    mcp_chat: New, monkeypatch: pytest.MonkeyPatch, mode: str
):
    """anthropics/claude-code#13646, openai/codex#33266, aaif-goose/goose#10433, strands-agents/harness-sdk#4112: a server
    whose tools appear after the first call; newer servers announce it only to clients that have asked for it."""
    monkeypatch.setattr(supervisor, "FRESH_SECONDS", 3600)
    monkeypatch.setattr(supervisor, "BACKOFF", Backoff(initial=0.01, maximum=0.1))
    chat, changes = mcp_chat(), InMemorySubscriptionBus()
    server = found(changes)
    gate = Gate(server.sse_app() if mode == "sse" else server.streamable_http_app())
    async with listening(gate) as url:
        own = (
            MCPServerSse({"url": f"{url}/sse"}, name="found", cache_tools_list=True)
            if mode == "sse"
            else MCPServerStreamableHttp({"url": f"{url}/mcp"}, name="found", cache_tools_list=True)
        )
        await chat.start(own)
        await chat.until("found", "connected")
        await eventually(lambda: "subscriptions/listen" in gate.seen, "it has asked for changes")
        server.add_tool(lambda: "new", name="fresh", description="Fresh.")
        server.remove_tool("look")
        await changes.publish(ToolsListChanged())
        await eventually(lambda: "fresh" in offered_names(chat), "the tools were listed anew")
        chat.endpoint.add(Call("fresh", {}), Say("Found."))
        _, events = await chat.served.create()
        assert error(events) is None
        assert told(chat.endpoint) == ["new"]
        assert offered_names(chat) == ["wait", "fresh"]
        await chat.served.stack.aclose()
