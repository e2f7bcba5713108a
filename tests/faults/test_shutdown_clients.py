"""A server that shuts down in the middle of an answer: every client notices that the answer is not complete."""

import asyncio
import json
import secrets
from pathlib import Path

import aiohttp
import httpx2
import pytest
import requests

from backchannel.testing import user_message
from faults.cluster import Replica, running, token_of
from faults.model_server import ModelServer
from faults.nginx import Nginx
from processes import within

pytestmark = pytest.mark.row("K2", "C7")

LAST_CHUNK = b"0\r\n\r\n"
HEADERS = {"Authorization": f"Bearer {token_of('ada')}"}
BEGIN_SECONDS = 20

REQUESTS = {
    "/api/chatkit": lambda text: {"type": "threads.create", "params": {"input": user_message(text)}},
    "/api/chatkit/stream": lambda text: {
        "input": {"type": "user_message", "content": [{"type": "text", "text": text}]}
    },
}
"""The body that sends a text, by the path of the endpoint."""


async def read_to_end(
    port: int, path: str, text: str, version: str, begun: asyncio.Event
) -> tuple[bytes, bool]:
    """Everything that a server sends in response to a message, and whether the connection was reset."""
    body = json.dumps(REQUESTS[path](text)).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/{version}\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    head += f"Authorization: {HEADERS['Authorization']}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    received, reset = b"", False
    try:
        while piece := await reader.read(65_536):
            received += piece
            if b":3 " in received:
                begun.set()
    except ConnectionResetError:
        reset = True
    writer.close()
    return received, reset


async def shut_down(replica: Replica, *begun: asyncio.Event) -> str:
    """SIGTERM once all answers have begun; gives the log."""
    async with asyncio.timeout(BEGIN_SECONDS):
        for each in begun:
            await each.wait()
    assert await replica.process.terminate() == 0
    return replica.process.told()


@within(60)
async def test_a_response_that_is_not_complete_does_not_end_like_one(model: ModelServer, tmp_path: Path):
    """TriliumNext/Trilium#10883, zeroclaw-labs/zeroclaw#8663, openclaw/openclaw#108958: an end of the stream without
    its last event was taken for the end of the answer. modelcontextprotocol/python-sdk#2150: one error per client in
    the log."""
    label = f"m{secrets.token_hex(4)}"
    async with running("sqlite", tmp_path / "replicas", model, 1, shutdown_seconds=0.2) as cluster:
        [replica] = cluster.replicas
        async with (
            Nginx(tmp_path / "new", [replica.port]) as new,
            Nginx(tmp_path / "old", [replica.port], upstream_version="1.0") as old,
        ):
            kinds = [
                (name, port, path, version, asyncio.Event())
                for name, port in (("direct", replica.port), ("nginx", new.port), ("nginx 1.0", old.port))
                for path in REQUESTS
                for version in ("1.1", "1.0")
                # Through nginx, HTTP/1.0 has no way to show it: nginx closes the connection in good order.
                if name == "direct" or version == "1.1"
            ]
            async with asyncio.TaskGroup() as group:
                reading = [
                    group.create_task(
                        read_to_end(
                            port, path, f"{label}{number}: tokens 40 hold {label} at 20", version, begun
                        )
                    )
                    for number, (_, port, path, version, begun) in enumerate(kinds)
                ]
                log = await shut_down(replica, *(begun for *_, begun in kinds))
    for (name, _, path, version, _), task in zip(kinds, reading, strict=True):
        received, reset = task.result()
        kind = f"{name} {path} {version}"
        assert b"200 OK" in received.partition(b"\r\n")[0], kind
        if version == "1.0":
            assert reset, kind
        else:
            assert b"chunked" in received, kind
            assert not received.endswith(LAST_CHUNK), kind
    assert "Traceback" not in log
    assert "ASGI callable" not in log
    assert '"level": "error"' not in log


@within(60)
async def test_libraries_raise_when_the_server_shuts_down(model: ModelServer, tmp_path: Path):
    """Requests, aiohttp and HTTPX by themselves, without any knowledge of comments."""
    label = f"m{secrets.token_hex(4)}"
    begun = [asyncio.Event() for _ in range(3)]
    loop = asyncio.get_running_loop()
    async with running("sqlite", tmp_path / "replicas", model, 1, shutdown_seconds=0.2) as cluster:
        [replica] = cluster.replicas
        url = f"{replica.url}/api/chatkit/stream"

        def body(library: str) -> dict[str, object]:
            return REQUESTS["/api/chatkit/stream"](f"{label}{library}: tokens 40 hold {label} at 20")

        def with_requests() -> None:
            with requests.post(
                url, json=body("requests"), headers=HEADERS, stream=True, timeout=30
            ) as response:
                for line in response.iter_lines():
                    if b":3 " in line:
                        loop.call_soon_threadsafe(begun[0].set)

        async def with_aiohttp() -> None:
            async with (
                aiohttp.ClientSession(headers=HEADERS) as session,
                session.post(url, json=body("aiohttp")) as response,
            ):
                async for line in response.content:
                    if b":3 " in line:
                        begun[1].set()

        async def with_httpx() -> None:
            async with (
                httpx2.AsyncClient(verify=False, headers=HEADERS, timeout=30) as client,
                client.stream("POST", url, json=body("httpx")) as response,
            ):
                async for line in response.aiter_lines():
                    if ":3 " in line:
                        begun[2].set()

        reading = [
            asyncio.create_task(asyncio.to_thread(with_requests)),
            asyncio.create_task(with_aiohttp()),
            asyncio.create_task(with_httpx()),
        ]
        await shut_down(replica, *begun)
        results = await asyncio.gather(*reading, return_exceptions=True)
    expected = (
        requests.exceptions.ChunkedEncodingError,
        aiohttp.ClientPayloadError,
        httpx2.RemoteProtocolError,
    )
    for result, kind in zip(results, expected, strict=True):
        assert isinstance(result, kind), repr(result)
