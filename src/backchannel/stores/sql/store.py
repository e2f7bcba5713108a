"""Threads, items and attachments in a SQL database: an implementation of the SDK's `Store`.

Times are stored in UTC and returned as naive local time (`stores.times`). Items are ordered by a sequence number per
thread, not by time. An id of another owner is treated like an unknown one: `NotFoundError`.

Each method is one transaction, is retried if the database aborts that, and may be called twice with the same result.
`SqlStore.atomically` runs several in one transaction.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import EllipsisType
from typing import Any, override

from chatkit.store import NotFoundError, Store, StoreItemType
from chatkit.types import (
    Attachment,
    ClientToolCallItem,
    FeedbackKind,
    Page,
    StructuredInputItem,
    ThreadItem,
    ThreadMetadata,
)
from pydantic import TypeAdapter
from sqlalchemy import Select, Table, and_, case, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.context import Identity, identity_of
from backchannel.ids import new_id
from backchannel.stores.base import Feedback, SearchResult
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.file_deletions import delete_files
from backchannel.stores.sql.ownership import (
    delete_owned,
    select_owned,
    update_owned,
    upsert_owned,
)
from backchannel.stores.sql.rows import item_of, item_values, saved_thread_values, thread_of, thread_values
from backchannel.stores.sql.search import TITLE, find_threads, index_text, remove_texts
from backchannel.stores.sql.tables import (
    attachments,
    feedback,
    files,
    items,
    run_events,
    run_logs,
    runs,
    threads,
)
from backchannel.stores.sql.transactions import retry_transaction, retryable
from backchannel.stores.text import json_of
from backchannel.stores.times import to_utc, utc_now
from backchannel.stores.words import query_words, text_of

MAX_PAGE = 1000
"""The most rows of one page, also if the caller requests more."""

_IDS_PER_STATEMENT = 500

_ATTACHMENT: TypeAdapter[Attachment] = TypeAdapter(Attachment)


class SqlStore(Store[object]):
    """The store of conversations. It has no state besides the pool of `database`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @override
    def generate_thread_id(self, context: object) -> str:
        return new_id("thread")

    @override
    def generate_item_id(self, item_type: StoreItemType, thread: ThreadMetadata, context: object) -> str:
        return new_id(item_type)

    async def atomically[R](self, work: Callable[[], Awaitable[R]]) -> R:
        """Run `work` in one transaction; see `stores.base.WritesAtomically`."""

        async def once() -> R:
            async with self.database.transaction():
                return await work()

        return (
            await once()
            if self.database.in_transaction
            else await retry_transaction(self.database, once, retry_unknown=False)
        )

    # Threads

    @override
    @retryable
    async def load_thread(self, thread_id: str, context: object) -> ThreadMetadata:
        statement = select_owned(identity_of(context), threads).where(threads.c.id == thread_id)
        async with self.database.read() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
        if row is None:
            raise NotFoundError(f"Thread {thread_id} not found")
        return thread_of(row)

    @override
    @retryable
    async def save_thread(self, thread: ThreadMetadata, context: object) -> None:
        identity, values = identity_of(context), saved_thread_values(thread)
        created_at = to_utc(thread.created_at)
        new = {**values, "id": thread.id, "created_at": created_at, "updated_at": utc_now()}
        async with self.database.write() as connection:
            await self._upsert_by_id(connection, identity, threads, new, change=(*values, "updated_at"))
            await self._index_title(connection, identity, thread.id, thread.title)

    @retryable
    async def update_thread(
        self,
        thread_id: str,
        changes: Mapping[str, Any],
        context: object,
        *,
        unless_renamed_from: str | EllipsisType | None = ...,
    ) -> ThreadMetadata:
        """Set single fields of a thread; see `stores.base.PatchesThreads`."""
        identity, values = identity_of(context), thread_values(changes)
        if "title" in values and not isinstance(unless_renamed_from, EllipsisType):
            # Compared by the statement that changes it, so that no rename can come in between.
            unchanged = threads.c.title.is_not_distinct_from(unless_renamed_from)
            values["title"] = case((unchanged, values["title"]), else_=threads.c.title)
        here = threads.c.id == thread_id
        async with self.database.write() as connection:
            result = await connection.execute(
                update_owned(identity, threads).where(here).values(**values, updated_at=utc_now())
            )
            if not result.rowcount:
                raise NotFoundError(f"Thread {thread_id} not found")
            row = (await connection.execute(select_owned(identity, threads).where(here))).mappings().one()
            if "title" in values:
                await self._index_title(connection, identity, thread_id, row["title"])
        return thread_of(row)

    async def _index_title(
        self, connection: AsyncConnection, identity: Identity, thread_id: str, title: str | None
    ) -> None:
        await index_text(connection, self.database.dialect, identity, thread_id, TITLE, title or "")

    @override
    @retryable
    async def load_threads(
        self, limit: int, after: str | None, order: str, context: object
    ) -> Page[ThreadMetadata]:
        identity = identity_of(context)
        created, thread_id = threads.c.created_at, threads.c.id
        statement = select_owned(identity, threads)
        async with self.database.read() as connection:
            if after is not None:
                created_at = await _scalar(
                    connection, select_owned(identity, threads, created).where(thread_id == after), after
                )
                # The first condition bounds the index range, also on MariaDB, which uses no index for the second one.
                if order == "desc":
                    statement = statement.where(
                        created <= created_at, or_(created < created_at, thread_id < after)
                    )
                else:
                    statement = statement.where(
                        created >= created_at, or_(created > created_at, thread_id > after)
                    )
            keys = (created.desc(), thread_id.desc()) if order == "desc" else (created, thread_id)
            size = _page_size(limit)
            rows = (await connection.execute(statement.order_by(*keys).limit(size + 1))).mappings().all()
        return _page([thread_of(row) for row in rows[:size]], more=len(rows) > size)

    @override
    @retryable
    async def delete_thread(self, thread_id: str, context: object) -> None:
        identity = identity_of(context)
        of_thread = select_owned(identity, files, files.c.id).where(files.c.thread_id == thread_id)
        async with self.database.write() as connection:
            file_ids = (await connection.execute(of_thread)).scalars().all()
            if file_ids:
                await delete_files(connection, file_ids)
            await connection.execute(
                delete_owned(identity, attachments).where(attachments.c.thread_id == thread_id)
            )
            run_ids = select_owned(identity, runs, runs.c.id).where(runs.c.thread_id == thread_id)
            for table in (run_events, run_logs):
                await connection.execute(delete_owned(identity, table).where(table.c.run_id.in_(run_ids)))
            await connection.execute(delete_owned(identity, runs).where(runs.c.thread_id == thread_id))
            await connection.execute(delete_owned(identity, threads).where(threads.c.id == thread_id))

    # Items

    @override
    @retryable
    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: object
    ) -> Page[ThreadItem]:
        identity, size = identity_of(context), _page_size(limit)
        in_thread = items.c.thread_id == thread_id
        statement = select_owned(identity, items, items.c.data).where(in_thread)
        async with self.database.read() as connection:
            if after is not None:
                here = and_(in_thread, items.c.id == after)
                seq = await _scalar(connection, select_owned(identity, items, items.c.seq).where(here), after)
                statement = statement.where(items.c.seq < seq if order == "desc" else items.c.seq > seq)
            key = items.c.seq.desc() if order == "desc" else items.c.seq
            data = (await connection.execute(statement.order_by(key).limit(size + 1))).scalars().all()
        return _page([item_of(row) for row in data[:size]], more=len(data) > size)

    @override
    @retryable
    async def load_item(self, thread_id: str, item_id: str, context: object) -> ThreadItem:
        statement = select_owned(identity_of(context), items, items.c.data)
        here = and_(items.c.thread_id == thread_id, items.c.id == item_id)
        async with self.database.read() as connection:
            return item_of(await _scalar(connection, statement.where(here), item_id))

    @override
    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: object) -> None:
        """Append the item to the thread, or change the one with its id, which keeps its position.

        A workflow is added when it begins and again when it is done, possibly by a later run. A pending question to the
        user that exists already is not changed, so that its answer, if there is one, is not lost.
        """
        is_question = isinstance(item, StructuredInputItem | ClientToolCallItem) and item.status == "pending"
        await self._upsert_item(thread_id, item, context, change=() if is_question else ("type", "data"))

    @override
    async def save_item(self, thread_id: str, item: ThreadItem, context: object) -> None:
        await self._upsert_item(thread_id, item, context, change=("type", "data"))

    @retryable
    async def _upsert_item(
        self, thread_id: str, item: ThreadItem, context: object, *, change: Sequence[str]
    ) -> None:
        identity, dialect = identity_of(context), self.database.dialect
        here = threads.c.id == thread_id
        increment = update_owned(identity, threads).where(here)
        increment = increment.values(last_seq=threads.c.last_seq + 1, updated_at=utc_now())
        incremented = select_owned(identity, threads, threads.c.last_seq).where(here)
        async with self.database.write() as connection:
            seq = await dialect.increment(connection, increment, incremented, threads.c.last_seq)
            if seq is None:
                raise NotFoundError(f"Thread {thread_id} not found")
            values = {**item_values(thread_id, item), "seq": seq}
            await connection.execute(
                upsert_owned(dialect, identity, items, values, key=("thread_id", "id"), change=change)
            )
            if text := text_of(item):
                await index_text(connection, dialect, identity, thread_id, item.id, text)

    @override
    @retryable
    async def delete_thread_item(self, thread_id: str, item_id: str, context: object) -> None:
        identity = identity_of(context)
        deletion = delete_owned(identity, items).where(items.c.thread_id == thread_id, items.c.id == item_id)
        async with self.database.write() as connection:
            await connection.execute(deletion)
            await remove_texts(connection, identity, thread_id, [item_id])

    @retryable
    async def delete_items_after(self, thread_id: str, item_id: str, context: object) -> Sequence[str]:
        """Delete all items after one; see `stores.base.DeletesTail`."""
        identity = identity_of(context)
        here = and_(items.c.thread_id == thread_id, items.c.id == item_id)
        async with self.database.write() as connection:
            seq = await _scalar(connection, select_owned(identity, items, items.c.seq).where(here), item_id)
            tail = and_(items.c.thread_id == thread_id, items.c.seq > seq)
            newest_first = select_owned(identity, items, items.c.id).where(tail).order_by(items.c.seq.desc())
            ids = (await connection.execute(newest_first)).scalars().all()
            await connection.execute(delete_owned(identity, items).where(tail))
            for begin in range(0, len(ids), _IDS_PER_STATEMENT):
                await remove_texts(connection, identity, thread_id, ids[begin : begin + _IDS_PER_STATEMENT])
        return ids

    # Search

    @retryable
    async def search_threads(self, query: str, limit: int, context: object) -> SearchResult:
        """Search; see `stores.base.SearchesThreads`."""
        identity, words = identity_of(context), query_words(query)
        if not words:
            return SearchResult(words=(), hits=(), has_more=False)
        async with self.database.read() as connection:
            return await find_threads(connection, self.database.dialect, identity, words, limit)

    # Feedback

    @retryable
    async def save_feedback(
        self, thread_id: str, item_ids: Sequence[str], kind: FeedbackKind, context: object
    ) -> None:
        """Store feedback; see `stores.base.KeepsFeedback`.

        Raises:
            chatkit.store.NotFoundError: The caller has no such item. Nothing is stored.
        """
        identity, now = identity_of(context), utc_now()
        known = select_owned(identity, items, items.c.id).where(
            items.c.thread_id == thread_id, items.c.id.in_(list(item_ids))
        )
        async with self.database.write() as connection:
            # The key has no owner: feedback on another owner's item would prevent that owner's.
            found = set((await connection.execute(known)).scalars())
            if missing := [item_id for item_id in item_ids if item_id not in found]:
                raise NotFoundError(f"Item {missing[0]} not found")
            for item_id in item_ids:
                values = {
                    "thread_id": thread_id,
                    "item_id": item_id,
                    "kind": kind,
                    "created_at": now,
                    "updated_at": now,
                }
                await connection.execute(
                    upsert_owned(
                        self.database.dialect,
                        identity,
                        feedback,
                        values,
                        key=("thread_id", "item_id"),
                        change=("kind", "updated_at"),
                    )
                )

    @retryable
    async def load_feedback(self, thread_id: str, context: object) -> Sequence[Feedback]:
        """The caller's feedback; see `stores.base.KeepsFeedback`."""
        statement = select_owned(identity_of(context), feedback).where(feedback.c.thread_id == thread_id)
        async with self.database.read() as connection:
            rows = (await connection.execute(statement.order_by(feedback.c.updated_at))).mappings().all()
        return [
            Feedback(row["item_id"], row["kind"], row["created_at"] or row["updated_at"], row["updated_at"])
            for row in rows
        ]

    # Attachments

    @override
    @retryable
    async def save_attachment(self, attachment: Attachment, context: object) -> None:
        changing = {"thread_id": attachment.thread_id, "data": json_of(attachment)}
        new = {**changing, "id": attachment.id, "created_at": utc_now()}
        async with self.database.write() as connection:
            await self._upsert_by_id(
                connection, identity_of(context), attachments, new, change=tuple(changing)
            )

    async def _upsert_by_id(
        self,
        connection: AsyncConnection,
        identity: Identity,
        table: Table,
        values: Mapping[str, Any],
        *,
        change: Sequence[str],
    ) -> None:
        upsert = upsert_owned(self.database.dialect, identity, table, values, key=("id",), change=change)
        await connection.execute(upsert)
        # Not every database reports that it left the row unchanged because it has another owner.
        own = select_owned(identity, table, table.c.id).where(table.c.id == values["id"])
        await _scalar(connection, own, values["id"])

    @override
    @retryable
    async def load_attachment(self, attachment_id: str, context: object) -> Attachment:
        statement = select_owned(identity_of(context), attachments, attachments.c.data)
        async with self.database.read() as connection:
            here = statement.where(attachments.c.id == attachment_id)
            return _ATTACHMENT.validate_json(await _scalar(connection, here, attachment_id))

    @override
    @retryable
    async def delete_attachment(self, attachment_id: str, context: object) -> None:
        statement = delete_owned(identity_of(context), attachments).where(attachments.c.id == attachment_id)
        async with self.database.write() as connection:
            await connection.execute(statement)


async def _scalar(connection: AsyncConnection, statement: Select[Any], resource_id: str) -> Any:
    value = (await connection.execute(statement)).scalar_one_or_none()
    if value is None:
        raise NotFoundError(f"{resource_id} not found")
    return value


def _page_size(limit: int) -> int:
    return max(1, min(limit, MAX_PAGE))


def _page[T: (ThreadItem, ThreadMetadata)](data: list[T], *, more: bool) -> Page[T]:
    return Page(data=data, has_more=more, after=data[-1].id if more else None)
