"""Waiting for a database that is away: a restart must cost an answer some seconds, not its end."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from backchannel.errors import UnavailableError
from backchannel.stores.patience import patient

PATIENCE_SECONDS = 45
"""How long an answer waits for its database. Longer than a restart or a fail-over takes."""

_PAUSE, _LONGEST_PAUSE = 0.2, 2.0

log = structlog.get_logger(__name__)


async def patiently[R](work: Callable[[], Awaitable[R]], *, seconds: float = PATIENCE_SECONDS) -> R:
    """Do `work` again for as long as what it needs is not there. It must leave the same when it is done twice.

    Raises:
        UnavailableError: It was not there for `seconds`.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + seconds, _PAUSE
    while True:
        try:
            with patient(max(deadline - loop.time(), 0)):
                return await work()
        except UnavailableError as error:
            if loop.time() + pause > deadline:
                raise
            log.warning("waiting_for_database", error=error.message)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
