"""The processes that share the runs of a SQL database. Their rows have no owner."""

from collections.abc import Sequence
from typing import override

from sqlalchemy import bindparam, delete, insert, select, update

from backchannel.stores.run_store import ReplicaRecord, ReplicaStore
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.tables import replicas, runs
from backchannel.stores.sql.transactions import retryable
from backchannel.stores.times import utc_now


class SqlReplicas(ReplicaStore):
    """The store of replicas."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @override
    @retryable
    async def join(self, replica: ReplicaRecord) -> None:
        values = {"id": replica.id, "host": replica.host, "pid": replica.pid, "beat": replica.beat}
        async with self.database.write() as connection:
            # Called again after a commit with unknown outcome, it must not fail.
            await connection.execute(delete(replicas).where(replicas.c.id == replica.id))
            await connection.execute(insert(replicas).values(**values, created_at=utc_now()))

    @override
    @retryable
    async def heartbeat(self, replica: str) -> bool:
        counted = update(replicas).where(replicas.c.id == replica).values(beat=replicas.c.beat + 1)
        async with self.database.write() as connection:
            return bool((await connection.execute(counted)).rowcount)

    @override
    @retryable
    async def all(self) -> Sequence[ReplicaRecord]:
        async with self.database.read() as connection:
            rows = (await connection.execute(_ALL)).mappings().all()
        return [ReplicaRecord(row["id"], row["host"], row["pid"], row["beat"]) for row in rows]

    @override
    @retryable
    async def remove(self, replica: str, beat: int | None = None) -> bool:
        removed = delete(replicas).where(replicas.c.id == replica)
        if beat is not None:
            removed = removed.where(replicas.c.beat == beat)
        async with self.database.write() as connection:
            return bool((await connection.execute(removed)).rowcount)

    @override
    @retryable
    async def unregistered(self, limit: int) -> Sequence[str]:
        async with self.database.read() as connection:
            return (await connection.execute(_UNREGISTERED, {"limit": limit})).scalars().all()


_ALL = select(replicas)
# One statement, so that a replica that joins and takes a run meanwhile is not reported.
_UNREGISTERED = (
    select(runs.c.replica)
    .where(
        runs.c.replica.is_not(None), ~select(replicas.c.id).where(replicas.c.id == runs.c.replica).exists()
    )
    .distinct()
    .limit(bindparam("limit"))
)
