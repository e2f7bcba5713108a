"""Draining under a host that `backchannel serve` did not start.

An ASGI server tells an application to shut down only after the open responses have ended, and a stream that follows a
run ends with the run. So the drain must begin when the server is asked to exit. Uvicorn notes that in `should_exit`,
which is looked at here; no signal handler is installed and nothing of the host is changed. Under any other host, the
host application calls `Backchannel.drain` itself.
"""

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from backchannel.app import Backchannel

LOOK_SECONDS = 0.2
"""How often the server is looked at."""


@asynccontextmanager
async def drain_when_host_exits(backchannel: Backchannel) -> AsyncGenerator[None]:
    """Drain when the Uvicorn server that handles this process's signals is asked to exit, while the block runs."""
    server = _uvicorn_server()
    if server is None:
        yield
        return
    watching = asyncio.create_task(_watch(backchannel, server), name="host_exit")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])


def _uvicorn_server() -> Any:
    for number in (signal.SIGTERM, signal.SIGINT):
        owner = getattr(signal.getsignal(number), "__self__", None)
        if isinstance(getattr(owner, "should_exit", None), bool):
            return owner
    return None


async def _watch(backchannel: Backchannel, server: Any) -> None:
    while not server.should_exit:  # noqa: ASYNC110 - a flag of another library, which has no event
        await asyncio.sleep(LOOK_SECONDS)
    draining = asyncio.create_task(backchannel.drain(), name="drain_for_host")
    while not draining.done():
        # Set by a second Ctrl+C.
        if getattr(server, "force_exit", False):
            backchannel.hurry()
        await asyncio.wait([draining], timeout=LOOK_SECONDS)
