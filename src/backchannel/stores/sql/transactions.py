"""Doing a transaction again that the database gave up."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from types import CoroutineType
from typing import Any, Concatenate, Protocol

import structlog

from backchannel.errors import UnavailableError
from backchannel.stores.patience import patience
from backchannel.stores.sql.engine import Database, TransactionLostError

DELAYS = (0.02, 0.05, 0.1, 0.3, 0.6, 1.2)
"""Seconds before each further try, on average: about two in all, which a restart of the database may take."""

LEAVE_SECONDS = 1.0
"""How long a transaction may take to end whose caller was cancelled."""

log = structlog.get_logger(__name__)

# The task that is trying. Those that it starts inherit the variable, but try for themselves.
_trying: ContextVar[asyncio.Task[Any] | None] = ContextVar("trying", default=None)


class OnDatabase(Protocol):
    """Something that keeps its rows in a database."""

    @property
    def database(self) -> Database:
        """Where the rows are."""
        ...


def repeatable[S: OnDatabase, **P, R](
    method: Callable[Concatenate[S, P], CoroutineType[Any, Any, R]],
) -> Callable[Concatenate[S, P], CoroutineType[Any, Any, R]]:
    """Do a method's transaction again when the database gave it up: a deadlock, a conflict, a connection that
    ended.

    The method must be one transaction, and doing it twice must leave what doing it once leaves: when a connection
    ends in a commit, nobody knows whether it took place. Inside `Database.together` nothing is repeated; that
    whole block has to be. Neither is a method that a repeatable one calls, or tries would multiply.
    """

    @wraps(method)
    async def again(self: S, *args: P.args, **options: P.kwargs) -> R:
        if self.database.in_transaction or _trying.get() is asyncio.current_task():
            return await method(self, *args, **options)
        return await retried(lambda: method(self, *args, **options))

    return again


async def retried[R](work: Callable[[], Awaitable[R]], *, unclear: bool = True) -> R:
    """Do a transaction until it is not given up, or for about two seconds; then its last error is raised. A task that
    is `patience.patient` goes on for as long as it is, and waits for a free connection too.

    Args:
        unclear: Whether to do it again too when nobody knows whether it was committed.
    """
    loop = asyncio.get_running_loop()
    deadline, tries = loop.time() + patience(), 0
    while True:
        try:
            return await _to_its_end(work)
        except UnavailableError as error:
            lost = isinstance(error, TransactionLostError)
            if lost and error.unclear and not unclear:
                raise
            if not (lost and tries < len(DELAYS)) and loop.time() >= deadline:
                raise
            cause = type(error.__cause__).__name__
            log.info("transaction_repeated", cause=cause, unclear=lost and error.unclear)
        # Writers that met once must not meet again.
        await asyncio.sleep(DELAYS[min(tries, len(DELAYS) - 1)] * random.uniform(0.5, 1.5))  # noqa: S311
        tries += 1


async def _to_its_end[R](work: Callable[[], Awaitable[R]]) -> R:
    """Do a transaction in a task of its own, so that it ends even if its caller is cancelled meanwhile: a driver that
    is interrupted may leave a connection behind that holds locks, on SQLite the only one that there is."""

    async def alone() -> R:
        _trying.set(asyncio.current_task())
        return await work()

    doing = asyncio.create_task(alone())
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        _, late = await asyncio.wait([doing], timeout=LEAVE_SECONDS)
        if late:
            doing.cancel()
        elif not doing.cancelled():
            # Nobody is left to be told.
            doing.exception()
        raise
