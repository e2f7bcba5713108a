"""What calls of models have used, in a SQL database."""

from collections.abc import Sequence
from datetime import datetime
from typing import override

from sqlalchemy import Insert, func

from backchannel.budgets.base import UsageStore
from backchannel.context import CallUsage, Identity
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.ownership import insert_owned, select_owned
from backchannel.stores.sql.tables import usage
from backchannel.stores.sql.transactions import retryable
from backchannel.stores.times import utc_now

MAX_REQUESTS = 2**31 - 1
MAX_AMOUNT = 2**63 - 1

_AMOUNTS = ("requests", "input_tokens", "output_tokens", "cached_tokens", "cost")


class SqlUsage(UsageStore):
    """The store of usage. Rows of runs are written by `SqlRuns.finish`, and those of budgets by the ledger."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @override
    async def add(self, identity: Identity, run_id: str, calls: Sequence[CallUsage]) -> None:
        # Not retried after a commit with unknown outcome: it would be booked twice.
        async with self.database.write() as connection:
            for call in calls:
                await connection.execute(usage_row(identity, run_id, call))

    @override
    @retryable
    async def by_model(self, identity: Identity, since: datetime) -> Sequence[CallUsage]:
        sums = [func.sum(usage.c[name]).label(name) for name in _AMOUNTS]
        key = (usage.c.model, usage.c.purpose)
        statement = select_owned(identity, usage, *key, *sums).where(usage.c.created_at >= since)
        async with self.database.read() as connection:
            rows = (await connection.execute(statement.group_by(*key))).mappings().all()
        found = [
            CallUsage(
                row["model"] or "",
                row["purpose"] or "answer",
                requests=int(row["requests"] or 0),
                input_tokens=int(row["input_tokens"] or 0),
                output_tokens=int(row["output_tokens"] or 0),
                cached_tokens=int(row["cached_tokens"] or 0),
                cost=None if row["cost"] is None else int(row["cost"]),
            )
            for row in rows
        ]
        return sorted(found, key=lambda call: (call.model, call.purpose))


def usage_row(identity: Identity, run_id: str, call: CallUsage) -> Insert:
    """The statement that stores what a call used. Endpoints of models report any number, and it must be stored."""
    values = {
        "run_id": run_id,
        "requests": min(max(call.requests, 0), MAX_REQUESTS),
        **{
            name: min(max(getattr(call, name), 0), MAX_AMOUNT)
            for name in ("input_tokens", "output_tokens", "cached_tokens")
        },
        "cost": None if call.cost is None else min(max(call.cost, 0), MAX_AMOUNT),
        "model": call.model[:200] or None,
        "purpose": call.purpose or None,
        "created_at": utc_now(),
    }
    return insert_owned(identity, usage, values)
