"""Runs and their usage in a SQL database.

Statements for a caller select by owner. Those that assign runs to replicas, or start the next run of a queue, select
from the rows of all owners.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, override

from chatkit.store import NotFoundError
from sqlalchemy import RowMapping, Update, bindparam, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.context import CallUsage, Identity, Usage
from backchannel.stores.run_states import ACTIVE, RunStatus, sources
from backchannel.stores.run_store import (
    MAX_QUEUED,
    REPLIES,
    Orphan,
    QueueFullError,
    RunFencedError,
    RunLimitError,
    RunRecord,
    RunStore,
    ThreadBusyError,
    admission_id,
)
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.ownership import (
    delete_owned,
    fitting,
    insert_owned,
    select_owned,
    update_owned,
    upsert_owned,
)
from backchannel.stores.sql.tables import attempts, runs, usage
from backchannel.stores.sql.transactions import retryable
from backchannel.stores.sql.usage import usage_row
from backchannel.stores.times import utc_now

_LEGACY_RUN_AGE = timedelta(hours=1)
"""After so long, a running run of a version that stored no replica is taken for orphaned."""

MAX_ERROR_CODE_CHARS = 60
"""The length of the column; longer codes are cut off."""


class SqlRuns(RunStore):
    """The store of runs."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @override
    @retryable
    async def insert_running(self, run: RunRecord) -> None:
        values = {**_values(run), "status": "running", "holds": run.queue, "started_at": run.created_at}
        async with self.database.write() as connection:
            if await _is_stored(connection, run):
                return
            if run.operation != "threads.create":
                await _make_way(connection, run)
            try:
                await connection.execute(insert_owned(run.identity, runs, values))
            except IntegrityError as error:
                raise ThreadBusyError(run.queue) from error

    @override
    @retryable
    async def enqueue(self, run: RunRecord) -> None:
        count = select(func.count()).where(runs.c.queue == run.queue, runs.c.status == "queued")
        async with self.database.write() as connection:
            if await _is_stored(connection, run):
                return
            if (await connection.execute(count)).scalar_one() >= MAX_QUEUED:
                raise QueueFullError(run.queue)
            await _end_waiting(connection, run.queue)
            await connection.execute(insert_owned(run.identity, runs, {**_values(run), "status": "queued"}))

    @override
    @retryable
    async def check_room(self, identity: Identity, most: int, *, besides: str | None = None) -> None:
        # A row that every admission of the owner writes: the first one holds its lock to the end of the transaction, on
        # every database. The statement after it sees what was committed before.
        row = {"id": admission_id(identity), "request": "", "created_at": utc_now()}
        lock = upsert_owned(
            self.database.dialect, identity, attempts, row, key=("id",), change=("created_at",)
        )
        active = select_owned(identity, runs, func.count()).where(runs.c.status.in_(ACTIVE))
        if besides is not None:
            active = active.where(runs.c.queue != besides)
        async with self.database.write() as connection:
            await connection.execute(lock)
            if (await connection.execute(active)).scalar_one() >= most:
                raise RunLimitError(identity.user)

    @override
    @retryable
    async def delete(self, run_id: str, identity: Identity) -> None:
        async with self.database.write() as connection:
            await connection.execute(delete_owned(identity, runs).where(runs.c.id == run_id))

    @override
    @retryable
    async def mark_accepted(self, run_id: str, fence: int, began_after: str) -> None:
        accepted = _fenced(run_id, fence).values(fitting(runs, {"began_after": began_after}))
        async with self.database.write() as connection:
            if not (await connection.execute(accepted)).rowcount:
                # MySQL does not count a row that has these values already.
                await _check_fence(connection, run_id, fence)

    @override
    @retryable
    async def check_fence(self, run_id: str, fence: int) -> None:
        async with self.database.read() as connection:
            await _check_fence(connection, run_id, fence)

    @override
    @retryable
    async def claim_next(self, queue: str, replica: str) -> RunRecord | None:
        held = select(runs.c.id).where(runs.c.holds == queue)
        first = (
            select(runs.c.id)
            .where(runs.c.queue == queue, runs.c.status == "queued")
            .order_by(runs.c.created_at, runs.c.id)
            .limit(1)
        )
        # Mostly the queue is empty, which a read without a transaction shows.
        async with self.database.read() as connection:
            if (await connection.execute(first)).first() is None:
                return None
        try:
            async with self.database.write() as connection:
                if (await connection.execute(held)).first() is not None:
                    return None
                found = (await connection.execute(first)).scalar_one_or_none()
                if found is None:
                    return None
                started = (
                    update(runs)
                    .where(runs.c.id == found, runs.c.status == "queued")
                    .values(status="running", holds=queue, started_at=utc_now(), **_next_assignment(replica))
                )
                result = await connection.execute(started)
                return await _load(connection, found) if result.rowcount else None
        except IntegrityError:
            # Another replica was faster.
            return None

    @override
    @retryable
    async def take_over(
        self, run_ids: Sequence[str], former: str | None, replica: str
    ) -> Sequence[RunRecord]:
        takeable = (
            select(runs.c.id)
            .where(runs.c.id.in_(run_ids), runs.c.replica.is_not_distinct_from(former))
            .where(or_(runs.c.status == "running", runs.c.replica.is_not(None)))
            # A run to which its replica is writing must not delay the others.
            .with_for_update(skip_locked=True)
        )
        async with self.database.write() as connection:
            taken = runs.c.id.in_((await connection.execute(takeable)).scalars().all())
            assignment = _next_assignment(replica)
            if former is None:
                # A release is not a failed attempt.
                del assignment["attempt"]
            await connection.execute(update(runs).where(taken).values(**assignment))
            rows = (await connection.execute(select(runs).where(taken).order_by(runs.c.id))).mappings()
            return [_record(row) for row in rows]

    @override
    @retryable
    async def release_run(self, run_id: str, fence: int) -> None:
        async with self.database.write() as connection:
            result = await connection.execute(_fenced(run_id, fence).values(replica=None))
            if not result.rowcount:
                await _check_fence(connection, run_id, fence)

    @override
    @retryable
    async def finish(
        self, run_id: str, fence: int, status: RunStatus, error_code: str | None, usage: Usage
    ) -> None:
        ended = (
            update(runs)
            .where(runs.c.id == run_id, runs.c.fence == fence, runs.c.status.in_(sources(status)))
            .values(
                status=status,
                # An application may choose any; the end of the run must be stored.
                error_code=error_code and error_code[:MAX_ERROR_CODE_CHARS],
                ended_at=None if status == "waiting" else utc_now(),
                holds=runs.c.holds if status == "waiting" else None,
                request=None,
                caller=None,
            )
        )
        async with self.database.write() as connection:
            result = await connection.execute(ended)
            run = await _load(connection, run_id)
            if result.rowcount and run is not None:
                for call in _unstored(usage):
                    await connection.execute(usage_row(run.identity, run.id, call))
            elif run is None or (run.fence, run.status) != (fence, status):
                raise RunFencedError(run_id)

    @override
    @retryable
    async def clear_replica(self, run_ids: Sequence[str], replica: str) -> None:
        ended = runs.c.status.not_in(("queued", "running"))
        cleared = update(runs).where(runs.c.id.in_(run_ids), runs.c.replica == replica, ended)
        async with self.database.write() as connection:
            await connection.execute(cleared.values(replica=None))

    @override
    @retryable
    async def cancel(self, run_id: str, identity: Identity) -> bool:
        idle = runs.c.status.in_(("queued", "waiting"))
        ended = update_owned(identity, runs).where(runs.c.id == run_id, idle)
        ended = ended.values(status="cancelled", ended_at=utc_now(), holds=None, request=None, caller=None)
        async with self.database.write() as connection:
            return bool((await connection.execute(ended)).rowcount)

    @override
    @retryable
    async def request_stop(
        self, run_id: str, identity: Identity, status: RunStatus, error_code: str | None = None
    ) -> None:
        request = update_owned(identity, runs).where(runs.c.id == run_id, runs.c.status == "running")
        async with self.database.write() as connection:
            code = error_code and error_code[:MAX_ERROR_CODE_CHARS]
            await connection.execute(request.values(stop=status, error_code=code))

    @override
    @retryable
    async def stop_requests(self, replica: str) -> Sequence[tuple[str, RunStatus]]:
        async with self.database.read() as connection:
            rows = await connection.execute(_STOP_REQUESTS, {"replica_id": replica})
            return [(row.id, row.stop) for row in rows]

    @override
    @retryable
    async def load(self, run_id: str, identity: Identity) -> RunRecord:
        statement = select_owned(identity, runs).where(runs.c.id == run_id)
        used = [func.sum(usage.c[name]).label(name) for name in _AMOUNTS]
        booked = select_owned(identity, usage, *used).where(usage.c.run_id == run_id)
        async with self.database.read() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
            if row is None:
                raise NotFoundError(f"No run {run_id}")
            amounts = (await connection.execute(booked)).mappings().one()
        requests, sent, received = (int(amounts[name] or 0) for name in _AMOUNTS)
        return _record(row, Usage(requests, sent, received))

    @override
    @retryable
    async def list_by_thread(
        self, thread_id: str, identity: Identity, *, status: frozenset[RunStatus] | None, limit: int
    ) -> Sequence[RunRecord]:
        statement = select_owned(identity, runs).where(runs.c.thread_id == thread_id)
        if status is not None:
            statement = statement.where(runs.c.status.in_(status))
        newest = statement.order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
        async with self.database.read() as connection:
            return [_record(row) for row in (await connection.execute(newest)).mappings()]

    @override
    @retryable
    async def list_by_replica(self, replica: str) -> Sequence[str]:
        async with self.database.read() as connection:
            return (await connection.execute(_OF_REPLICA, {"replica_id": replica})).scalars().all()

    @override
    @retryable
    async def orphans(self, limit: int) -> Sequence[Orphan]:
        async with self.database.read() as connection:
            found = [
                *(
                    await connection.execute(
                        _ORPHANED_RUNNING, {"limit": limit, "created_before": utc_now() - _LEGACY_RUN_AGE}
                    )
                ),
                *(await connection.execute(_ORPHANED_QUEUED, {"limit": limit})),
            ]
        # Sorted here: for an ORDER BY, some planners scan all runs in order instead of sorting the few that match.
        found.sort(key=lambda row: (row.created_at, row.id))
        return [Orphan(row.id, row.status, row.queue) for row in found]


# Built once, because maintenance executes them often and building them costs more than their execution.
_STOP_REQUESTS = select(runs.c.id, runs.c.stop).where(
    runs.c.replica == bindparam("replica_id"), runs.c.status == "running", runs.c.stop.is_not(None)
)
_OF_REPLICA = select(runs.c.id).where(runs.c.replica == bindparam("replica_id"))
_holder = runs.alias("holder")
_ORPHAN = (runs.c.id, runs.c.status, runs.c.queue, runs.c.created_at)
_ORPHANED_RUNNING = (
    select(*_ORPHAN)
    .where(runs.c.status == "running", runs.c.replica.is_(None))
    .where(or_(runs.c.queue.is_not(None), runs.c.created_at < bindparam("created_before")))
    .limit(bindparam("limit"))
)
_ORPHANED_QUEUED = (
    select(*_ORPHAN)
    .where(runs.c.status == "queued")
    .where(~select(_holder.c.id).where(_holder.c.holds == runs.c.queue).correlate(runs).exists())
    .limit(bindparam("limit"))
)

_AMOUNTS = ("requests", "input_tokens", "output_tokens")
_COLUMNS = ("operation", "created_at", "replica", "fence", "attempt", "request", "began_after")


def _values(run: RunRecord) -> dict[str, Any]:
    columns = {name: getattr(run, name) for name in _COLUMNS}
    return {"id": run.id, "thread_id": run.thread_id, "queue": run.queue, "caller": run.context, **columns}


async def _is_stored(connection: AsyncConnection, run: RunRecord) -> bool:
    """Whether the run is stored already, by an earlier try with unknown outcome."""
    stored = select_owned(run.identity, runs, runs.c.id).where(runs.c.id == run.id)
    return (await connection.execute(stored)).first() is not None


async def _make_way(connection: AsyncConnection, run: RunRecord) -> None:
    """Complete the run that waits for the person, unless other runs are to come before `run`."""
    others = select(runs.c.status).where(runs.c.queue == run.queue, runs.c.status.in_(("queued", "waiting")))
    statuses = set((await connection.execute(others)).scalars())
    # Queued messages wait for the reply, so it must not wait behind them.
    if "queued" in statuses and not ("waiting" in statuses and run.operation in REPLIES):
        raise ThreadBusyError(run.queue)
    if "waiting" in statuses:
        await _end_waiting(connection, run.queue)


async def _end_waiting(connection: AsyncConnection, queue: str) -> None:
    waiting = update(runs).where(runs.c.queue == queue, runs.c.status == "waiting")
    await connection.execute(waiting.values(status="completed", ended_at=utc_now(), holds=None))


async def _check_fence(connection: AsyncConnection, run_id: str, fence: int) -> None:
    current = select(runs.c.id).where(runs.c.id == run_id, runs.c.fence == fence, runs.c.status == "running")
    # A shared lock, because several items of a run may be written at the same time; a take-over waits for them.
    if (await connection.execute(current.with_for_update(read=True))).first() is None:
        raise RunFencedError(run_id)


def _fenced(run_id: str, fence: int) -> Update:
    return update(runs).where(runs.c.id == run_id, runs.c.fence == fence, runs.c.status == "running")


def _next_assignment(replica: str) -> dict[str, Any]:
    return {"replica": replica, "fence": runs.c.fence + 1, "attempt": runs.c.attempt + 1}


async def _load(connection: AsyncConnection, run_id: str) -> RunRecord | None:
    row = (await connection.execute(select(runs).where(runs.c.id == run_id))).mappings().one_or_none()
    return None if row is None else _record(row)


def _unstored(used: Usage) -> Sequence[CallUsage]:
    """What is to be stored of a run's usage. An application's own server may have added to it without saying which
    model it called."""
    calls = used.calls.values()
    rest = CallUsage(
        "",
        "",
        used.requests - sum(each.requests for each in calls),
        used.input_tokens - sum(each.input_tokens for each in calls),
        used.output_tokens - sum(each.output_tokens for each in calls),
    )
    return [*used.unstored.values(), *([rest] if rest.requests > 0 else ())]


def _record(row: RowMapping, used: Usage | None = None) -> RunRecord:
    names = ("id", "thread_id", "status", "error_code", "started_at", "ended_at", "stop", *_COLUMNS)
    identity = Identity(row["user_id"], tenant=row["tenant"])
    return RunRecord(
        identity=identity, context=row["caller"], usage=used, **{name: row[name] for name in names}
    )
