"""What a run writes: items under its fence, events to its log, and its end.

A store on the same `Database` as the runs shares their transactions: what a person did, the run that answers it and the
run's progress are stored together or not at all. Any other store is written in steps of its own, in an order that a
crash between two steps leaves recoverable.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import structlog
from chatkit.types import ErrorEvent, ThreadStreamEvent

from backchannel.chat.protocol.failures import failure_event
from backchannel.chat.protocol.wire import encode_event
from backchannel.chat.turn import Server, Turn
from backchannel.context import RequestContext, Usage
from backchannel.errors import UnavailableError
from backchannel.event_logs.base import Event, FencedError
from backchannel.faultpoints import reached
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.hooks import RunEnded, run_fields
from backchannel.retry import retry_until_available
from backchannel.runs.run import Run
from backchannel.runs.stores import RunStores
from backchannel.stores.base import WritesAtomically
from backchannel.stores.run_states import RunStatus
from backchannel.stores.run_store import RunRecord
from backchannel.stores.times import utc_now

log = structlog.get_logger(__name__)

PERSIST_SECONDS = 2.0
"""How long a complete item waits for its events to be persisted. Less than the time after which readers get events that
are not persisted, so that a reader does not get the end of an item from two processes."""

RECORD_SECONDS = 5.0
"""How long even a request retries to record what its store has accepted already."""


CALLS_SECONDS = 2.0
"""How long the end of a run waits for the ends of its calls of models."""


class RunOutput:
    """Writes on behalf of runs.

    Args:
        debug: Whether error events say what was raised.

    Attributes:
        debug: See above.
        shares_transactions: Whether the server's store writes in the transactions of the run store.
    """

    def __init__(self, server: Server, stores: RunStores, hooks: HookDispatcher, *, debug: bool) -> None:
        self._server = server
        self._stores = stores
        self._hooks = hooks
        self.debug = debug
        database = getattr(stores.runs, "database", None)
        self.shares_transactions = (
            isinstance(server.store, WritesAtomically)
            and database is not None
            and getattr(server.store, "database", None) is database
        )

    async def in_transaction[R](self, work: Callable[[], Awaitable[R]]) -> R:
        """Run `work`, which writes to the run store and to the server's store: as one transaction where they share
        one, else step by step."""
        return await (self._atomically(work) if self.shares_transactions else work())

    async def accept(
        self,
        claim: Callable[[], Awaitable[None]],
        accept: Callable[[], Awaitable[Turn]],
        record: Callable[[Turn], Awaitable[None]],
        *,
        retry_seconds: float,
    ) -> Turn:
        """Accept a request: `claim` the run in the run store, `accept` the request in the server's store, `record` in
        the run store that it was accepted. One transaction where the stores share one.

        Else they are three steps. A refusal in the second one is raised after the first one, which the caller undoes; a
        crash after the second one leaves the message stored and unanswered.

        Args:
            retry_seconds: How long to retry while a store is away. The second step is repeated only if its store writes
                it as a whole.
        """
        if self.shares_transactions:

            async def together() -> Turn:
                await claim()
                turn = await accept()
                await record(turn)
                return turn

            return await _retried(lambda: self._atomically(together), retry_seconds)
        await _retried(claim, retry_seconds)
        whole = isinstance(self._server.store, WritesAtomically)
        turn = await _retried(lambda: self._atomically(accept), retry_seconds if whole else 0)
        await _retried(lambda: record(turn), max(retry_seconds, RECORD_SECONDS))
        return turn

    async def commit(self, run: Run, work: Callable[[], Awaitable[Any]]) -> Any:
        """Perform a write of a run, retried while the database is away.

        Raises:
            RunFencedError: Another process has taken the run over; nothing is written.
        """

        async def fenced() -> Any:
            await self._stores.runs.check_fence(run.id, run.fence)
            return await work()

        return await retry_until_available(lambda: self.in_transaction(fenced))

    async def persist(self, run_id: str) -> None:
        """Wait, for at most `PERSIST_SECONDS`, until the events that were published are persisted."""
        try:
            async with asyncio.timeout(PERSIST_SECONDS):
                await self._stores.events.flush(run_id)
        except (UnavailableError, TimeoutError):
            # After a crash, `recovery.resume` then finds text missing from the log and sends the message anew.
            log.warning("events_not_persisted", run_id=run_id)
        except FencedError:
            # The next commit is refused.
            pass

    def publish(self, run_id: str, event: ThreadStreamEvent) -> None:
        """Append a thread event to a run's log."""
        self._stores.events.append(run_id, encode_event(event))

    def failure(self, error: BaseException, context: RequestContext) -> ErrorEvent:
        """The `error` event that ends a stream."""
        return failure_event(error, context, debug=self.debug)

    def plain_publisher(self, run_id: str) -> Callable[[Mapping[str, Any]], None]:
        """How agents and tools of a run append events for readers of the plain API."""
        events = self._stores.events

        def publish(event: Mapping[str, Any]) -> None:
            body = json.dumps(event, ensure_ascii=False, default=str).encode(errors="replace")
            events.append(run_id, Event(body, plain=True))

        return publish

    async def finish(
        self, run: Run, status: RunStatus, error_code: str | None, failure: ErrorEvent | None = None
    ) -> None:
        """Store the end of a run, book its usage, and end its log.

        Args:
            failure: The last event, if the run failed. Readers get it once the end is stored, or after
                `PERSIST_SECONDS` if the database is away: a process that takes over a failed run whose end is not
                stored would answer again, and readers could get a second error.

        Raises:
            RunFencedError: Another process has taken the run over.
            UnavailableError: The database was away for `retry.RUN_SECONDS`.
        """
        # A stop from here on would leave a row that has ended and a log that has not.
        run.ending = True
        usage = run.context.usage
        await _calls_ended(usage)
        usage.closed = True
        storing = retry_until_available(
            lambda: self._stores.runs.finish(run.id, run.fence, status, error_code, usage)
        )
        await (storing if failure is None else self._publish_after(storing, run.id, failure))
        run.end(status)
        reached("run.finished")
        try:
            await self._stores.events.end(run.id)
        except UnavailableError:
            # Readers in this process saw the end. The process that rescues this one's runs ends the stored log.
            log.warning("log_not_ended")
        reached("log.ended")
        self.report_end(run.record, run.context, status, error_code)

    async def store_usage(self, run: Run) -> None:
        """Book what a run has used here; it goes on in another process."""
        usage = run.context.usage
        await _calls_ended(usage)
        usage.closed = True
        calls = list(usage.unstored.values())
        if calls and self._stores.usage is not None:
            try:
                await self._stores.usage.add(run.identity, run.id, calls)
            except UnavailableError:
                log.warning("usage_not_stored", run_id=run.id)

    async def _publish_after(
        self, storing: Coroutine[Any, Any, None], run_id: str, failure: ErrorEvent
    ) -> None:
        task = asyncio.create_task(storing)
        try:
            _, late = await asyncio.wait({task}, timeout=PERSIST_SECONDS)
            if late:
                self.publish(run_id, failure)
            await task
            if not late:
                self.publish(run_id, failure)
        finally:
            task.cancel()

    def report_end(
        self, record: RunRecord, context: RequestContext, status: RunStatus, error_code: str | None
    ) -> None:
        """Report to the hooks that this process has ended a run."""
        self._hooks.emit(
            RunEnded(
                **run_fields(context, record.thread_id),
                operation=record.operation,
                status=status,
                error_code=error_code,
                usage=context.usage,
                seconds=(utc_now() - record.created_at).total_seconds(),
            )
        )

    async def _atomically[R](self, work: Callable[[], Awaitable[R]]) -> R:
        store = self._server.store
        return await (store.atomically(work) if isinstance(store, WritesAtomically) else work())


async def _calls_ended(usage: Usage) -> None:
    """Wait, for at most `CALLS_SECONDS`, until what the run's calls of models have used is known: those that a stop has
    cut off."""
    loop = asyncio.get_running_loop()
    # A synchronous tool may run agents in a loop of its own.
    here = [each for each in usage.in_progress if each.get_loop() is loop]
    if here:
        await asyncio.wait(here, timeout=CALLS_SECONDS)


async def _retried[R](work: Callable[[], Awaitable[R]], seconds: float) -> R:
    return await (retry_until_available(work, seconds=seconds) if seconds else work())
