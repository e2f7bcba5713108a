"""Applications and hosts that the field cases are tried with."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, override

import uvicorn
from agents import Agent, Model, ModelProvider

from backchannel.models.offline import OfflineModel

WAIT_SECONDS = 10


class ClosingModels(ModelProvider):
    """A model provider that notes when it is closed; the database is closed after it.

    Args:
        notes: Gets `"models closed"`.
    """

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes

    @override
    def get_model(self, model_name: str | None) -> Model:
        return OfflineModel()

    @override
    async def aclose(self) -> None:
        self._notes.append("models closed")


def an_agent(model: Model | None = None) -> Agent[Any]:
    """An agent; with the offline model, as fast as it can, if none is given."""
    return Agent(name="A", model=model or OfflineModel(words_per_second=0))


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncGenerator[tuple[str, uvicorn.Server]]:
    """Serve any ASGI application by a Uvicorn that knows nothing of Backchannel; its address, and the server."""
    options = {"timeout_graceful_shutdown": WAIT_SECONDS, **options}
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, **options))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(WAIT_SECONDS):
            while not server.started and not task.done():  # noqa: ASYNC110 - Uvicorn has no event
                await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", server
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, WAIT_SECONDS * 2)
