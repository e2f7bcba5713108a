"""A server before a server: it receives all of an upload, and the server gets it later, as if it took long to check."""

import asyncio
from typing import Self
from urllib.parse import urlsplit

from playwright.async_api import Route

WAIT_SECONDS = 20


class SlowUploads:
    """Holds uploads of some files after their last byte, until `go_on`. Others are not touched.

    Args:
        server_url: The server that gets them in the end.
        names: Of the files.
    """

    def __init__(self, server_url: str, *names: str) -> None:
        self.go_on = asyncio.Event()
        self._names = names
        self._target = urlsplit(server_url)
        self._url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/api/chatkit/uploads"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.go_on.set()
        self._server.close()
        async with asyncio.timeout(WAIT_SECONDS):
            await self._server.wait_closed()

    async def __call__(self, route: Route, name: str) -> None:
        """Decide about an upload."""
        if name in self._names:
            await route.continue_(url=self._url)
        else:
            await route.fallback()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(2 * WAIT_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.split("\r\n")[:-2]
                length = next(int(line[15:]) for line in lines if line.lower().startswith("content-length:"))
                body = await reader.readexactly(length)
                await self.go_on.wait()
                # As if the browser had sent it there.
                kept = [line for line in lines if not line.lower().startswith(("host:", "connection:"))]
                kept += [f"Host: {self._target.netloc}", "Connection: close", "", ""]
                response = await self._forward("\r\n".join(kept).encode("latin-1") + body)
                writer.write(response)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def _forward(self, request: bytes) -> bytes:
        assert self._target.hostname is not None
        reader, writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        writer.write(request)
        try:
            return await reader.read()
        finally:
            writer.close()
