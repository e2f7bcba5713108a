"""`backchannel serve` without a proxy, attacked before any request is complete."""

import asyncio
import contextlib
import os
import statistics
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from faults.slow_clients import BEGUN
from processes import Process, free_port, until, within
from raw_http import Answer, Connection, ask

pytestmark = [pytest.mark.alone, pytest.mark.row("R2")]

CLIENTS = 2400
ADDRESSES = 4
LIMIT = 2000
PER_ADDRESS = 500
HEADER_SECONDS = 4
ROUNDS = 4
MOST = 48 * 1024 * 1024
"""Memory that attackers may cost."""


@asynccontextmanager
async def serving(folder: Path, workers: int = 1, **settings: object) -> AsyncGenerator[tuple[Process, str]]:
    process, port = Process(folder / "server.log"), free_port()
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("BACKCHANNEL_", "OPENAI_"))
    }
    # The loopback is trusted by default: here its addresses are clients.
    values = {
        "titles": "rule",
        "trusted_proxies": "192.0.2.1",
        "header_timeout_seconds": HEADER_SECONDS,
        **settings,
    }
    environment = kept | {f"BACKCHANNEL_{name.upper()}": str(value) for name, value in values.items()}
    arguments = ["serve", "--port", str(port), "--workers", str(workers)]
    if workers == 1:
        process.fork(arguments, environment)
    else:
        process.execute([sys.executable, "-m", "backchannel", *arguments], environment)
    url = f"http://127.0.0.1:{port}"
    try:

        async def is_ready() -> bool:
            assert process.alive, process.told()
            with contextlib.suppress(OSError):
                return (await ask(url, LIVE)).status == 200
            return False

        await until(is_ready, "the server can be used", 60)
        yield process, url
    finally:
        if process.alive:
            await process.terminate()


LIVE = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def latency(url: str, requests: int = 150) -> float:
    """The median of the time that a request takes, on a connection that is there already and on new ones."""
    times: list[float] = []
    async with Connection(url) as connection:
        for number in range(requests):
            began = time.perf_counter()
            if number % 3:
                await connection.send(LIVE)
                answer = await connection.answer()
            else:
                answer = await ask(url, LIVE)
            assert answer.status == 200
            times.append(time.perf_counter() - began)
            await asyncio.sleep(0.005)
    return statistics.median(times)


@within(150)
async def test_others_keep_their_latency_beside_connections_that_send_nothing_or_little(tmp_path: Path):
    limits = {"max_connections": LIMIT, "max_connections_per_address": PER_ADDRESS}
    async with serving(tmp_path, **limits) as (process, url):
        await latency(url)
        before, ratios = process.rss, list[float]()
        for number in range(ROUNDS):
            quiet = await latency(url)
            slow = Process(tmp_path / f"slow-{number}.log")
            script = Path(__file__).with_name("slow_clients.py")
            slow.execute(
                [sys.executable, str(script), url, str(CLIENTS), str(ADDRESSES)],
                os.environ | {"PYTHONPATH": str(script.parents[1])},
            )
            try:
                await until(lambda: connections(process) > LIMIT * 0.9, "the slow clients are there", 30)
                ratios.append(await latency(url) / quiet)
                assert connections(process) <= LIMIT + OTHERS
                assert process.rss - before < MOST
            finally:
                await slow.kill()
            if ratios[-1] <= 1.5:
                break
            await until(lambda: connections(process) < OTHERS, "the slow clients are gone", 30)
        assert min(ratios) <= 1.5, ratios


OTHERS = 100
"""Files that the server has open besides."""


def connections(process: Process) -> int:
    return sum(1 for _ in Path(f"/proc/{process.pid}/fd").iterdir())


@within(60)
async def test_headers_without_end_cost_neither_memory_nor_time(tmp_path: Path):
    async with serving(tmp_path) as (process, url):
        await latency(url, 10)
        before = process.rss
        endless = b"y" * 65_536

        async def flood(begin: bytes) -> Answer:
            async with Connection(url, source="127.0.0.9") as connection:
                await connection.send(begin)
                for _ in range(2400):
                    await connection.send(endless)
                return await connection.answer()

        begins = [BEGUN, b"GET /", BEGUN + b"z\r\n", b"X" * 20, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 60_000]
        await asyncio.gather(*(flood(begin) for begin in begins * 4))
        assert process.rss - before < MOST
        refused = await ask(url, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70_000 + b"\r\n\r\n")
        assert refused.status == 431
        assert (await ask(url, b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")).status == 414


@within(60)
async def test_workers_limit_too(tmp_path: Path):
    settings = {"max_connections": 20, "max_header_bytes": 8192, "body_timeout_seconds": 1}
    async with serving(tmp_path, 2, **settings) as (_, url):
        smuggled = b"POST /api/chatkit HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        assert (await ask(url, smuggled + LIVE)).status == 400
        assert (await ask(url, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 8192 + b"\r\n\r\n")).status == 431
        async with contextlib.AsyncExitStack() as stack:
            held = [await stack.enter_async_context(Connection(url)) for _ in range(60)]
            ends = await asyncio.gather(*(connection.ended(0.5) for connection in held))
            # Both together keep at most twice the limit of one.
            assert 20 <= ends.count(False) <= 40
            assert (await ask(url, LIVE)).status == 200
            assert all(await asyncio.gather(*(connection.ended(HEADER_SECONDS * 2) for connection in held)))
        async with Connection(url) as connection:
            await connection.send(b"POST /api/chatkit HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
            answer = await connection.answer()
            assert (answer.status, answer.json()["code"]) == (408, "timeout")
