"""Runs and their usage in a SQL database."""

from collections.abc import Sequence
from typing import Any, override

from chatkit.store import NotFoundError
from sqlalchemy import RowMapping, update

from backchannel.context import Identity, Usage
from backchannel.stores.base import RunRecord, RunStatus, RunStore
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.ownership import insert_owned, select_owned, update_owned, upsert_owned
from backchannel.stores.sql.tables import runs, usage
from backchannel.stores.sql.transactions import repeatable
from backchannel.stores.times import utc_now


class SqlRuns(RunStore):
    """The store of runs. One per process."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @override
    @repeatable
    async def add(self, run: RunRecord, identity: Identity) -> None:
        values: dict[str, Any] = {
            "id": run.id,
            "thread_id": run.thread_id,
            "operation": run.operation,
            "status": run.status,
            "created_at": run.created_at,
        }
        statement = upsert_owned(self.database.dialect, identity, runs, values, key=("id",), change=())
        async with self.database.write() as connection:
            await connection.execute(statement)

    @override
    @repeatable
    async def finish(
        self, run_id: str, status: RunStatus, error_code: str | None, usage: Usage, identity: Identity
    ) -> None:
        now = utc_now()
        ended = (
            update_owned(identity, runs)
            .where(runs.c.id == run_id, runs.c.status == "running")
            .values(status=status, error_code=error_code, ended_at=now)
        )
        async with self.database.write() as connection:
            result = await connection.execute(ended)
            if result.rowcount and usage.requests:
                await connection.execute(_usage_row(run_id, usage, identity))

    @override
    @repeatable
    async def load(self, run_id: str, identity: Identity) -> RunRecord:
        statement = select_owned(identity, runs).where(runs.c.id == run_id)
        async with self.database.read() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
        if row is None:
            raise NotFoundError(f"No run {run_id}")
        return _record(row)

    @override
    @repeatable
    async def of_thread(
        self, thread_id: str, identity: Identity, *, active: bool, limit: int
    ) -> Sequence[RunRecord]:
        statement = select_owned(identity, runs).where(runs.c.thread_id == thread_id)
        if active:
            statement = statement.where(runs.c.status == "running")
        newest = statement.order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
        async with self.database.read() as connection:
            return [_record(row) for row in (await connection.execute(newest)).mappings()]

    @override
    @repeatable
    async def interrupt_abandoned(self) -> int:
        # Nobody asks here: it is the process's own housekeeping, over everybody's rows.
        statement = (
            update(runs).where(runs.c.status == "running").values(status="interrupted", ended_at=utc_now())
        )
        async with self.database.write() as connection:
            return (await connection.execute(statement)).rowcount


def _usage_row(run_id: str, used: Usage, identity: Identity) -> Any:
    values = {
        "run_id": run_id,
        "requests": used.requests,
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "created_at": utc_now(),
    }
    return insert_owned(identity, usage, values)


def _record(row: RowMapping) -> RunRecord:
    return RunRecord(
        id=row["id"],
        thread_id=row["thread_id"],
        operation=row["operation"],
        status=row["status"],
        created_at=row["created_at"],
        error_code=row["error_code"],
        ended_at=row["ended_at"],
    )
