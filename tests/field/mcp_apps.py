"""MCP servers over HTTP in the test's own process, on real ports, and what stands before them."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import http_servers

type App = Callable[[Any, Any, Any], Awaitable[None]]


@asynccontextmanager
async def listening(app: App, port: int = 0) -> AsyncGenerator[str]:
    """Serve an application, on a port that may be given. At the end it does not wait for streams."""
    async with http_servers.listening(app, port=port, timeout_graceful_shutdown=0) as (url, server):
        try:
            yield url
        finally:
            server.end(abort=True)


class Sessions:
    """A server with the protocol of 2025-06-18, which can forget its sessions or refuse everybody.

    Attributes:
        forgotten: The answer to a session that it does not know: a status, and a JSON-RPC error if there is one.
        log: The person in the `_meta` of each call.
        together: Calls wait for each other, if it is set.
    """

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.refuses = False
        self.forgotten: tuple[int, dict[str, Any] | None] = (404, None)
        self.connections = 0
        self.log: list[Any] = []
        self.together: asyncio.Barrier | None = None
        self.tools: list[dict[str, Any]] = [{"name": "look", "inputSchema": {"type": "object"}}]
        self.app = Starlette(routes=[Route("/mcp", self._answer, methods=["GET", "POST", "DELETE"])])

    async def _answer(self, request: Request) -> Response:
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
                status, error = self.forgotten
                if error is None:
                    return Response(status_code=status)
                return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status)
            case "tools/list":
                result = {"tools": self.tools}
            case "tools/call":
                params = message["params"]
                if self.together is not None:
                    await self.together.wait()
                self.log.append(params.get("_meta", {}).get("person"))
                result = {"content": [{"type": "text", "text": f"found it with {params['name']}"}]}
            case _ if "id" not in message:
                return Response(status_code=202)
            case _:
                result = {}
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result})


class Gate:
    """A proxy before a server, which answers some requests itself.

    Attributes:
        answers: The methods that it answers, each with what it sends. `*` stands for all.
        seen: The methods of all requests.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.answers: dict[str, App] = {}
        self.seen: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            answer = self.answers.get("*") if scope["type"] == "http" else None
            await (answer or self._app)(scope, receive, send)
            return
        body = b""
        while (message := await receive()).get("more_body") or message.get("body"):
            body += message["body"]
            if not message.get("more_body"):
                break
        method = json.loads(body or b"{}").get("method", "")
        self.seen.append(method)
        sent = False

        async def again() -> Any:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        answer = self.answers.get(method) or self.answers.get("*")
        await (answer or self._app)(scope, again, send)


def cut_short() -> App:
    """An answer whose stream ends before the result is in it."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b": beginning\n\n", "more_body": False})

    return app
