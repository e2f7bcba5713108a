"""Limits the time that a model may take: until its first event, between two events, and in all."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from backchannel.errors import (
    ModelBetweenBytesTimeoutError,
    ModelFirstByteTimeoutError,
    ModelTimedOutError,
    ModelTotalTimeoutError,
)


@dataclass(frozen=True, slots=True)
class ModelTimeouts:
    """Limits in seconds.

    Attributes:
        first_byte: From the call to the first event. Includes the client's own retries.
        between_bytes: Between two events.
        total: From the call to the last event.
    """

    first_byte: float = 180
    between_bytes: float = 120
    total: float = 1800


class _Watch:
    """Cancels the task that waits for an event once its deadline has passed.

    `asyncio.timeout` for each event would create and cancel a timer each time. Here one timer runs at a time: when it
    fires early, it is set again for the rest.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Task[object] | None = None
        self._deadline = 0.0
        self._expired = False

    async def next[T](self, events: AsyncIterator[T], deadline: float) -> T:
        """The next event.

        Raises:
            TimeoutError: None came before `deadline`, a time of the event loop.
            StopAsyncIteration: There are no further events.
        """
        self._deadline = deadline
        self._waiting = task = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        if self._timer is None or self._timer.when() > deadline:
            self._set_timer()
        try:
            return await anext(events)
        except asyncio.CancelledError:
            if self._expired and task.uncancel() <= cancelling:
                self._expired = False
                raise TimeoutError from None
            raise
        finally:
            self._waiting = None
            if self._expired:
                # The event came in the moment of the timeout.
                task.uncancel()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        self.close()
        self._timer = self._loop.call_at(self._deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._waiting is None:
            return
        if self._loop.time() < self._deadline:
            self._set_timer()
            return
        self._expired = True
        self._waiting.cancel()


async def within[T](events: AsyncIterator[T], limits: ModelTimeouts) -> AsyncGenerator[T]:
    """Yield `events` within the limits. The caller closes `events`.

    Raises:
        ModelTimedOutError: A limit was exceeded.
    """
    loop = asyncio.get_running_loop()
    watch = _Watch()
    end = loop.time() + limits.total
    late: type[ModelTimedOutError]
    wait, late = limits.first_byte, ModelFirstByteTimeoutError
    try:
        while True:
            deadline = loop.time() + wait
            if deadline > end:
                deadline, late = end, ModelTotalTimeoutError
            try:
                event = await watch.next(events, deadline)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise late() from None
            yield event
            wait, late = limits.between_bytes, ModelBetweenBytesTimeoutError
    finally:
        watch.close()
