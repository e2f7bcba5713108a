"""The runs of this process: start, follow, stop, drain.

A run is a task of its own. Whoever asked for it reads its event log like anybody else and can go away at any
time; the answer is made and kept all the same.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import structlog
from chatkit.store import NotFoundError as StoreNotFoundError
from chatkit.types import StreamingReq

from backchannel.chat.acceptance import accept, load_thread, thread_of
from backchannel.chat.failures import explain, failure_event
from backchannel.chat.turn import Driver, Server, Turn, TurnFailedError
from backchannel.chat.wire import encode_event
from backchannel.context import Identity, RequestContext
from backchannel.errors import BackchannelError, ConflictError, NotFoundError, UnavailableError
from backchannel.event_logs.base import EventLog
from backchannel.ids import new_id
from backchannel.runs.attempts import Attempts
from backchannel.runs.queue import Queues
from backchannel.runs.run import Run
from backchannel.stores.base import RunRecord, RunStore, WritesAtomically
from backchannel.stores.times import utc_now

log = structlog.get_logger(__name__)

STOP_SECONDS = 10
"""How long a stopped run may take to keep what was said."""


class Runs:
    """Starts runs and knows those that go on.

    Runs of one thread follow each other in the order they were asked for: the second message waits for the
    first answer.

    Args:
        debug: Whether error events say what was raised.
    """

    def __init__(self, server: Server, store: RunStore, events: EventLog, *, debug: bool = False) -> None:
        self.events = events
        self._server = server
        self._store = store
        self._debug = debug
        self._live: dict[str, Run] = {}
        self._queues = Queues()
        self._attempts = Attempts()
        self._draining = False

    @property
    def active(self) -> int:
        """How many runs go on."""
        return len(self._live)

    async def start(self, request: StreamingReq, context: RequestContext, *, key: str | None = None) -> str:
        """Start answering a request; returns the run's id when it was accepted or has to wait for its turn.

        Args:
            key: Names the attempt. A second request of the same caller with the same key starts nothing and
                gets the first one's run.

        Raises:
            ConflictError: The key was used for a different request.
            UnavailableError: The server is shutting down.
            BackchannelError: The request was refused (see `chat.acceptance.accept`); nothing was changed.
        """
        if self._draining:
            raise UnavailableError("The server is restarting. Try again in a moment.", retry_after=2)
        run_id = new_id("run")
        if key is not None:
            earlier = self._attempts.claim(context.identity, key, request, run_id)
            if earlier is not None:
                if earlier in self._live:
                    await asyncio.shield(self._live[earlier].settled)
                return earlier
        run = Run(run_id, request.type, context.for_run(run_id, request.metadata), thread_of(request))
        self.events.open(run.id)
        self._live[run.id] = run
        run.task = asyncio.create_task(self._execute(run, request), name=run.id)
        # The request may be abandoned while it waits here; the run goes on without it.
        try:
            await asyncio.shield(run.settled)
        except Exception:
            self._attempts.release(context.identity, key)
            raise
        return run.id

    async def load(self, run_id: str, identity: Identity) -> RunRecord:
        """One of the caller's runs, live or kept.

        Raises:
            NotFoundError: There is none, or it is somebody else's.
        """
        run = self._live.get(run_id)
        if run is not None and run.identity.owner == identity.owner and run.thread_id:
            return run.record()
        try:
            return await self._store.load(run_id, identity)
        except StoreNotFoundError:
            raise NotFoundError(f"There is no run {run_id}.") from None

    async def of_thread(
        self, thread_id: str, identity: Identity, *, active: bool, limit: int
    ) -> Sequence[RunRecord]:
        """The newest runs of one of the caller's threads."""
        return await self._store.of_thread(thread_id, identity, active=active, limit=limit)

    async def stop(self, run_id: str, identity: Identity) -> RunRecord:
        """Stop a run and its model call; what was said is kept. A run that has ended stays as it is.

        Returns when the run has ended, or after `STOP_SECONDS`.

        Raises:
            NotFoundError: There is none, or it is somebody else's.
        """
        run = self._live.get(run_id)
        if run is None or run.identity.owner != identity.owner or run.task is None:
            return await self.load(run_id, identity)
        run.stop("cancelled")
        await asyncio.wait([run.task], timeout=STOP_SECONDS)
        return run.record()

    async def stop_in_thread(self, thread_id: str, identity: Identity) -> None:
        """Stop every run of one of the caller's threads, as before the thread is deleted."""
        mine = [
            run
            for run in self._live.values()
            if run.thread_id == thread_id and run.identity.owner == identity.owner and run.task is not None
        ]
        for run in mine:
            run.stop("cancelled")
        tasks = [run.task for run in mine if run.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Take no more requests, let running answers finish for `seconds`, then interrupt the others.

        What the others said is kept, and their readers are told that they can ask again.
        """
        self._draining = True
        tasks = {run.task: run for run in self._live.values() if run.task is not None}
        if not tasks:
            return
        log.info("draining", runs=len(tasks), seconds=seconds)
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            tasks[task].stop("interrupted")
        if late:
            await asyncio.wait(late, timeout=STOP_SECONDS)

    async def _execute(self, run: Run, request: StreamingReq) -> None:
        try:
            async with AsyncExitStack() as stack:
                if run.thread_id is not None:
                    await self._wait_for_turn(run, run.thread_id, stack)
                await self._answer(run, request, stack)
        except asyncio.CancelledError:
            run.end(run.stopping or "interrupted")
            if run.status == "interrupted":
                self._refuse(
                    run, UnavailableError("The server is restarting and could not finish. Try again.")
                )
            elif not run.kept:
                self._refuse(run, ConflictError("The message was withdrawn before its turn came."))
        except TurnFailedError as error:
            run.end("failed", error.cause.code)
        except Exception as error:
            run.end("failed", explain(error).code)
            self._refuse(run, error)
        else:
            run.end("completed")
        finally:
            await self._close(run)

    async def _wait_for_turn(self, run: Run, thread_id: str, stack: AsyncExitStack) -> None:
        key = (run.identity.tenant, run.identity.user, thread_id)
        if not self._queues.busy(key):
            await stack.enter_async_context(self._queues.turn(key))
            return
        # The place in the queue is taken before anything is awaited, so that messages keep their order; and a
        # message to a thread that does not exist is refused while it waits, not when its turn comes.
        entering = stack.enter_async_context(self._queues.turn(key))
        waiting = asyncio.Task(entering, loop=asyncio.get_running_loop(), eager_start=True)
        try:
            await load_thread(self._server, thread_id, run.context)
        except BaseException:
            waiting.cancel()
            await asyncio.wait([waiting])
            raise
        run.settle()
        await waiting

    async def _answer(self, run: Run, request: StreamingReq, stack: AsyncExitStack) -> None:
        async def take_in() -> Turn:
            turn = await accept(self._server, request, run.context)
            await self._store.add(replace(run.record(), thread_id=turn.thread.id), run.identity)
            return turn

        # What the person did and the run that answers it are kept together, or not at all.
        store = self._server.store
        turn = await (store.atomically(take_in) if isinstance(store, WritesAtomically) else take_in())
        run.kept = True
        if run.thread_id is None:
            # Nobody knows the new thread yet, so this does not wait; it makes the next message wait.
            run.thread_id = turn.thread.id
            await self._wait_for_turn(run, turn.thread.id, stack)
        structlog.contextvars.bind_contextvars(run_id=run.id, thread_id=run.thread_id)
        log.info("run_started", operation=run.operation)
        run.settle()
        driver = Driver(
            self._server,
            turn,
            run.context,
            lambda event: self.events.append(run.id, encode_event(event)),
            debug=self._debug,
        )
        try:
            await driver.drive()
        except asyncio.CancelledError:
            # The one who cancelled waits for this; being cancelled again may cut it short.
            await driver.keep_what_was_said(stopped=run.stopping == "cancelled")
            raise

    def _refuse(self, run: Run, error: Exception) -> None:
        if not run.settled.done():
            run.settle(error)
            return
        if not isinstance(error, BackchannelError):
            log.error("run_failed", exc_info=error)
        self.events.append(run.id, encode_event(failure_event(error, run.context, debug=self._debug)))

    async def _close(self, run: Run) -> None:
        run.settle()
        try:
            if run.kept:
                usage = run.context.usage
                await self._store.finish(run.id, run.status, run.error_code, usage, run.identity)
        except Exception:
            log.exception("run_not_recorded", status=run.status)
        finally:
            self.events.close(run.id)
            del self._live[run.id]
        if run.kept:
            seconds = (utc_now() - run.created_at).total_seconds()
            log.info("run_ended", status=run.status, error_code=run.error_code, seconds=round(seconds, 3))
