"""Makes the answers of the runs that this process has: from their first event to their end, or until they leave.

Nothing here is done twice by two processes: every write demands the run's fence. What a crash between two steps leaves
behind, whoever takes the run over finds (`faultpoints.POINTS` names the gaps).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import structlog
from chatkit.types import ThreadStreamEvent

from backchannel.chat.protocol.commands import accept, load_thread
from backchannel.chat.protocol.failures import explain, failure_event
from backchannel.chat.recovery.replay import Told, told
from backchannel.chat.recovery.resume import can_resume, resumed_turn
from backchannel.chat.recovery.snapshot import untold
from backchannel.chat.turn import Driver, Server, Turn, TurnFailedError
from backchannel.chat.protocol.wire import encode_event
from backchannel.context import RequestContext
from backchannel.errors import BackchannelError, ConflictError, NotFoundError, UnavailableError
from backchannel.event_logs.base import Event
from backchannel.faultpoints import reached
from backchannel.runs.patience import patiently
from backchannel.runs.run import Run
from backchannel.runs.stores import RunStores
from backchannel.stores.base import WritesAtomically
from backchannel.stores.run_states import ACTIVE, RunStatus
from backchannel.stores.run_store import RunFencedError, RunRecord
from backchannel.stores.times import utc_now

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 5
"""How many processes may die over one run before it is given up: it may be what kills them."""


class GivenUpError(BackchannelError):
    """The answer was begun too often, or cannot be gone on with."""

    code = "interrupted"
    status = 503


class Maker:
    """Makes answers.

    Args:
        debug: Whether error events say what was raised.
    """

    def __init__(self, server: Server, stores: RunStores, *, debug: bool) -> None:
        self._server = server
        self._stores = stores
        self._debug = debug

    def teller(self, run_id: str) -> Callable[[Mapping[str, Any]], None]:
        """How agents and tools of a run tell programs what happens."""
        events = self._stores.events

        def tell(event: Mapping[str, Any]) -> None:
            body = json.dumps(event, ensure_ascii=False, default=str).encode(errors="replace")
            events.append(run_id, Event(body, plain=True))

        return tell

    async def together[R](self, work: Callable[[], Awaitable[R]]) -> R:
        """Do what is written to the stores of conversations and of runs as one, where that can be."""
        store = self._server.store
        return await (store.atomically(work) if isinstance(store, WritesAtomically) else work())

    async def make(self, run: Run, turn: Turn) -> None:
        """Make an answer that was taken in just now, and end the run."""
        await self._drive(run, self._driver(run, turn))

    async def make_claimed(self, run: Run) -> None:
        """Take in the request of a run that has waited, make its answer, and end the run."""
        reached("queue.claimed")
        await self._begin(run)

        async def take_in() -> Turn:
            await self._stores.runs.guard(run.id, run.fence)
            turn = await accept(self._server, run.request, run.context)
            reached("request.kept")
            await self._stores.runs.began(run.id, run.fence, turn.began_after)
            return turn

        try:
            turn = await patiently(lambda: self.together(take_in))
        except RunFencedError:
            raise
        except Exception as error:
            await self.refuse(run, error)
            return
        reached("request.taken_in")
        await self.make(run, turn)

    async def go_on(self, run: Run) -> None:
        """Go on with a run whose process died or let go of it, and end it."""
        run_id, began_after = run.id, run.record.began_after
        await self._begin(run, after_crash=True)
        if run.record.stop is None and run.record.attempt <= MAX_ATTEMPTS and began_after is None:
            await self.make_claimed(run)
            return
        so_far = await told(self._stores.events, run_id)
        if run.record.stop is not None or run.record.attempt > MAX_ATTEMPTS:
            await self._break_off(run, so_far, run.record.stop or "interrupted")
        elif not can_resume(self._server, run.request):
            await self._break_off(run, so_far, "interrupted")
        else:
            assert began_after is not None
            thread_id = run.record.thread_id
            try:
                turn = await patiently(
                    lambda: resumed_turn(
                        self._server, run.request, thread_id, began_after, so_far, run.context
                    )
                )
            except Exception as error:
                await self.refuse(run, error)
                return
            log.info("run_goes_on", attempt=run.record.attempt)
            await self._drive(run, self._driver(run, turn))

    async def refuse(self, run: Run, error: Exception) -> None:
        """End a run whose request could not be taken in, and tell its readers why."""
        if not isinstance(error, BackchannelError):
            log.error("run_failed", exc_info=error)
        self._tell_failure(run, error)
        await self._finish(run, "failed", explain(error).code)

    async def bury(self, record: RunRecord, context: RequestContext) -> None:
        """End the log of a run that has ended, whose process died in between; or the run itself, if nothing is kept
        by which anybody could go on with it. Readers are told first what is kept and they were not told."""
        events = self._stores.events
        await events.begin(record.id, record.identity, fence=record.fence, after_crash=True)
        error: BackchannelError | None = None
        if record.status in ACTIVE:
            error = GivenUpError("The answer was interrupted by a restart of the server. Try again.")
            await self._stores.runs.finish(record.id, record.fence, "interrupted", error.code, context.usage)
        so_far = await told(events, record.id)
        for event in await untold(self._server, record, so_far, context):
            events.append(record.id, encode_event(event))
        if error is None and record.status in {"failed", "interrupted"} and not so_far.failed:
            error = GivenUpError("The answer ended with an error. Try again.")
        if error is not None:
            events.append(record.id, encode_event(failure_event(error, context, debug=self._debug)))
        await events.end(record.id)

    async def stopped(self, run: Run, status: RunStatus, driver: Driver | None = None) -> None:
        """End a run that was stopped before its answer was made; what it said is kept."""
        if driver is not None:
            await driver.keep_what_was_said(stopped=status == "cancelled")
        taken_in = driver is not None or await self._told_of_message(run)
        if status == "interrupted":
            error = UnavailableError("The server is restarting and could not finish. Try again.")
            self._tell_failure(run, error)
        elif not taken_in:
            self._tell_failure(run, ConflictError("The message was withdrawn before its turn came."))
        await self._finish(run, status, None)

    async def _told_of_message(self, run: Run) -> bool:
        """Whether the message of a run that was stopped so early was taken in all the same; then it is told."""
        # Its log may not have been opened here yet, and readers elsewhere wait for the end.
        await self._begin(run, after_crash=run.record.attempt > 1)
        record = await patiently(lambda: self._stores.runs.load(run.id, run.identity))
        if record.began_after is None:
            return False
        so_far = await told(self._stores.events, run.id)
        for event in await untold(self._server, record, so_far, run.context):
            self._stores.events.append(run.id, encode_event(event))
        return True

    async def _begin(self, run: Run, *, after_crash: bool = False) -> None:
        events = self._stores.events
        await patiently(lambda: events.begin(run.id, run.identity, fence=run.fence, after_crash=after_crash))

    async def _drive(self, run: Run, driver: Driver) -> None:
        try:
            await driver.drive()
        except TurnFailedError as error:
            await self._finish(run, "failed", error.cause.code)
        except asyncio.CancelledError:
            if run.stopping in {"released", "fenced"}:
                raise
            # Whoever cancelled waits for this; being cancelled again may cut it short.
            status = "cancelled" if run.stopping == "cancelled" else "interrupted"
            await self.stopped(run, status, driver)
        else:
            reached("answer.made")
            await self._finish(run, "waiting" if driver.asks else "completed", None)

    async def _break_off(self, run: Run, so_far: Told, status: RunStatus) -> None:
        """End an answer that nobody can go on with; what was said is kept."""
        try:
            thread = await load_thread(self._server, run.record.thread_id, run.context)
        except NotFoundError as error:
            await self.refuse(run, error)
            return
        driver = self._driver(run, Turn(thread, _nothing, ""), so_far)
        await driver.keep_what_was_said(stopped=status == "cancelled")
        if status != "interrupted":
            await self._finish(run, status, None)
            return
        error = GivenUpError("The answer was interrupted by a restart of the server. Try again.")
        self._tell_failure(run, error)
        await self._finish(run, status, error.code)

    def _tell_failure(self, run: Run, error: Exception) -> None:
        self._stores.events.append(run.id, encode_event(failure_event(error, run.context, debug=self._debug)))

    async def _finish(self, run: Run, status: RunStatus, error_code: str | None) -> None:
        # Whoever stops it from here on would leave a row that has ended and a log that has not.
        run.ending = True
        usage = run.context.usage
        await patiently(lambda: self._stores.runs.finish(run.id, run.fence, status, error_code, usage))
        run.end(status)
        reached("run.finished")
        try:
            await self._stores.events.end(run.id)
        except UnavailableError:
            # Its readers here were told. The log is ended by whoever takes over what is left of this process.
            log.warning("log_not_ended")
        reached("log.ended")
        seconds = (utc_now() - run.record.created_at).total_seconds()
        log.info("run_ended", status=status, error_code=error_code, seconds=round(seconds, 3))

    def _driver(self, run: Run, turn: Turn, so_far: Told | None = None) -> Driver:
        async def commit(work: Callable[[], Awaitable[Any]]) -> Any:
            async def guarded() -> Any:
                await self._stores.runs.guard(run.id, run.fence)
                return await work()

            return await patiently(lambda: self.together(guarded))

        return Driver(
            self._server,
            turn,
            run.context,
            lambda event: self._stores.events.append(run.id, encode_event(event)),
            commit,
            can_stop=run.can_stop,
            partial=so_far.partial if so_far else None,
            debug=self._debug,
        )


async def _nothing(_context: RequestContext) -> AsyncIterator[ThreadStreamEvent]:
    return
    yield
