"""A run's log in the memory of a process that reads or writes the run, with the readers that wait for more."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import override

from backchannel.context import Identity
from backchannel.event_logs.base import Event, Frame
from backchannel.event_logs.event_buffer import EventBuffer
from backchannel.event_logs.storage import WriteBatch

COALESCE_SECONDS = 0.1
"""The shortest time between two text frames to the same readers: a frame costs the same however many deltas it joins,
and people do not see the difference. The first delta, and every whole event, is sent at once."""


@dataclass(eq=False, slots=True)
class RunLog:
    """A run that is read in this process.

    Attributes:
        buffer: The events after `buffer.start`, as far as this process has them.
        ended: Whether the run has ended and readers may know.
        readers: How many readers are waiting.
        last_read: When it was last read before its end, by the event loop's clock.
        eviction_timer: Evicts it from memory when it is not read any more.
        waiters: One future per waiting reader.
        next_wake: The earliest time at which readers are woken for text only.
        wake_timer: Wakes them then.
    """

    run_id: str
    buffer: EventBuffer
    ended: bool = False
    readers: int = 0
    last_read: float = 0.0
    eviction_timer: asyncio.TimerHandle | None = None
    waiters: set[asyncio.Future[bool]] = field(default_factory=set[asyncio.Future[bool]])
    next_wake: float = 0.0
    wake_timer: asyncio.TimerHandle | None = None

    def frames(self, after: int) -> Sequence[Frame]:
        """The frames after a number that readers may see."""
        return self.buffer.frames(after) if after < self.buffer.last else ()

    def touch(self) -> None:
        """Record that it is read. Not after the end, so that reading does not prolong the time in memory then."""
        if not self.ended:
            self.last_read = asyncio.get_running_loop().time()

    async def wait(self, seconds: float) -> bool:
        """Wait until there may be new events; returns `False` on timeout."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self.waiters.add(waiter)
        # Not `asyncio.timeout`, which would double the cost of each text frame.
        timeout = loop.call_later(seconds, _resolve, waiter, False)
        try:
            return await waiter
        finally:
            timeout.cancel()
            self.waiters.discard(waiter)

    def wake_coalesced(self) -> None:
        """Wake waiting readers for text: at once, or `COALESCE_SECONDS` after the previous time."""
        if self.wake_timer is not None:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now < self.next_wake:
            self.wake_timer = loop.call_at(self.next_wake, self.wake)
        else:
            self.next_wake = _next_tick(now)
            self.wake()

    def wake(self) -> None:
        """Wake all waiting readers."""
        if self.wake_timer is not None:
            self.wake_timer.cancel()
            self.wake_timer = None
            self.next_wake = _next_tick(asyncio.get_running_loop().time())
        for waiter in self.waiters:
            _resolve(waiter, True)
        self.waiters.clear()


def _resolve(waiter: asyncio.Future[bool], has_events: bool) -> None:
    if not waiter.done():
        waiter.set_result(has_events)


def _next_tick(now: float) -> float:
    # The same for all runs, so that the event loop is woken once for all of their readers.
    return (now // COALESCE_SECONDS + 1) * COALESCE_SECONDS


@dataclass(slots=True)
class FlushRequest:
    """A caller that waits until all events up to `seq`, and the end if `end`, are persisted."""

    seq: int
    end: bool
    done: asyncio.Future[None]


@dataclass(eq=False, slots=True, kw_only=True)
class WritableRunLog(RunLog):
    """A run that this process writes.

    Attributes:
        identity: The owner of the run.
        persisted: All events up to this number are persisted.
        unpersisted: The numbers of the whole events after it.
        exposes_unpersisted: Whether readers see events that are not persisted, because that has failed for too long.
        unstorable: Whether persisting was given up because the storage fails on these events each time.
        writing: `False` once another writer has taken over.
        ending: Whether the run has ended, so that nothing is appended.
        end_persisted: Whether the end is persisted too.
        dirty: Whether it is part of the next write.
        unpersisted_since: When the oldest unpersisted event was appended, by the event loop's clock.
        batch: The batch that is being persisted.
        failures: Failed writes in a row although the storage was reachable.
        flush_requests: Callers that wait for events to be persisted.
    """

    identity: Identity
    fence: int
    persisted: int
    unpersisted: deque[int] = field(default_factory=deque[int])
    exposes_unpersisted: bool = False
    unstorable: bool = False
    writing: bool = True
    ending: bool = False
    end_persisted: bool = False
    dirty: bool = False
    unpersisted_since: float = 0.0
    batch: WriteBatch | None = None
    failures: int = 0
    flush_requests: list[FlushRequest] = field(default_factory=list[FlushRequest])

    @property
    def all_persisted(self) -> bool:
        """Whether every event, and the end if there is one, is persisted."""
        return self.persisted >= self.buffer.last and (self.end_persisted or not self.ending)

    @override
    def frames(self, after: int) -> Sequence[Frame]:
        # Text is visible at once, unless a whole event before it is not persisted.
        hidden = bool(self.unpersisted) and not self.exposes_unpersisted
        visible = self.unpersisted[0] - 1 if hidden else self.buffer.last
        return self.buffer.frames(after, visible) if after < visible else ()

    def append(self, event: Event) -> None:
        """Append an event, and wake readers that may see it already."""
        seq = self.buffer.append(event)
        if event.text is None:
            self.unpersisted.append(seq)
        if self.waiters and (self.exposes_unpersisted or not self.unpersisted):
            if event.text is None:
                self.wake()
            else:
                self.wake_coalesced()

    def expose_unpersisted(self) -> None:
        """Let readers see events that are not persisted."""
        self.exposes_unpersisted = True
        self.ended = self.ending
        self.wake()

    def next_batch(self, max_segments: int) -> WriteBatch | None:
        """The next batch to persist, the unfinished one first; `None` if everything is persisted."""
        if self.batch is None and not self.all_persisted:
            segments = self.buffer.segments(self.persisted)
            complete = len(segments) <= max_segments
            self.batch = WriteBatch(
                self.run_id,
                self.identity,
                self.fence,
                self.buffer.start,
                self.persisted,
                segments[:max_segments],
                self.buffer.last if complete else segments[max_segments - 1].last,
                self.ending and complete,
            )
        return self.batch

    def mark_persisted(self, upto: int) -> None:
        """Apply the result of a write: all events up to a number are persisted."""
        batch, self.batch, self.failures = self.batch, None, 0
        # Less than before if the storage has lost events; those that are in memory are then sent again.
        self.persisted = max(upto, self.buffer.start)
        if batch is not None and batch.ends_run and upto >= batch.last:
            self.ended = self.end_persisted = True
        had_hidden = bool(self.unpersisted)
        while self.unpersisted and self.unpersisted[0] <= upto:
            self.unpersisted.popleft()
        # Readers that have seen the end must get all events before it.
        self.exposes_unpersisted = self.ended and not self.end_persisted
        if had_hidden or self.ended:
            self.wake()
        waiting, self.flush_requests = self.flush_requests, []
        for request in waiting:
            if self.persisted >= request.seq and (self.end_persisted or not request.end):
                if not request.done.done():
                    request.done.set_result(None)
            else:
                self.flush_requests.append(request)

    def fail_flushes(self, error: Exception) -> None:
        """Raise an error in all callers that wait for events to be persisted."""
        waiting, self.flush_requests = self.flush_requests, []
        for request in waiting:
            if not request.done.done():
                request.done.set_exception(error)
