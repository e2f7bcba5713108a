"""The runs of all replicas, as one of them sees them: start, load, stop, drain.

A run is a task of its own. The request that asked for it reads the run's event log like any other reader, on any
replica, and can go away at any time; the answer is completed and stored all the same.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from chatkit.store import NotFoundError as StoreNotFoundError
from chatkit.types import StreamingReq, ThreadItem
from pydantic import BaseModel

from backchannel.chat.agent.tool_limits import ToolLimits
from backchannel.chat.protocol.commands import prepare_attachments, thread_of
from backchannel.chat.recovery.replay import partial_items
from backchannel.chat.turn import Server
from backchannel.context import Identity, PrepareContext, RequestContext, unprepared
from backchannel.errors import NotFoundError, UnavailableError
from backchannel.faultpoints import reached
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.ids import new_id
from backchannel.retry import Backoff
from backchannel.runs.admission import Admission, WhileRunning
from backchannel.runs.executor import Executor
from backchannel.runs.idempotency import answer_once, check_same_request, new_idempotency_record
from backchannel.runs.output import RunOutput
from backchannel.runs.run import Run
from backchannel.runs.stored_request import dump_context, dump_request
from backchannel.runs.stores import RunStores
from backchannel.runs.worker import STOP_SECONDS, Worker
from backchannel.stores.run_states import ACTIVE, RunStatus
from backchannel.stores.run_store import (
    MAX_THREAD_ID_CHARS,
    IdempotencyKeyInUseError,
    IdempotencyRecord,
    RunRecord,
)
from backchannel.stores.times import utc_now

_POLL = Backoff(initial=0.1, maximum=1.0)
"""Between looks at another replica's run that is to end."""


WITHOUT_MODEL = frozenset({"threads.custom_action"})
"""Operations that need no model, such as a click on a widget: they are accepted although a budget is used up. If
one calls a model after all, that call is refused."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How runs are executed.

    Attributes:
        while_running: What happens to a message to a thread that is being answered: it is refused, it is queued, or it
            stops the answer and takes its place.
        debug: Whether error events say what was raised.
        prepare_context: Called with the context of a run that this process takes from the queue or from another
            process; see `RequestContext.app`.
        context_headers: Lower-case names of the request headers that are stored with a run.
        tools: The limits of tool calls.
        max_concurrent: The most runs of one user that are running or queued, on all replicas; 0 for no limit.
    """

    while_running: WhileRunning = "enqueue"
    debug: bool = False
    prepare_context: PrepareContext = unprepared
    context_headers: frozenset[str] = frozenset()
    tools: ToolLimits = field(default_factory=ToolLimits)
    max_concurrent: int = 0


class Runs:
    """Starts runs and knows those that this process executes.

    Runs of one thread follow each other in the order in which they were asked for, on whichever replica.

    Attributes:
        stores: Where they are stored.
        events: Their event logs.
        worker: Executes those of this process.
    """

    def __init__(
        self,
        server: Server,
        stores: RunStores,
        options: RunOptions | None = None,
        hooks: HookDispatcher | None = None,
    ) -> None:
        options, hooks = options or RunOptions(), hooks or HookDispatcher()
        self.stores = stores
        self.events = stores.events
        self._server = server
        self._context_headers = options.context_headers
        self._output = RunOutput(server, stores, hooks, debug=options.debug)
        executor = Executor(server, stores, self._output, hooks)
        self.worker = Worker(server, stores, executor, self._output, options.prepare_context, options.tools)
        self._admission = Admission(
            server,
            stores,
            self.worker,
            executor,
            self._output,
            hooks,
            options.while_running,
            options.max_concurrent,
        )

    @property
    def active(self) -> int:
        """How many runs this process executes."""
        return len(self.worker)

    @property
    def draining(self) -> bool:
        """Whether no more runs are taken, because the process is about to end."""
        return self.worker.draining

    async def drain(self, seconds: float) -> None:
        """Take no more runs, let those in progress finish for `seconds`, then hand the others over."""
        await self.worker.drain(seconds)

    async def start(
        self, request: StreamingReq, context: RequestContext, *, key: str | None = None, can_stop: bool = True
    ) -> str:
        """Start answering a request; returns the run's id when the request was accepted or queued.

        Args:
            key: The request's `Idempotency-Key`. A second request of the same caller with the same key starts nothing
                and gets the first one's run, on any replica, for a day.
            can_stop: Whether the client can stop the run, and may offer that.

        Raises:
            TooManyRunsError: As many runs of the caller are running or queued as may be.
            BudgetExceededError: The caller, or the tenant, has used up a budget.
            ConflictError: The key was used for a different request; or the thread is being answered and messages to
                it are refused, or too many wait.
            UnavailableError: The server is shutting down, or its database cannot be reached.
            BackchannelError: The request was refused (see `chat.protocol.commands.accept`); nothing was changed.
        """
        self._check_accepting()
        if len(thread_of(request) or "") > MAX_THREAD_ID_CHARS:
            raise NotFoundError(
                f"There is no thread with such an id: it is longer than {MAX_THREAD_ID_CHARS}."
            )
        record = new_idempotency_record(request, context.identity, key) if key is not None else None
        if record is not None and key is not None:
            existing = await self._existing_run(record, context, key)
            if existing is not None:
                return existing
        if self.stores.ledger is not None and request.type not in WITHOUT_MODEL:
            await self.stores.ledger.check(context.identity)
        await prepare_attachments(self._server, request, context)
        reached("request.arrived")
        # Again: a drain that began meanwhile does not wait for a run that starts now.
        self._check_accepting()
        run = self._new_run(request, context, can_stop=can_stop)
        self.worker.start(run, self._admission.admit(run, record))
        # The request may be abandoned while it waits here; the run goes on without it.
        try:
            return await asyncio.shield(run.admitted)
        except IdempotencyKeyInUseError:
            # The same request was sent twice at the same time; the other one was faster.
            assert record is not None
            assert key is not None
            existing = await self._existing_run(record, context, key)
            if existing is None:
                raise UnavailableError(
                    "The request was being sent twice. Try again.", retry_after=1
                ) from None
            return existing

    async def load(self, run_id: str, identity: Identity) -> RunRecord:
        """One of the caller's runs.

        Raises:
            NotFoundError: There is none, or it is somebody else's.
        """
        try:
            return await self.stores.runs.load(run_id, identity)
        except StoreNotFoundError:
            raise NotFoundError(f"There is no run {run_id}.") from None

    async def list_by_thread(
        self, thread_id: str, identity: Identity, *, status: frozenset[RunStatus] | None, limit: int
    ) -> Sequence[RunRecord]:
        """The newest runs of one of the caller's threads, newest first; only those in one of `status`, if given."""
        return await self.stores.runs.list_by_thread(thread_id, identity, status=status, limit=limit)

    async def partial_items(self, thread_id: str, identity: Identity) -> Sequence[ThreadItem]:
        """The unfinished items of the answer in progress in a thread, as far as they have come."""
        running = await self.list_by_thread(thread_id, identity, status=frozenset({"running"}), limit=1)
        return await partial_items(self.events, running[0].id) if running else []

    async def stop(self, run_id: str, identity: Identity) -> RunRecord:
        """Stop a run and its model call; what was shown is stored. A run that has ended stays as it is.

        Returns when the run has ended, or after `STOP_SECONDS`.

        Raises:
            NotFoundError: There is none, or it is somebody else's.
        """
        run = self.worker.get(run_id)
        here = run is not None and run.record.status == "running" and run.identity.owner == identity.owner
        if here and run is not None and run.task is not None:
            run.stop("cancelled")
            await asyncio.wait([run.task], timeout=STOP_SECONDS)
            return await self.load(run_id, identity)
        record = await self.load(run_id, identity)
        if record.status in {"queued", "waiting"} and await self.stores.runs.cancel(run_id, identity):
            await self._admission.end_withdrawn(record)
            if record.status == "waiting":
                self.worker.spawn(self.worker.start_next(record.queue))
            return await self.load(run_id, identity)
        if record.status in ACTIVE:
            await self.stores.runs.request_stop(run_id, identity, "cancelled")
            record = await self._wait_until_ended(run_id, identity)
        return record

    def client_disconnected(self, run_id: str, identity: Identity) -> None:
        """Stop a run whose client went away, where the settings say so. Returns at once."""
        self.worker.spawn(self.stop(run_id, identity))

    async def answer_once(
        self,
        request: BaseModel,
        context: RequestContext,
        key: str | None,
        answer: Callable[[], Awaitable[bytes]],
    ) -> bytes:
        """The answer to a request that starts no run; with an `Idempotency-Key`, made once and repeated.

        Raises:
            ConflictError: The key was used for a different request, or the first one is still being answered.
        """
        if key is None:
            return await answer()
        record = new_idempotency_record(request, context.identity, key)
        return await answer_once(self.stores.idempotency_keys, record, key, context.identity, answer)

    async def stop_in_thread(self, thread_id: str, identity: Identity) -> None:
        """Stop every run of one of the caller's threads, as before the thread is deleted."""
        found = await self.list_by_thread(thread_id, identity, status=ACTIVE, limit=100)
        # Newest first, so queued ones before the one in progress: its end would start the next.
        for record in found:
            await self.stop(record.id, identity)

    def _check_accepting(self) -> None:
        if self.draining:
            raise UnavailableError("The server is restarting. Try again in a moment.", retry_after=2)

    def _new_run(self, request: StreamingReq, context: RequestContext, *, can_stop: bool) -> Run:
        run_id = new_id("run")
        record = RunRecord(
            run_id,
            context.identity,
            thread_of(request) or "",
            request.type,
            "running",
            utc_now(),
            replica=self.worker.replica,
            fence=1,
            attempt=1,
            request=dump_request(request),
            context=dump_context(context, headers=self._context_headers, can_stop=can_stop),
        )
        for_run = context.for_run(run_id, request.metadata, self._output.plain_publisher(run_id))
        return Run(record, request, for_run, can_stop=can_stop)

    async def _existing_run(self, record: IdempotencyRecord, context: RequestContext, key: str) -> str | None:
        """The run that an earlier request with the same key has started, if any."""
        earlier = check_same_request(record, await self.stores.idempotency_keys.load(context.identity, key))
        if earlier is None or earlier.run_id is None:
            return None
        if (local := self.worker.get(earlier.run_id)) is not None:
            await asyncio.shield(local.admitted)
        return earlier.run_id

    async def _wait_until_ended(self, run_id: str, identity: Identity) -> RunRecord:
        loop = asyncio.get_running_loop()
        record = await self.load(run_id, identity)
        deadline, looks = loop.time() + STOP_SECONDS, 0
        while record.status in ACTIVE and loop.time() < deadline:
            looks += 1
            await asyncio.sleep(_POLL.delay(looks))
            record = await self.load(run_id, identity)
        return record
