"""Runs an application's lifespan in a task of its own.

A cancel scope or task group that a lifespan opens, as clients of MCP servers do, cancels the task that entered it when
something in it fails. That must not be the task that serves.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import structlog

from backchannel.errors import ConfigurationError

log = structlog.get_logger(__name__)

SLOW_SECONDS = 10.0
"""After how long a lifespan that has not started yet is logged; again after twice that, and so on."""

CANCEL_SECONDS = 10.0
"""How long a lifespan may take to end when the start of the server is interrupted."""


class LifespanTask:
    """Enters and leaves an application's lifespan, both in one task.

    Args:
        on_failure: Called once if the lifespan ends, with or without an error, before `leave` is called.
    """

    def __init__(
        self, lifespan: Callable[[], AbstractAsyncContextManager[Any]], on_failure: Callable[[], None]
    ) -> None:
        self._lifespan = lifespan
        self._on_failure = on_failure
        self._name = getattr(lifespan, "__qualname__", None) or repr(lifespan)
        self._entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leaving = asyncio.Event()
        self._failed = False

    async def enter(self) -> None:
        """Start the task, and wait until the lifespan is entered. One that takes long is logged.

        Raises:
            ConfigurationError: It failed.
        """
        self._task = asyncio.create_task(self._run(), name="lifespan")
        try:
            await self._wait_until_entered()
        except asyncio.CancelledError:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CANCEL_SECONDS)
            raise
        if self._entered.done():
            self._task.add_done_callback(self._ended)
            return
        error = self._task.result()
        raise ConfigurationError(
            f"The application's lifespan failed to start ({_reason_of(error)})."
        ) from error

    async def leave(self) -> None:
        """Leave the lifespan as after a success: an error elsewhere is not the application's. If this is cancelled, so
        is the lifespan.

        Raises:
            BaseException: What the lifespan raised.
        """
        self._leaving.set()
        error = await self._task
        if error is not None and not self._failed:
            raise error

    async def _wait_until_entered(self) -> None:
        waited, pause = 0.0, SLOW_SECONDS
        either = {self._task, self._entered}
        while True:
            done, _ = await asyncio.wait(either, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return
            waited += pause
            pause = waited
            hint = "the server starts when the lifespan has reached its yield"
            log.warning("lifespan_is_slow", lifespan=self._name, seconds=waited, hint=hint)

    async def _run(self) -> BaseException | None:
        """The error of the lifespan. Returned, because some errors would end the event loop if a task raised them."""
        try:
            context = self._lifespan()
            if not isinstance(cast("object", context), AbstractAsyncContextManager):
                raise TypeError(
                    f"it returned a {type(context).__name__}; decorate it with `@contextlib.asynccontextmanager`"
                )
            async with context:
                self._entered.set_result(None)
                await self._leaving.wait()
        except BaseException as error:
            return error
        return None

    def _ended(self, task: asyncio.Task[BaseException | None]) -> None:
        if self._leaving.is_set():
            return
        self._failed = True
        error = None if task.cancelled() else task.result()
        log.error(
            "lifespan_failed",
            lifespan=self._name,
            error=_reason_of(error),
            hint="it ended while the server ran; no further requests are answered",
            # A cancellation from outside says nothing about where.
            exc_info=None if isinstance(error, asyncio.CancelledError) else error,
        )
        self._on_failure()


def _reason_of(error: BaseException | None) -> str:
    """The error in one line; of a group, its first leaf."""
    if error is None:
        return "it ended without an error"
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return " ".join(f"{type(error).__name__}: {error}".split())
