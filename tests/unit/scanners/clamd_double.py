"""A clamd that refuses what the real one refuses (clamd 1.4, `clamd/scanner.c`, `clamd/session.c`)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


class ClamdDouble:
    """Scans for the EICAR string.

    Attributes:
        limit: `StreamMaxLength`: after so many bytes it replies with an error and closes the connection.
        silent: It takes everything and replies nothing.
        closes_after: It closes the connection after so many bytes, without a reply.
        reply: What it says in place of its result; not completed by a NUL if it has none.
        received: The files, as they arrived.
    """

    def __init__(self) -> None:
        self.limit = 25 * 1_048_576
        self.silent = False
        self.closes_after: int | None = None
        self.reply: bytes | None = None
        self.received: list[bytes] = []
        self.connections = 0

    @asynccontextmanager
    async def serving(self, path: Path | None = None) -> AsyncIterator[str]:
        """Serve on a free port, or a socket; gives the URL."""
        if path is not None:
            server = await asyncio.start_unix_server(self._serve, path)
            url = f"unix://{path}"
        else:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield url

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = await reader.readuntil(b"\0")
        if command == b"zPING\0":
            writer.write(self.reply or b"PONG\0")
            return
        if command != b"zINSTREAM\0":
            writer.write(b"UNKNOWN COMMAND\0")
            return
        data = b""
        while length := int.from_bytes(await reader.readexactly(4), "big"):
            if len(data) + length > self.limit:
                # The real one does not read on: what follows meets a closed connection.
                writer.write(b"INSTREAM size limit exceeded. ERROR\0")
                await writer.drain()
                return
            data += await reader.readexactly(length)
            if self.closes_after is not None and len(data) >= self.closes_after:
                return
        self.received.append(data)
        if self.silent:
            await reader.read()
            return
        result = b"stream: Eicar-Test-Signature FOUND\0" if EICAR in data else b"stream: OK\0"
        writer.write(self.reply if self.reply is not None else result)
