"""Retrying a transaction that the database aborted."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from types import CoroutineType
from typing import Any, Concatenate, Protocol

import structlog

from backchannel.errors import UnavailableError
from backchannel.retry import CONFLICT, request_seconds, retry, retry_budget
from backchannel.stores.sql.engine import Database, TransactionAbortedError, no_response_error

MAX_TRIES = 7
"""How often an aborted transaction is tried outside of requests and without a retry budget: about two seconds in all,
if each is aborted at once."""

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
        return await retry_transaction(self.database, lambda: method(self, *args, **options))

    return retrying


async def retry_transaction[R](
    database: Database, work: Callable[[], Awaitable[R]], *, retry_unknown: bool = True
) -> R:
    """Run a transaction until it is not aborted, at most `MAX_TRIES` times. A task with a retry budget retries for that
    long, also when all connections are in use. In a request, `retry.request_seconds` limits the whole by time.

    Args:
        database: The database of the transaction. One without a server has no limit by time but those of statements.
        retry_unknown: Whether to retry also if it is unknown whether the transaction was committed.

    Raises:
        UnavailableError: It was aborted each time, or took too long. In the latter case it may have been committed.
    """
    loop = asyncio.get_running_loop()
    limit = request_seconds() if database.dialect.has_server else None
    deadline = loop.time() + (retry_budget() if limit is None else limit)

    last: UnavailableError | None = None

    def should_retry(error: UnavailableError, failures: int) -> bool:
        nonlocal last
        last = error
        aborted = isinstance(error, TransactionAbortedError)
        if aborted and error.commit_unknown and not retry_unknown:
            return False
        if limit is not None:
            if not aborted or loop.time() >= deadline:
                return False
        elif not (aborted and failures < MAX_TRIES) and loop.time() >= deadline:
            return False
        cause = type(error.__cause__).__name__
        log.info("transaction_retried", cause=cause, commit_unknown=aborted and error.commit_unknown)
        return True

    if limit is None:
        return await retry(lambda: _run_to_completion(work), CONFLICT, should_retry)
    timeout = asyncio.timeout_at(deadline)
    try:
        async with timeout:
            return await retry(
                lambda: _run_to_completion(work, deadline), CONFLICT, should_retry, deadline=deadline
            )
    except TimeoutError as error:
        if not timeout.expired():
            raise
        log.warning("transaction_timed_out", seconds=limit)
        # What an earlier try failed with says more.
        raise last or no_response_error() from error


async def _run_to_completion[R](work: Callable[[], Awaitable[R]], deadline: float = math.inf) -> R:
    """Run a transaction in its own task, so that it completes even if its caller is cancelled: an interrupted driver
    may leave a connection with locks, on SQLite the write lock.

    Args:
        deadline: The event loop's time from which on the caller does not wait for that.
    """

    async def marked() -> R:
        _retrying.set(asyncio.current_task())
        return await work()

    task = asyncio.create_task(marked())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        loop = asyncio.get_running_loop()
        if loop.time() >= deadline:
            loop.call_later(CANCEL_GRACE_SECONDS, task.cancel)
            task.add_done_callback(_retrieve_error)
            raise
        _, late = await asyncio.wait([task], timeout=CANCEL_GRACE_SECONDS)
        if late:
            task.cancel()
        else:
            _retrieve_error(task)
        raise


def _retrieve_error(task: asyncio.Task[Any]) -> None:
    """Keep asyncio from reporting the error of a task that nothing waits for."""
    if not task.cancelled():
        task.exception()
