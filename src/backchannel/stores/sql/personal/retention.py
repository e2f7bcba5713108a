"""Deleting what has become old, whoever it belongs to.

Nobody asks here: the process looks for old threads, runs and usage among everybody's, and deletes each thread as its
owner could.
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
    beyond,
    delete_some,
    giving_way,
    owned_tables,
    thread_column,
)
from backchannel.stores.sql.tables import attachments, runs, threads, usage
from backchannel.stores.sql.transactions import retryable


async def delete_older(
    database: Database, before: datetime, batch: int = BATCH, tables: Sequence[Table] | None = None
) -> dict[str, int]:
    """Delete the threads in which nothing happened since `before`, with all that belongs to them, and all runs and
    usage from before it; gives how many rows were deleted, by the table's name.

    A thread goes in one transaction, or, with more than `batch` rows, in several, its oldest items first. One that
    is written to meanwhile is kept, with what is left of it. Several may do this at once: a thread that somebody
    else is at is passed over. Stopped halfway, it can be done again.

    Args:
        before: With its time zone.
        batch: The most rows that one transaction deletes.
        tables: As `owned_tables` gives them: those among them that refer to threads are deleted with their threads.
            Default: Backchannel's own.

    Raises:
        UnavailableError: The database cannot be reached.
    """
    old = _Old(database, before, batch, owned_tables() if tables is None else tables)
    return await old.delete()


class _Old:
    def __init__(self, database: Database, before: datetime, batch: int, tables: Sequence[Table]) -> None:
        self.database = database
        self._before = before
        self._batch = batch
        parts = [(table, column) for table in tables if (column := thread_column(table)) is not None]
        # These two name their thread without referring to it: it may be in a store of the application's own.
        self._parts = [*parts, (attachments, attachments.c.thread_id), (runs, runs.c.thread_id)]

    async def delete(self) -> dict[str, int]:
        parts = [table for table, _ in self._parts]
        counts: Counter[str] = Counter({table.name: 0 for table in (threads, *parts, runs, usage)})
        async for thread in self._threads():
            owner, more = Identity(thread["user_id"], tenant=thread["tenant"]), True
            while more:
                async with giving_way():
                    deleted, more = await self._delete_from(thread["id"], owner)
                counts.update(deleted)
        for table in (runs, usage):
            found = self._batch
            while found == self._batch:
                async with giving_way():
                    found, deleted_rows = await self._delete_aged(table)
                counts[table.name] += deleted_rows
        return dict(counts)

    async def _threads(self) -> AsyncGenerator[RowMapping]:
        """Ids, owners and dates of old threads, those first in which nothing happened for longest."""
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
            old = old.where(beyond(order, last))
        async with self.database.read() as connection:
            return (await connection.execute(old.order_by(*order).limit(self._batch))).mappings().all()

    @retryable
    async def _delete_from(self, thread_id: str, owner: Identity) -> tuple[dict[str, int], bool]:
        """Delete up to a batch of a thread's rows, the thread itself last; gives how many, and whether there are
        more to delete."""
        here = (threads.c.id == thread_id, self._is_old(threads.c.updated_at))
        # Who writes to a thread changes its row first: having it, nobody does until this is committed.
        lock = select_owned(owner, threads, threads.c.id).where(*here).with_for_update(skip_locked=True)
        deleted: dict[str, int] = {}
        left = self._batch
        async with self.database.write() as connection:
            if (await connection.execute(lock)).one_or_none() is None:
                return deleted, False
            for table, column in self._parts:
                key = list(table.primary_key.columns)
                order = key if key[0] is column else ()
                found, deleted[table.name] = await delete_some(
                    connection, owner, table, left, among=[column == thread_id], order=order
                )
                left -= found
                if not left:
                    return deleted, True
            gone = await connection.execute(delete_owned(owner, threads).where(*here))
            return {**deleted, threads.name: gone.rowcount}, False

    @retryable
    async def _delete_aged(self, table: Table) -> tuple[int, int]:
        """Delete up to a batch of old rows; gives how many were found, and how many of them were still there."""
        key, is_old = table.c.id, self._is_old(table.c.created_at)
        some = select(key).where(is_old).order_by(table.c.created_at, key).limit(self._batch)
        async with self.database.write() as connection:
            found = (await connection.execute(some)).scalars().all()
            if not found:
                return 0, 0
            gone = await connection.execute(delete(table).where(key.in_(found), is_old))
            return len(found), gone.rowcount

    def _is_old(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        return column < self._before
