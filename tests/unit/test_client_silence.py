"""The client gives up silent connections by the server's own heartbeat."""

import asyncio
import json
from collections.abc import AsyncGenerator

import httpx2
import pytest

from backchannel import client
from backchannel.client import ChatKitClient

pytestmark = pytest.mark.row("K11", "H5")

FOREVER = 3600
SHORT = 0.4
WAIT_SECONDS = 20


class Body(httpx2.AsyncByteStream):
    """The rest of a run of three events after `after`: one event, then `pings` heartbeats, then silence or its end."""

    def __init__(self, after: int, *, pings: int, silent: bool) -> None:
        self._seq = after + 1
        self._pings = pings
        self._silent = silent
        self.closed = False

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        yield f"id: run_1:{self._seq}\ndata: {json.dumps({'n': self._seq})}\n\n".encode()
        for _ in range(self._pings):
            await asyncio.sleep(SHORT / 20)
            yield b": ping\n"
        if self._silent:
            await asyncio.sleep(FOREVER)
        yield b": end\n"

    async def aclose(self) -> None:
        self.closed = True


class SilentServer:
    """A run of three events whose connections fall silent after one event each, all but the last."""

    def __init__(self, heartbeat: str | None, *, pings: int = 0) -> None:
        self._headers = {"content-type": "text/event-stream", "x-run-id": "run_1"}
        if heartbeat is not None:
            self._headers["x-heartbeat-seconds"] = heartbeat
        self._pings = pings
        self.requests: list[httpx2.Request] = []
        self.bodies: list[Body] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        after = int(request.headers.get("last-event-id", "run_1:0").rpartition(":")[2])
        self.bodies.append(Body(after, pings=self._pings, silent=after < 2))
        return httpx2.Response(200, headers=self._headers, stream=self.bodies[-1])

    def client(self, timeout: float | None = None) -> ChatKitClient:
        return ChatKitClient("http://server", transport=httpx2.MockTransport(self), timeout=timeout)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RESUME_SECONDS", 0)


@pytest.fixture
def heartbeats(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The heartbeats that limits were made of. The limits themselves are short."""
    asked: list[float] = []

    def limit(heartbeat_seconds: float) -> float:
        asked.append(heartbeat_seconds)
        return SHORT

    monkeypatch.setattr(client, "silence_limit", limit)
    return asked


async def numbers(talking: ChatKitClient) -> list[int]:
    async with asyncio.timeout(WAIT_SECONDS):
        return [event["n"] for event in await (await talking.say("hello")).events()]


@pytest.mark.parametrize(("header", "seconds"), [("0.5", 0.5), ("120", 120), (None, 15)])
async def test_a_connection_that_falls_silent_is_resumed_after_its_last_event(
    heartbeats: list[float], header: str | None, seconds: float
):
    server = SilentServer(header)
    async with server.client() as talking:
        assert await numbers(talking) == [1, 2, 3]
    assert heartbeats == [seconds] * 3
    assert [request.headers.get("last-event-id") for request in server.requests] == [
        None,
        "run_1:1",
        "run_1:2",
    ]
    assert all(body.closed for body in server.bodies)
    # Otherwise the transport would give up long before a slow heartbeat.
    assert all(request.extensions["timeout"]["read"] is None for request in server.requests)


async def test_heartbeats_keep_a_connection(heartbeats: list[float]):
    server = SilentServer("0.5", pings=25)
    async with server.client() as talking:
        stream = await talking.resume("run_1", "run_1:2")
        assert [event["n"] for event in await stream.events()] == [3]
    assert len(server.requests) == 1


async def test_a_limit_of_ones_own_counts_if_it_is_shorter():
    server = SilentServer("0.5")
    async with server.client(timeout=0.05) as talking:
        assert await numbers(talking) == [1, 2, 3]


async def test_a_longer_limit_of_ones_own_does_not(heartbeats: list[float]):
    server = SilentServer("0.5")
    async with server.client(timeout=FOREVER) as talking:
        assert await numbers(talking) == [1, 2, 3]


async def test_a_response_that_does_not_begin_is_given_up():
    async def silent(_: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(FOREVER)
        return httpx2.Response(200)

    transport = httpx2.MockTransport(silent)
    async with ChatKitClient("http://server", transport=transport, timeout=0.05) as talking:
        for attempt in (talking.say("hello"), talking.resume("run_1")):
            with pytest.raises(httpx2.ReadTimeout):
                await asyncio.wait_for(attempt, WAIT_SECONDS)
