"""Uploads on their way: bytes from a request in a temporary file, never whole in memory."""

import asyncio
import os
import stat
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import structlog

from backchannel.errors import TooLargeError, UnavailableError

WRITE_BYTES = 1_048_576
"""How much is collected before it is written: a switch to a thread costs as much as writing some hundred kilobytes."""

LEFT_OVER_SECONDS = 24 * 3600
"""Files of this age were left by a process that died: no upload takes as long."""

log = structlog.get_logger(__name__)

_PREFIX, _SUFFIX = "upload-", ".part"


class Spool:
    """A folder for uploads in progress.

    Args:
        directory: Made on first use, for the user of the process only. One that others can write to is not used.
        max_bytes: The most bytes of one upload.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["SpooledFile"]:
        """A new file. It is deleted at the end of the block, unless it was moved.

        Raises:
            UnavailableError: No file can be made.
        """
        try:
            descriptor, name = await asyncio.to_thread(self._create)
        except OSError as error:
            raise _no_room(error) from error
        spooled = SpooledFile(Path(name), os.fdopen(descriptor, "wb", buffering=0), self._max_bytes)
        try:
            yield spooled
        finally:
            # Also for a caller who was cancelled: not awaited, a file is deleted in microseconds.
            spooled.discard()

    def _create(self) -> tuple[int, str]:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = self._directory.lstat()
        # Below /tmp, somebody else may have made it, and could exchange a file after it was checked. Into a folder that
        # only its owner can write to, of others only root can.
        foreign = os.geteuid() == 0 and status.st_uid != 0
        if foreign or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o022:
            raise PermissionError(f"{self._directory} is not a directory of this user alone")
        return tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=self._directory)

    async def delete_left_over(self) -> int:
        """Delete the files of processes that died; gives how many."""
        return await asyncio.to_thread(self._delete_left_over)

    def _delete_left_over(self) -> int:
        deleted = 0
        for path in self._directory.glob(f"{_PREFIX}*{_SUFFIX}"):
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - LEFT_OVER_SECONDS:
                    path.unlink()
                    deleted += 1
        return deleted


class SpooledFile:
    """One upload.

    Attributes:
        path: Where it is.
        size: How many bytes it has so far.
    """

    def __init__(self, path: Path, file: BinaryIO, max_bytes: int) -> None:
        self.path = path
        self.size = 0
        self._file = file
        self._max_bytes = max_bytes
        self._waiting = list[bytes]()
        self._waiting_bytes = 0

    async def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            TooLargeError: The upload is larger than it may be.
            UnavailableError: The disk is full, or fails.
        """
        self.size += len(data)
        if self.size > self._max_bytes:
            raise too_large(self._max_bytes)
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= WRITE_BYTES:
            await self.flush()

    async def write_all(self, chunks: AsyncIterable[bytes]) -> None:
        """Append every chunk, and flush."""
        async for chunk in chunks:
            await self.write(chunk)
        await self.flush()

    async def flush(self) -> None:
        """Write what was collected. Only then is it in the file."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not waiting:
            return
        try:
            await asyncio.to_thread(self._write, waiting)
        except OSError as error:
            raise _no_room(error) from error

    def _write(self, chunks: list[bytes]) -> None:
        data = memoryview(b"".join(chunks))
        while data:
            data = data[self._file.write(data) :]

    def discard(self) -> None:
        """Close and delete the file, if it is still there."""
        with suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)


def _no_room(error: OSError) -> UnavailableError:
    log.error("spool_failed", error=str(error))
    return UnavailableError("The server cannot take files at the moment. Try again later.", retry_after=60)


def too_large(max_bytes: int) -> TooLargeError:
    """The error of an upload that is too large; its details give the most bytes."""
    return TooLargeError(
        f"The file is larger than {max_bytes:,} bytes, the most that this server takes.",
        details={"max_bytes": max_bytes},
    )
