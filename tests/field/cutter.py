"""A server before a server: it sends the events of a run over a connection that breaks at a chosen byte."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

type FetchEvents = Callable[[str], Awaitable[tuple[int, bytes]]]
"""The status and the body of the response to a request with a `Last-Event-ID`, which may be empty."""


class Cutter:
    """Serves `/<byte>`: the first response to it breaks after so many bytes of the stream, later ones are whole.

    Other paths are an empty page.

    Args:
        fetch: Requests events from the real server. Called once for each `Last-Event-ID`.

    Attributes:
        url: Where it listens.
    """

    def __init__(self, fetch: FetchEvents) -> None:
        self._fetch = fetch
        self._known: dict[str, tuple[int, bytes]] = {}
        self._cut: set[str] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        async with asyncio.timeout(10):
            await self._server.wait_closed()

    def forget(self) -> None:
        """Break the first response of every path again."""
        self._cut.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; returns whether the connection can be used for another."""
        request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = request.split(" ")[1].lstrip("/")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if not path.isdigit():
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n")
            return True
        last_event_id = headers.get("last-event-id", "")
        if last_event_id not in self._known:
            self._known[last_event_id] = await self._fetch(last_event_id)
        status, stream = self._known[last_event_id]
        if status == 204:
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            return True
        assert status == 200
        whole = path in self._cut
        self._cut.add(path)
        # An `EventSource` would wait for seconds before it reconnects.
        body = b"retry: 1\n" + (stream if whole else stream[: int(path)])
        size = len(body) if whole else len(body) + 1
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(f"{head}{size:x}\r\n".encode() + body)
        if whole:
            writer.write(b"\r\n0\r\n\r\n")
        return whole
