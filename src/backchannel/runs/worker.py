"""The runs that go on in this process, and how they come and go: given their turn, taken over, handed over."""

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any

import structlog

from backchannel.chat.recovery.resume import can_resume
from backchannel.chat.turn import Server
from backchannel.errors import UnavailableError
from backchannel.event_logs.base import FencedError
from backchannel.handovers.base import Handover
from backchannel.ids import new_id
from backchannel.runs.stored_request import read_caller, read_request
from backchannel.runs.executor import Maker
from backchannel.runs.patience import PATIENCE_SECONDS, patiently
from backchannel.runs.run import Run
from backchannel.runs.stores import RunStores
from backchannel.stores.patience import patient
from backchannel.stores.run_states import ENDED, RunStatus
from backchannel.stores.run_store import RunFencedError, RunRecord

log = structlog.get_logger(__name__)

STOP_SECONDS = 10
"""How long a stopped run may take to keep what was said."""


class LiveRuns:
    """The runs of one process.

    Attributes:
        replica: The name under which this process makes runs.
        ended: Runs whose end is recorded, to be forgotten by the replica's housekeeping.
        draining: Whether no more runs are taken, because the process is about to end.
    """

    def __init__(self, server: Server, stores: RunStores, maker: Maker) -> None:
        self.stores = stores
        self.replica = new_id("replica")
        self.ended: list[str] = []
        self.draining = False
        self._server = server
        self._maker = maker
        self._runs: dict[str, Run] = {}
        self._burying: set[str] = set()
        self._errands: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._runs or run_id in self._burying

    def get(self, run_id: str) -> Run | None:
        """A run that goes on here."""
        return self._runs.get(run_id)

    def start(self, run: Run, making: Awaitable[None]) -> None:
        """Make a run here, in a task of its own."""
        self._runs[run.id] = run
        # Entered at once: a task that is cancelled before its first step never gets to say how its run ended.
        loop = asyncio.get_running_loop()
        run.task = asyncio.Task(self._watched(run, making), loop=loop, name=run.id, eager_start=True)

    def leave(self, run: Run) -> None:
        """A run goes on here no more. One that waited may be here again already, as another object."""
        if self._runs.get(run.id) is run:
            del self._runs[run.id]

    def errand(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something that nobody waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def advance(self, queue: str) -> None:
        """Give the next run of a queue its turn, here, if no other goes on in its thread."""
        if self.draining:
            return
        record = await patiently(lambda: self.stores.runs.claim_next(queue, self.replica))
        if record is not None:
            self._adopt(record)

    async def take_over(self, run_ids: Sequence[str], former: str | None) -> int:
        """Go on with runs of a replica that is dead or has let go of them; how many of them are ours now."""
        if self.draining or not run_ids:
            return 0
        records = await self.stores.chores.take_over(run_ids, former, self.replica)
        for record in records:
            self._adopt(record)
        return len(records)

    async def hand_over(self, handovers: Sequence[Handover]) -> bool:
        """Have orphaned runs delivered to the replicas; whether that was done. Housekeeping finds them anyway."""
        if self.stores.handovers is None:
            return False
        try:
            await self.stores.handovers.offer(handovers)
        except UnavailableError:
            log.warning("runs_not_handed_over", runs=len(handovers))
            return False
        return True

    def stop_here(self, run_id: str, status: RunStatus) -> None:
        """Stop a run that goes on here, because another replica was asked to."""
        if (run := self._runs.get(run_id)) is not None:
            run.stop(status)

    async def leave_all(self) -> None:
        """Others took this process for dead and may make its runs now: touch none of them any more."""
        runs = list(self._runs.values())
        for run in runs:
            run.stop("fenced")
        await _ended([run.task for run in runs if run.task is not None], STOP_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Take no more runs, let those that go on finish for `seconds`, then hand the others over.

        What cannot be handed over is interrupted: what was said is kept, and readers are told that they can ask again.
        In the end readers that are still here are told to reconnect.
        """
        self.draining = True
        tasks = {run.task: run for run in self._runs.values() if run.task is not None}
        if tasks:
            log.info("draining", runs=len(tasks), seconds=seconds)
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                run = tasks[task]
                kept = run.settled.done()
                run.stop("released" if kept and can_resume(self._server, run.request) else "interrupted")
            await _ended(list(late), STOP_SECONDS)
        self.stores.events.dismiss()

    def _adopt(self, record: RunRecord) -> None:
        """Make a run that waited, or that another process began."""
        try:
            request = read_request(record)
        except ValueError:
            # Nothing is left of it to be answered: it has ended, or an older version of the code began it.
            self.errand(self._bury(record))
            return
        context, can_stop = read_caller(record, request.metadata, self._maker.teller(record.id))
        run = Run(record, request, context, can_stop=can_stop)
        run.settle()
        fresh = record.fence == 1 and record.began_after is None and record.stop is None
        self.start(run, self._maker.make_claimed(run) if fresh else self._maker.go_on(run))

    async def _watched(self, run: Run, making: Awaitable[None]) -> None:
        who = {"request_id": run.context.request_id, "user_id": run.identity.user}
        structlog.contextvars.bind_contextvars(run_id=run.id, thread_id=run.record.thread_id, **who)
        try:
            with patient(PATIENCE_SECONDS):
                try:
                    await making
                except asyncio.CancelledError:
                    await self._cancelled(run)
        except (RunFencedError, FencedError):
            log.warning("run_taken_over_by_another_process")
            await self.stores.events.release(run.id)
        except Exception as error:
            if not run.settled.done():
                run.settle(error)
            else:
                # The row says that it goes on: housekeeping tries again.
                log.exception("run_left", status=run.record.status)
            await self.stores.events.release(run.id)
        finally:
            run.settle(UnavailableError("The server is restarting. Try again.", retry_after=2))
            if run.record.status in ENDED | {"waiting"}:
                self.ended.append(run.id)
            # A refused one was never in a queue.
            if run.settled.exception() is None:
                await self._next(run.record.queue)
            self.leave(run)

    async def _cancelled(self, run: Run) -> None:
        match run.stopping:
            case "released":
                await self.stores.events.release(run.id)
                await patiently(lambda: self.stores.runs.let_go(run.id, run.fence), seconds=STOP_SECONDS)
                await self.hand_over([Handover(run.id, None)])
            case "fenced":
                await self.stores.events.release(run.id)
            case "cancelled" | "interrupted" if run.settled.done():
                await self._maker.stopped(run, run.stopping)
            case _:
                await self.stores.events.release(run.id)
                raise_for = UnavailableError("The server is restarting and could not finish. Try again.")
                run.settle(raise_for)

    async def _next(self, queue: str) -> None:
        try:
            await self.advance(queue)
        except Exception:
            # Housekeeping finds the queue.
            log.warning("queue_not_advanced", exc_info=True)

    async def _bury(self, record: RunRecord) -> None:
        """End the log of a run that has ended, or the run itself if nobody can go on with it."""
        context, _ = read_caller(record, {}, self._maker.teller(record.id))
        self._burying.add(record.id)
        try:
            with patient(PATIENCE_SECONDS):
                await self._maker.bury(record, context)
        except (RunFencedError, FencedError, UnavailableError) as error:
            # Housekeeping finds it again, as long as it is ours.
            log.warning("run_not_buried", run_id=record.id, error=type(error).__name__)
        except Exception:
            # It would fail for ever.
            log.exception("run_not_buried", run_id=record.id)
            self.ended.append(record.id)
        else:
            self.ended.append(record.id)
        finally:
            self._burying.discard(record.id)


async def _ended(tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
