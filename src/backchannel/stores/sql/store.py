"""Threads, items and attachments in a SQL database, by the SDK's own contract.

Dates are kept in UTC and handed out as the SDK makes them (`stores.times`). Items are ordered by a sequence
number that the thread counts, never by date. Unknown and foreign ids are alike: `NotFoundError`.
"""

from collections.abc import Mapping, Sequence
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
    ThreadStatus,
)
from pydantic import TypeAdapter
from sqlalchemy import RowMapping, and_, or_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.context import identity_of
from backchannel.ids import new_id
from backchannel.stores.sql.dialects import upsert_owned
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.ownership import delete_owned, insert_owned, select_owned, update_owned
from backchannel.stores.sql.tables import attachments, feedback, items, runs, threads
from backchannel.stores.times import to_sdk, to_utc, utc_now

MAX_PAGE = 1000
"""The most rows one page may hold, whatever the caller asks for."""

_ITEM: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)
_ATTACHMENT: TypeAdapter[Attachment] = TypeAdapter(Attachment)
_STATUS: TypeAdapter[ThreadStatus] = TypeAdapter(ThreadStatus)


class SqlStore(Store[object]):
    """The store of conversations. One per process; it holds nothing but the pool of `database`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @override
    def generate_thread_id(self, context: object) -> str:
        return new_id("thread")

    @override
    def generate_item_id(self, item_type: StoreItemType, thread: ThreadMetadata, context: object) -> str:
        return new_id(item_type)

    # Threads

    @override
    async def load_thread(self, thread_id: str, context: object) -> ThreadMetadata:
        statement = select_owned(identity_of(context), threads).where(threads.c.id == thread_id)
        async with self.database.read() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
        if row is None:
            raise NotFoundError(f"Thread {thread_id} not found")
        return _thread(row)

    @override
    async def save_thread(self, thread: ThreadMetadata, context: object) -> None:
        identity, values = identity_of(context), _thread_values(thread)
        known = update_owned(identity, threads).where(threads.c.id == thread.id)
        async with self.database.write() as connection:
            result = await connection.execute(known.values(**values, updated_at=utc_now()))
            if result.rowcount:
                return
            created_at = to_utc(thread.created_at)
            new = {**values, "id": thread.id, "created_at": created_at, "updated_at": created_at}
            try:
                await connection.execute(insert_owned(identity, threads, new))
            except IntegrityError:
                # The id is taken, and not by the caller: to them, that thread does not exist.
                raise NotFoundError(f"Thread {thread.id} not found") from None

    async def update_thread(self, thread_id: str, changes: Mapping[str, Any], context: object) -> None:
        """Set single fields of a thread; see `stores.base.PatchesThreads`."""
        values = {
            name: _STATUS.dump_python(value, mode="json") if name == "status" else value
            for name, value in changes.items()
        }
        statement = update_owned(identity_of(context), threads).where(threads.c.id == thread_id)
        async with self.database.write() as connection:
            result = await connection.execute(statement.values(**values, updated_at=utc_now()))
            if not result.rowcount:
                raise NotFoundError(f"Thread {thread_id} not found")

    @override
    async def load_threads(
        self, limit: int, after: str | None, order: str, context: object
    ) -> Page[ThreadMetadata]:
        identity = identity_of(context)
        created, thread_id = threads.c.created_at, threads.c.id
        statement = select_owned(identity, threads)
        async with self.database.read() as connection:
            if after is not None:
                at = await _one(
                    connection, select_owned(identity, threads, created), thread_id == after, after
                )
                beyond = (
                    (created < at, thread_id < after)
                    if order == "desc"
                    else (created > at, thread_id > after)
                )
                statement = statement.where(or_(beyond[0], and_(created == at, beyond[1])))
            keys = (created.desc(), thread_id.desc()) if order == "desc" else (created, thread_id)
            size = _page_size(limit)
            rows = (await connection.execute(statement.order_by(*keys).limit(size + 1))).mappings().all()
        return _page([_thread(row) for row in rows[:size]], more=len(rows) > size)

    @override
    async def delete_thread(self, thread_id: str, context: object) -> None:
        identity = identity_of(context)
        async with self.database.write() as connection:
            await connection.execute(
                delete_owned(identity, attachments).where(attachments.c.thread_id == thread_id)
            )
            await connection.execute(delete_owned(identity, runs).where(runs.c.thread_id == thread_id))
            await connection.execute(delete_owned(identity, threads).where(threads.c.id == thread_id))

    # Items

    @override
    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: object
    ) -> Page[ThreadItem]:
        identity, size = identity_of(context), _page_size(limit)
        in_thread = items.c.thread_id == thread_id
        statement = select_owned(identity, items, items.c.data).where(in_thread)
        async with self.database.read() as connection:
            if after is not None:
                here = and_(in_thread, items.c.id == after)
                seq = await _one(connection, select_owned(identity, items, items.c.seq), here, after)
                statement = statement.where(items.c.seq < seq if order == "desc" else items.c.seq > seq)
            key = items.c.seq.desc() if order == "desc" else items.c.seq
            data = (await connection.execute(statement.order_by(key).limit(size + 1))).scalars().all()
        return _page([_item(row) for row in data[:size]], more=len(data) > size)

    @override
    async def load_item(self, thread_id: str, item_id: str, context: object) -> ThreadItem:
        statement = select_owned(identity_of(context), items, items.c.data)
        here = and_(items.c.thread_id == thread_id, items.c.id == item_id)
        async with self.database.read() as connection:
            return _item(await _one(connection, statement, here, item_id))

    @override
    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: object) -> None:
        """Add the item at the end of the thread, or change the one with its id where it stands.

        A workflow is added while it is open and again when it is done, possibly a turn later. A question to
        the person that was asked before is not asked again: its answer, if there is one, stays.
        """
        asks = isinstance(item, StructuredInputItem | ClientToolCallItem) and item.status == "pending"
        await self._put_item(thread_id, item, context, change=() if asks else ("type", "data"))

    @override
    async def save_item(self, thread_id: str, item: ThreadItem, context: object) -> None:
        await self._put_item(thread_id, item, context, change=("type", "data"))

    async def _put_item(
        self, thread_id: str, item: ThreadItem, context: object, *, change: Sequence[str]
    ) -> None:
        identity = identity_of(context)
        count = (
            update_owned(identity, threads)
            .where(threads.c.id == thread_id)
            .values(last_seq=threads.c.last_seq + 1, updated_at=utc_now())
            .returning(threads.c.last_seq)
        )
        async with self.database.write() as connection:
            seq = (await connection.execute(count)).scalar_one_or_none()
            if seq is None:
                raise NotFoundError(f"Thread {thread_id} not found")
            values = {**_item_values(thread_id, item), "seq": seq}
            await connection.execute(
                upsert_owned(identity, items, values, key=("thread_id", "id"), change=change)
            )

    @override
    async def delete_thread_item(self, thread_id: str, item_id: str, context: object) -> None:
        statement = delete_owned(identity_of(context), items)
        async with self.database.write() as connection:
            await connection.execute(statement.where(items.c.thread_id == thread_id, items.c.id == item_id))

    async def delete_items_after(self, thread_id: str, item_id: str, context: object) -> Sequence[str]:
        """Delete all items after one; see `stores.base.DeletesTail`."""
        identity = identity_of(context)
        here = and_(items.c.thread_id == thread_id, items.c.id == item_id)
        async with self.database.write() as connection:
            seq = await _one(connection, select_owned(identity, items, items.c.seq), here, item_id)
            tail = and_(items.c.thread_id == thread_id, items.c.seq > seq)
            newest_first = select_owned(identity, items, items.c.id).where(tail).order_by(items.c.seq.desc())
            ids = (await connection.execute(newest_first)).scalars().all()
            await connection.execute(delete_owned(identity, items).where(tail))
        return ids

    async def save_feedback(
        self, thread_id: str, item_ids: Sequence[str], kind: FeedbackKind, context: object
    ) -> None:
        """Record an opinion; see `stores.base.KeepsFeedback`."""
        identity, now = identity_of(context), utc_now()
        async with self.database.write() as connection:
            for item_id in item_ids:
                values = {"thread_id": thread_id, "item_id": item_id, "kind": kind, "updated_at": now}
                await connection.execute(
                    upsert_owned(
                        identity,
                        feedback,
                        values,
                        key=("thread_id", "item_id"),
                        change=("kind", "updated_at"),
                    )
                )

    # Attachments

    @override
    async def save_attachment(self, attachment: Attachment, context: object) -> None:
        values = {
            "id": attachment.id,
            "thread_id": attachment.thread_id,
            "data": attachment.model_dump_json(exclude_none=True),
            "created_at": utc_now(),
        }
        statement = upsert_owned(
            identity_of(context), attachments, values, key=("id",), change=("thread_id", "data")
        )
        async with self.database.write() as connection:
            result = await connection.execute(statement)
            if not result.rowcount:  # pyright: ignore[reportAttributeAccessIssue]
                raise NotFoundError(f"Attachment {attachment.id} not found")

    @override
    async def load_attachment(self, attachment_id: str, context: object) -> Attachment:
        statement = select_owned(identity_of(context), attachments, attachments.c.data)
        async with self.database.read() as connection:
            here = attachments.c.id == attachment_id
            return _ATTACHMENT.validate_json(await _one(connection, statement, here, attachment_id))

    @override
    async def delete_attachment(self, attachment_id: str, context: object) -> None:
        statement = delete_owned(identity_of(context), attachments).where(attachments.c.id == attachment_id)
        async with self.database.write() as connection:
            await connection.execute(statement)


async def _one(connection: AsyncConnection, statement: Any, here: Any, what: str) -> Any:
    value = (await connection.execute(statement.where(here))).scalar_one_or_none()
    if value is None:
        raise NotFoundError(f"{what} not found")
    return value


def _page_size(limit: int) -> int:
    return max(1, min(limit, MAX_PAGE))


def _page[T: (ThreadItem, ThreadMetadata)](data: list[T], *, more: bool) -> Page[T]:
    return Page(data=data, has_more=more, after=data[-1].id if more else None)


def _thread(row: RowMapping) -> ThreadMetadata:
    return ThreadMetadata(
        id=row["id"],
        title=row["title"],
        created_at=to_sdk(row["created_at"]),
        status=_STATUS.validate_python(row["status"]),
        allowed_image_domains=row["allowed_image_domains"],
        metadata=row["metadata"],
    )


def _thread_values(thread: ThreadMetadata) -> dict[str, Any]:
    return {
        "title": thread.title,
        "status": _STATUS.dump_python(thread.status, mode="json"),
        "allowed_image_domains": thread.allowed_image_domains,
        "metadata": thread.metadata,
    }


def _item(data: str) -> ThreadItem:
    item = _ITEM.validate_json(data)
    item.created_at = to_sdk(item.created_at)
    return item


def _item_values(thread_id: str, item: ThreadItem) -> dict[str, Any]:
    created_at = to_utc(item.created_at)
    kept = item.model_copy(update={"created_at": created_at})
    return {
        "thread_id": thread_id,
        "id": item.id,
        "type": item.type,
        "data": kept.model_dump_json(exclude_none=True),
        "created_at": created_at,
    }
