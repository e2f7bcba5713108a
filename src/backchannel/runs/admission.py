"""Requests become runs: checked and kept together with what the person did, or set to wait, or refused.

What is refused has changed nothing.
"""

from dataclasses import replace
from typing import Literal

import structlog
from chatkit.types import ProgressUpdateEvent

from backchannel.chat.protocol.commands import accept, open_thread
from backchannel.chat.protocol.failures import failure_event
from backchannel.chat.turn import Server, Turn
from backchannel.chat.protocol.wire import encode_event
from backchannel.errors import ConflictError
from backchannel.faultpoints import reached
from backchannel.runs.stored_request import read_caller
from backchannel.runs.worker import LiveRuns
from backchannel.runs.executor import Maker
from backchannel.runs.run import Run
from backchannel.runs.stores import RunStores
from backchannel.stores.patience import patient
from backchannel.stores.run_states import ACTIVE
from backchannel.stores.run_store import Attempt, QueueFullError, RunRecord, ThreadBusyError

log = structlog.get_logger(__name__)

type WhileRunning = Literal["reject", "enqueue", "interrupt"]


class Intake:
    """Takes requests in.

    Args:
        while_running: What becomes of a message to a thread that is being answered.
    """

    def __init__(
        self, server: Server, stores: RunStores, live: LiveRuns, maker: Maker, while_running: WhileRunning
    ) -> None:
        self._server = server
        self._stores = stores
        self._live = live
        self._maker = maker
        self._while_running: WhileRunning = while_running

    async def take_in(self, run: Run, attempt: Attempt | None) -> None:
        """Take in a request that came just now, and answer it; or let it wait."""
        # Whoever asks is waiting for it, and can ask again.
        with patient(0):
            try:
                turn = await self._maker.together(lambda: self._kept(run, attempt))
            except ThreadBusyError:
                await self._wait(run, attempt)
                return
        reached("request.taken_in")
        structlog.contextvars.bind_contextvars(thread_id=run.record.thread_id)
        log.info("run_started", operation=run.record.operation)
        run.settle()
        await self._maker.make(run, turn)

    async def _kept(self, run: Run, attempt: Attempt | None) -> Turn:
        # What the person did and the run that answers it are kept together, or not at all.
        runs, record = self._stores.runs, run.record
        if attempt is not None:
            await self._stores.attempts.add(replace(attempt, run_id=run.id), run.identity)
        new_thread = not record.thread_id
        if not new_thread:
            await runs.hold(record)
        turn = await accept(self._server, run.request, run.context)
        reached("request.kept")
        run.record = replace(record, thread_id=turn.thread.id, began_after=turn.began_after)
        if new_thread:
            await runs.hold(run.record)
        else:
            await runs.began(run.id, run.fence, turn.began_after)
        await self._stores.events.begin(run.id, run.identity, fence=run.fence)
        return turn

    async def _wait(self, run: Run, attempt: Attempt | None) -> None:
        """The thread is being answered: let the run wait for its turn, or whatever the policy is."""
        policy, record = self._while_running, run.record
        if policy == "reject":
            raise ConflictError("This conversation is being answered. Wait for the answer, or stop it.")
        if policy == "interrupt":
            await self._interrupt(record)
        queued = replace(record, status="queued", replica=None, fence=0, attempt=0)

        async def keep() -> None:
            if attempt is not None:
                await self._stores.attempts.add(replace(attempt, run_id=run.id), run.identity)
            await open_thread(self._server, record.thread_id, run.context)
            await self._stores.runs.enqueue(queued)
            await self._stores.events.begin(run.id, run.identity, fence=0)

        try:
            await self._maker.together(keep)
        except QueueFullError:
            raise ConflictError("Too many messages wait in this conversation. Wait for an answer.") from None
        run.record = queued
        waits = ProgressUpdateEvent(icon="clock", text="Waiting for the answer before")
        self._stores.events.append(run.id, encode_event(waits))
        await self._stores.events.release(run.id)
        reached("queue.kept")
        run.settle()
        # Whoever went on when this was asked may have ended before it was kept, and have seen nobody waiting.
        await self._live.advance(record.queue)

    async def _interrupt(self, record: RunRecord) -> None:
        """Stop what goes on in the thread and what waits there."""
        others = await self._stores.runs.of_thread(
            record.thread_id, record.identity, status=ACTIVE, limit=100
        )
        for other in others:
            if other.status == "queued" and await self._stores.runs.cancel(other.id, record.identity):
                await self.withdraw(other)
            elif (here := self._live.get(other.id)) is not None:
                here.stop("cancelled")
            else:
                await self._stores.runs.ask_to_stop(other.id, record.identity, "cancelled")

    async def withdraw(self, record: RunRecord) -> None:
        """End the log of a run that waited."""
        if record.status != "queued":
            return
        context, _ = read_caller(record, {}, self._maker.teller(record.id))
        error = ConflictError("The message was withdrawn before its turn came.")
        await self._stores.events.begin(record.id, record.identity, fence=record.fence + 1)
        self._stores.events.append(record.id, encode_event(failure_event(error, context, debug=False)))
        await self._stores.events.end(record.id)
