"""What a process has of one run in memory: what it is told of it, or writes itself, and who waits for more."""

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
"""Seconds between two pieces of text to the same readers, at most: a piece costs as much however many words are in it,
and eyes do not see the difference. The first word, and every whole event, goes out at once."""


@dataclass(eq=False, slots=True)
class RunLog:
    """A run that somebody reads here.

    Attributes:
        tape: Everything from `tape.start` on, as far as it is known here.
        ended: Whether nothing will be added, and readers may know.
        readers: How many wait at this moment.
        touched: When it was last read, or ended, by the event loop's clock.
        coalesced_until: When readers may look again for the sake of mere text.
        coalescing: Has them look then.
    """

    run_id: str
    buffer: EventBuffer
    ended: bool = False
    readers: int = 0
    touched: float = 0.0
    timer: asyncio.TimerHandle | None = None
    waiting: set[asyncio.Future[bool]] = field(default_factory=set[asyncio.Future[bool]])
    coalesced_until: float = 0.0
    coalescing: asyncio.TimerHandle | None = None

    def frames(self, after: int) -> Sequence[Frame]:
        """What readers may see after a number."""
        return self.buffer.frames(after) if after < self.buffer.last else ()

    def touch(self) -> None:
        """Note that it is read. After the end that is of no account, or it would never be forgotten."""
        if not self.ended:
            self.touched = asyncio.get_running_loop().time()

    async def wait(self, seconds: float) -> bool:
        """Wait until there may be something new; whether there may be."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self.waiting.add(waiter)
        # Each piece of text ends a wait, and `asyncio.timeout` would cost as much as the rest of it.
        patience = loop.call_later(seconds, _tell, waiter, False)
        try:
            return await waiter
        finally:
            patience.cancel()
            self.waiting.discard(waiter)

    def wake_coalesced(self) -> None:
        """Wake waiting readers for more text: now, or when `COALESCE_SECONDS` have passed since the last time."""
        if self.coalescing is not None:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now < self.coalesced_until:
            self.coalescing = loop.call_at(self.coalesced_until, self.wake)
        else:
            self.coalesced_until = _next_tick(now)
            self.wake()

    def wake(self) -> None:
        """Let everybody who waits look again."""
        if self.coalescing is not None:
            self.coalescing.cancel()
            self.coalescing = None
            self.coalesced_until = _next_tick(asyncio.get_running_loop().time())
        for waiter in self.waiting:
            _tell(waiter, True)
        self.waiting.clear()


def _tell(waiter: asyncio.Future[bool], news: bool) -> None:
    if not waiter.done():
        waiter.set_result(news)


def _next_tick(now: float) -> float:
    # The same for all runs: the loop is woken once for all of their readers.
    return (now // COALESCE_SECONDS + 1) * COALESCE_SECONDS


@dataclass(slots=True)
class Flush:
    """Somebody who waits until everything up to `seq`, and the end if `end`, is kept."""

    seq: int
    end: bool
    done: asyncio.Future[None]


@dataclass(eq=False, slots=True, kw_only=True)
class WritableRunLog(RunLog):
    """A run that this process writes.

    Attributes:
        kept: The number up to which everything is kept.
        unpersisted: The numbers of whole events after it.
        shown_early: Whether readers are shown everything, kept or not, because keeping has failed for too long.
        lost: Whether it cannot be kept, however often that is tried.
        writing: False once another writer has taken its place.
        ending: Whether the run has ended; then nothing is added.
        end_persisted: Whether that is kept too.
        dirty: Whether it is among those that the next attempt to keep looks at.
        since: When the oldest of what is not kept came, by the event loop's clock.
        portion: What is being kept, until it is.
        failures: How often keeping it has failed, one after the other, though the storage could be reached.
    """

    identity: Identity
    fence: int
    persisted: int
    unpersisted: deque[int] = field(default_factory=deque[int])
    shown_early: bool = False
    lost: bool = False
    writing: bool = True
    ending: bool = False
    end_persisted: bool = False
    dirty: bool = False
    since: float = 0.0
    batch: WriteBatch | None = None
    failures: int = 0
    flushes: list[Flush] = field(default_factory=list[Flush])

    @property
    def settled(self) -> bool:
        """Whether everything is kept."""
        return self.persisted >= self.buffer.last and (self.end_persisted or not self.ending)

    @override
    def frames(self, after: int) -> Sequence[Frame]:
        # Text is shown at once, but not before a whole event that comes before it and is not kept yet.
        visible = self.unpersisted[0] - 1 if self.unpersisted and not self.shown_early else self.buffer.last
        return self.buffer.frames(after, visible) if after < visible else ()

    def append(self, event: Event) -> None:
        """Add an event, and tell readers of it if they may know already."""
        seq = self.buffer.append(event)
        if event.text is None:
            self.unpersisted.append(seq)
        if self.waiting and (self.shown_early or not self.unpersisted):
            if event.text is None:
                self.wake()
            else:
                self.wake_coalesced()

    def show_unpersisted(self) -> None:
        """Show readers what is not kept."""
        self.shown_early = True
        self.ended = self.ending
        self.wake()

    def next_batch(self, rows: int) -> WriteBatch | None:
        """What is to be kept next, at most `rows` segments of it; `None` if everything is."""
        if self.batch is None and not self.settled:
            segments = self.buffer.segments(self.persisted)
            whole = len(segments) <= rows
            self.batch = WriteBatch(
                self.run_id,
                self.identity,
                self.fence,
                self.buffer.start,
                self.persisted,
                segments[:rows],
                self.buffer.last if whole else segments[rows - 1].last,
                self.ending and whole,
            )
        return self.batch

    def mark_persisted(self, upto: int) -> None:
        """Note what the storage says of the portion."""
        batch, self.batch, self.failures = self.batch, None, 0
        # Less than before, if the storage has lost something: then that is told again, as far as it is known here.
        self.persisted = max(upto, self.buffer.start)
        if batch is not None and batch.ends and upto >= batch.last:
            self.ended = self.end_persisted = True
        shown = bool(self.unpersisted)
        while self.unpersisted and self.unpersisted[0] <= upto:
            self.unpersisted.popleft()
        # Readers that were told of the end must get all that comes before it.
        self.shown_early = self.ended and not self.end_persisted
        if shown or self.ended:
            self.wake()
        waiting, self.flushes = self.flushes, []
        for flush in waiting:
            if self.persisted >= flush.seq and (self.end_persisted or not flush.end):
                if not flush.done.done():
                    flush.done.set_result(None)
            else:
                self.flushes.append(flush)

    def fail(self, error: Exception) -> None:
        """Tell everybody who waits for something to be kept that it will not be."""
        waiting, self.flushes = self.flushes, []
        for flush in waiting:
            if not flush.done.done():
                flush.done.set_exception(error)
