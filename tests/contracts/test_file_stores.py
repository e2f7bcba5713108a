"""Files on local disk, in memory, on S3 and on Azure keep the contract of every file store."""

import asyncio
import errno
import os
import secrets
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from backchannel.file_stores.base import FileMissingError, FileStore
from backchannel.file_stores.locations import open_file_store
from backchannel.testing.contracts.file_store import FileStoreContract
from backchannel.testing.contracts.file_store_base import put, read
from backchannel.testing.contracts.file_store_remote import PresigningFileStoreContract
from file_servers import ACCOUNT, use_azure, use_s3

pytestmark = pytest.mark.row("E1")

REFUSING = "http://127.0.0.1:1"


class TestMemory(FileStoreContract):
    memory_bytes = None

    @pytest.fixture
    def store(self) -> FileStore:
        return open_file_store("memory://")


class TestLocal(FileStoreContract):
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "new folder" / "files"

    @pytest.fixture
    def store(self, root: Path) -> FileStore:
        return open_file_store(root.as_uri())

    async def test_only_the_owner_can_read(self, store: FileStore, root: Path):
        """With any umask, whether bytes are written, moved or copied."""
        before = os.umask(0)
        try:
            source = root.parent / "source"
            source.write_bytes(b"x")
            source.chmod(0o666)
            await put(store, "a/b/moved", source)
            await put(store, "a/c/written", b"x")
            await store.copy("a/b/moved", "d/e/copied")
        finally:
            os.umask(before)
        assert not source.exists()
        paths = [root, *below(root)]
        assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}
        assert [path.stat().st_mode & 0o777 for path in paths if path.is_file()] == [0o600] * 3

    async def test_nothing_is_left_of_deleted_files(self, store: FileStore, root: Path):
        await put(store, "a/b/c", b"x")
        await store.copy("a/b/c", "d/e")
        await store.delete(["a/b/c", "d/e"])
        assert [path.name for path in below(root)] == [".spool"]

    async def test_what_is_not_ours_is_not_listed(self, store: FileStore, root: Path):
        """Uploads in progress, and what systems leave in folders."""
        await put(store, "a/b", b"x")
        for name in (".spool/upload-1.part", ".DS_Store", "a/.nfs0001", "a/Thumbs.db"):
            (root / name).write_bytes(b"x")
        assert [each.key async for each in store.list()] == ["a/b"]
        assert [each.key async for each in store.list("a/")] == ["a/b"]

    async def test_a_link_or_a_second_name_is_copied(self, store: FileStore, tmp_path: Path):
        """What is written to them later must not change the file."""
        original = tmp_path / "original"
        original.write_bytes(b"bytes")
        (tmp_path / "link").symlink_to(original)
        (tmp_path / "name").hardlink_to(original)
        await put(store, "a", tmp_path / "link")
        await put(store, "b", tmp_path / "name")
        original.write_bytes(b"other")
        assert await read(store, "a") == await read(store, "b") == b"bytes"

    async def test_a_copy_without_links(self, store: FileStore, monkeypatch: pytest.MonkeyPatch):
        """Not every file system has them, and most limit their number."""

        def no_links(_self: Path, _target: Path) -> None:
            raise OSError(errno.EMLINK, "Too many links")

        await put(store, "a", b"bytes")
        monkeypatch.setattr(Path, "hardlink_to", no_links)
        await store.copy("a", "b")
        await put(store, "a", b"other")
        assert await read(store, "b") == b"bytes"
        with pytest.raises(FileMissingError):
            await store.copy("none", "c")


class TestS3(PresigningFileStoreContract):
    @pytest.fixture
    async def store(self, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[FileStore]:
        store = open_file_store(use_s3(monkeypatch))
        yield store
        await store.aclose()

    @pytest.fixture
    def unreachable(self, monkeypatch: pytest.MonkeyPatch) -> FileStore:
        url = use_s3(monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", REFUSING)
        return open_file_store(url, timeout=1)

    @pytest.fixture
    async def silent(self, monkeypatch: pytest.MonkeyPatch, silence: str) -> FileStore:
        url = use_s3(monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", silence)
        return open_file_store(url, timeout=1)

    @pytest.fixture
    def without_bucket(self, monkeypatch: pytest.MonkeyPatch) -> FileStore:
        use_s3(monkeypatch)
        return open_file_store(f"s3://absent-{secrets.token_hex(8)}/files")

    @pytest.mark.alone
    async def test_a_big_file_is_sent_with_little_memory(self, store: FileStore, tmp_path: Path):
        """Of this process, in which obstore's own parts would be 65 MiB."""
        source = tmp_path / "big"
        source.write_bytes(b"x" * 96 * 1_048_576)
        before = memory("VmRSS")
        forget_peak()
        await put(store, "big", source)
        assert await store.size("big") == 96 * 1_048_576
        assert memory("VmHWM") - before < 48 * 1_048_576


class TestAzure(PresigningFileStoreContract):
    @pytest.fixture
    async def store(self, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[FileStore]:
        store = open_file_store(use_azure(monkeypatch))
        yield store
        await store.aclose()

    @pytest.fixture
    def unreachable(self, monkeypatch: pytest.MonkeyPatch) -> FileStore:
        url = use_azure(monkeypatch)
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"{REFUSING}/{ACCOUNT}")
        return open_file_store(url, timeout=1)

    @pytest.fixture
    async def silent(self, monkeypatch: pytest.MonkeyPatch, silence: str) -> FileStore:
        url = use_azure(monkeypatch)
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"{silence}/{ACCOUNT}")
        return open_file_store(url, timeout=1)

    @pytest.fixture
    def without_bucket(self, monkeypatch: pytest.MonkeyPatch) -> FileStore:
        use_azure(monkeypatch)
        return open_file_store(f"az://absent-{secrets.token_hex(8)}/files")


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def memory(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


def below(root: Path) -> list[Path]:
    return list(root.rglob("*"))


@pytest.fixture
async def silence() -> AsyncGenerator[str]:
    """A server that accepts connections and never answers."""
    connections = list[asyncio.StreamWriter]()
    server = await asyncio.start_server(lambda _, writer: connections.append(writer), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"http://{host}:{port}"
    for each in connections:
        each.transport.abort()
    server.close()
    await server.wait_closed()
