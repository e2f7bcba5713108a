"""HTTP servers in the test's own event loop, on free ports, that end as soon as they should."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any, override

import uvicorn
import uvicorn.server

WAIT_SECONDS = 10
ENDING_SECONDS = 0.002

_ending: ContextVar[bool] = ContextVar("ending", default=False)


class _Asyncio(ModuleType):
    """`asyncio` as Uvicorn's server uses it: it sleeps 0.1 s at each end, which is a tenth of the time of all tests."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, ENDING_SECONDS) if _ending.get() else seconds)


setattr(uvicorn.server, "asyncio", _Asyncio("asyncio"))  # noqa: B010 - as its module knows it


class Server(uvicorn.Server):
    """Uvicorn without its pauses: the original looks every 0.1 s whether it should end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._end = asyncio.Event()

    @override
    async def main_loop(self) -> None:
        # Sets the headers of responses.
        await self.on_tick(0)
        await self._end.wait()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        token = _ending.set(True)
        try:
            await super().shutdown(sockets)
        finally:
            _ending.reset(token)

    def end(self, *, abort: bool = False) -> None:
        """End in good order.

        Args:
            abort: Cut all connections first, in place of waiting for their streams.
        """
        for connection in list(self.server_state.connections) if abort else ():
            getattr(connection, "transport").abort()  # noqa: B009
        self._end.set()


@asynccontextmanager
async def listening(
    app: Any,
    *,
    port: int = 0,
    server: type[Server] = Server,
    config: Callable[..., uvicorn.Config] = uvicorn.Config,
    **options: Any,
) -> AsyncGenerator[tuple[str, Server]]:
    """Serve an application on a free port, or on one that is given; its address and the server.

    Args:
        options: Of Uvicorn.
    """
    running = server(config(app, log_config=None, access_log=False, **options))
    with socket.create_server(("127.0.0.1", port)) as listener:
        # Connections inherit it. asyncio sets it only on sockets that name their protocol, which these do not; without
        # it most responses take 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.create_task(running.serve(sockets=[listener]))
        async with asyncio.timeout(WAIT_SECONDS):
            while not running.started:
                assert not task.done(), "the server did not start"
                await asyncio.sleep(0.002)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", running
        finally:
            running.end()
            await asyncio.wait_for(task, WAIT_SECONDS * 2)
