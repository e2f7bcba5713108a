"""Files on local disk, or on a disk that replicas share: readable and writable by the server's own user only."""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO, override

from obstore.store import LocalStore

from backchannel.file_stores.base import MAX_PIECE_BYTES, FileMissingError, check_key, header_value
from backchannel.file_stores.object_store import CALL_SECONDS, ObjectFileStore

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700

SPOOL = ".spool"
"""The folder for files that are being prepared. No key begins with a dot."""

_ATTEMPTS = 5
"""How often a file is put in place while others delete the folder that it goes into, because it is empty."""


class LocalFileStore(ObjectFileStore):
    """Files below a folder. There are no presigned URLs, and no types are stored.

    Args:
        root: The folder; absolute. It is made if it does not exist.
        timeout: See `object_store.CALL_SECONDS`. A disk on a network can be silent, too.

    Raises:
        OSError: The folder cannot be made.
    """

    def __init__(self, root: Path, *, timeout: float = CALL_SECONDS) -> None:
        _make_directory(root)
        # Folders that have become empty are removed: there is one for each file.
        super().__init__(
            LocalStore(root, automatic_cleanup=True), name=root.as_uri(), attributes=False, timeout=timeout
        )
        self.spool_directory = root / SPOOL
        self._root = root

    @override
    async def put(self, key: str, source: Path | bytes, *, mime_type: str, disposition: str) -> None:
        target = self._path(key)
        header_value(mime_type)
        header_value(disposition)
        size = len(source) if isinstance(source, bytes) else (await asyncio.to_thread(source.stat)).st_size
        await self._in_thread(size, lambda: self._put(source, target))

    @override
    async def copy(self, source: str, key: str) -> None:
        original, target = self._path(source), self._path(key)
        size = await self.size(source)
        if source != key:
            await self._in_thread(size, lambda: self._copy(original, target))

    @override
    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        # Not by obstore, which reads 8 kB at a time: that is thirty times slower.
        path = self._path(key)
        if start < 0 or (end is not None and end < start):
            raise ValueError(f"There are no bytes from {start} to {end}.")
        with self._errors():
            async with asyncio.timeout(self._timeout):
                file = await asyncio.to_thread(_opened, path)
        try:
            while end is None or start < end:
                length = MAX_PIECE_BYTES if end is None else min(MAX_PIECE_BYTES, end - start)
                with self._errors():
                    async with asyncio.timeout(self._timeout):
                        piece = await asyncio.to_thread(os.pread, file.fileno(), length, start)
                if not piece:
                    return
                start += len(piece)
                yield piece
        finally:
            file.close()

    @override
    async def check(self) -> None:
        await self._in_thread(0, self._check)
        await super().check()

    async def _in_thread(self, size: int, work: Callable[[], None]) -> None:
        working = asyncio.ensure_future(asyncio.to_thread(work))
        with self._errors(missing=False):
            try:
                async with asyncio.timeout(self._seconds(size)):
                    await asyncio.shield(working)
            except asyncio.CancelledError:
                # A thread cannot be ended. A caller who then deletes the file would otherwise be too early.
                await asyncio.wait([working], timeout=self._seconds(size))
                raise

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _put(self, source: Path | bytes, target: Path) -> None:
        if isinstance(source, Path) and self._can_be_moved(source):
            with source.open("rb") as file:
                os.fchmod(file.fileno(), FILE_MODE)
                os.fsync(file.fileno())
            self._place(source, target)
            return
        prepared = self._prepared_path()
        try:
            _write(source, prepared)
            self._place(prepared, target)
        finally:
            prepared.unlink(missing_ok=True)

    def _copy(self, source: Path, target: Path) -> None:
        prepared = self._prepared_path()
        try:
            try:
                # No file is ever changed in place: two names for the same bytes do no harm.
                prepared.hardlink_to(source)
            except FileNotFoundError:
                raise FileMissingError from None
            except OSError:
                # Not every file system has links, and most limit their number.
                _write(source, prepared)
            self._place(prepared, target)
        finally:
            # A link to what has the target's name already is not renamed.
            prepared.unlink(missing_ok=True)

    def _place(self, prepared: Path, target: Path) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                _make_directory(target.parent)
                prepared.replace(target)
            except FileNotFoundError:
                if attempt == _ATTEMPTS - 1 or not prepared.exists():
                    raise
            else:
                break
        # A name that is only in memory would be gone after a crash, and with it the file.
        _sync_directory(target.parent)

    def _can_be_moved(self, source: Path) -> bool:
        _make_directory(self._root)
        found = source.lstat()
        # Another name of the same bytes could be written to later; a link is not the file.
        return (
            source.is_file()
            and not source.is_symlink()
            and found.st_nlink == 1
            and found.st_dev == self._root.stat().st_dev
        )

    def _prepared_path(self) -> Path:
        spool = self._root / SPOOL
        _make_directory(spool)
        return spool / f"put-{secrets.token_hex(8)}.part"

    def _check(self) -> None:
        prepared = self._prepared_path()
        try:
            with _create(prepared) as file:
                file.write(b"check")
        finally:
            prepared.unlink(missing_ok=True)


def _write(source: Path | bytes, target: Path) -> None:
    """Write a new file that survives a crash of the machine."""
    with _create(target) as file:
        if isinstance(source, bytes):
            file.write(source)
        else:
            with source.open("rb") as original:
                shutil.copyfileobj(original, file, 1_048_576)
        file.flush()
        os.fsync(file.fileno())


def _opened(path: Path) -> FileIO:
    try:
        return FileIO(path)
    except (IsADirectoryError, NotADirectoryError):
        raise FileMissingError from None


def _create(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    return os.fdopen(descriptor, "wb")


def _make_directory(path: Path) -> None:
    """Make a folder and those above it, each for the owner only, and so that they survive a crash."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    with suppress(FileExistsError):
        path.mkdir(mode=DIRECTORY_MODE)
        _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        # Deleted together with what was in it.
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
