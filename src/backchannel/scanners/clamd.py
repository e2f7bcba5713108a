"""clamd, the daemon of ClamAV, by its command INSTREAM.

What it says, and what it does not say, are three results: the file is clean, it is infected, or it was not scanned.
Only the first lets a file in. A file that clamd does not take whole was not scanned: it answers "size limit exceeded",
or only closes the connection, often while the file is still being sent.
Source: https://docs.clamav.net/manual/Usage/Scanning.html#clamd, clamd(8).
"""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import override
from urllib.parse import unquote, urlsplit

import structlog

from backchannel.errors import ConfigurationError, InfectedFileError, UnavailableError
from backchannel.scanners.base import Scanner

CHUNK_BYTES = 131_072
"""Of a piece. clamd takes pieces of up to 4 GB, and reads each whole."""

MAX_REPLY_BYTES = 4_096

DEFAULT_PORT = 3310

log = structlog.get_logger(__name__)


class Clamd(Scanner):
    """One clamd.

    Args:
        url: `tcp://HOST:PORT` or `unix:///PATH`.
        seconds: How long a scan may take, with the connection.

    Raises:
        ConfigurationError: The URL is none of these.
    """

    def __init__(self, url: str, seconds: float) -> None:
        parts = urlsplit(url)
        self._path = unquote(parts.path) if parts.scheme == "unix" else None
        try:
            self._host, self._port = parts.hostname, parts.port or DEFAULT_PORT
        except ValueError:
            self._host = None
        if not (self._path or (parts.scheme == "tcp" and self._host)):
            raise ConfigurationError("BACKCHANNEL_SCANNER_URL must be tcp://HOST:PORT or unix:///PATH.")
        self._seconds = seconds

    @override
    async def scan(self, path: Path) -> None:
        reply = await self._exchange(b"zINSTREAM\0", path)
        if reply == "stream: OK":
            return
        if reply.startswith("stream: ") and reply.endswith(" FOUND"):
            log.warning("file_infected", found=reply.removeprefix("stream: ").removesuffix(" FOUND")[:100])
            raise InfectedFileError
        if "size limit exceeded" in reply:
            log.error("file_not_scanned", reply=reply[:200], hint="raise StreamMaxLength of clamd")
        else:
            log.error("file_not_scanned", reply=reply[:200])
        raise _unavailable()

    @override
    async def check(self) -> None:
        reply = await self._exchange(b"zPING\0", None)
        if reply != "PONG":
            raise UnavailableError("The virus scanner does not answer as clamd does.")

    @override
    async def aclose(self) -> None:
        # Each scan has a connection of its own.
        return

    async def _exchange(self, command: bytes, path: Path | None) -> str:
        """The reply to a command, without the NUL at its end; empty if the connection was closed without one."""
        writer = None
        try:
            async with asyncio.timeout(self._seconds):
                if self._path is not None:
                    reader, writer = await asyncio.open_unix_connection(self._path)
                else:
                    reader, writer = await asyncio.open_connection(self._host, self._port)
                # It replies while it is still being sent to, if it has found something or takes no more.
                with suppress(ConnectionError):
                    writer.write(command)
                    if path is not None:
                        await _send(writer, path)
                    await writer.drain()
                return await _reply(reader)
        except TimeoutError:
            raise _unavailable(f"It did not answer within {self._seconds:g} seconds.") from None
        except OSError as error:
            raise _unavailable() from error
        finally:
            if writer is not None:
                writer.close()


async def _send(writer: asyncio.StreamWriter, path: Path) -> None:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            writer.write(len(chunk).to_bytes(4, "big") + chunk)
            await writer.drain()
        writer.write(bytes(4))
    finally:
        file.close()


async def _reply(reader: asyncio.StreamReader) -> str:
    data = b""
    while b"\0" not in data and len(data) < MAX_REPLY_BYTES:
        try:
            piece = await reader.read(MAX_REPLY_BYTES)
        except ConnectionError:
            break
        if not piece:
            # Half a reply says nothing.
            return ""
        data += piece
    return data.partition(b"\0")[0].decode("utf-8", "replace").strip()


def _unavailable(why: str = "") -> UnavailableError:
    return UnavailableError(
        f"The file could not be checked for viruses. {why}".strip() + " Try again later.", retry_after=30
    )
