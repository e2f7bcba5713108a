"""Retrying a transaction that the database aborted."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from types import CoroutineType
from typing import Any, Concatenate, Protocol

import structlog

from backchannel.errors import UnavailableError
from backchannel.retry import CONFLICT, retry, retry_budget
from backchannel.stores.sql.engine import Database, TransactionAbortedError

MAX_TRIES = 8
"""How often an aborted transaction is tried without a retry budget: about two seconds in all, as long as a restart of
the database may take."""

LEAVE_SECONDS = 1.0
"""How long a transaction may take to end whose caller was cancelled."""

log = structlog.get_logger(__name__)

# The task that is in a retried transaction. Tasks that it starts inherit the variable, but retry for themselves.
_retrying: ContextVar[asyncio.Task[Any] | None] = ContextVar("retrying", default=None)


class OnDatabase(Protocol):
    """Something that stores its rows in a database."""

    @property
    def database(self) -> Database:
        """Where the rows are."""
        ...


def retryable[S: OnDatabase, **P, R](
    method: Callable[Concatenate[S, P], CoroutineType[Any, Any, R]],
) -> Callable[Concatenate[S, P], CoroutineType[Any, Any, R]]:
    """Retry a method's transaction when the database aborted it: a deadlock, a conflict, a connection that ended.

    The method must be one transaction, and calling it twice must leave what calling it once leaves: when a connection
    ends in a commit, it is unknown whether the commit took place. Inside `Database.transaction` nothing is retried;
    that whole block has to be. Neither is a method that a retryable one calls, or tries would multiply.
    """

    @wraps(method)
    async def retrying(self: S, *args: P.args, **options: P.kwargs) -> R:
        if self.database.in_transaction or _retrying.get() is asyncio.current_task():
            return await method(self, *args, **options)
        return await retry_transaction(lambda: method(self, *args, **options))

    return retrying


async def retry_transaction[R](work: Callable[[], Awaitable[R]], *, unclear: bool = True) -> R:
    """Run a transaction until it is not aborted, at most `MAX_TRIES` times; then its last error is raised. A task with
    a retry budget goes on for that long, and then waits for a free connection too.

    Args:
        unclear: Whether to retry also when it is unknown whether the transaction was committed.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + retry_budget()

    def should_retry(error: UnavailableError, failures: int) -> bool:
        aborted = isinstance(error, TransactionAbortedError)
        if aborted and error.unclear and not unclear:
            return False
        if not (aborted and failures < MAX_TRIES) and loop.time() >= deadline:
            return False
        cause = type(error.__cause__).__name__
        log.info("transaction_retried", cause=cause, unclear=aborted and error.unclear)
        return True

    return await retry(lambda: _run_to_completion(work), CONFLICT, should_retry)


async def _run_to_completion[R](work: Callable[[], Awaitable[R]]) -> R:
    """Run a transaction in a task of its own, so that it ends even if its caller is cancelled meanwhile: a driver that
    is interrupted may leave a connection behind that holds locks, on SQLite the only one that there is."""

    async def marked() -> R:
        _retrying.set(asyncio.current_task())
        return await work()

    task = asyncio.create_task(marked())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        _, late = await asyncio.wait([task], timeout=LEAVE_SECONDS)
        if late:
            task.cancel()
        elif not task.cancelled():
            # Read, so that asyncio does not report it: the caller is gone.
            task.exception()
        raise
