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

MAX_TRIES = 7
"""How often an aborted transaction is tried without a retry budget: about two seconds in all, enough for a short
restart of the database."""

CANCEL_GRACE_SECONDS = 1.0
"""How long a transaction may take after its caller was cancelled."""

log = structlog.get_logger(__name__)

# The task that is in a retried transaction. Tasks that it starts inherit the variable, but retry for themselves.
_retrying: ContextVar[asyncio.Task[Any] | None] = ContextVar("retrying", default=None)


class UsesDatabase(Protocol):
    """An object with a database."""

    @property
    def database(self) -> Database:
        """The database."""
        ...


def retryable[S: UsesDatabase, **P, R](
    method: Callable[Concatenate[S, P], CoroutineType[Any, Any, R]],
) -> Callable[Concatenate[S, P], CoroutineType[Any, Any, R]]:
    """Retry a method's transaction when the database aborts it: a deadlock, a conflict, a closed connection.

    The method must be one transaction, and have the same result when it is called twice: when a connection is closed
    during a commit, it is unknown whether the commit succeeded. Inside `Database.transaction` nothing is retried: the
    whole block must be. Nor is a method that a retryable one calls, because tries would multiply.
    """

    @wraps(method)
    async def retrying(self: S, *args: P.args, **options: P.kwargs) -> R:
        if self.database.in_transaction or _retrying.get() is asyncio.current_task():
            return await method(self, *args, **options)
        return await retry_transaction(lambda: method(self, *args, **options))

    return retrying


async def retry_transaction[R](work: Callable[[], Awaitable[R]], *, retry_unknown: bool = True) -> R:
    """Run a transaction until it is not aborted, at most `MAX_TRIES` times. A task with a retry budget retries for that
    long, also when all connections are in use.

    Args:
        retry_unknown: Whether to retry also if it is unknown whether the transaction was committed.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + retry_budget()

    def should_retry(error: UnavailableError, failures: int) -> bool:
        aborted = isinstance(error, TransactionAbortedError)
        if aborted and error.commit_unknown and not retry_unknown:
            return False
        if not (aborted and failures < MAX_TRIES) and loop.time() >= deadline:
            return False
        cause = type(error.__cause__).__name__
        log.info("transaction_retried", cause=cause, commit_unknown=aborted and error.commit_unknown)
        return True

    return await retry(lambda: _run_to_completion(work), CONFLICT, should_retry)


async def _run_to_completion[R](work: Callable[[], Awaitable[R]]) -> R:
    """Run a transaction in its own task, so that it completes even if its caller is cancelled: an interrupted driver
    may leave a connection with locks, on SQLite the write lock."""

    async def marked() -> R:
        _retrying.set(asyncio.current_task())
        return await work()

    task = asyncio.create_task(marked())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        _, late = await asyncio.wait([task], timeout=CANCEL_GRACE_SECONDS)
        if late:
            task.cancel()
        elif not task.cancelled():
            # Retrieved, so that asyncio does not report it.
            task.exception()
        raise
