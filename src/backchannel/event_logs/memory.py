"""The event log of a single process, in its memory."""

import asyncio
from dataclasses import dataclass, field
from typing import override

from backchannel.context import Identity
from backchannel.event_logs.base import JUMP, Batch, Event, EventLog, FencedError
from backchannel.event_logs.event_buffer import EventBuffer


@dataclass(slots=True)
class _Log:
    fence: int
    buffer: EventBuffer = field(default_factory=EventBuffer)
    has_writer: bool = True
    ended: bool = False
    waiters: set[asyncio.Future[None]] = field(default_factory=set[asyncio.Future[None]])

    def wake(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()


class MemoryEventLog(EventLog):
    """Events in memory, which a restart loses. Belongs to one event loop.

    Args:
        retention: Seconds for which events stay readable after the end of their run.
    """

    def __init__(self, *, retention: float) -> None:
        self._retention = retention
        self._logs: dict[str, _Log] = {}
        self._expiries: dict[str, asyncio.TimerHandle] = {}
        self._disconnecting = False

    @override
    async def begin(self, run_id: str, identity: Identity, *, fence: int, after_crash: bool = False) -> int:
        log = self._logs.get(run_id)
        if log is None:
            log = self._logs[run_id] = _Log(fence)
        if fence < log.fence:
            raise FencedError(run_id)
        log.fence, log.has_writer = fence, True
        last_event = log.buffer.last_event
        if after_crash:
            log.buffer.jump((log.buffer.last // JUMP + 1) * JUMP)
        return last_event

    @override
    def append(self, run_id: str, event: Event) -> None:
        log = self._logs.get(run_id)
        if log is None or log.ended or not log.has_writer:
            return
        log.buffer.append(event)
        if log.waiters:
            log.wake()

    @override
    async def flush(self, run_id: str) -> None:
        pass

    @override
    async def end(self, run_id: str) -> None:
        log = self._logs.get(run_id)
        if log is None or log.ended or not log.has_writer:
            return
        log.ended = True
        log.wake()
        loop = asyncio.get_running_loop()
        self._expiries[run_id] = loop.call_later(self._retention, self._expire, run_id)

    @override
    async def release(self, run_id: str) -> bool:
        if (log := self._logs.get(run_id)) is not None:
            log.has_writer = False
        return True

    @override
    def disconnect_readers(self) -> None:
        self._disconnecting = True
        for log in self._logs.values():
            log.wake()

    @override
    async def read(self, run_id: str, after: int, *, wait: float) -> Batch:
        log = self._logs.get(run_id)
        if log is None:
            raise LookupError(run_id)
        after = max(after, 0)
        frames = log.buffer.frames(after)
        if not frames and not log.ended and not self._disconnecting:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            log.waiters.add(waiter)
            try:
                async with asyncio.timeout(wait):
                    await waiter
            except TimeoutError:
                pass
            finally:
                log.waiters.discard(waiter)
            frames = log.buffer.frames(after)
        return Batch(frames, log.ended, released=self._disconnecting and not frames and not log.ended)

    @override
    async def check(self) -> None:
        pass

    @override
    async def aclose(self) -> None:
        for handle in self._expiries.values():
            handle.cancel()
        self._expiries.clear()
        for log in self._logs.values():
            log.ended = True
            log.wake()
        self._logs.clear()

    def _expire(self, run_id: str) -> None:
        self._expiries.pop(run_id, None)
        self._logs.pop(run_id, None)
