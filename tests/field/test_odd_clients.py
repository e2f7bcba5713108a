"""Clients that speak HTTP in unusual ways get the same events."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from agents import Agent

from backchannel.testing import Say, ScriptedModel, parse_events, user_message

pytestmark = pytest.mark.row("C7", "C1")

BODIES = {
    "/api/chatkit": {"type": "threads.create", "params": {"input": user_message("hi")}},
    "/api/chatkit/stream": {"input": {"type": "user_message", "content": [{"type": "text", "text": "hi"}]}},
}


class Raw:
    """A response as its bytes came.

    Attributes:
        head: The status line and the headers, in lower case.
        body: What follows, without the framing of chunks.
    """

    def __init__(self, received: bytes) -> None:
        head, _, body = received.partition(b"\r\n\r\n")
        self.head = head.decode().lower()
        self.body = _joined(body) if "transfer-encoding: chunked" in self.head else body

    async def types(self) -> list[str]:
        async def pieces() -> AsyncGenerator[bytes]:
            yield self.body

        return [json.loads(event.data)["type"] async for event in parse_events(pieces())]


def _joined(chunks: bytes) -> bytes:
    body = b""
    while chunks:
        size, _, chunks = chunks.partition(b"\r\n")
        length = int(size, 16)
        body += chunks[:length]
        chunks = chunks[length + 2 :]
    return body


async def raw(
    url: str,
    method: str,
    path: str,
    *lines: str,
    version: str = "1.1",
    body: bytes = b"",
    piece: int = 65_536,
) -> Raw:
    """Send a request with these header lines, and read the response in pieces until the connection is closed."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = [f"{method} {path} HTTP/{version}", f"Host: {host}:{port}", *lines]
    if body:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    writer.write("\r\n".join([*head, "", ""]).encode() + body)
    received = b""
    async with asyncio.timeout(10):
        while got := await reader.read(piece):
            received += got
    writer.close()
    return Raw(received)


@pytest.fixture
async def served(serve: Any) -> Any:
    return await serve(Agent(name="A", model=ScriptedModel(*[Say(["one ", "two"])] * 20)))


@pytest.mark.parametrize("path", list(BODIES))
async def test_every_way_to_ask_gets_the_same_events(served: Any, path: str):
    """rexxars/eventsource-parser PR#41: a byte order mark. Streams that are compressed for clients that accept it are held
    back. Uvicorn with httptools sends chunks to HTTP/1.0 clients, too, which they must understand."""
    body = json.dumps(BODIES[path]).encode()
    close = "Connection: close"
    usual = await raw(served.url, "POST", path, close, body=body)
    expected = sorted(set(await usual.types()))
    assert expected
    for other in (
        await raw(served.url, "POST", path, version="1.0", body=body),
        await raw(served.url, "POST", path, "Connection: close, TE", body=body),
        await raw(served.url, "POST", path, close, "Accept: application/json", body=body),
        await raw(served.url, "POST", path, close, "Accept-Encoding: gzip, deflate, br, zstd", body=body),
        await raw(served.url, "POST", path, close, "Last-Event-ID:", body=body),
        await raw(served.url, "POST", path, close, body=b"\xef\xbb\xbf" + body),
        await raw(served.url, "POST", path, close, body=body, piece=1),
    ):
        assert "200 ok" in other.head.partition("\r\n")[0], other.head
        assert "content-type: text/event-stream; charset=utf-8" in other.head
        assert "content-encoding" not in other.head
        assert sorted(set(await other.types())) == expected
        assert other.body.endswith(b": end\n")


async def test_other_methods_on_event_streams_are_answered_at_once(served: Any):
    """Clients and proxies that probe a stream before they read it must not wait for its end."""
    stream = await served.person.say("hi")
    await stream.events()
    http = served.person.http
    for path in (f"/api/chatkit/runs/{stream.run_id}/events", *BODIES):
        for method in ("HEAD", "OPTIONS", "PUT", "DELETE"):
            response = await asyncio.wait_for(http.request(method, path), 5)
            assert response.status_code == 405, (method, path)
            assert response.headers["allow"] in {"GET", "POST"}
    preflight = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "last-event-id, idempotency-key, content-type",
    }
    allowed = await http.options("/api/chatkit", headers=preflight)
    assert allowed.status_code == 200
    assert "last-event-id" in allowed.headers["access-control-allow-headers"].lower()
    assert len((await served.person.request("threads.list", {}))["data"]) == 1
