"""Shared counts, and counts of this process while those cannot be reached."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import override

import structlog

from backchannel.errors import UnavailableError
from backchannel.limits.base import Quota, RateLimiter, Taken

TIMEOUT_SECONDS = 0.25
"""How long a request waits for the shared counts."""

COOL_DOWN_SECONDS = 5.0
"""After a failure, for how long they are not asked; then by one request at a time."""

log = structlog.get_logger(__name__)


class FallbackRateLimiter(RateLimiter):
    """Never fails, and never makes a request wait for longer than `TIMEOUT_SECONDS`.

    During an outage each process limits by itself, beginning with none counted: a caller gets at most its limit at each
    process, and what was counted there is not carried over to the shared counts afterwards.

    Args:
        shared: Counts that may be away.
        local: Counts that never are.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self, shared: RateLimiter, local: RateLimiter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shared = shared
        self._local = local
        self._clock = clock
        self._away = False
        self._ask_at = 0.0

    @override
    async def take(self, quotas: Sequence[Quota]) -> Taken:
        now = self._clock()
        if self._away:
            if now < self._ask_at:
                return await self._local.take(quotas)
            # Requests that come while this one asks do not.
            self._ask_at = now + COOL_DOWN_SECONDS
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                taken = await self._shared.take(quotas)
        except (UnavailableError, TimeoutError) as error:
            self._failed(error)
            return await self._local.take(quotas)
        if self._away:
            self._away = False
            log.info("rate_limits_shared")
        return taken

    @override
    async def aclose(self) -> None:
        await self._shared.aclose()
        await self._local.aclose()

    def _failed(self, error: Exception) -> None:
        self._ask_at = self._clock() + COOL_DOWN_SECONDS
        if not self._away:
            self._away = True
            cause = error.__cause__ or error
            log.warning(
                "rate_limits_local",
                error=type(cause).__name__,
                hint="Redis cannot be reached. Until it can, each process limits requests by itself.",
            )
