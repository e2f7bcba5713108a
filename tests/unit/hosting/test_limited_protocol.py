"""What comes before a request is complete, over real sockets, in front of an application that notes what it gets."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest

from backchannel.hosting import limited_protocol
from backchannel.hosting.connection_limits import ConnectionLimits
from backchannel.hosting.limited_protocol import MAX_PIPELINED, LimitedConfig
from http_servers import listening
from processes import until
from raw_http import Connection, ask

pytestmark = pytest.mark.row("R2")

LIMIT = 8192
GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


class Echo:
    """Answers each request with its body, after the request's path has said how.

    Attributes:
        seen: The scopes.
        gone: The paths of requests whose client has gone.
    """

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.gone: list[str] = []
        self.release = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            return
        if scope["type"] != "http":
            return
        self.seen.append(scope)
        body = b""
        if scope["path"] not in {"/unread", "/hold"}:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    self.gone.append(scope["path"])
                    return
                body += message["body"]
                more = message["more_body"]
        length = (b"content-length", b"%d" % len(body))
        if scope["path"] == "/hold":
            await receive()
            await self._write_until_gone(scope, receive, send)
            return
        if scope["path"] == "/large":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for number in range(60):
                await send({"type": "http.response.body", "body": b"x" * 2**18, "more_body": number < 59})
            self.gone.append(scope["path"])
            return
        if scope["path"] == "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begin", "more_body": True})
            await self.release.wait()
            await send({"type": "http.response.body", "body": b"end"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})

    async def _write_until_gone(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(receive())
        while not gone.done():
            await send({"type": "http.response.body", "body": b".", "more_body": True})
            await asyncio.wait((gone,), timeout=0.01)
        assert gone.result()["type"] == "http.disconnect"
        self.gone.append(scope["path"])


@asynccontextmanager
async def serving(**limits: Any) -> AsyncGenerator[tuple[str, Echo]]:
    app = Echo()
    config = partial(
        LimitedConfig, limits=ConnectionLimits(**{"header_bytes": LIMIT, **limits}), lifespan="off"
    )
    async with listening(app, config=config, timeout_keep_alive=0.2, timeout_graceful_shutdown=1) as (
        url,
        server,
    ):
        yield url, app
        app.release.set()
        server.end(abort=True)


def head(size: int) -> bytes:
    """A request whose line and headers have so many bytes, by the count of the server."""
    return b"GET /x HTTP/1.1\r\nHost: a\r\nX: " + b"y" * (size - 2 - 9 - 5) + b"\r\n\r\n"


async def test_a_head_may_be_as_large_as_the_limit_and_no_larger():
    async with serving() as (url, app):
        assert (await ask(url, head(LIMIT))).status == 200
        refused = await ask(url, head(LIMIT + 1))
        assert refused.status == 431
        assert refused.json()["code"] == "too_large"
        assert refused.json()["request_id"] == refused.headers["x-request-id"]
        assert refused.headers["connection"] == "close"
        many = b"".join(b"X-%d: y\r\n" % number for number in range(2000))
        assert (await ask(url, b"GET /x HTTP/1.1\r\nHost: a\r\n" + many + b"\r\n")).status == 431
        assert (await ask(url, b"GET /" + b"y" * LIMIT + b" HTTP/1.1\r\nHost: a\r\n\r\n")).status == 414
        assert len(app.seen) == 1


@pytest.mark.parametrize(
    "begin", [b"GET /x HTTP/1.1\r\nHost: a\r\nX: ", b"GET /", b"GET /x HTTP/1.1\r\nHost: a\r\nX"]
)
async def test_a_head_without_end_is_refused_before_it_is_complete(begin: bytes):
    async with serving() as (url, _), Connection(url) as connection:
        await connection.send(begin)
        for _ in range(40):
            await connection.send(b"y" * 1024)
        assert (await connection.answer()).status in {414, 431}
        assert await connection.ended()


async def test_a_large_body_in_the_same_packet_is_not_taken_for_the_head():
    async with serving() as (url, _):
        body = b"z" * (LIMIT * 4)
        posted = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        async with Connection(url) as connection:
            # The next head begins in a packet that is larger than the limit, and is cut there.
            await connection.send(posted + GET[:20])
            assert (await connection.answer()).body == body
            await connection.send(GET[20:])
            assert (await connection.answer()).status == 200


async def test_headers_that_trickle_are_refused_in_time():
    async with serving(header_seconds=0.3) as (url, _), Connection(url) as connection:
        sending = asyncio.create_task(trickle(connection, GET[:-2] + b"X: y\r\n" * 100))
        answer = await connection.answer()
        assert answer.status == 408
        assert await connection.ended()
        sending.cancel()


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
async def test_a_connection_that_sends_nothing_is_closed_without_a_word(sent: bytes):
    async with serving(header_seconds=0.3) as (url, _), Connection(url) as connection:
        sending = asyncio.create_task(trickle(connection, sent * 100))
        assert (await connection.answer()).status == 0
        sending.cancel()


async def test_the_time_for_headers_is_that_of_each_request_and_blank_lines_do_not_prolong_it():
    async with serving(header_seconds=0.5) as (url, _), Connection(url) as connection:
        await connection.send(GET)
        assert (await connection.answer()).status == 200
        sending = asyncio.create_task(trickle(connection, b"\r\n" * 100))
        # Later than the end of an idle connection (0.2 s), and in time.
        assert await connection.ended(5)
        sending.cancel()


async def test_an_idle_connection_is_closed():
    async with serving() as (url, _), Connection(url) as connection:
        await connection.send(GET)
        assert (await connection.answer()).status == 200
        assert await connection.ended(5)


async def trickle(connection: Connection, data: bytes) -> None:
    for byte in data:
        await connection.send(bytes([byte]))
        await asyncio.sleep(0.02)


async def test_a_long_response_is_not_cut_by_the_time_for_headers():
    async with serving(header_seconds=0.1) as (url, app), Connection(url) as connection:
        # The head of a second request is not complete either: it waits, since its connection is busy.
        await connection.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n" + GET[:-2])
        assert b"200" in await connection.line()
        await asyncio.sleep(0.5)
        app.release.set()
        await connection.send(GET[-2:])
        while (await connection.line()) != b"\r\n":
            pass
        assert [chunk async for chunk in connection.chunks()] == [b"begin", b"end"]
        assert (await connection.answer()).status == 200


POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"

MALFORMED = {
    "length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 1\r\n\r\nabc",
    "the same length twice": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a signed length": POST + b"Content-Length: +3\r\n\r\nabc",
    "a hexadecimal length": POST + b"Content-Length: 0x3\r\n\r\nabc",
    "a length without end": POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "obs-fold": b"GET /x HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
    "obs-fold of the length": POST + b"Content-Length:\r\n 3\r\n\r\nabc",
    "a space before the colon": POST + b"Content-Length : 3\r\n\r\nabc",
    "bare LF": b"GET /x HTTP/1.1\nHost: a\n\n",
    "bare LF between headers": b"GET /x HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "bare CR": b"GET /x HTTP/1.1\r\nHost: a\r\nX: y\rz: b\r\n\r\n",
    "NUL in a header": b"GET /x HTTP/1.1\r\nHost: a\r\nX: y\x00z\r\n\r\n",
    "NUL in a name": b"GET /x HTTP/1.1\r\nHost: a\r\nX\x00: y\r\n\r\n",
    "NUL in the path": b"GET /x\x00y HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space in the path": b"GET /x y HTTP/1.1\r\nHost: a\r\n\r\n",
    "not ASCII in the path": "GET /é HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "a header without a colon": b"GET /x HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    "no Host": b"GET /x HTTP/1.1\r\n\r\n",
    "an empty Host": b"GET /x HTTP/1.1\r\nHost:\r\n\r\n",
    "two Hosts": b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "the same Host twice": b"GET /x HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
    "not ASCII in Host": "GET /x HTTP/1.1\r\nHost: exämple.com\r\n\r\n".encode(),
    # sabnzbd/sabnzbd#3561: 500.
    "IPv6 without brackets": b"GET /x HTTP/1.1\r\nHost: 1234:5678::1:8080\r\n\r\n",
    "a path in Host": b"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "a user in Host": b"GET /x HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "absolute form": b"GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
    # Kludex/uvicorn#58: an exception of the event loop.
    "absolute form without a path": b"GET http://b HTTP/1.1\r\nHost: a\r\n\r\n",
    "authority form": b"CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n",
    "asterisk form": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/0.9": b"GET /x\r\n\r\n",
    "HTTP/2 without TLS": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.0": b"GET /x HTTP/3.0\r\nHost: a\r\n\r\n",
    "an unknown method": b"FETCH /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 100,
    "PROXY protocol": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + GET,
    "a chunk size that is no number": CHUNKED + b"g\r\nabc\r\n0\r\n\r\n",
    "a negative chunk size": CHUNKED + b"-1\r\nabc\r\n0\r\n\r\n",
    "a chunk size without end": CHUNKED + b"f" * 20 + b"\r\nabc\r\n",
    "a chunk ended by LF": CHUNKED + b"3\nabc\n0\n\n",
    "a WebSocket with a body": GET[:-2] + WEBSOCKET + b"Content-Length: 3\r\n\r\nabc",
    "a WebSocket with a body that does not come": GET[:-2] + WEBSOCKET + b"Content-Length: 300\r\n\r\n",
    "a WebSocket with chunks": GET[:-2] + WEBSOCKET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a WebSocket by POST": POST + WEBSOCKET + b"\r\n",
    "a WebSocket by POST with a body": POST + WEBSOCKET + b"Content-Length: 3\r\n\r\nabc",
    "a chunk that is longer than its size": CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n",
}


@pytest.mark.row("R2")
async def test_what_proxies_could_read_in_another_way_is_refused():
    different = {}
    async with serving() as (url, app):
        for name, request in MALFORMED.items():
            # A request that follows must not be answered either.
            async with Connection(url) as connection:
                await connection.send(request + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
                answer = await connection.answer()
                if (answer.status, await connection.ended()) != (400, True):
                    different[name] = answer
        assert different == {}
        assert "/smuggled" not in {scope["path"] for scope in app.seen}


@pytest.mark.parametrize(
    "request_",
    [
        GET,
        b"GET /x HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: my_host.example:8000\r\n\r\n",
        b"GET /x HTTP/1.0\r\n\r\n",
        b"\r\n" + GET,
        b"GET //x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
        CHUNKED + b"3;a=b\r\nabc\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_clients_do_send_is_answered(request_: bytes):
    async with serving() as (url, _):
        assert (await ask(url, request_)).status == 200


@pytest.mark.parametrize(
    "endless",
    [b"3;" + b"x" * 1024, b"3;" + b"x=y;" * 256, b"0\r\nX: " + b"y" * 1024, b"0\r\n" + b"X: y\r\n" * 200],
)
async def test_chunk_extensions_and_trailers_have_an_end(endless: bytes):
    async with serving() as (url, app), Connection(url) as connection:
        await connection.send(CHUNKED + endless)
        for _ in range(400):
            await connection.send(endless[3:])
        assert (await connection.answer()).status == 400
        assert await connection.ended()
        assert app.gone == ["/x"]


async def test_a_body_in_chunks_of_one_byte_is_not_refused():
    async with serving() as (url, _):
        assert (await ask(url, CHUNKED + b"1\r\nz\r\n" * 20_000 + b"0\r\n\r\n")).body == b"z" * 20_000


async def test_trailers_do_not_become_headers():
    async with serving() as (url, app):
        trailers = b"0\r\nX-Forwarded-For: 6.6.6.6\r\nAuthorization: Bearer x\r\n\r\n"
        async with Connection(url) as connection:
            await connection.send(POST + b"X: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await connection.send(trailers)
            assert (await connection.answer()).body == b"abc"
        assert [name for name, _ in app.seen[0]["headers"]] == [b"host", b"x", b"transfer-encoding"]


async def test_pipelined_requests_are_answered_in_order_and_counted():
    async with serving() as (url, _), Connection(url) as connection:
        bodies = [b"%d" % number for number in range(10)]
        await connection.send(b"".join(POST + b"Content-Length: 1\r\n\r\n" + body for body in bodies))
        assert [(await connection.answer()).body for _ in bodies] == bodies
    async with serving() as (url, app):
        async with Connection(url) as connection:
            await connection.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n" + GET * (MAX_PIPELINED + 1))
            assert await connection.ended()
        assert len(app.seen) == 1


async def test_a_refusal_does_not_get_into_a_response():
    async with serving() as (url, app), Connection(url) as connection:
        await connection.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        while (await connection.line()) != b"\r\n":
            pass
        assert await anext(aiter(connection.chunks())) == b"begin"
        await connection.send(b"nonsense\r\n\r\n")
        assert await connection.line() == b""
        app.release.set()


async def test_a_request_learns_that_its_client_has_gone_although_another_follows():
    async with serving() as (url, app):
        async with Connection(url) as connection:
            await connection.send(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
            await until(lambda: len(app.seen) == 1, "the request is being answered")
            await connection.send(GET)
        await until(lambda: app.gone == ["/hold"], "the request learns that its client has gone")


UNWANTED = POST.replace(b"/x", b"/unread") + b"Content-Length: 30000000\r\n\r\n"


async def test_the_rest_of_a_body_that_was_not_wanted_is_dropped_for_a_while():
    async with serving(header_seconds=0.5) as (url, _), Connection(url) as connection:
        await connection.send(UNWANTED)
        assert (await connection.answer()).status == 200
        await connection.send(b"z" * 2_000_000)
        assert not await connection.ended(0.1)
        sending = asyncio.create_task(trickle(connection, b"z" * 1000))
        assert await connection.ended(5)
        sending.cancel()


async def test_the_rest_of_a_body_that_was_not_wanted_is_dropped_up_to_a_size():
    async with serving() as (url, _), Connection(url) as connection:
        await connection.send(UNWANTED)
        assert (await connection.answer()).status == 200
        await connection.send(b"z" * 20_000_000)
        assert await connection.ended(5)


async def test_a_client_that_does_not_stop_gets_its_refusal_and_is_cut_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limited_protocol, "LINGER_SECONDS", 0.3)
    async with serving() as (url, _), Connection(url) as connection:
        await connection.send(head(LIMIT * 2))
        sending = asyncio.create_task(trickle(connection, b"z" * 1000))
        assert (await connection.answer()).status == 431
        assert await connection.ended(5)
        sending.cancel()


async def test_a_refusal_is_not_lost_to_a_reset():
    async with serving() as (url, _), Connection(url) as connection:
        # More than one read: what is not read when a connection is closed resets it.
        await connection.send(head(LIMIT * 2) + b"z" * 3_000_000)
        await asyncio.sleep(0.3)
        assert (await connection.answer()).status == 431


HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_a_websocket_is_counted_until_it_ends():
    async with serving(connections=1, header_seconds=0.2) as (url, _):
        async with Connection(url) as connection:
            await connection.send(HANDSHAKE)
            assert (await connection.answer()).status == 101
            # Longer than the time for headers.
            await asyncio.sleep(0.4)
            assert (await ask(url, GET)).status == 503

        async def has_room() -> bool:
            return (await ask(url, GET)).status == 200

        await until(has_room, "the place of the websocket is free")


@asynccontextmanager
async def reading_nothing(url: str, request: bytes) -> AsyncGenerator[None]:
    """A client that sends requests and never reads."""
    parts = urlsplit(url)
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, (parts.hostname, parts.port))
        await loop.sock_sendall(client, request)
        yield


LARGE = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "request_", [LARGE, LARGE + GET * 3, LARGE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")]
)
async def test_a_client_that_reads_nothing_makes_room(request_: bytes):
    async with serving(connections_per_address=1) as (url, app), reading_nothing(url, request_):

        async def has_room() -> bool:
            return (await ask(url, GET)).status == 200

        await until(has_room, "another connection has the place")
        assert {scope["path"] for scope in app.seen} == {"/large", "/x"}


async def test_a_client_that_reads_nothing_for_long_is_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limited_protocol, "SEND_SECONDS", 0.1)
    async with serving() as (url, app), reading_nothing(url, LARGE):

        async def left() -> bool:
            return app.gone == ["/large"]

        await until(left, "the application is told that its client has gone")
    async with serving() as (url, app):
        # One that reads gets all of it, although the buffers are full in between.
        answer = await ask(url, LARGE)
        assert (answer.status, app.gone) == (200, ["/large"])


async def test_silent_connections_make_room_and_busy_ones_do_not():
    async with serving(connections_per_address=3) as (url, app):
        busy = Connection(url)
        silent = [Connection(url), Connection(url)]
        async with busy, silent[0], silent[1]:
            await busy.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
            await busy.line()
            assert (await ask(url, GET)).status == 200
            # The one that has waited longest.
            assert await silent[0].ended()
            async with Connection(url, source="127.0.0.2") as other:
                await other.send(GET)
                assert (await other.answer()).status == 200
            assert not await silent[1].ended(0.05)
        app.release.set()


async def test_more_than_the_limit_are_refused_if_all_are_busy():
    async with serving(connections_per_address=2) as (url, app):
        first, second = Connection(url), Connection(url)
        async with first, second:
            for connection in (first, second):
                await connection.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
                await connection.line()
            refused = await ask(url, GET)
            assert refused.status == 503
            assert refused.headers["retry-after"] == "5"
            assert (await ask(url, GET, source="127.0.0.2")).status == 200
        app.release.set()
