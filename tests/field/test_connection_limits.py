"""Connections as other servers took them, or took them away; each case names the report."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from raw_http import Connection, ask
from unit.hosting.test_limited_protocol import GET, head, serving

pytestmark = pytest.mark.row("R2")

HOLD = b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"


# benoitc/gunicorn#2878, Kludex/uvicorn#1234, khoj-ai/khoj#899: "Invalid HTTP request", and a cut connection, for people
# with many cookies. EsupPortail/Esup-Pod#1076: they were those of other servers of the same domain.
async def test_who_has_too_many_cookies_reads_why():
    async with serving(header_bytes=65_536) as (url, app):
        cookies = "; ".join(f"c{number}={'x' * 4000}" for number in range(12)).encode()
        assert (await ask(url, GET[:-2] + b"Cookie: " + cookies + b"\r\n\r\n")).status == 200
        refused = await ask(url, head(70_000))
        assert (refused.status, refused.json()["code"]) == (431, "too_large")
        assert (await ask(url, b"GET /?q=" + b"y" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")).status == 414
        assert len(app.seen) == 1


# mholzi/quizify#701 and #609, SignalK/signalk-server#2578, T3-Content/quipslop#35: behind a proxy all people had its
# address, and the sixteenth was kept out.
async def test_people_behind_one_proxy_are_not_one_client():
    async with (
        serving(connections_per_address=2, exempt="127.0.0.1".__eq__) as (url, app),
        AsyncExitStack() as stack,
    ):
        for source, count in (("127.0.0.1", 8), ("127.0.0.2", 2)):
            for _ in range(count):
                held = await stack.enter_async_context(Connection(url, source=source))
                await held.send(HOLD)
        async with asyncio.timeout(10):
            while len(app.seen) < 10:  # noqa: ASYNC110 - of the server
                await asyncio.sleep(0.01)
        assert (await ask(url, GET)).status == 200
        assert (await ask(url, GET, source="127.0.0.2")).status in {0, 429, 503}
        assert (await ask(url, GET, source="127.0.0.3")).status == 200


# xorbitsai/inference#5213, vouch-sh/vouch#1127, hyperium/hyper#2675, apache/tooling-trusted-releases#551: a byte now and
# then kept a connection for ever, because each byte began the time anew.
async def test_a_byte_now_and_then_does_not_keep_a_connection():
    async with serving(header_seconds=0.3) as (url, _), Connection(url) as connection:

        async def trickle() -> None:
            for byte in GET[:-2] + b"X: y\r\n" * 50:
                await connection.send(bytes([byte]))
                await asyncio.sleep(0.05)

        sending = asyncio.create_task(trickle())
        answer = await asyncio.wait_for(connection.answer(), 5)
        sending.cancel()
        assert answer.status == 408
