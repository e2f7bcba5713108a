"""Counts in this process's memory."""

import time
from collections.abc import Callable, Sequence
from typing import override

from backchannel.limits.base import Count, Quota, RateLimiter, Taken
from backchannel.limits.windows import Window, at, count, used

MAX_QUOTAS = 50_000
"""How many quotas of one length of windows are in each of its two generations: about 15 MB if both are full."""


class MemoryRateLimiter(RateLimiter):
    """Counts of one process. What was not used for four windows is forgotten; if there are too many, what was not used
    for longest.

    Args:
        clock: Seconds of a clock that never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._generations: dict[int, _Generations] = {}

    @override
    async def take(self, quotas: Sequence[Quota]) -> Taken:
        # Without an await: nothing comes in between.
        now = round(self._clock() * 1000)
        found, accepted = list[tuple[_Generations, Quota, Window]](), True
        for quota in quotas:
            generations = self._of(quota, now)
            window = at(generations.get(quota), quota, now)
            accepted = accepted and used(window, quota, now) < quota.amount
            found.append((generations, quota, window))
        if not accepted:
            return Taken(accepted, [count(window, quota, now) for _, quota, window in found])
        counts = list[Count]()
        for generations, quota, window in found:
            counted = Window(window.start, window.former, window.current + 1)
            generations.put(quota, counted)
            counts.append(count(counted, quota, now))
        return Taken(accepted, counts)

    def _of(self, quota: Quota, now: int) -> "_Generations":
        found = self._generations.get(quota.seconds)
        if found is None:
            found = self._generations[quota.seconds] = _Generations(2 * quota.seconds * 1000, now)
        found.age(now)
        return found


class _Generations:
    """Windows of one length. A new generation begins after some time or when one is full, and what is used moves into
    it; the one before the last is dropped as a whole, so that forgetting costs nothing."""

    def __init__(self, length: int, now: int) -> None:
        self._length = length
        self._began = now
        self._young: dict[Quota, Window] = {}
        self._old: dict[Quota, Window] = {}

    def age(self, now: int) -> None:
        if now - self._began < self._length and len(self._young) < MAX_QUOTAS:
            return
        self._old, self._young, self._began = self._young, {}, now

    def get(self, quota: Quota) -> Window | None:
        return self._young.get(quota) or self._old.get(quota)

    def put(self, quota: Quota, window: Window) -> None:
        self._young[quota] = window
