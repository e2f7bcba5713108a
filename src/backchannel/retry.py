"""Retrying what an unreachable or busy service refused: the one policy of stores, event logs and background loops.

Pauses grow exponentially and carry jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015), so that
processes that lost a service together do not all come back in the same moment.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import structlog

from backchannel.errors import UnavailableError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to pause between tries.

    Attributes:
        initial: Seconds before the second try, on average; each further pause is twice as long.
        maximum: Seconds of the longest pause, on average.
    """

    initial: float
    maximum: float

    def delay(self, failures: int) -> float:
        """Seconds to pause after so many failures in a row (1 or more), between half and one and a half times the
        average."""
        average = min(self.initial * 2 ** min(failures - 1, 30), self.maximum)
        return average * random.uniform(0.5, 1.5)  # noqa: S311 - not a secret


CONFLICT = Backoff(initial=0.035, maximum=1.2)
"""Between tries of a transaction that met another writer: short, because the other one is gone soon."""

OUTAGE = Backoff(initial=0.1, maximum=2.0)
"""Between tries to reach a service that is away: a restart takes seconds."""

RUN_SECONDS = 45.0
"""How long a run waits for its database: longer than a restart or a fail-over takes."""

_budget: ContextVar[float] = ContextVar("retry_budget", default=0.0)


_request_seconds: ContextVar[float | None] = ContextVar("request_seconds", default=None)


def request_seconds() -> float | None:
    """Seconds that a transaction of the current request may take, with everything that it waits for; `None` outside of
    requests, and in runs."""
    return None if _budget.get() else _request_seconds.get()


@contextmanager
def with_request_seconds(seconds: float) -> Generator[None]:
    """Limit the transactions of a request. A run that the request starts has its retry budget in place of this."""
    token = _request_seconds.set(seconds)
    try:
        yield
    finally:
        _request_seconds.reset(token)


def retry_budget() -> float:
    """Seconds for which this task wants each of its transactions retried, beyond a transaction's own tries."""
    return _budget.get()


@contextmanager
def with_retry_budget(seconds: float) -> Generator[None]:
    """Set the retry budget of everything in the block, and of tasks that it starts.

    A request has none, because its client can repeat it (see `request_seconds`); a run in progress has `RUN_SECONDS`.
    """
    token = _budget.set(seconds)
    try:
        yield
    finally:
        _budget.reset(token)


async def retry[R](
    work: Callable[[], Awaitable[R]],
    backoff: Backoff,
    should_retry: Callable[[UnavailableError, int], bool],
    *,
    deadline: float = math.inf,
) -> R:
    """Call `work` until it succeeds or `should_retry` says no; then its last error is raised.

    Args:
        work: Must leave the same result when it is called twice.
        should_retry: Gets the error and the number of failures so far.
        deadline: The event loop's time after which no pause lasts.

    Raises:
        UnavailableError: The last failure. Any other exception is raised at once.
    """
    failures = 0
    while True:
        try:
            return await work()
        except UnavailableError as error:
            failures += 1
            if not should_retry(error, failures):
                raise
        left = max(deadline - asyncio.get_running_loop().time(), 0)
        await asyncio.sleep(min(backoff.delay(failures), left))


async def retry_until_available[R](work: Callable[[], Awaitable[R]], *, seconds: float = RUN_SECONDS) -> R:
    """Call `work` again while the service it needs is away. It must leave the same result when it is called twice.

    Raises:
        UnavailableError: The service was away for `seconds`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds

    def should_retry(error: UnavailableError, _failures: int) -> bool:
        log.warning("waiting_for_service", error=error.message)
        return loop.time() < deadline

    async def work_within_deadline() -> R:
        with with_retry_budget(max(deadline - loop.time(), 0)):
            return await work()

    return await retry(work_within_deadline, OUTAGE, should_retry, deadline=deadline)
