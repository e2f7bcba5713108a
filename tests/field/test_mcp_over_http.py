"""MCP servers over HTTP: down at start, restarted, replaced, slow for one person, without permission."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from agents.mcp import MCPServerStreamableHttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from backchannel.mcp import supervisor
from backchannel.retry import Backoff
from backchannel.testing import Call, Say
from field.mcp_chat import McpChat, free_port, listens, tasks, told
from field.odd_models import error, say
from wire.conftest import eventually

pytestmark = pytest.mark.row("M20", "B9")

type New = Callable[[], McpChat]


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "BACKOFF", Backoff(initial=0.5, maximum=1))


async def test_a_server_that_is_restarted_is_used_again(mcp_chat: New):
    """modelcontextprotocol/python-sdk#1676, google/adk-python#6822: its sessions are gone after that."""
    chat, port = mcp_chat(), free_port()
    process, server = await chat.http(port)
    await chat.start(server)
    chat.endpoint.add(Call("look", {"q": "x"}), Say("Found."), Call("look", {"q": "y"}), Say("Found, too."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    assert told(chat.endpoint) == ["found x"]
    process.kill()
    process.wait()
    chat.run_http(port)
    await eventually(lambda: listens(port), "the server listens again")
    await say(chat.served, thread_id, "again")
    assert told(chat.endpoint)[-1] == "found y"
    assert chat.endpoint.refused == []


@pytest.mark.usefixtures("short_pauses")
async def test_a_server_that_is_down_at_start_comes_later(mcp_chat: New):
    """cline/cline#13597."""
    chat, port = mcp_chat(), free_port()
    server = MCPServerStreamableHttp({"url": f"http://127.0.0.1:{port}/mcp?token=secret"})
    await chat.start(server)
    chat.endpoint.add(Say("Hello."), Call("look", {"q": "x"}), Say("Found."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    assert tasks(await chat.served.items(thread_id)) == [
        "The tools of 127.0.0.1 are not available right now."
    ]
    health = await chat.health()
    assert health["mcp_servers"]["127.0.0.1"]["reason"] == "It cannot be reached."
    assert "secret" not in str(health)
    chat.run_http(port)
    await chat.until("127.0.0.1", "connected")
    await say(chat.served, thread_id, "look")
    assert told(chat.endpoint) == ["found x"]


async def test_a_server_that_is_killed_during_a_call(mcp_chat: New):
    """mcp-proxy of modelcontextprotocol/python-sdk#1577: the call waits for ever."""
    chat, port = mcp_chat(), free_port()
    process, server = await chat.http(port)
    await chat.start(server)
    chat.endpoint.add(Call("wait", {"seconds": 60}), Say("Lost."))
    answer = asyncio.create_task(chat.served.create())
    await eventually(lambda: "wait" in chat.done(), "the call has begun")
    process.kill()
    thread_id, events = await asyncio.wait_for(answer, 6)
    assert error(events) is None
    assert "may or may not have taken effect" in told(chat.endpoint)[0]
    assert tasks(await chat.served.items(thread_id)) == ["Wait Failed"]
    assert chat.done().count("wait") == 1


async def test_a_slow_call_does_not_delay_others(mcp_chat: New):
    """microsoft/agent-framework#4938, modelcontextprotocol/python-sdk#508."""
    chat, port = mcp_chat(), free_port()
    _, server = await chat.http(port)
    await chat.start(server)
    await chat.until("files", "connected")
    chat.endpoint.add(Call("wait", {"seconds": 60}), Call("look", {"q": "x"}), Say("Found."))
    slow = asyncio.create_task(chat.served.create())
    await eventually(lambda: "wait" in chat.done(), "the slow call has begun")
    _, events = await asyncio.wait_for(chat.served.create(), 3)
    assert error(events) is None
    assert told(chat.endpoint) == ["found x"]
    slow.cancel()


class Sessions:
    """A server over HTTP with the older protocol, which can forget its sessions or refuse everybody."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.refuses = False
        self.connections = 0
        self.calls = 0

    async def answer(self, request: Request) -> Response:
        if self.refuses:
            return JSONResponse({"error": "unauthorized"}, 401)
        if request.method != "POST":
            return Response(status_code=405)
        message = await request.json()
        match message["method"]:
            case "server/discover":
                return Response(status_code=404)
            case "initialize":
                self.connections += 1
                session = f"session-{self.connections}"
                self.known.add(session)
                result: dict[str, Any] = {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "sessions", "version": "1"},
                }
                headers = {"mcp-session-id": session}
                return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result}, 200, headers)
            case _ if request.headers.get("mcp-session-id") not in self.known:
                return Response(status_code=404)
            case "tools/list":
                result = {"tools": [{"name": "look", "inputSchema": {"type": "object"}}]}
            case "tools/call":
                self.calls += 1
                result = {"content": [{"type": "text", "text": "found it"}]}
            case _ if "id" not in message:
                return Response(status_code=202)
            case _:
                result = {}
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result})

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[str]:
        routes = [Route("/mcp", self.answer, methods=["GET", "POST", "DELETE"])]
        port = free_port()
        config = uvicorn.Config(Starlette(routes=routes), port=port, log_config=None, access_log=False)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        await eventually(lambda: server.started, "it listens")
        try:
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, 10)


async def test_a_session_that_the_server_has_forgotten(mcp_chat: New):
    """modelcontextprotocol/python-sdk#3556, google/adk-python#3321: 404 after a deployment; the call is made once."""
    chat, sessions = mcp_chat(), Sessions()
    async with sessions.running() as url:
        await chat.start(MCPServerStreamableHttp({"url": url}, name="sessions"))
        await chat.until("sessions", "connected")
        chat.endpoint.add(Call("look", {}), Say("Found."), Call("look", {}), Say("Found."))
        thread_id, _ = await chat.served.create()
        sessions.known.clear()
        await say(chat.served, thread_id, "again")
        assert told(chat.endpoint) == ["found it", "found it"]
        assert (sessions.calls, sessions.connections) == (2, 2)
        await chat.served.stack.aclose()


@pytest.mark.usefixtures("short_pauses")
async def test_a_server_that_wants_permission(mcp_chat: New):
    """Doist/todoist-mcp#366: 401 hangs clients, or they repeat it without a pause."""
    chat, sessions = mcp_chat(), Sessions()
    sessions.refuses = True
    async with sessions.running() as url:
        await chat.start(MCPServerStreamableHttp({"url": url}, name="sessions"))
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
