"""HTTP as bytes on a socket: what no client library would send."""

import asyncio
import json
import re
import socket
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

WAIT_SECONDS = 20


@dataclass(frozen=True)
class Answer:
    """A response.

    Attributes:
        status: 0 if the connection ended without one.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """A connection to a server.

    Args:
        source: The address of the client; another one of 127.0.0.0/8 is another client.
    """

    def __init__(self, url: str, *, source: str = "127.0.0.1") -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._source = source
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        return await self.open()

    async def open(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(
            *self._address, local_addr=(self._source, 0), limit=2**24
        )
        if self._writer.get_extra_info("sockname") == self._writer.get_extra_info("peername"):
            # Nothing listens yet, and the system has chosen the port of the server for the client.
            self.close()
            raise ConnectionRefusedError
        # Byte by byte, if the test sends it so.
        self._writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    def close(self) -> None:
        self._writer.transport.abort()

    async def send(self, data: bytes) -> None:
        """Send, or see that the server reads no more."""
        if self._writer.transport.is_closing():
            return
        try:
            self._writer.write(data)
            await asyncio.wait_for(self._writer.drain(), WAIT_SECONDS)
        except ConnectionError:
            return

    async def answer(self) -> Answer:
        """The next response: with a length, chunked, or up to the end of the connection."""
        async with asyncio.timeout(WAIT_SECONDS):
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return Answer(0, {}, b"")
            first, *lines = head.decode("latin-1").strip().split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            found = re.fullmatch(r"HTTP/1\.[01] (\d{3}) .*", first)
            assert found is not None, head
            status = int(found[1])
            if headers.get("transfer-encoding") == "chunked":
                body = b"".join([chunk async for chunk in self.chunks()])
            else:
                body = await self._reader.readexactly(int(headers.get("content-length", 0)))
            return Answer(status, headers, body)

    async def line(self) -> bytes:
        """The next line of whatever comes; empty at the end."""
        return await asyncio.wait_for(self._reader.readline(), WAIT_SECONDS)

    async def chunks(self) -> Any:
        while size := int(await self.line(), 16):
            yield (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)

    async def ended(self, seconds: float = WAIT_SECONDS) -> bool:
        """Whether the server closes the connection within some seconds. What comes before is dropped."""
        try:
            async with asyncio.timeout(seconds):
                while await self._reader.read(65_536):
                    pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True


async def ask(url: str, request: bytes, *, source: str = "127.0.0.1") -> Answer:
    """The response to some bytes, on a connection of their own."""
    async with Connection(url, source=source) as connection:
        await connection.send(request)
        return await connection.answer()
