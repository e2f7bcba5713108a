"""Limits the time that a model may take: until its first event, between two events, and in all."""

import asyncio
from collections.abc import AsyncIterator
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


class Watch:
    """Waits for the events of one call within the limits: cancels the task that waits once its deadline has passed.

    `asyncio.timeout` for each event would create and cancel a timer each time. Here one timer runs at a time: when it
    fires early, it is set again for the rest.
    """

    def __init__(self, limits: ModelTimeouts) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._end = self._loop.time() + limits.total
        self._wait = limits.first_byte
        self._late: type[ModelTimedOutError] = ModelFirstByteTimeoutError
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Task[object] | None = None
        self._deadline = 0.0
        self._expired = False

    async def next[T](self, events: AsyncIterator[T]) -> T:
        """The next event.

        Raises:
            ModelTimedOutError: None came in time.
            StopAsyncIteration: There are no further events.
        """
        deadline, late = self._loop.time() + self._wait, self._late
        if deadline > self._end:
            deadline, late = self._end, ModelTotalTimeoutError
        self._wait, self._late = self._limits.between_bytes, ModelBetweenBytesTimeoutError
        self._deadline = deadline
        self._waiting = task = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        if self._timer is None or self._timer.when() > deadline:
            self._set_timer()
        try:
            return await anext(events)
        except asyncio.CancelledError:
            if self._expired:
                self._expired = False
                if task.uncancel() <= cancelling:
                    raise late from None
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
