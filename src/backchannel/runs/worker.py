"""The worker: the runs that this process executes, and how they come and go: claimed, taken over, handed over."""

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from backchannel.budgets.scope import charged_to
from backchannel.chat.agent.tool_limits import ToolLimits
from backchannel.chat.recovery.resume import can_resume
from backchannel.chat.turn import Server
from backchannel.context import PrepareContext, set_current_identity
from backchannel.errors import UnavailableError
from backchannel.event_logs.base import FencedError
from backchannel.handovers.base import Handover
from backchannel.ids import new_id
from backchannel.retry import RUN_SECONDS, retry_until_available, with_retry_budget
from backchannel.runs.executor import Executor
from backchannel.runs.output import RunOutput
from backchannel.runs.run import Run
from backchannel.runs.stored_request import load_context, load_request
from backchannel.runs.stores import RunStores
from backchannel.stores.run_states import ENDED, RunStatus
from backchannel.stores.run_store import RunFencedError, RunRecord

log = structlog.get_logger(__name__)

STOP_SECONDS = 10
"""How long a stopped run may take to store what it had shown."""


class Worker:
    """The runs of one process.

    Attributes:
        replica: The id under which this process executes runs.
        ended: Runs whose end is stored, still assigned to the replica until the rescuer clears that.
        draining: Whether no more runs are taken, because the process is about to end.
    """

    def __init__(
        self,
        server: Server,
        stores: RunStores,
        executor: Executor,
        output: RunOutput,
        prepare_context: PrepareContext,
        tools: ToolLimits,
    ) -> None:
        self.stores = stores
        self.replica = new_id("replica")
        self.ended: list[str] = []
        self.draining = False
        self._server = server
        self._executor = executor
        self._output = output
        self._prepare_context = prepare_context
        self._tools = tools
        self._runs: dict[str, Run] = {}
        self._closing: set[str] = set()
        self._background: set[asyncio.Task[Any]] = set()
        self._hurry = asyncio.Event()

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._runs or run_id in self._closing

    def get(self, run_id: str) -> Run | None:
        """A run that this process executes."""
        return self._runs.get(run_id)

    def start(self, run: Run, execution: Awaitable[None]) -> None:
        """Execute a run in a task of its own."""
        self._runs[run.id] = run
        # Eager: a task that is cancelled before its first step could not store how its run ended.
        loop = asyncio.get_running_loop()
        run.task = asyncio.Task(self._supervise(run, execution), loop=loop, name=run.id, eager_start=True)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something in the background whose result is not needed."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def start_next(self, queue: str) -> None:
        """Claim and start the run that waits longest in a queue, if its thread is free."""
        if self.draining:
            return
        record = await retry_until_available(lambda: self.stores.runs.claim_next(queue, self.replica))
        if record is not None:
            await self._adopt_or_give_back([record])

    async def take_over(self, run_ids: Sequence[str], former: str | None) -> int:
        """Take over runs of a replica that is dead or has released them; gives how many were taken."""
        if self.draining or not run_ids:
            return 0
        records = await self.stores.maintenance.take_over(run_ids, former, self.replica)
        await self._adopt_or_give_back(records)
        return len(records)

    async def hand_over(self, handovers: Sequence[Handover]) -> bool:
        """Offer orphaned runs to the other replicas; gives whether that was possible. Otherwise their rescuers find
        them a second later."""
        if self.stores.handovers is None:
            return False
        try:
            await self.stores.handovers.offer(handovers)
        except UnavailableError:
            log.warning("runs_not_handed_over", runs=len(handovers))
            return False
        return True

    def stop_local(self, run_id: str, status: RunStatus) -> None:
        """Stop a run of this process, as requested on another replica."""
        if (run := self._runs.get(run_id)) is not None:
            run.stop(status)

    async def release_all(self) -> None:
        """Stop touching every run of this process: its lease has expired, and others may execute them now."""
        runs = list(self._runs.values())
        for run in runs:
            run.stop("fenced")
        await _wait_for([run.task for run in runs if run.task is not None], STOP_SECONDS)

    def hurry(self) -> None:
        """Cut the waiting of `drain` short."""
        self._hurry.set()

    async def drain(self, seconds: float) -> None:
        """Take no more runs, let those in progress finish for `seconds`, then hand the others over.

        What cannot be handed over is interrupted: what was shown is stored, and readers get an error that offers a
        retry. At the end, readers that are still connected are asked to reconnect.
        """
        self.draining = True
        tasks = {run.task: run for run in self._runs.values() if run.task is not None}
        if tasks:
            log.info("draining", runs=len(tasks), seconds=seconds)
            late = await self._wait_or_hurry(set(tasks), seconds)
            for task in late:
                run = tasks[task]
                accepted = run.admitted.done()
                resumable = accepted and can_resume(self._server, run.request)
                run.stop("released" if resumable else "interrupted")
            await _wait_for(list(late), STOP_SECONDS)
        self.stores.events.disconnect_readers()

    async def _wait_or_hurry(self, tasks: set[asyncio.Task[None]], seconds: float) -> set[asyncio.Task[None]]:
        hurry = asyncio.create_task(self._hurry.wait())
        all_done = asyncio.create_task(asyncio.wait(tasks))
        try:
            await asyncio.wait({hurry, all_done}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurry.cancel()
            all_done.cancel()
            await asyncio.wait({hurry, all_done})
        return {task for task in tasks if not task.done()}

    async def _adopt_or_give_back(self, records: Sequence[RunRecord]) -> None:
        """Execute runs that were claimed for this process; release them if the drain began in the meantime, because it
        does not wait for them, and the end of the event loop would look like a failure of the answer."""
        if not self.draining:
            for record in records:
                self._adopt(record)
            return
        # The others stay assigned until this replica leaves.
        running = [record for record in records if record.status == "running"]
        for record in running:
            with suppress(RunFencedError):
                await retry_until_available(
                    partial(self.stores.runs.release_run, record.id, record.fence), seconds=STOP_SECONDS
                )
        await self.hand_over([Handover(record.id, None) for record in running])

    def _adopt(self, record: RunRecord) -> None:
        """Execute a run that was queued, or that another process began."""
        try:
            request = load_request(record)
        except ValueError:
            # There is nothing to answer: the run has ended, or an older version of the code began it.
            self.spawn(self._close_orphan(record))
            return
        context, can_stop = load_context(record, request.metadata, self._output.plain_publisher(record.id))
        run = Run(record, request, context, can_stop=can_stop)
        run.resolve_admission()
        fresh = record.fence == 1 and record.began_after is None and record.stop is None
        self.start(run, self._execute_adopted(run, fresh=fresh))

    async def _execute_adopted(self, run: Run, *, fresh: bool) -> None:
        try:
            run.context = await retry_until_available(lambda: self._prepare_context(run.context))
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            # It would fail each time, and the run would hold its thread for good.
            await self._executor.refuse_adopted(run, error)
            return
        await (self._executor.execute_claimed(run) if fresh else self._executor.resume(run))

    async def _supervise(self, run: Run, execution: Awaitable[None]) -> None:
        request_id, user_id = run.context.request_id, run.identity.user
        structlog.contextvars.bind_contextvars(
            run_id=run.id, thread_id=run.record.thread_id, request_id=request_id, user_id=user_id
        )
        set_current_identity(run.identity)
        try:
            with with_retry_budget(RUN_SECONDS), self._tools.apply(), charged_to(run.context):
                try:
                    await execution
                except asyncio.CancelledError:
                    await self._cancelled(run)
        except (RunFencedError, FencedError):
            log.warning("run_taken_over_by_another_process")
            await self.stores.events.release(run.id)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # SystemExit in a task ends the event loop
            if not run.admitted.done():
                run.resolve_admission(error)
            else:
                # The row says that the run is in progress: the rescuer tries again.
                log.exception("run_left", status=run.record.status)
            await self.stores.events.release(run.id)
        finally:
            run.resolve_admission(UnavailableError("The server is restarting. Try again.", retry_after=2))
            if run.record.status in ENDED | {"waiting"}:
                self.ended.append(run.id)
            # A refused one was never in a queue.
            if run.admitted.exception() is None:
                await self._start_next_or_log(run.record.queue)
            # A run that was queued may be here again already, as another object.
            if self._runs.get(run.id) is run:
                del self._runs[run.id]

    async def _cancelled(self, run: Run) -> None:
        match run.stop_as:
            case "released":
                await self._output.store_usage(run)
                await self.stores.events.release(run.id)
                await retry_until_available(
                    lambda: self.stores.runs.release_run(run.id, run.fence), seconds=STOP_SECONDS
                )
                await self.hand_over([Handover(run.id, None)])
            case "fenced":
                await self.stores.events.release(run.id)
                await self._output.store_usage(run)
            case "cancelled" | "interrupted" if run.admitted.done():
                await self._executor.end_stopped(run, run.stop_as)
            case _:
                await self.stores.events.release(run.id)
                error = UnavailableError("The server is restarting and could not finish. Try again.")
                run.resolve_admission(error)

    async def _start_next_or_log(self, queue: str) -> None:
        try:
            await self.start_next(queue)
        except Exception:
            # The rescuer finds the queue.
            log.warning("queue_not_advanced", exc_info=True)

    async def _close_orphan(self, record: RunRecord) -> None:
        context, _ = load_context(record, {}, self._output.plain_publisher(record.id))
        self._closing.add(record.id)
        set_current_identity(record.identity)
        try:
            with with_retry_budget(RUN_SECONDS):
                context = await self._prepare_context(context)
                await self._executor.close_orphan(record, context)
        except (RunFencedError, FencedError, UnavailableError) as error:
            # The rescuer finds it again, as long as it is assigned to this replica.
            log.warning("orphan_not_closed", run_id=record.id, error=type(error).__name__)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException:
            # It would fail each time.
            log.exception("orphan_not_closed", run_id=record.id)
            self.ended.append(record.id)
        else:
            self.ended.append(record.id)
        finally:
            self._closing.discard(record.id)


async def _wait_for(tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
