"""The event log of a single process, in its memory."""

import asyncio
from dataclasses import dataclass, field
from typing import override

from backchannel.event_logs.base import Batch, Event, EventLog, Frame


@dataclass(slots=True)
class _Log:
    frames: list[Frame] = field(default_factory=list[Frame])
    ended: bool = False
    waiting: set[asyncio.Future[None]] = field(default_factory=set[asyncio.Future[None]])

    def wake(self) -> None:
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)
        self.waiting.clear()


class MemoryEventLog(EventLog):
    """Keeps events in memory; a restart forgets them. Belongs to one event loop.

    Args:
        retention: Seconds that a run's events outlive it.
    """

    def __init__(self, *, retention: float) -> None:
        self._retention = retention
        self._logs: dict[str, _Log] = {}
        self._expiries: dict[str, asyncio.TimerHandle] = {}

    @override
    def open(self, run_id: str) -> None:
        self._logs[run_id] = _Log()

    @override
    def append(self, run_id: str, event: Event) -> None:
        log = self._logs.get(run_id)
        if log is None:
            # The log was released before the run ended: nobody reads any more.
            return
        log.frames.append(Frame(len(log.frames) + 1, event))
        if log.waiting:
            log.wake()

    @override
    def close(self, run_id: str) -> None:
        log = self._logs.get(run_id)
        if log is None:
            return
        log.ended = True
        log.wake()
        loop = asyncio.get_running_loop()
        self._expiries[run_id] = loop.call_later(self._retention, self._forget, run_id)

    @override
    async def read(self, run_id: str, after: int, *, wait: float) -> Batch:
        log = self._logs.get(run_id)
        if log is None:
            raise LookupError(run_id)
        if after >= len(log.frames) and not log.ended:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            log.waiting.add(waiter)
            try:
                async with asyncio.timeout(wait):
                    await waiter
            except TimeoutError:
                pass
            finally:
                log.waiting.discard(waiter)
        return Batch(log.frames[max(after, 0) :], log.ended)

    @override
    async def aclose(self) -> None:
        for handle in self._expiries.values():
            handle.cancel()
        self._expiries.clear()
        for log in self._logs.values():
            log.ended = True
            log.wake()
        self._logs.clear()

    def _forget(self, run_id: str) -> None:
        self._expiries.pop(run_id, None)
        self._logs.pop(run_id, None)
