"""An HTTP endpoint of both APIs: an ASGI application, and how to serve it on a port of this machine."""

import asyncio
import contextlib
import json
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, MutableMapping
from typing import Any, cast, override

import uvicorn

from backchannel.testing.endpoints.requests import ReceivedRequest
from backchannel.testing.endpoints.rules import Api, Json
from backchannel.testing.endpoints.wire import Drop, Pause, Reply

type Scope = MutableMapping[str, Any]
type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]

PATHS: dict[str, Api] = {"/v1/chat/completions": "chat", "/v1/responses": "responses"}
PATIENCE = 60.0
START_SECONDS = 20.0
_CLOSING_TURNS = 5


class _Server(uvicorn.Server):
    """A server that leaves the signals of the process alone, reports that it has started, and ends at once.

    Uvicorn's own looks every 0.1 s whether it should end.
    """

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = started
        self._end = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Nothing: a test's process handles its signals itself."""
        yield

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._on_start()

    @override
    async def main_loop(self) -> None:
        # Sets the headers of responses.
        await self.on_tick(0)
        await self._end.wait()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Uvicorn's own pauses for 0.1 s.
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        # Connections close in the next turns of the event loop.
        for _ in range(_CLOSING_TURNS):
            await asyncio.sleep(0)

    def end(self) -> None:
        """Close all connections and end. May be called from any thread."""
        self.should_exit = self.force_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end.set)


class Endpoint(ABC):
    """An ASGI application that answers `POST /v1/chat/completions` and `POST /v1/responses`.

    Attributes:
        requests: The requests received so far whose body could be parsed, in order.
        patience: The seconds for which an answer waits at most for an event in it; 60 by default.
    """

    def __init__(self) -> None:
        self.requests: list[ReceivedRequest] = []
        self.patience = PATIENCE

    @abstractmethod
    def reply(self, request: ReceivedRequest) -> Reply:
        """The answer to a request."""

    @abstractmethod
    def malformed(self, api: Api) -> Reply:
        """The answer to a body that is not a JSON object in UTF-8."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[str]:
        """Serve on a free port of 127.0.0.1, in the running event loop. Yields the base URL of clients, `…/v1`.

        Raises:
            TimeoutError: The server did not start within 20 seconds.
        """
        started = asyncio.Event()
        server, bound = self._server(started.set)
        task = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            await asyncio.wait_for(started.wait(), START_SECONDS)
            yield _base_url(bound)
        finally:
            server.end()
            await task
            bound.close()

    @contextlib.contextmanager
    def running_in_thread(self) -> Generator[str]:
        """The same for tests that are not async: the server has a thread and an event loop of its own.

        Answers must not wait for an `asyncio.Event`, which belongs to one event loop.

        Raises:
            TimeoutError: The server did not start within 20 seconds.
        """
        started = threading.Event()
        server, bound = self._server(started.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        try:
            if not started.wait(START_SECONDS):
                raise TimeoutError("The endpoint did not start within 20 seconds.")
            yield _base_url(bound)
        finally:
            server.end()
            thread.join(START_SECONDS)
            bound.close()

    def _server(self, started: Callable[[], None]) -> tuple[_Server, socket.socket]:
        bound = socket.create_server(("127.0.0.1", 0))
        # Connections inherit it; asyncio sets it only on sockets that name their protocol.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            self, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1, ws="none"
        )
        return _Server(config, started), bound

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError(f"this endpoint serves HTTP only, and not {scope['type']}")
        body = await _body(receive)
        if body is None:
            return
        reply = self._reply(scope, body)
        headers = [
            (b"content-type", reply.content_type.encode()),
            *((name.lower().encode(), value.encode()) for name, value in reply.headers.items()),
        ]
        parts = list(reply.parts)
        for first in parts[:1]:
            if isinstance(first, Pause):
                await self._wait(first.event, receive)
                parts = parts[1:]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        for part in parts:
            if isinstance(part, Drop):
                # The server closes the connection of an answer that has no end.
                return
            if isinstance(part, Pause):
                await self._wait(part.event, receive)
            else:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _reply(self, scope: Scope, body: bytes) -> Reply:
        api = PATHS.get(scope["path"])
        if api is None:
            return Reply([b'{"detail":"Not Found"}'], 404, "application/json")
        if scope["method"] != "POST":
            return Reply([b'{"detail":"Method Not Allowed"}'], 405, "application/json", {"allow": "POST"})
        try:
            parsed: object = json.loads(body)
        except ValueError:
            return self.malformed(api)
        if not isinstance(parsed, dict):
            return self.malformed(api)
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        request = ReceivedRequest(api, cast("Json", parsed), headers, len(self.requests))
        self.requests.append(request)
        return self.reply(request)

    async def _wait(self, event: asyncio.Event, receive: Receive) -> None:
        """Wait until the event is set or the client has gone, for `patience` seconds at most."""
        waiting = {asyncio.create_task(event.wait()), asyncio.create_task(_gone(receive))}
        try:
            await asyncio.wait(waiting, timeout=self.patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if the client has gone."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


async def _gone(receive: Receive) -> bool:
    while (await receive())["type"] != "http.disconnect":
        pass
    return True


def _base_url(bound: socket.socket) -> str:
    return f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
