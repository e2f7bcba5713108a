"""Large files cost a replica neither memory nor the answers of others."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import httpx2
import pytest

from faults.cluster import running, token_of
from faults.model_server import ModelServer

pytestmark = [pytest.mark.row("E1"), pytest.mark.alone]

BYTES = 256 * 1_048_576
PIECE = b"The quick brown fox jumps over the lazy dog.\n" * 20_000
MOST_MEMORY = 64 * 1_048_576
"""Beyond that of an idle replica; a file of 1 GiB may cost no more."""


async def content(total: int) -> AsyncIterator[bytes]:
    while total > 0:
        yield PIECE[:total]
        total -= len(PIECE)


@pytest.fixture
async def url(model: ModelServer, tmp_path: Path) -> AsyncGenerator[tuple[str, int]]:
    folder = tmp_path / "one"
    limits = {"max_upload_bytes": BYTES, "file_quota_bytes": 0, "files_url": (tmp_path / "files").as_uri()}
    async with running("sqlite", folder, model, 1, **limits) as cluster:
        yield cluster.replicas[0].url, cluster.replicas[0].process.pid


def peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def test_an_upload_and_its_download_cost_no_memory(url: tuple[str, int]):
    address, pid = url
    headers = {"Authorization": f"Bearer {token_of('ann')}"}
    async with httpx2.AsyncClient(base_url=address, headers=headers, timeout=60) as person:
        assert (await person.get("/auth/me")).status_code == 200
        idle = await asyncio.to_thread(peak, pid)
        asked = {"name": "a.txt", "size": BYTES, "mime_type": "text/plain"}
        created = await person.post("/api/chatkit", json={"type": "attachments.create", "params": asked})
        target = created.json()["upload_descriptor"]
        sent = await person.put(
            target["url"],
            content=content(BYTES),
            headers={**target["headers"], "Content-Length": str(BYTES)},
        )
        assert sent.status_code == 200, sent.text
        received = 0
        path = f"/api/chatkit/attachments/{sent.json()['id']}"
        async with person.stream("GET", path, follow_redirects=True) as response:
            async for piece in response.aiter_raw():
                received += len(piece)
        assert received == BYTES
        assert await asyncio.to_thread(peak, pid) - idle < MOST_MEMORY
