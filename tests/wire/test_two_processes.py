"""Two processes on one database: what one writes, the other reads at once (D6). Nothing is cached: see decision 7."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from backchannel.testing import ChatKitClient, ServerError
from processes import Process, free_port

SECRET = "0123456789abcdef0123456789abcdef"
START_SECONDS = 60
ROUNDS = 4


@asynccontextmanager
async def process(url: str, folder: Path) -> AsyncGenerator[str]:
    """`backchannel serve` on a free port."""
    port = free_port()
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "BACKCHANNEL_"))
    }
    environment = kept | {
        "BACKCHANNEL_DATABASE_URL": url,
        "BACKCHANNEL_AUTH": "jwt",
        "BACKCHANNEL_JWT_SECRET": SECRET,
        "BACKCHANNEL_MODEL": "offline",
    }
    server = Process(folder / f"{port}.log")
    server.fork(["serve", "--port", str(port)], environment)
    try:
        async with asyncio.timeout(START_SECONDS), httpx2.AsyncClient() as client:
            while True:
                try:
                    if (await client.get(f"http://127.0.0.1:{port}/health/ready")).status_code == 200:
                        break
                except httpx2.TransportError:
                    assert server.alive, server.told()[-2000:]
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        if server.alive:
            server.signal(signal.SIGTERM)
        await server.ended()


@pytest.mark.row("D6", "H2")
async def test_what_one_process_writes_the_other_reads_at_once(database_url: str, tmp_path: Path):
    claims = {"sub": "ada", "exp": int(time.time()) + 600}
    token = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))
    async with AsyncExitStack() as stack:
        urls = await asyncio.gather(
            *(stack.enter_async_context(process(database_url, tmp_path)) for _ in range(2))
        )
        one, other = [await stack.enter_async_context(ChatKitClient(url, token=token)) for url in urls]
        for number in range(ROUNDS):
            if number % 2:
                one, other = other, one
            events = await (await one.say(f"find parcel {number}")).events()
            thread = {"thread_id": events[0]["thread"]["id"]}
            answer = next(e["item"]["id"] for e in reversed(events) if e["type"] == "thread.item.done")
            seen = await other.request("threads.get_by_id", thread)
            assert answer in [item["id"] for item in seen["items"]["data"]]
            await other.request("threads.update", {**thread, "title": f"Title {number}"})
            assert (await one.request("threads.get_by_id", thread))["title"] == f"Title {number}"
            assert len((await one.search(f"title {number}"))["data"]) == 1
            feedback = {**thread, "item_ids": [answer], "kind": "positive"}
            await one.request("items.feedback", feedback)
            await other.request("items.feedback", {**feedback, "kind": "negative"})
            assert [each["kind"] for each in await one.feedback(thread["thread_id"])] == ["negative"]
            await one.request("threads.delete", thread)
            with pytest.raises(ServerError) as gone:
                await other.request("threads.get_by_id", thread)
            assert gone.value.status == 404
            assert (await other.search(f"parcel {number}"))["data"] == []
            assert (await other.request("threads.list", {}))["data"] == []
