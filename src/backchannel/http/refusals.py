"""Refusals that cost little: what is remembered of them, and how fast they are answered."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable

from backchannel.limits.rules import Limit

MAX_REMEMBERED = 10_000
"""How many callers are remembered as refused. Others are refused all the same, at the usual cost."""

IDLE_SECONDS = 0.0012
BUSY_SECONDS = 0.004
"""The time between two refusals while no other request waits for its response, and while one does. A refusal costs
about 0.2 ms of the processor, with everything that the server does for it."""

AT_ONCE = 20
"""How many refusals are not held back, after a time without any."""

MAX_HELD = 2000
"""How many refusals are held back at most: each waits for `MAX_HELD * BUSY_SECONDS` or less. With more, the oldest one
is answered for each that comes."""


class Refused:
    """Callers that have used up a limit, and until when. Counts only grow meanwhile, so they need not be asked.

    Args:
        clock: Seconds of a clock that never goes back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[Hashable, tuple[float, Limit]] = {}
        self._reported = set[Hashable]()

    def __bool__(self) -> bool:
        return bool(self._until)

    def add(self, caller: Hashable, seconds: float, limit: Limit) -> None:
        """Remember that a caller is refused for so long."""
        now = self._clock()
        if len(self._until) >= MAX_REMEMBERED:
            self._until = {key: kept for key, kept in self._until.items() if kept[0] > now}
            self._reported &= self._until.keys()
        if len(self._until) >= MAX_REMEMBERED:
            self._until.clear()
            self._reported.clear()
        self._until[caller] = (now + seconds, limit)

    def find(self, caller: Hashable) -> tuple[float, Limit] | None:
        """For how many seconds more the caller is refused, and by which limit; `None` if it is not."""
        found = self._until.get(caller)
        if found is None:
            return None
        seconds = found[0] - self._clock()
        if seconds > 0:
            return seconds, found[1]
        del self._until[caller]
        self._reported.discard(caller)
        return None

    def is_first(self, caller: Hashable) -> bool:
        """Whether this is the first refusal of a remembered caller, which is worth a line in the log."""
        if caller in self._reported:
            return False
        self._reported.add(caller)
        return True


class Pace:
    """Spaces out the answers to refused requests, and lets other requests go first.

    A client that floods the server sends its next request when it has the answer to the one before. As long as it
    waits, it costs nothing.
    """

    def __init__(self) -> None:
        self._held = deque[asyncio.Future[None]]()
        self._others = 0
        self._credit_at = 0.0
        self._ticking = False

    def begin(self) -> None:
        """A request that is not refused has arrived."""
        self._others += 1

    def end(self) -> None:
        """Its response begins."""
        self._others -= 1

    async def turn(self) -> None:
        """Wait until the next refusal may be answered."""
        loop = asyncio.get_running_loop()
        if not self._held and self._has_credit(loop.time()):
            return
        turn = loop.create_future()
        self._held.append(turn)
        if len(self._held) > MAX_HELD:
            self._release()
        if not self._ticking:
            self._ticking = True
            loop.call_later(IDLE_SECONDS, self._tick, loop)
        await turn

    def _has_credit(self, now: float) -> bool:
        # As a bucket of `AT_ONCE` that gets one more every `BUSY_SECONDS`.
        self._credit_at = max(self._credit_at, now - AT_ONCE * BUSY_SECONDS)
        if self._credit_at + BUSY_SECONDS > now:
            return False
        self._credit_at += BUSY_SECONDS
        return True

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._release()
        self._ticking = bool(self._held)
        if self._ticking:
            loop.call_later(BUSY_SECONDS if self._others else IDLE_SECONDS, self._tick, loop)

    def _release(self) -> None:
        while self._held:
            turn = self._held.popleft()
            # Not one that was cancelled.
            if not turn.done():
                turn.set_result(None)
                return
