"""The contract tests of file stores on a network, and of those with presigned URLs; see `file_store`."""

import asyncio
import time
from abc import abstractmethod
from typing import Any

import httpx2
import pytest

from backchannel.errors import UnavailableError
from backchannel.file_stores.base import FileStore
from backchannel.testing.contracts.file_store import FileStoreContract
from backchannel.testing.contracts.file_store_base import FILE_NAMES, attachment, put, read

PATIENCE_SECONDS = 10
"""How long a store that cannot be reached may take to say so, with a time-out of a second."""


class RemoteFileStoreContract(FileStoreContract):
    """The contract of stores on a network."""

    @abstractmethod
    @pytest.fixture
    def unreachable(self) -> Any:
        """A store with a time-out of a second at an address that refuses connections."""

    @abstractmethod
    @pytest.fixture
    def silent(self) -> Any:
        """A store with a time-out of a second at an address that accepts connections and never answers."""

    @abstractmethod
    @pytest.fixture
    def without_bucket(self) -> Any:
        """A store whose bucket does not exist, at a server that can be reached."""

    async def test_one_that_cannot_be_reached_says_so_soon(self, unreachable: FileStore) -> None:
        """Every method."""
        await assert_unavailable(unreachable)

    async def test_one_that_does_not_answer_is_not_waited_for(self, silent: FileStore) -> None:
        """Every method."""
        await assert_unavailable(silent)

    async def test_one_without_a_bucket_is_not_available(self, without_bucket: FileStore) -> None:
        """Otherwise all files would seem to be deleted."""
        with pytest.raises(UnavailableError, match="does not exist"):
            await without_bucket.check()
        with pytest.raises(UnavailableError):
            await put(without_bucket, "a", b"x")
        with pytest.raises(UnavailableError):
            [each async for each in without_bucket.list()]
        with pytest.raises(UnavailableError):
            await read(without_bucket, "a")


class PresigningFileStoreContract(RemoteFileStoreContract):
    """The contract of stores with presigned URLs."""

    async def test_a_browser_writes_and_reads(self, store: FileStore) -> None:
        """With a plain HTTP client, which has no credentials."""
        async with httpx2.AsyncClient() as browser:
            for number, name in enumerate(FILE_NAMES):
                key, data = f"u/{number}", name.encode()
                target = await store.presign_put(
                    key,
                    mime_type="text/plain; charset=utf-8",
                    size=len(data),
                    disposition=attachment(name),
                    seconds=60,
                )
                assert target.url.startswith(tuple(f"{origin}/" for origin in store.origins))
                assert {each.lower() for each in target.headers}.isdisjoint({"content-length", "host"})
                answer = await browser.request(
                    target.method, target.url, content=data, headers=dict(target.headers)
                )
                assert answer.is_success, answer.text
                assert await read(store, key) == data
                await self._assert_readable(browser, store, key, name, data)
                # What the server stores from a copy of it is the same file.
                await store.copy(key, f"copy/{number}")
                await self._assert_readable(browser, store, f"copy/{number}", name, data)

    async def _assert_readable(
        self, browser: httpx2.AsyncClient, store: FileStore, key: str, name: str, data: bytes
    ) -> None:
        url = await store.presign_get(
            key, seconds=60, mime_type="text/plain; charset=utf-8", disposition=attachment(name)
        )
        answer = await browser.get(url)
        assert (answer.status_code, answer.content) == (200, data)
        assert answer.headers["content-disposition"] == " ".join(attachment(name).split())
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        part = await browser.get(url, headers={"range": "bytes=1-2"})
        assert (part.status_code, part.content) == (206, data[1:3])

    async def test_what_the_server_stored_can_be_read(self, store: FileStore) -> None:
        """With its type and name."""
        await store.put(
            "a", b"bytes", mime_type="application/pdf", disposition=attachment("\U0001f600 %.pdf")
        )
        async with httpx2.AsyncClient() as browser:
            answer = await browser.get(
                await store.presign_get(
                    "a",
                    seconds=60,
                    mime_type="application/pdf",
                    disposition=attachment("\U0001f600 %.pdf"),
                )
            )
        assert answer.content == b"bytes"
        assert answer.headers["content-type"] == "application/pdf"
        assert answer.headers["content-disposition"] == attachment("\U0001f600 %.pdf")

    async def test_urls_are_good_for_a_limited_time(self, store: FileStore) -> None:
        """And for one key."""
        for seconds in (0, -1, 604_801):
            with pytest.raises(ValueError, match="seconds"):
                await store.presign_get("a", seconds=seconds, mime_type="a/b", disposition="inline")
            with pytest.raises(ValueError, match="seconds"):
                await store.presign_put("a", seconds=seconds, mime_type="a/b", size=1, disposition="inline")
        with pytest.raises(ValueError, match="key"):
            await store.presign_get("../a", seconds=60, mime_type="a/b", disposition="inline")
        with pytest.raises(ValueError, match="header"):
            await store.presign_put("a", seconds=60, mime_type="a/b", size=1, disposition="é")
        with pytest.raises(ValueError, match="bytes"):
            await store.presign_put("a", seconds=60, mime_type="a/b", size=-1, disposition="inline")


async def assert_unavailable(store: FileStore) -> None:
    """Every method raises `UnavailableError`, in time."""
    began = time.monotonic()

    async def list_all() -> None:
        [each async for each in store.list("a/")]

    calls = [
        put(store, "a", b"x"),
        read(store, "a"),
        read(store, "a", 5, 10),
        store.size("a"),
        store.copy("a", "b"),
        store.delete(["a", "b"]),
        list_all(),
        store.check(),
    ]
    for result in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(result, UnavailableError), result
        assert result.retry_after
    assert time.monotonic() - began < PATIENCE_SECONDS
