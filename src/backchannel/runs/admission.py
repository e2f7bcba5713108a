"""Admission: a request becomes a run that starts at once, a queued run, or a refusal, which has changed nothing."""

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from typing import Literal
from weakref import WeakValueDictionary

import structlog
from chatkit.types import ProgressUpdateEvent

from backchannel.chat.protocol.commands import accept, check_waiting, open_thread
from backchannel.chat.turn import Server, Turn
from backchannel.errors import ConflictError, TooManyRunsError
from backchannel.event_logs.base import FencedError
from backchannel.faultpoints import reached
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.hooks import RunQueued, run_fields
from backchannel.retry import with_retry_budget
from backchannel.runs.executor import Executor
from backchannel.runs.output import RunOutput
from backchannel.runs.run import Run
from backchannel.runs.stored_request import load_context
from backchannel.runs.stores import RunStores
from backchannel.runs.worker import Worker
from backchannel.stores.run_states import ACTIVE
from backchannel.stores.run_store import (
    IdempotencyKeyInUseError,
    IdempotencyRecord,
    QueueFullError,
    RunFencedError,
    RunLimitError,
    RunRecord,
    ThreadBusyError,
)

log = structlog.get_logger(__name__)

TOO_MANY_RUNS_SECONDS = 5
"""`retry_after` if a caller has too many runs: nothing says when one of them ends."""

type WhileRunning = Literal["reject", "enqueue", "interrupt"]


class Admission:
    """Admits requests.

    Args:
        while_running: What happens to a message to a thread that is being answered.
        max_concurrent: The most runs of one user that are running or queued; 0 for no limit.
    """

    def __init__(
        self,
        server: Server,
        stores: RunStores,
        worker: Worker,
        executor: Executor,
        output: RunOutput,
        hooks: HookDispatcher,
        while_running: WhileRunning,
        max_concurrent: int = 0,
    ) -> None:
        self._server = server
        self._stores = stores
        self._worker = worker
        self._executor = executor
        self._output = output
        self._hooks = hooks
        self._while_running: WhileRunning = while_running
        self._max_concurrent = max_concurrent
        # By queue. A message must not overtake one that came before it and whose transaction takes longer.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # By owner. Requests that wait for their turn to be counted must not do so with a database connection each.
        self._owner_locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def admit(self, run: Run, key: IdempotencyRecord | None) -> None:
        """Accept a request that came just now, and answer it; or queue it.

        Requests to one thread are admitted in the order in which they came to this process.
        """
        lock = self._locks.setdefault(run.record.queue, asyncio.Lock())
        owner_lock = self._owner_locks.setdefault(run.identity.owner, asyncio.Lock())
        # The client waits, and can repeat the request.
        with with_retry_budget(0):
            async with (
                owner_lock if self._max_concurrent else nullcontext(),
                lock if run.record.thread_id else nullcontext(),
            ):
                try:
                    turn = await self._accept(run, key)
                except ThreadBusyError:
                    await self._wait_or_refuse(run, key)
                    return
        reached("request.accepted")
        structlog.contextvars.bind_contextvars(thread_id=run.record.thread_id)
        run.resolve_admission()
        await self._executor.execute(run, turn)

    async def end_withdrawn(self, record: RunRecord) -> None:
        """End the log of a run that was cancelled while it was queued."""
        if record.status != "queued":
            return
        context, _ = load_context(record, {}, self._output.plain_publisher(record.id))
        error = ConflictError("The message was withdrawn before its turn came.")
        await self._stores.events.begin(record.id, record.identity, fence=record.fence + 1)
        self._output.publish(record.id, self._output.failure(error, context))
        await self._stores.events.end(record.id)
        self._output.report_end(record, context, "cancelled", None)

    async def _accept(self, run: Run, key: IdempotencyRecord | None) -> Turn:
        runs, record = self._stores.runs, run.record
        new_thread = not record.thread_id

        async def claim() -> None:
            if key is not None:
                await self._stores.idempotency_keys.add(replace(key, run_id=run.id), run.identity)
            await self._check_room(record)
            if not new_thread:
                await runs.insert_running(record)

        async def accept_request() -> Turn:
            turn = await accept(self._server, run.request, run.context)
            reached("request.stored")
            return turn

        async def mark(turn: Turn) -> None:
            run.record = replace(record, thread_id=turn.thread.id, began_after=turn.began_after)
            if new_thread:
                await runs.insert_running(run.record)
            else:
                await runs.mark_accepted(run.id, run.fence, turn.began_after)
            await self._stores.events.begin(run.id, run.identity, fence=run.fence)

        try:
            return await self._output.accept(claim, accept_request, mark, retry_seconds=0)
        except ThreadBusyError:
            if not self._output.shares_transactions and key is not None:
                await self._stores.idempotency_keys.save_response(key.id, None, run.identity)
            raise
        except (IdempotencyKeyInUseError, RunFencedError, FencedError, asyncio.CancelledError, GeneratorExit):
            # The key is another request's, or the run is another process's by now: neither is ours to delete.
            raise
        except BaseException:
            # Whatever the server's store raises: a claim that stays would block the thread.
            if not self._output.shares_transactions:
                await self._undo_claim(run, key)
            raise

    async def _check_room(self, record: RunRecord) -> None:
        most = self._max_concurrent
        if not most:
            return
        # The runs of the thread are about to be stopped.
        besides = record.queue if self._while_running == "interrupt" and record.thread_id else None
        try:
            await self._stores.runs.check_room(record.identity, most, besides=besides)
        except RunLimitError:
            answers = "Another answer is" if most == 1 else f"{most} other answers are"
            raise TooManyRunsError(
                f"{answers} in progress or queued. Wait for one to finish, or stop one, then try again.",
                retry_after=TOO_MANY_RUNS_SECONDS,
            ) from None

    async def _undo_claim(self, run: Run, key: IdempotencyRecord | None) -> None:
        await self._stores.runs.delete(run.id, run.identity)
        if key is not None:
            await self._stores.idempotency_keys.save_response(key.id, None, run.identity)

    async def _wait_or_refuse(self, run: Run, key: IdempotencyRecord | None) -> None:
        policy, record = self._while_running, run.record
        if policy == "reject":
            raise ConflictError("This conversation is being answered. Wait for the answer, or stop it.")
        await check_waiting(self._server, run.request, run.context)
        if policy == "interrupt":
            await self._interrupt(record)
        queued = replace(record, status="queued", replica=None, fence=0, attempt=0)

        async def enqueue() -> None:
            if key is not None:
                await self._stores.idempotency_keys.add(replace(key, run_id=run.id), run.identity)
            await self._check_room(record)
            await open_thread(self._server, record.thread_id, run.context)
            await self._stores.runs.enqueue(queued)
            await self._stores.events.begin(run.id, run.identity, fence=0)

        try:
            await self._output.in_transaction(enqueue)
        except (QueueFullError, TooManyRunsError) as error:
            if not self._output.shares_transactions and key is not None:
                await self._stores.idempotency_keys.save_response(key.id, None, run.identity)
            if isinstance(error, TooManyRunsError):
                raise
            raise ConflictError("Too many messages wait in this conversation. Wait for an answer.") from None
        run.record = queued
        # Before anything is awaited: the run may be claimed, and started or withdrawn, from now on.
        fields = run_fields(run.context, record.thread_id)
        self._hooks.emit(RunQueued(**fields, operation=record.operation))
        waits = ProgressUpdateEvent(icon="clock", text="Waiting for the answer before")
        self._output.publish(run.id, waits)
        await self._stores.events.release(run.id)
        reached("queue.stored")
        run.resolve_admission()
        # The run that was in progress may have ended before this one was queued, and have found an empty queue.
        await self._worker.start_next(record.queue)

    async def _interrupt(self, record: RunRecord) -> None:
        """Stop the run in progress in the thread, and those that are queued."""
        others = await self._stores.runs.list_by_thread(
            record.thread_id, record.identity, status=ACTIVE, limit=100
        )
        for other in others:
            if other.status == "queued" and await self._stores.runs.cancel(other.id, record.identity):
                await self.end_withdrawn(other)
            elif (local := self._worker.get(other.id)) is not None:
                local.stop("cancelled")
            else:
                await self._stores.runs.request_stop(other.id, record.identity, "cancelled")
