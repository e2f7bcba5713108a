"""A strict clamd: speaks INSTREAM as clamd(8) describes it, and fails in the ways that are reported.

It finds the test file of EICAR and nothing else. What a client does wrong is in `violations`.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-" + b"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@dataclass
class FakeClamd:
    """What it is set to do, and what it was sent."""

    stream_max_length: int = 25 << 20
    reply: bytes | None = None
    """Instead of the right answer; sent as it is."""
    behaviour: str = ""
    """`close` after the command; `reset` within the file; `stop_reading` after the answer of the limit; `early_ok`;
    `slow`: never answers; `halves`: the answer in two writes; `blind`: finds nothing."""
    port: int = 0
    received: list[bytes] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    has_received: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = await reader.readuntil(b"\0")
        if self.behaviour == "close":
            return
        if command == b"zPING\0":
            writer.write(b"PONG\0")
            await writer.drain()
            return
        if command != b"zINSTREAM\0":
            self.violations.append(f"command {command!r}")
            writer.write(b"UNKNOWN COMMAND\0")
            return
        if self.behaviour == "early_ok":
            writer.write(b"stream: OK\0")
            await writer.drain()
            await self.released.wait()
            return
        content = await self._content(reader, writer)
        if content is None:
            return
        self.received.append(content)
        self.has_received.set()
        if self.behaviour == "slow":
            await self.released.wait()
            return
        is_found = EICAR in content and self.behaviour != "blind"
        right = b"stream: Eicar-Test-Signature FOUND\0" if is_found else b"stream: OK\0"
        await self._write(writer, self.reply if self.reply is not None else right)

    async def _content(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        content = b""
        while length := struct.unpack(">I", await reader.readexactly(4))[0]:
            if len(content) + length > self.stream_max_length:
                # As clamd does: it answers, and closes with the rest unread.
                writer.write(b"INSTREAM size limit exceeded. ERROR\0")
                await writer.drain()
                if self.behaviour == "stop_reading":
                    await self.released.wait()
                return None
            content += await reader.readexactly(length)
            if self.behaviour == "reset":
                writer.transport.abort()
                return None
        return content

    async def _write(self, writer: asyncio.StreamWriter, reply: bytes) -> None:
        if self.behaviour == "halves":
            writer.write(reply[:4])
            await writer.drain()
            await asyncio.sleep(0)
            reply = reply[4:]
        writer.write(reply)
        await writer.drain()


@asynccontextmanager
async def fake_clamd(**settings: object) -> AsyncGenerator[FakeClamd]:
    """A clamd on a free port."""
    clamd = FakeClamd(**settings)  # type: ignore[arg-type]
    server = await asyncio.start_server(clamd.serve, "127.0.0.1", 0, limit=1 << 16)
    clamd.port = server.sockets[0].getsockname()[1]
    try:
        yield clamd
    finally:
        clamd.released.set()
        server.close()
        server.close_clients()
        await server.wait_closed()
