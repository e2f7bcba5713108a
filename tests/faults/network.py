"""A network between two programs that can fail without telling either of them."""

import asyncio
from contextlib import suppress
from typing import Self


class Network:
    """Forwards connections to a port, until it is told to lose them.

    Attributes:
        port: Where to connect.
        connections: How many are open.
        lose_answers: Whether requests arrive, while what is sent back does not.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost = asyncio.Event()
        self.connections = 0
        self.lose_answers = False
        self._open = asyncio.Event()
        self._open.set()
        self.port = 0

    @property
    def url(self) -> str:
        """The address to use for what listens on the target's port."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)

    def lose(self) -> None:
        """Forward nothing more on any connection that is open now, and close none. New ones work."""
        self._lost.set()
        self._lost = asyncio.Event()

    def swallow(self) -> None:
        """Forward nothing more on any connection, also on new ones, and close none, until `restore`."""
        self._open.clear()
        self.lose()

    def restore(self) -> None:
        """Forward what comes on new connections. Those that were open stay lost."""
        self._open.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        writers = [writer]
        try:
            # A connection is made by the system, also where nothing answers.
            await self._open.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            writers.append(far_writer)
            await asyncio.gather(
                self._forward(reader, far_writer, self._lost),
                self._forward(far_reader, writer, self._lost, answers=True),
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.connections -= 1
            self._tasks.discard(task)
            for each in writers:
                each.close()

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        lost: asyncio.Event,
        *,
        answers: bool = False,
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if answers and self.lose_answers:
                    continue
                if lost.is_set():
                    break
                writer.write(data)
                await writer.drain()
        if lost.is_set():
            # Neither side is told.
            await asyncio.Event().wait()
        writer.close()
