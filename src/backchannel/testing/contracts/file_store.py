"""The contract tests of file stores.

Subclass `FileStoreContract`, provide the fixture, and run pytest:

    class TestMyStore(FileStoreContract):
        @pytest.fixture
        async def store(self):
            store = MyStore(...)
            yield store
            await store.aclose()

A store on a network also keeps `file_store_remote.RemoteFileStoreContract`; one with presigned URLs
`file_store_remote.PresigningFileStoreContract`.
"""

import asyncio
import hashlib
import tracemalloc
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backchannel.file_stores.base import MAX_PIECE_BYTES, PIECE_BYTES, FileMissingError, FileStore
from backchannel.testing.contracts.file_store_base import (
    BIG_BYTES,
    FILE_NAMES,
    attachment,
    put,
    read,
    write_big_file,
)


class FileStoreContract:
    """Inherit as `class TestMine(FileStoreContract)` and override the fixture.

    Attributes:
        memory_bytes: What Python may hold while a file of 24 MiB is read; `None` for a store that is in memory itself.
    """

    memory_bytes: int | None = 8 * 1_048_576

    @abstractmethod
    @pytest.fixture
    def store(self) -> Any:
        """An open store without files."""

    async def test_what_is_put_can_be_read(self, store: FileStore) -> None:
        """Every byte value, also none at all."""
        for number, data in enumerate((bytes(range(256)) * 5, b"", b"\x00")):
            key = f"ab/atc_{number}.bin"
            await put(store, key, data)
            assert await read(store, key) == data
            assert await store.size(key) == len(data)

    async def test_a_put_replaces(self, store: FileStore, tmp_path: Path) -> None:
        """By longer and by shorter bytes, from memory and from a file."""
        for data in (b"first", b"the second is longer", b"3"):
            await put(store, "a/file", data)
            assert await read(store, "a/file") == data
        source = tmp_path / "source"
        source.write_bytes(b"from a file")
        await put(store, "a/file", source)
        assert await read(store, "a/file") == b"from a file"
        assert [each.key async for each in store.list()] == ["a/file"]

    async def test_a_file_for_a_put_is_moved_or_left(self, store: FileStore, tmp_path: Path) -> None:
        """What is left is unchanged; a put of a file that does not exist is no missing key."""
        source = tmp_path / "source"
        source.write_bytes(b"bytes")
        await put(store, "a", source)
        assert not source.exists() or source.read_bytes() == b"bytes"
        with pytest.raises(FileNotFoundError):
            await put(store, "b", tmp_path / "absent")
        assert [each.key async for each in store.list()] == ["a"]

    async def test_ranges(self, store: FileStore) -> None:
        """Those that go over the end are cut; those after the end are empty."""
        data = bytes(range(100))
        await put(store, "a", data)
        await put(store, "empty", b"")
        for start, end in ((0, 1), (0, 100), (99, 100), (10, 20), (50, 1000), (0, 2**40)):
            assert await read(store, "a", start, end) == data[start:end]
        for start in (0, 1, 99):
            assert await read(store, "a", start) == data[start:]
        for start, end in ((100, None), (100, 200), (5000, None), (7, 7), (0, 0)):
            assert await read(store, "a", start, end) == b""
        assert await read(store, "empty", 0, 10) == b""
        for start, end in ((-1, None), (5, 4)):
            with pytest.raises(ValueError, match="bytes"):
                await read(store, "a", start, end)

    async def test_what_is_missing(self, store: FileStore) -> None:
        """Also beside a file, above one and below one."""
        await put(store, "a/b/file", b"bytes")
        for key in ("c", "a/b/other", "a/b", "a/b/file/c", "a/b/fil"):
            for start, end in ((0, None), (1, 2), (0, 0)):
                with pytest.raises(FileMissingError):
                    await read(store, key, start, end)
            with pytest.raises(FileMissingError):
                await store.size(key)
            with pytest.raises(FileMissingError):
                await store.copy(key, "copy")
        assert [each.key async for each in store.list()] == ["a/b/file"]

    async def test_deletions(self, store: FileStore) -> None:
        """Of some of them, of none, twice, and of what never existed."""
        for number in range(20):
            await put(store, f"a/{number}", b"x")
        await store.delete([])
        await store.delete([f"a/{number}" for number in range(1, 30)] + ["a/1", "b", "a"])
        await store.delete(["a/1"])
        assert [each.key async for each in store.list()] == ["a/0"]
        await put(store, "a/1", b"again")
        assert await read(store, "a/1") == b"again"

    async def test_a_file_can_be_put_while_its_neighbour_is_deleted(self, store: FileStore) -> None:
        """Folders that become empty are no reason to fail."""
        for number in range(30):
            await put(store, "f/atc_1/old", b"x")
            await asyncio.gather(store.delete(["f/atc_1/old"]), put(store, f"f/atc_1/new{number}", b"y"))
            assert await read(store, f"f/atc_1/new{number}") == b"y"
            await store.delete([f"f/atc_1/new{number}"])

    async def test_lists(self, store: FileStore) -> None:
        """By whole folders, with sizes and times; more than fit into one answer of a server."""
        keys = {f"f/{number % 3}/atc_{number}" for number in range(60)}
        await asyncio.gather(*(put(store, key, key.encode()) for key in keys))
        await put(store, "other", b"x")
        found = [each async for each in store.list()]
        assert {each.key for each in found} == keys | {"other"}
        assert len(found) == len(keys) + 1
        for each in found:
            assert each.size == (1 if each.key == "other" else len(each.key))
            assert each.modified.utcoffset() == timedelta(0)
            assert abs(each.modified - datetime.now(UTC)) < timedelta(minutes=5)
        assert {each.key async for each in store.list("f/1/")} == {
            key for key in keys if key.startswith("f/1/")
        }
        for prefix in ("f/4/", "fo/", "f/1/atc_1/"):
            assert [each async for each in store.list(prefix)] == []
        for prefix in ("f", "f/1", "/", "../", "f//", "F/"):
            with pytest.raises(ValueError, match="folder"):
                [each async for each in store.list(prefix)]

    async def test_copies(self, store: FileStore) -> None:
        """They replace, and are not changed by what happens to the original; nor is it by them."""
        await put(store, "a/original", b"bytes")
        await put(store, "b/copy", b"something longer")
        await store.copy("a/original", "b/copy")
        assert await read(store, "b/copy") == b"bytes"
        await store.copy("a/original", "a/original")
        # Twice, as after a crash.
        await store.copy("a/original", "b/copy")
        await put(store, "a/original", b"other")
        assert await read(store, "b/copy") == b"bytes"
        await store.copy("b/copy", "c")
        await store.delete(["b/copy"])
        assert await read(store, "c") == b"bytes"
        assert await read(store, "a/original") == b"other"

    async def test_keys(self, store: FileStore) -> None:
        """All that have the form, and no others."""
        keys = ["a", "0", "_-", "a.b", "a..b", "d/b.c/d_e-f", "files/1f/atc_0198f2c3/9c.preview", "a" * 200]
        for key in keys:
            await put(store, key, key.encode())
        for key in keys:
            assert await read(store, key) == key.encode()
        assert {each.key async for each in store.list()} == set(keys)
        wrong = [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            "..",
            "../a",
            "a/../b",
            "a/./b",
            ".a",
            "a/.b",
            "A",
            "a b",
            "ä",
            "a\n",
        ]
        wrong += [
            "a%2f",
            "a\\b",
            "a?b",
            "a#b",
            "a+b",
            "a\x00",
            "a:b",
            "a" * 201,
            "a/" * 300 + "a",
            ".spool/a",
        ]
        for key in wrong:
            with pytest.raises(ValueError, match="key"):
                await put(store, key, b"x")
            with pytest.raises(ValueError, match="key"):
                await read(store, key)
            with pytest.raises(ValueError, match="key"):
                await store.delete([key])
            with pytest.raises(ValueError, match="key"):
                await store.copy("a", key)

    async def test_names_of_files_in_dispositions(self, store: FileStore) -> None:
        """They are no reason to refuse a file; what cannot be a header is."""
        for number, name in enumerate(FILE_NAMES):
            await store.put(
                f"n/{number}", b"x", mime_type="text/plain; charset=utf-8", disposition=attachment(name)
            )
            assert await read(store, f"n/{number}") == b"x"
        for disposition in ("inline\r\nX: 1", "attachment; filename=é", "a\x00", "", "a\tb"):
            with pytest.raises(ValueError, match="header"):
                await store.put("n/x", b"x", mime_type="text/plain", disposition=disposition)
        with pytest.raises(ValueError, match="header"):
            await store.put("n/x", b"x", mime_type="text/plain\n", disposition="inline")

    async def test_a_big_file_is_never_whole_in_memory(self, store: FileStore, tmp_path: Path) -> None:
        """It arrives whole, in pieces of the promised sizes, also parts of it."""
        source = tmp_path / "big"
        digest = write_big_file(source)
        await put(store, "big", source)
        assert await store.size("big") == BIG_BYTES + 7
        await store.copy("big", "copy")
        tracemalloc.start()
        try:
            found, sizes = hashlib.sha256(), list[int]()
            async for piece in store.read("copy"):
                found.update(piece)
                sizes.append(len(piece))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert self.memory_bytes is None or peak < self.memory_bytes
        assert found.hexdigest() == digest
        assert sum(sizes) == BIG_BYTES + 7
        assert max(sizes) <= MAX_PIECE_BYTES
        assert min(sizes[:-1]) >= PIECE_BYTES
        assert len(await read(store, "big", BIG_BYTES - 3)) == 10

    async def test_whoever_reads_gets_one_file_and_not_two(self, store: FileStore) -> None:
        """While it is replaced, each reader gets the old or the new bytes, whole."""
        files = [bytes([number]) * 300_000 for number in range(4)]
        await put(store, "a", files[0])

        async def replace() -> None:
            for data in files[1:] * 5:
                await put(store, "a", data)

        replacing = asyncio.create_task(replace())
        while not replacing.done():
            assert await read(store, "a") in files
            await asyncio.sleep(0)
        await replacing
        assert await read(store, "a") == files[-1]

    async def test_after_a_cancelled_put_there_is_the_old_file_or_the_new_one(
        self, store: FileStore, tmp_path: Path
    ) -> None:
        """Whenever it was cancelled."""
        await put(store, "a", b"old")
        digests = set[str]()
        for delay in (0.0, 0.001, 0.02, 0.1):
            # What sends a file may still read it for a moment after the cancellation.
            source = tmp_path / f"big{delay}"
            digests.add(write_big_file(source))
            putting = asyncio.create_task(put(store, "a", source))
            await asyncio.wait([putting], timeout=delay)
            putting.cancel()
            await asyncio.wait([putting])
            data = await read(store, "a")
            assert data == b"old" or hashlib.sha256(data).hexdigest() in digests

    async def test_an_unfinished_iteration_can_be_closed(self, store: FileStore) -> None:
        """The store goes on."""
        await put(store, "a", b"x" * 3_000_000)
        for _ in range(20):
            pieces: Any = store.read("a")
            assert await anext(pieces)
            await pieces.aclose()
        assert len(await read(store, "a")) == 3_000_000

    async def test_it_can_be_checked_and_closed_twice(self, store: FileStore) -> None:
        """A check leaves nothing behind."""
        await store.check()
        await store.check()
        assert [each async for each in store.list()] == []
        await store.aclose()
        await store.aclose()

    async def test_what_browsers_may_do_is_consistent(self, store: FileStore) -> None:
        """Origins exist with presigned URLs only, and without them none is made."""
        assert bool(store.origins) == store.presigns
        for origin in store.origins:
            scheme, _, rest = origin.partition("://")
            assert scheme in {"http", "https"}
            assert "/" not in rest
        if not store.presigns:
            with pytest.raises(ValueError, match="presigned"):
                await store.presign_get("a", seconds=60, mime_type="text/plain", disposition="inline")
            with pytest.raises(ValueError, match="presigned"):
                await store.presign_put("a", mime_type="a/b", size=1, disposition="inline", seconds=60)
