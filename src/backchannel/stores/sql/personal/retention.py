"""Deletion of old data of all owners: threads, runs and usage.

Old rows are selected among those of all owners; each thread is then deleted with the identity of its owner.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Table, delete, select

from backchannel.context import Identity
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.ownership import delete_owned, select_owned
from backchannel.stores.sql.personal.tables import (
    BATCH,
    delete_batch,
    keyset_after,
    owned_tables,
    thread_column,
    throttled,
)
from backchannel.stores.sql.tables import attachments, files, runs, threads, usage
from backchannel.stores.sql.transactions import retryable


async def delete_older(
    database: Database, before: datetime, batch: int = BATCH, tables: Sequence[Table] | None = None
) -> dict[str, int]:
    """Delete threads that were last changed before `before`, with their content, and runs and usage from before it;
    returns the number of deleted rows per table name.

    A thread is deleted in one transaction or, with more than `batch` rows, in several, oldest items first. If it is
    changed meanwhile, its remaining rows are kept. Several processes may call this at the same time: locked threads are
    skipped. After an interruption, call it again.

    Args:
        before: An aware time.
        batch: The most rows that one transaction deletes.
        tables: From `owned_tables`. Rows that refer to a thread are deleted with it. Default: Backchannel's own tables.

    Raises:
        UnavailableError: The database cannot be reached.
    """
    sweep = _RetentionSweep(database, before, batch, owned_tables() if tables is None else tables)
    return await sweep.delete()


class _RetentionSweep:
    def __init__(self, database: Database, before: datetime, batch: int, tables: Sequence[Table]) -> None:
        self.database = database
        self._before = before
        self._batch = batch
        parts = [(table, column) for table in tables if (column := thread_column(table)) is not None]
        # These have no foreign key, because the thread may be in a store of the application.
        unlinked = (files, attachments, runs)
        self._parts = [*parts, *((table, table.c.thread_id) for table in unlinked)]

    async def delete(self) -> dict[str, int]:
        parts = [table for table, _ in self._parts]
        counts: Counter[str] = Counter({table.name: 0 for table in (threads, *parts, runs, usage)})
        async for thread in self._threads():
            owner, more = Identity(thread["user_id"], tenant=thread["tenant"]), True
            while more:
                async with throttled():
                    deleted, more = await self._delete_from(thread["id"], owner)
                counts.update(deleted)
        for table in (runs, usage):
            found = self._batch
            while found == self._batch:
                async with throttled():
                    found, deleted_rows = await self._delete_aged(table)
                counts[table.name] += deleted_rows
        return dict(counts)

    async def _threads(self) -> AsyncGenerator[RowMapping]:
        """Ids, owners and times of old threads, oldest change first."""
        last: Sequence[Any] | None = None
        while rows := await self._page_of_threads(last):
            for row in rows:
                yield row
            last = (rows[-1]["updated_at"], rows[-1]["id"])

    @retryable
    async def _page_of_threads(self, last: Sequence[Any] | None) -> Sequence[RowMapping]:
        order = (threads.c.updated_at, threads.c.id)
        old = select(threads.c.id, threads.c.tenant, threads.c.user_id, threads.c.updated_at)
        old = old.where(self._is_old(threads.c.updated_at))
        if last is not None:
            old = old.where(keyset_after(order, last))
        async with self.database.read() as connection:
            return (await connection.execute(old.order_by(*order).limit(self._batch))).mappings().all()

    @retryable
    async def _delete_from(self, thread_id: str, owner: Identity) -> tuple[dict[str, int], bool]:
        """Delete up to a batch of a thread's rows, the thread itself last; returns how many per table, and whether
        there are more."""
        here = (threads.c.id == thread_id, self._is_old(threads.c.updated_at))
        # Every write to a thread updates its row first, and waits for this lock.
        lock = select_owned(owner, threads, threads.c.id).where(*here).with_for_update(skip_locked=True)
        deleted: dict[str, int] = {}
        remaining = self._batch
        async with self.database.write() as connection:
            if (await connection.execute(lock)).one_or_none() is None:
                return deleted, False
            for table, column in self._parts:
                key = list(table.primary_key.columns)
                order = key if key[0] is column else ()
                found, deleted[table.name] = await delete_batch(
                    connection, owner, table, remaining, where=[column == thread_id], order=order
                )
                remaining -= found
                if not remaining:
                    return deleted, True
            deletion = await connection.execute(delete_owned(owner, threads).where(*here))
            return {**deleted, threads.name: deletion.rowcount}, False

    @retryable
    async def _delete_aged(self, table: Table) -> tuple[int, int]:
        """Delete up to a batch of old rows; returns how many were found, and how many of them were deleted."""
        key, is_old = table.c.id, self._is_old(table.c.created_at)
        batch = select(key).where(is_old).order_by(table.c.created_at, key).limit(self._batch)
        async with self.database.write() as connection:
            found = (await connection.execute(batch)).scalars().all()
            if not found:
                return 0, 0
            deletion = await connection.execute(delete(table).where(key.in_(found), is_old))
            return len(found), deletion.rowcount

    def _is_old(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        return column < self._before
