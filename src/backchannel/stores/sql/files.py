"""What is known of files, in a SQL database."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, override

from sqlalchemy import ColumnElement, RowMapping, Select, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.context import Identity
from backchannel.stores.file_records import FileRecord, FileRecords, QuotaExceededError
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.file_deletions import delete_files, forget_deletions
from backchannel.stores.sql.ownership import insert_owned, select_owned, update_owned, upsert_owned
from backchannel.stores.sql.tables import file_deletions, file_quotas, files
from backchannel.stores.sql.transactions import retryable
from backchannel.stores.times import utc_now

RETRY_DELETION = timedelta(minutes=5)
"""When bytes are deleted again if the process that was about to did not."""

UPLOADS_END = timedelta(hours=2)
"""How long after its deletion an upload of a file may still be in progress: longer than any upload takes and than any
URL for one is valid."""

_FOUND = ("version", "mime_type", "kind", "size", "width", "height", "preview_type", "model_type", "tokens")
_COLUMNS = ("id", "status", "name", "created_at", "expires_at", "thread_id", *_FOUND)


class SqlFiles(FileRecords):
    """The store."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @override
    async def add(self, record: FileRecord, quota: int | None) -> None:
        # Not retried after a commit with unknown outcome: the file would be there already.
        identity = record.identity
        locked = {"used_at": utc_now(), "tenant": identity.tenant, "user_id": identity.user}
        lock = upsert_owned(
            self.database.dialect,
            identity,
            file_quotas,
            locked,
            key=("tenant", "user_id"),
            change=("used_at",),
        )
        values = {name: getattr(record, name) for name in _COLUMNS}
        async with self.database.write() as connection:
            if quota is not None:
                await connection.execute(lock)
                used = await _used(connection, identity)
                if used + record.size > quota:
                    raise QuotaExceededError(used)
            await connection.execute(insert_owned(identity, files, values))

    @override
    async def load(self, file_id: str, identity: Identity) -> FileRecord | None:
        return next(iter(await self.load_many([file_id], identity)), None)

    @override
    async def load_many(self, file_ids: Sequence[str], identity: Identity) -> Sequence[FileRecord]:
        return await self._read(select_owned(identity, files).where(files.c.id.in_(file_ids)))

    @override
    async def find(self, file_id: str) -> FileRecord | None:
        return next(iter(await self._read(select(files).where(files.c.id == file_id))), None)

    @retryable
    async def _read(self, statement: Select[Any]) -> Sequence[FileRecord]:
        async with self.database.read() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [_record(row) for row in rows]

    @override
    @retryable
    async def complete(self, record: FileRecord) -> bool:
        values = {name: getattr(record, name) for name in _FOUND}
        pending = (files.c.id == record.id, files.c.status == "pending")
        change = update_owned(record.identity, files).where(*pending)
        async with self.database.write() as connection:
            result = await connection.execute(
                change.values(status="stored", expires_at=record.expires_at, **values)
            )
        return result.rowcount > 0

    @override
    @retryable
    async def extend(self, file_ids: Sequence[str], identity: Identity, expires_at: datetime) -> None:
        unsent = (files.c.id.in_(file_ids), files.c.status == "stored", files.c.expires_at < expires_at)
        async with self.database.write() as connection:
            await connection.execute(
                update_owned(identity, files).where(*unsent).values(expires_at=expires_at)
            )

    @override
    @retryable
    async def mark_sent(self, file_ids: Sequence[str], thread_id: str, identity: Identity) -> int:
        free = or_(files.c.thread_id.is_(None), files.c.thread_id == thread_id)
        here = (files.c.id.in_(file_ids), files.c.status != "pending", free)
        change = update_owned(identity, files).where(*here)
        async with self.database.write() as connection:
            await connection.execute(change.values(status="sent", thread_id=thread_id, expires_at=None))
            # Some databases do not count rows that have these values already.
            count = select_owned(identity, files, func.count()).where(*here, files.c.status == "sent")
            return (await connection.execute(count)).scalar_one()

    @override
    @retryable
    async def used(self, identity: Identity) -> int:
        async with self.database.read() as connection:
            return await _used(connection, identity)

    @override
    @retryable
    async def delete(self, file_id: str, identity: Identity) -> bool:
        unsent = (files.c.id == file_id, files.c.status != "sent")
        return await self._delete(select_owned(identity, files, files.c.id).where(*unsent)) > 0

    @override
    @retryable
    async def delete_by_thread(self, thread_id: str, identity: Identity) -> int:
        return await self._delete(
            select_owned(identity, files, files.c.id).where(files.c.thread_id == thread_id)
        )

    @override
    @retryable
    async def delete_expired(self, now: datetime, limit: int) -> int:
        expired = select(files.c.id).where(files.c.expires_at < now)
        return await self._delete(expired.order_by(files.c.expires_at).limit(limit), files.c.expires_at < now)

    async def _delete(self, found: Select[Any], *recheck: ColumnElement[bool]) -> int:
        async with self.database.read() as connection:
            ids = (await connection.execute(found)).scalars().all()
        if not ids:
            return 0
        async with self.database.write() as connection:
            return await delete_files(connection, ids, *recheck)

    @override
    @retryable
    async def due_deletions(self, now: datetime, limit: int) -> Sequence[str]:
        due = select(file_deletions.c.id).where(file_deletions.c.due_at <= now)
        async with self.database.read() as connection:
            if (await connection.execute(due.limit(1))).first() is None:
                return ()
        async with self.database.write() as connection:
            found = due.order_by(file_deletions.c.due_at).limit(limit).with_for_update(skip_locked=True)
            ids = (await connection.execute(found)).scalars().all()
            mine = file_deletions.c.id.in_(ids)
            await connection.execute(update(file_deletions).where(mine).values(due_at=now + RETRY_DELETION))
        return ids

    @override
    @retryable
    async def has_deletions(self) -> bool:
        async with self.database.read() as connection:
            return (await connection.execute(select(file_deletions.c.id).limit(1))).first() is not None

    @override
    @retryable
    async def deletions_done(self, file_ids: Sequence[str], now: datetime) -> None:
        async with self.database.write() as connection:
            await forget_deletions(connection, file_ids, now, UPLOADS_END)

    @override
    @retryable
    async def known(self, file_ids: Sequence[str]) -> frozenset[str]:
        found = set[str]()
        async with self.database.read() as connection:
            for table in (files, file_deletions):
                rows = await connection.execute(select(table.c.id).where(table.c.id.in_(file_ids)))
                found |= set(rows.scalars())
        return frozenset(found)

    @override
    async def list_stored(self, after: str, limit: int) -> Sequence[FileRecord]:
        stored = select(files).where(files.c.id > after, files.c.status != "pending")
        return await self._read(stored.order_by(files.c.id).limit(limit))


async def _used(connection: AsyncConnection, identity: Identity) -> int:
    total = select_owned(identity, files, func.coalesce(func.sum(files.c.size), 0))
    return int((await connection.execute(total)).scalar_one())


def _record(row: RowMapping) -> FileRecord:
    identity = Identity(row["user_id"], tenant=row["tenant"])
    return FileRecord(identity=identity, **{name: row[name] for name in _COLUMNS})
