"""The line between a browser and a server, which can be cut, or go dead without telling either of them."""

import asyncio
from contextlib import suppress
from typing import Self


class Line:
    """Forwards connections to a port.

    Attributes:
        url: Where to connect.
        down: Whether new connections are refused.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.down = False
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)

    def cut(self) -> None:
        """Break off every connection that is open now; both sides are told."""
        for connection in self._open:
            connection.abort()

    def change_network(self) -> None:
        """Forward nothing more to whoever reads an event stream, and tell nobody. Other connections are broken off,
        which is what browsers do themselves with those they do not use. New ones work."""
        for connection in self._open:
            if connection.streaming:
                connection.dead = True
            else:
                connection.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        connection = _Connection(writer)
        self._open.add(connection)
        try:
            if not self.down:
                await connection.forward(reader, self._target)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(connection)
            connection.abort()


class _Connection:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writers = [writer]
        self.streaming = False
        self.dead = False

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def forward(self, reader: asyncio.StreamReader, target: int) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        self._writers.append(far_writer)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass_on(reader, far_writer, asking=True))
            both.create_task(self._pass_on(far_reader, self._writers[0], asking=False))

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asking: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if asking:
                    self.streaming = False
                elif b"text/event-stream" in data:
                    self.streaming = True
                if self.dead:
                    await asyncio.Event().wait()
                writer.write(data)
                await writer.drain()
            writer.close()
