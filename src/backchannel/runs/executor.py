"""Executes runs: from their first event to their end, or until another process takes them over.

Nothing here is done twice by two processes: every write demands the run's fence. What a crash between two steps leaves
behind is found by the process that takes the run over (`faultpoints.POINTS` names the gaps).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import structlog
from chatkit.types import AssistantMessageItem, SDKHiddenContextItem, ThreadItem, ThreadStreamEvent

from backchannel.chat.driver import TurnDriver, TurnFailedError
from backchannel.chat.protocol.commands import accept, check_waiting, load_thread
from backchannel.chat.protocol.failures import explain, stored_failure
from backchannel.chat.recovery.replay import ReaderState, replay
from backchannel.chat.recovery.resend import missing_items, sent_again
from backchannel.chat.recovery.resume import can_resume, resumed_turn
from backchannel.chat.recovery.resume_point import answer_items
from backchannel.chat.recovery.snapshot import missing_events
from backchannel.chat.turn import Server, Turn
from backchannel.context import RequestContext
from backchannel.errors import BackchannelError, ConflictError, NotFoundError, UnavailableError
from backchannel.faultpoints import reached
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.hooks import RunStarted, RunTakenOver, run_fields
from backchannel.model_calls.tokens import estimate_tokens
from backchannel.retry import RUN_SECONDS, retry_until_available
from backchannel.runs.output import RunOutput
from backchannel.runs.run import Run
from backchannel.runs.stores import RunStores
from backchannel.stores.run_states import ACTIVE, RunStatus
from backchannel.stores.run_store import RunFencedError, RunRecord
from backchannel.stores.times import utc_now

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 5
"""How many processes may die over one run before it is abandoned: the run may be what kills them."""

INTERRUPTED = "The answer was interrupted by a restart of the server. Try again."


class RunAbandonedError(BackchannelError):
    """The answer was begun too often, or cannot be resumed."""

    code = "interrupted"
    status = 503


class Executor:
    """Executes the runs of one process."""

    def __init__(self, server: Server, stores: RunStores, output: RunOutput, hooks: HookDispatcher) -> None:
        self._server = server
        self._stores = stores
        self._output = output
        self._hooks = hooks

    async def execute(self, run: Run, turn: Turn) -> None:
        """Answer a request that was accepted just now, and end the run."""
        waited = (utc_now() - run.record.created_at).total_seconds()
        fields = run_fields(run.context, turn.thread.id)
        self._hooks.emit(RunStarted(**fields, operation=run.record.operation, queued_seconds=max(waited, 0)))
        await self._drive(run, self._driver(run, turn))

    async def execute_claimed(self, run: Run) -> None:
        """Accept the request of a run that has waited for its turn, answer it, and end the run."""
        reached("queue.claimed")
        await self._begin_log(run)

        async def claim() -> None:
            await self._stores.runs.check_fence(run.id, run.fence)

        async def accept_request() -> Turn:
            await check_waiting(self._server, run.request, run.context)
            turn = await accept(self._server, run.request, run.context)
            reached("request.stored")
            return turn

        async def record(turn: Turn) -> None:
            await self._stores.runs.mark_accepted(run.id, run.fence, turn.began_after)

        try:
            turn = await self._output.accept(claim, accept_request, record, retry_seconds=RUN_SECONDS)
        except (RunFencedError, asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            await self.refuse(run, error)
            return
        reached("request.accepted")
        await self.execute(run, turn)

    async def resume(self, run: Run) -> None:
        """Go on with a run whose process died or released it, and end it."""
        began_after = run.record.began_after
        await self._begin_log(run, after_crash=True)
        fields = run_fields(run.context, run.record.thread_id)
        self._hooks.emit(RunTakenOver(**fields, attempt=run.record.attempt, fence=run.fence))
        abandon = run.record.stop is not None or run.record.attempt > MAX_ATTEMPTS
        if began_after is None and not abandon:
            await self.execute_claimed(run)
            return
        state = await replay(self._stores.events, run.id)
        await self._settle(run.id, state)
        if state.failed:
            await self._end_failed(run, state)
        elif abandon:
            await self._end_unresumed(run, state, run.record.stop or "interrupted")
        elif not can_resume(self._server, run.request):
            await self._end_unresumed(run, state, "interrupted")
        else:
            assert began_after is not None
            thread_id = run.record.thread_id
            try:
                turn = await retry_until_available(
                    lambda: resumed_turn(
                        self._server, run.request, thread_id, began_after, state, run.context
                    )
                )
            except (asyncio.CancelledError, GeneratorExit):
                raise
            except BaseException as error:
                await self.refuse(run, error)
                return
            await self._drive(run, self._driver(run, turn, state))

    async def refuse(self, run: Run, error: BaseException) -> None:
        """End a run whose request could not be accepted, and show its readers why."""
        if not isinstance(error, BackchannelError):
            log.error("run_failed", exc_info=error)
        await self._output.finish(
            run, "failed", explain(error).code, self._output.failure(error, run.context)
        )

    async def refuse_adopted(self, run: Run, error: BaseException) -> None:
        """End a run that this process took from the queue or from another one, and cannot execute."""
        await self._begin_log(run, after_crash=run.fence > 1)
        await self.refuse(run, error)

    async def close_orphan(self, record: RunRecord, context: RequestContext) -> None:
        """End the log of a run that has ended, if its process died between the two; or the run itself, if too little
        of it is stored to resume it. Readers first get what is stored and was not in the log."""
        events = self._stores.events
        await events.begin(record.id, record.identity, fence=record.fence, after_crash=True)
        error: BackchannelError | None = None
        if record.status in ACTIVE:
            error = RunAbandonedError(INTERRUPTED)
            await self._stores.runs.finish(record.id, record.fence, "interrupted", error.code, context.usage)
        state = await replay(events, record.id)
        await self._settle(record.id, state)
        for event in await missing_events(self._server, record, state, context):
            self._output.publish(record.id, event)
        if error is None and record.status in {"failed", "interrupted"} and not state.failed:
            error = stored_failure(record.error_code)
        if error is not None:
            self._output.publish(record.id, self._output.failure(error, context))
        await events.end(record.id)
        if record.status in ACTIVE:
            self._output.report_end(record, context, "interrupted", RunAbandonedError.code)

    async def end_stopped(self, run: Run, status: RunStatus, driver: TurnDriver | None = None) -> None:
        """End a run that was stopped before its answer was complete; what had been shown of it is stored."""
        if driver is not None:
            # What readers have seen of the part, a process that takes the run over has from the log.
            await self._output.persist(run.id)
            if status == "cancelled":
                # A process that takes the run over after a crash must not take the stored part for the whole answer.
                await retry_until_available(
                    lambda: self._stores.runs.request_stop(run.id, run.identity, "cancelled")
                )
                reached("stop.stored")
            await driver.save_partial_items(stopped=status == "cancelled")
            reached("part.stored")
        elif run.record.attempt > 1 and run.record.began_after is not None:
            # Stopped while it was being taken over.
            await self._begin_log(run, after_crash=True)
            state = await replay(self._stores.events, run.id)
            await self._settle(run.id, state)
            await (self._end_failed(run, state) if state.failed else self._end_unresumed(run, state, status))
            return
        accepted = driver is not None or await self._publish_accepted_message(run)
        error: BackchannelError | None = None
        if status == "interrupted":
            error = UnavailableError("The server is restarting and could not finish. Try again.")
        elif not accepted:
            error = ConflictError("The message was withdrawn before its turn came.")
        await self._output.finish(run, status, None, error and self._output.failure(error, run.context))

    async def _publish_accepted_message(self, run: Run) -> bool:
        """Whether the message of a run that was stopped before its first event was stored; if so, publish it."""
        # The log may not have been opened here yet, and readers elsewhere wait for the end.
        await self._begin_log(run, after_crash=run.record.attempt > 1)
        record = await retry_until_available(lambda: self._stores.runs.load(run.id, run.identity))
        if record.began_after is None:
            return False
        state = await replay(self._stores.events, run.id)
        for event in await missing_events(self._server, record, state, run.context):
            self._output.publish(run.id, event)
        return True

    async def _settle(self, run_id: str, state: ReaderState) -> None:
        """Settle what a process that has died reserved of budgets for its calls of models. They are settled before the
        answer goes on, whose calls reserve for themselves."""
        ledger = self._stores.ledger
        if ledger is None:
            return
        texts = (
            part.text
            for item in state.partial.items()
            if isinstance(item, AssistantMessageItem)
            for part in item.content
        )
        written = sum(map(estimate_tokens, texts))
        settled = await retry_until_available(lambda: ledger.settle_run(run_id, written))
        if settled:
            log.info("reservations_settled", run_id=run_id, calls=settled)

    async def _begin_log(self, run: Run, *, after_crash: bool = False) -> None:
        events = self._stores.events
        await retry_until_available(
            lambda: events.begin(run.id, run.identity, fence=run.fence, after_crash=after_crash)
        )

    async def _drive(self, run: Run, driver: TurnDriver) -> None:
        try:
            await driver.drive()
        except TurnFailedError as error:
            await self._end_with_error(run, driver, error)
        except asyncio.CancelledError:
            if run.stop_as in {"released", "fenced"}:
                raise
            # The caller of `Run.stop` waits for this; a second cancellation may cut it short.
            status = "cancelled" if run.stop_as == "cancelled" else "interrupted"
            await self.end_stopped(run, status, driver)
        else:
            reached("answer.completed")
            await self._output.finish(run, "waiting" if driver.awaits_input else "completed", None)

    async def _end_with_error(self, run: Run, driver: TurnDriver, error: TurnFailedError) -> None:
        """End a run whose answer failed; what had been shown of it is stored."""
        # A stop would cut the writes off.
        run.ending = True
        await self._output.persist(run.id)
        with suppress(UnavailableError):
            # As with a stop: a process that takes the run over must not take the stored part for the whole answer.
            await retry_until_available(
                lambda: self._stores.runs.request_stop(run.id, run.identity, "failed", error.cause.code)
            )
        reached("failure.stored")
        await driver.save_partial_items(stopped=False)
        reached("part.stored")
        await self._output.finish(run, "failed", error.cause.code, error.event)

    async def _end_failed(self, run: Run, state: ReaderState) -> None:
        """End an answer that had failed when its process died: readers have its error, and no second one may follow."""
        events = await retry_until_available(
            lambda: missing_events(self._server, run.record, state, run.context)
        )
        for event in events:
            self._output.publish(run.id, event)
        await self._output.finish(run, "failed", state.error_code)

    async def _end_unresumed(self, run: Run, state: ReaderState, status: RunStatus) -> None:
        """End an answer that cannot be resumed; what had been shown of it is stored."""
        # A stop would cut the writes off.
        run.ending = True
        try:
            thread = await load_thread(self._server, run.record.thread_id, run.context)
        except NotFoundError as error:
            await self.refuse(run, error)
            return
        stored = await retry_until_available(lambda: self._stored_answer(run))
        for event in missing_items(stored, state):
            self._output.publish(run.id, event)
        for item in stored:
            state.partial.end(item.id)
        for item in state.partial.items():
            if isinstance(item, AssistantMessageItem):
                # Readers of the dead process may have more text than the log.
                for event in sent_again(item):
                    self._output.publish(run.id, event)
        driver = self._driver(run, Turn(thread, _no_events, ""), state)
        # The dead process may have stored the stop.
        noted = any(isinstance(item, SDKHiddenContextItem) for item in stored)
        await driver.save_partial_items(stopped=status == "cancelled" and not noted)
        if status == "cancelled":
            await self._output.finish(run, status, None)
            return
        failed = status == "failed"
        error = stored_failure(run.record.error_code) if failed else RunAbandonedError(INTERRUPTED)
        await self._output.finish(run, status, error.code, self._output.failure(error, run.context))

    async def _stored_answer(self, run: Run) -> list[ThreadItem]:
        record, context = run.record, run.context.for_server
        if record.began_after is None:
            return []
        return await answer_items(self._server.store, record.thread_id, record.began_after, context)

    def _driver(self, run: Run, turn: Turn, state: ReaderState | None = None) -> TurnDriver:
        return TurnDriver(
            self._server,
            turn,
            run.context,
            lambda event: self._output.publish(run.id, event),
            lambda work: self._output.commit(run, work),
            lambda: self._output.persist(run.id),
            self._hooks,
            can_stop=run.can_stop,
            partial=state.partial if state else None,
            debug=self._output.debug,
            is_stopped=lambda: run.stop_as is not None,
        )


async def _no_events(_context: Any) -> AsyncIterator[ThreadStreamEvent]:
    return
    yield
