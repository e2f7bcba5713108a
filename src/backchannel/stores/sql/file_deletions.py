"""Deletion of files' rows, each together with a row that schedules the deletion of its bytes."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.stores.sql.tables import attachments, file_deletions, files
from backchannel.stores.times import utc_now


async def delete_files(connection: AsyncConnection, ids: Sequence[str], *recheck: ColumnElement[bool]) -> int:
    """Delete the rows of files and schedule the deletion of their bytes, in the caller's transaction; gives how many
    were deleted.

    Args:
        ids: Of files that the caller may delete.
        recheck: Further conditions that must still hold.
    """
    here = (files.c.id.in_(ids), *recheck)
    found = (await connection.execute(select(files.c.id).where(*here).with_for_update())).scalars().all()
    if not found:
        return 0
    now = utc_now()
    scheduled = [{"id": each, "created_at": now, "due_at": now} for each in found]
    await connection.execute(insert(file_deletions), scheduled)
    # Of messages that were never sent; those of a thread are deleted with it.
    unsent = (attachments.c.id.in_(found), attachments.c.thread_id.is_(None))
    await connection.execute(delete(attachments).where(*unsent))
    return (await connection.execute(delete(files).where(files.c.id.in_(found)))).rowcount


async def forget_deletions(
    connection: AsyncConnection, ids: Sequence[str], now: datetime, uploads_end: timedelta
) -> None:
    """Forget scheduled deletions that were done when no upload of their file could be in progress any more; the others
    are due once more at that time."""
    done, last = file_deletions.c.id.in_(ids), now - uploads_end
    await connection.execute(delete(file_deletions).where(done, file_deletions.c.created_at <= last))
    rows = await connection.execute(select(file_deletions.c.id, file_deletions.c.created_at).where(done))
    for row in rows.all():
        again = row.created_at + uploads_end
        await connection.execute(
            update(file_deletions).where(file_deletions.c.id == row.id).values(due_at=again)
        )
