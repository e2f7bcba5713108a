"""The scanner of ClamAV, by the protocol of its daemon: each file is sent over a connection of its own.

See clamd(8), INSTREAM: chunks with their lengths (four bytes, network byte order), then one of length zero; one answer,
which ends with NUL.
"""

import asyncio
import contextlib
import socket
import struct
import tempfile
from pathlib import Path
from typing import BinaryIO, override
from urllib.parse import unquote, urlsplit

from backchannel.errors import ConfigurationError, InfectedFileError, UnavailableError
from backchannel.scanners.base import Scanner

DEFAULT_PORT = 3310
CHUNK_BYTES = 256 << 10
RETRY_AFTER_SECONDS = 10

_MAX_REPLY = 4096
_REPLY_AFTER_ERROR_SECONDS = 2.0

_CLEAN = b"stream: OK"
_FOUND = b" FOUND"
_NOT_SCANNED = (b"Heuristics.Limits.Exceeded", b"Heuristics.Encrypted")
"""Reported as found, if clamd is configured to, for what it has not looked into."""

_TEST_VIRUS = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!" + b"$H+H*"
"""The harmless file that every scanner must find (eicar.org); in pieces, or scanners would find this module."""

type _Address = tuple[str, int] | str


class _Exchange:
    """One command and its answer.

    Attributes:
        reply: The answer without its NUL; empty if the connection ended before it.
        is_sent: Whether all of the file was sent before the answer came. An answer before that is about a part of it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.reply = b""
        self.is_sent = False

    async def run(self, command: bytes, path: Path | None) -> None:
        # A scanner that refuses a file answers before all of it is sent, and closes or does not read on. The answer is
        # read while sending: then it is neither lost with the connection nor waited for in vain.
        answer = asyncio.create_task(_reply(self._connection))
        sending = asyncio.create_task(self._send(command, path))
        try:
            await asyncio.wait((answer, sending), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                refused = sending.result()
                async with asyncio.timeout(_REPLY_AFTER_ERROR_SECONDS if refused else None):
                    await asyncio.wait((answer,))
            self.reply = answer.result()
        finally:
            answer.cancel()
            sending.cancel()
            await asyncio.wait((answer, sending))

    async def _send(self, command: bytes, path: Path | None) -> bool:
        """Send a command and a file. Returns whether the other side has closed before the end."""
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._connection, command)
            if path is None:
                return False
            with _opened(path) as file:
                while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    await loop.sock_sendall(self._connection, struct.pack(">I", len(chunk)) + chunk)
            self.is_sent = True
            await loop.sock_sendall(self._connection, struct.pack(">I", 0))
        except (BrokenPipeError, ConnectionResetError):
            return True
        return False


class Clamd(Scanner):
    """clamd at an address.

    It answers OK for files larger than its own `MaxFileSize` without having scanned them, unless its `AlertExceedsMax`
    is set: give the smaller of `MaxFileSize` and `MaxScanSize` as `max_bytes`. Files larger than its `StreamMaxLength`
    it refuses, which does not mean that they are clean.

    Args:
        url: `tcp://host:port` or `unix:///path`; port 3310 if none is given.
        seconds: For all of one file: connecting, sending and waiting for the answer.
        max_bytes: Larger files are not scanned; `None`: clamd's own limits are enough.

    Raises:
        ConfigurationError: The URL is neither.
    """

    def __init__(self, url: str, seconds: float = 60, *, max_bytes: int | None = None) -> None:
        self._address = _address_of(url)
        self._seconds = seconds
        self._max_bytes = max_bytes

    @override
    async def scan(self, path: Path) -> None:
        if self._max_bytes is not None and (await asyncio.to_thread(path.stat)).st_size > self._max_bytes:
            raise _too_large()
        exchange = await self._asked(b"zINSTREAM\0", path)
        reply = exchange.reply
        if reply == _CLEAN and exchange.is_sent:
            return
        if reply.startswith(b"stream: ") and reply.endswith(_FOUND):
            name = reply.removeprefix(b"stream: ").removesuffix(_FOUND)
            if name.startswith(_NOT_SCANNED):
                raise _final(_not_scanned("The virus scanner could not look into all of it."))
            raise InfectedFileError
        if b"size limit exceeded" in reply:
            raise _too_large()
        raise _not_scanned(_unexpected(reply))

    @override
    async def check(self) -> None:
        reply = (await self._asked(b"zPING\0", None)).reply
        if reply != b"PONG":
            raise _not_scanned(_unexpected(reply))
        with tempfile.NamedTemporaryFile() as file:
            file.write(_TEST_VIRUS)
            file.flush()
            try:
                await self.scan(Path(file.name))
            except InfectedFileError:
                return
        raise _not_scanned(
            "The virus scanner does not find the test file of EICAR. Look at its database and its log."
        )

    async def _asked(self, command: bytes, path: Path | None) -> _Exchange:
        try:
            async with asyncio.timeout(self._seconds):
                connection = await _connected(self._address)
                with connection:
                    exchange = _Exchange(connection)
                    await exchange.run(command, path)
                    return exchange
        except TimeoutError:
            raise _not_scanned(
                f"The virus scanner did not answer within {self._seconds:g} seconds."
            ) from None
        except OSError as failed:
            raise _not_scanned("The virus scanner cannot be reached.") from failed


def _opened(path: Path) -> BinaryIO:
    # In a thread, a file that is opened when the scan is cancelled would stay open.
    return path.open("rb")


async def _reply(connection: socket.socket) -> bytes:
    """The answer without its NUL; empty if the connection ends before it."""
    loop = asyncio.get_running_loop()
    received = b""
    while b"\0" not in received and len(received) <= _MAX_REPLY:
        try:
            more = await loop.sock_recv(connection, _MAX_REPLY)
        except ConnectionResetError:
            more = b""
        if not more:
            # What came before is no answer: "stream: OK" could be the beginning of something else.
            return b""
        received += more
    reply, ended, rest = received.partition(b"\0")
    return reply if ended and not rest else b""


async def _connected(address: _Address) -> socket.socket:
    loop = asyncio.get_running_loop()
    if isinstance(address, str):
        return await _connected_to(socket.AF_UNIX, address)
    found = await loop.getaddrinfo(*address, type=socket.SOCK_STREAM)
    failed: OSError | None = None
    for family, _, _, _, target in found:
        try:
            return await _connected_to(family, target)
        except OSError as error:
            failed = error
    raise failed or OSError("The name has no address.")


async def _connected_to(family: int, target: object) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, target)  # type: ignore[arg-type]
    except BaseException:
        connection.close()
        raise
    return connection


def _address_of(url: str) -> _Address:
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme == "unix" and not parts.netloc and parts.path.strip("/"):
            return unquote(parts.path)
        if parts.scheme == "tcp" and parts.hostname and not parts.path.strip("/"):
            return parts.hostname, parts.port or DEFAULT_PORT
    raise ConfigurationError(
        f'BACKCHANNEL_SCANNER_URL: "{url}" is no address of clamd. Give tcp://host:3310 or unix:///path/of/clamd.sock.'
    )


def _not_scanned(reason: str) -> UnavailableError:
    return UnavailableError(
        f"The file was not stored, because it could not be scanned. {reason}", retry_after=RETRY_AFTER_SECONDS
    )


def _too_large() -> UnavailableError:
    return _final(_not_scanned("It is larger than the virus scanner accepts."))


def _final(error: UnavailableError) -> UnavailableError:
    """The error of a file that would be refused again."""
    error.retry_after, error.allow_retry = None, False
    return error


def _unexpected(reply: bytes) -> str:
    if not reply:
        return "The virus scanner closed the connection without an answer."
    return f'The virus scanner answered: "{reply[:200].decode("ascii", "replace")}".'
