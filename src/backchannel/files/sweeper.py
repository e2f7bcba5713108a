"""Housekeeping of files: what is part of no message is deleted after a while, and bytes after their rows."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import structlog

from backchannel.errors import UnavailableError
from backchannel.faultpoints import reached
from backchannel.file_stores.base import FileStore
from backchannel.files.keys import folder_of, upload_key
from backchannel.files.spool import Spool
from backchannel.stores.file_records import FileRecords
from backchannel.stores.times import utc_now

INTERVAL_SECONDS = 60
"""The pause between two looks."""

BATCH = 50
"""How many files one look deletes at once."""

MAX_BATCHES = 200
"""How often one look goes on as long as it finds something."""

log = structlog.get_logger(__name__)


class FileSweeper:
    """Deletes files of all owners, and what uploads that died have left in the spool. Every replica may have one: what
    one of them is about to delete, the others leave.

    A crash repeats deletions, which does nothing.
    """

    def __init__(self, records: FileRecords, store: FileStore, spool: Spool | None = None) -> None:
        self._records = records
        self._store = store
        self._spool = spool

    async def sweep(self) -> int:
        """Delete what is due; gives how many files' bytes were deleted.

        Raises:
            UnavailableError: The database or the file store cannot be reached; the rest is deleted later.
        """
        for _ in range(MAX_BATCHES):
            if await self._records.delete_expired(utc_now(), BATCH) < BATCH:
                break
        deleted = 0
        for _ in range(MAX_BATCHES):
            file_ids = await self._records.due_deletions(utc_now(), BATCH)
            if file_ids:
                reached("file.deleted")
                await self._delete_bytes(file_ids)
                reached("file.erased")
                await self._records.deletions_done(file_ids, utc_now())
                deleted += len(file_ids)
            if len(file_ids) < BATCH:
                break
        return deleted

    async def _delete_bytes(self, file_ids: Sequence[str]) -> None:
        keys = [upload_key(file_id) for file_id in file_ids]
        for file_id in file_ids:
            keys += [stored.key async for stored in self._store.list(folder_of(file_id))]
        await self._store.delete(keys)

    @asynccontextmanager
    async def running(self, interval: float = INTERVAL_SECONDS) -> AsyncGenerator[None]:
        """Sweep at once and then periodically while the block runs."""
        sweeping = asyncio.create_task(self._sweep_periodically(interval), name="file_sweeper")
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.wait([sweeping])

    async def _sweep_periodically(self, interval: float) -> None:
        await self._delete_left_over()
        while True:
            try:
                async with asyncio.timeout(max(interval, INTERVAL_SECONDS) * 10):
                    deleted = await self.sweep()
            except UnavailableError as error:
                log.warning("file_sweep_waits", error=error.message)
            except TimeoutError:
                log.warning("file_sweep_unfinished")
            except Exception:
                log.exception("file_sweep_failed")
            else:
                if deleted:
                    log.info("files_deleted", files=deleted)
            await asyncio.sleep(interval)

    async def _delete_left_over(self) -> None:
        if self._spool is None:
            return
        try:
            await self._spool.delete_left_over()
        except OSError:
            log.warning("spool_not_swept")
