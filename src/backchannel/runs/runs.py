"""The runs of all replicas, as one of them sees them: start, load, stop, drain.

A run is a task of its own. Whoever asked for it reads its event log like anybody else, on any replica, and can go away
at any time; the answer is made and kept all the same.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from chatkit.store import NotFoundError as StoreNotFoundError
from chatkit.types import StreamingReq, ThreadItem
from pydantic import BaseModel

from backchannel.chat.protocol.commands import thread_of
from backchannel.chat.recovery.replay import partial_items
from backchannel.chat.turn import Server
from backchannel.context import Identity, RequestContext
from backchannel.errors import NotFoundError, UnavailableError
from backchannel.faultpoints import reached
from backchannel.ids import new_id
from backchannel.runs.idempotency import check_attempt, new_attempt, once
from backchannel.runs.stored_request import write_caller, write_request
from backchannel.runs.admission import Intake, WhileRunning
from backchannel.runs.worker import STOP_SECONDS, LiveRuns
from backchannel.runs.executor import Maker
from backchannel.runs.run import Run
from backchannel.runs.stores import RunStores
from backchannel.stores.run_states import ACTIVE, RunStatus
from backchannel.stores.run_store import Attempt, AttemptTakenError, RunRecord
from backchannel.stores.times import utc_now

_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.1, 1.0
"""How long after each other a run of another replica is looked at while it is waited for: each time longer."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How runs are made.

    Attributes:
        while_running: What becomes of a message to a thread that is being answered: it is refused, it waits, or it
            stops the answer and takes its place.
        debug: Whether error events say what was raised.
    """

    while_running: WhileRunning = "enqueue"
    debug: bool = False


class Runs:
    """Starts runs and knows those that go on here.

    Runs of one thread follow each other in the order they were asked for, on whichever replica.

    Attributes:
        live: Those that go on here.
    """

    def __init__(self, server: Server, stores: RunStores, options: RunOptions | None = None) -> None:
        options = options or RunOptions()
        self.stores = stores
        self.events = stores.events
        self._maker = Maker(server, stores, debug=options.debug)
        self.live = LiveRuns(server, stores, self._maker)
        self._intake = Intake(server, stores, self.live, self._maker, options.while_running)

    @property
    def active(self) -> int:
        """How many runs go on here."""
        return len(self.live)

    @property
    def draining(self) -> bool:
        """Whether no more runs are taken, because the process is about to end."""
        return self.live.draining

    async def drain(self, seconds: float) -> None:
        """Take no more runs, let those that go on finish for `seconds`, then hand the others over."""
        await self.live.drain(seconds)

    async def start(
        self, request: StreamingReq, context: RequestContext, *, key: str | None = None, can_stop: bool = True
    ) -> str:
        """Start answering a request; returns the run's id when it was accepted or has to wait for its turn.

        Args:
            key: Names the attempt. A second request of the same caller with the same key starts nothing and
                gets the first one's run, on any replica, for a day.
            can_stop: Whether the client can stop the run, and may offer that.

        Raises:
            ConflictError: The key was used for a different request; or the thread is being answered and messages to
                it are refused, or too many wait.
            UnavailableError: The server is shutting down, or its database cannot be reached.
            BackchannelError: The request was refused (see `chat.acceptance.accept`); nothing was changed.
        """
        if self.draining:
            raise UnavailableError("The server is restarting. Try again in a moment.", retry_after=2)
        attempt = new_attempt(request, context.identity, key) if key is not None else None
        if (
            attempt is not None
            and key is not None
            and (earlier := await self._earlier(attempt, context, key))
        ):
            return earlier
        reached("request.arrived")
        run = self._new_run(request, context, can_stop=can_stop)
        self.live.start(run, self._intake.take_in(run, attempt))
        # The request may be abandoned while it waits here; the run goes on without it.
        try:
            return await asyncio.shield(run.settled)
        except AttemptTakenError:
            # Sent twice at the same time; the other one was faster.
            assert attempt is not None
            assert key is not None
            earlier = await self._earlier(attempt, context, key)
            if earlier is None:
                raise UnavailableError(
                    "The request was being sent twice. Try again.", retry_after=1
                ) from None
            return earlier

    async def load(self, run_id: str, identity: Identity) -> RunRecord:
        """One of the caller's runs.

        Raises:
            NotFoundError: There is none, or it is somebody else's.
        """
        try:
            return await self.stores.runs.load(run_id, identity)
        except StoreNotFoundError:
            raise NotFoundError(f"There is no run {run_id}.") from None

    async def of_thread(
        self, thread_id: str, identity: Identity, *, status: frozenset[RunStatus] | None, limit: int
    ) -> Sequence[RunRecord]:
        """The newest runs of one of the caller's threads; only those in one of `status`, if given."""
        return await self.stores.runs.of_thread(thread_id, identity, status=status, limit=limit)

    async def partial_items(self, thread_id: str, identity: Identity) -> Sequence[ThreadItem]:
        """What the answer in progress in a thread has begun and not finished, as far as it has come."""
        running = await self.of_thread(thread_id, identity, status=frozenset({"running"}), limit=1)
        return await partial_items(self.events, running[0].id) if running else []

    async def stop(self, run_id: str, identity: Identity) -> RunRecord:
        """Stop a run and its model call; what was said is kept. A run that has ended stays as it is.

        Returns when the run has ended, or after `STOP_SECONDS`.

        Raises:
            NotFoundError: There is none, or it is somebody else's.
        """
        run = self.live.get(run_id)
        here = run is not None and run.record.status == "running" and run.identity.owner == identity.owner
        if here and run is not None and run.task is not None:
            run.stop("cancelled")
            await asyncio.wait([run.task], timeout=STOP_SECONDS)
            return await self.load(run_id, identity)
        record = await self.load(run_id, identity)
        if record.status in {"queued", "waiting"} and await self.stores.runs.cancel(run_id, identity):
            await self._intake.withdraw(record)
            return await self.load(run_id, identity)
        if record.status in ACTIVE:
            await self.stores.runs.ask_to_stop(run_id, identity, "cancelled")
            record = await self._until_ended(run_id, identity)
        return record

    def abandoned(self, run_id: str, identity: Identity) -> None:
        """The client that asked for a run has gone away, and that is to stop it. Waits for nothing."""
        self.live.errand(self.stop(run_id, identity))

    async def once(
        self,
        request: BaseModel,
        context: RequestContext,
        key: str | None,
        answer: Callable[[], Awaitable[bytes]],
    ) -> bytes:
        """The answer to a request that starts no run; if it names itself with a key, made once and given again.

        Raises:
            ConflictError: The key was used for a different request, or the first one is still being answered.
        """
        if key is None:
            return await answer()
        return await once(
            self.stores.attempts, new_attempt(request, context.identity, key), key, context.identity, answer
        )

    async def stop_in_thread(self, thread_id: str, identity: Identity) -> None:
        """Stop every run of one of the caller's threads, as before the thread is deleted."""
        found = await self.of_thread(thread_id, identity, status=ACTIVE, limit=100)
        # Those that wait first, or each would get its turn as the one before it ends. They come newest first.
        for record in found:
            await self.stop(record.id, identity)

    def _new_run(self, request: StreamingReq, context: RequestContext, *, can_stop: bool) -> Run:
        run_id = new_id("run")
        record = RunRecord(
            run_id,
            context.identity,
            thread_of(request) or "",
            request.type,
            "running",
            utc_now(),
            replica=self.live.replica,
            fence=1,
            attempt=1,
            request=write_request(request),
            caller=write_caller(context, can_stop=can_stop),
        )
        for_run = context.for_run(run_id, request.metadata, self._maker.teller(run_id))
        return Run(record, request, for_run, can_stop=can_stop)

    async def _earlier(self, attempt: Attempt, context: RequestContext, key: str) -> str | None:
        earlier = check_attempt(attempt, await self.stores.attempts.load(context.identity, key))
        if earlier is None or earlier.run_id is None:
            return None
        if (here := self.live.get(earlier.run_id)) is not None:
            await asyncio.shield(here.settled)
        return earlier.run_id

    async def _until_ended(self, run_id: str, identity: Identity) -> RunRecord:
        record = await self.load(run_id, identity)
        deadline, pause = asyncio.get_running_loop().time() + STOP_SECONDS, _LOOK_SECONDS
        while record.status in ACTIVE and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_LOOK_SECONDS)
            record = await self.load(run_id, identity)
        return record
