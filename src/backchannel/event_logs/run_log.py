"""What a process has of one run in memory: what it is told of it, or writes itself, and who waits for more."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import override

from backchannel.context import Identity
from backchannel.event_logs.base import Event, Frame
from backchannel.event_logs.storage import Portion
from backchannel.event_logs.event_buffer import Tape

EASE = 0.1
"""Seconds between two pieces of text to the same readers, at most: a piece costs as much however many words are in it,
and eyes do not see the difference. The first word, and every whole event, goes out at once."""


@dataclass(eq=False, slots=True)
class Live:
    """A run that somebody reads here.

    Attributes:
        tape: Everything from `tape.start` on, as far as it is known here.
        ended: Whether nothing will be added, and readers may know.
        readers: How many wait at this moment.
        touched: When it was last read, or ended, by the event loop's clock.
        eased: When readers may look again for the sake of mere text.
        easing: Has them look then.
    """

    run_id: str
    tape: Tape
    ended: bool = False
    readers: int = 0
    touched: float = 0.0
    timer: asyncio.TimerHandle | None = None
    waiting: set[asyncio.Future[bool]] = field(default_factory=set[asyncio.Future[bool]])
    eased: float = 0.0
    easing: asyncio.TimerHandle | None = None

    def frames(self, after: int) -> Sequence[Frame]:
        """What readers may see after a number."""
        return self.tape.frames(after) if after < self.tape.last else ()

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

    def nudge(self) -> None:
        """Let everybody who waits look again for more text: now, or when `EASE` has passed since they last did."""
        if self.easing is not None:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now < self.eased:
            self.easing = loop.call_at(self.eased, self.wake)
        else:
            self.eased = _next_tick(now)
            self.wake()

    def wake(self) -> None:
        """Let everybody who waits look again."""
        if self.easing is not None:
            self.easing.cancel()
            self.easing = None
            self.eased = _next_tick(asyncio.get_running_loop().time())
        for waiter in self.waiting:
            _tell(waiter, True)
        self.waiting.clear()


def _tell(waiter: asyncio.Future[bool], news: bool) -> None:
    if not waiter.done():
        waiter.set_result(news)


def _next_tick(now: float) -> float:
    # The same for all runs: the loop is woken once for all of their readers.
    return (now // EASE + 1) * EASE


@dataclass(slots=True)
class Flush:
    """Somebody who waits until everything up to `seq`, and the end if `end`, is kept."""

    seq: int
    end: bool
    done: asyncio.Future[None]


@dataclass(eq=False, slots=True, kw_only=True)
class Written(Live):
    """A run that this process writes.

    Attributes:
        kept: The number up to which everything is kept.
        unkept: The numbers of whole events after it.
        revealed: Whether readers are shown everything, kept or not, because keeping has failed for too long.
        lost: Whether it cannot be kept, however often that is tried.
        writing: False once another writer has taken its place.
        ending: Whether the run has ended; then nothing is added.
        end_kept: Whether that is kept too.
        dirty: Whether it is among those that the next attempt to keep looks at.
        since: When the oldest of what is not kept came, by the event loop's clock.
        portion: What is being kept, until it is.
        stumbles: How often keeping it has failed, one after the other, though the storage could be reached.
    """

    identity: Identity
    fence: int
    kept: int
    unkept: deque[int] = field(default_factory=deque[int])
    revealed: bool = False
    lost: bool = False
    writing: bool = True
    ending: bool = False
    end_kept: bool = False
    dirty: bool = False
    since: float = 0.0
    portion: Portion | None = None
    stumbles: int = 0
    flushes: list[Flush] = field(default_factory=list[Flush])

    @property
    def settled(self) -> bool:
        """Whether everything is kept."""
        return self.kept >= self.tape.last and (self.end_kept or not self.ending)

    @override
    def frames(self, after: int) -> Sequence[Frame]:
        # Text is shown at once, but not before a whole event that comes before it and is not kept yet.
        visible = self.unkept[0] - 1 if self.unkept and not self.revealed else self.tape.last
        return self.tape.frames(after, visible) if after < visible else ()

    def append(self, event: Event) -> None:
        """Add an event, and tell readers of it if they may know already."""
        seq = self.tape.append(event)
        if event.text is None:
            self.unkept.append(seq)
        if self.waiting and (self.revealed or not self.unkept):
            if event.text is None:
                self.wake()
            else:
                self.nudge()

    def reveal(self) -> None:
        """Show readers what is not kept."""
        self.revealed = True
        self.ended = self.ending
        self.wake()

    def next_portion(self, rows: int) -> Portion | None:
        """What is to be kept next, at most `rows` strips of it; `None` if everything is."""
        if self.portion is None and not self.settled:
            strips = self.tape.strips(self.kept)
            whole = len(strips) <= rows
            self.portion = Portion(
                self.run_id,
                self.identity,
                self.fence,
                self.tape.start,
                self.kept,
                strips[:rows],
                self.tape.last if whole else strips[rows - 1].last,
                self.ending and whole,
            )
        return self.portion

    def is_kept(self, upto: int) -> None:
        """Note what the storage says of the portion."""
        portion, self.portion, self.stumbles = self.portion, None, 0
        # Less than before, if the storage has lost something: then that is told again, as far as it is known here.
        self.kept = max(upto, self.tape.start)
        if portion is not None and portion.ends and upto >= portion.last:
            self.ended = self.end_kept = True
        shown = bool(self.unkept)
        while self.unkept and self.unkept[0] <= upto:
            self.unkept.popleft()
        # Readers that were told of the end must get all that comes before it.
        self.revealed = self.ended and not self.end_kept
        if shown or self.ended:
            self.wake()
        waiting, self.flushes = self.flushes, []
        for flush in waiting:
            if self.kept >= flush.seq and (self.end_kept or not flush.end):
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
