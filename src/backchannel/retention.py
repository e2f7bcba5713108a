"""Retention: deletes old data periodically while the server runs."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog
from sqlalchemy import Table

from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.personal import delete_older
from backchannel.stores.times import utc_now

INTERVAL_SECONDS = 3600
"""The pause between two sweeps, and how long one sweep may take. The next one deletes the rest."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def retention(
    database: Database, days: int, tables: Sequence[Table], *, interval: float = INTERVAL_SECONDS
) -> AsyncGenerator[None]:
    """Sweep (`delete_older`) at once and then periodically while the block runs.

    Several processes may sweep at the same time. A failed sweep is logged. A sweep in progress at the end of the block
    is cancelled; its committed deletions remain.

    Args:
        days: The time since its last change after which a thread is deleted.
        tables: From `owned_tables`.
        interval: See `INTERVAL_SECONDS`.
    """
    sweeping = asyncio.create_task(_sweep_periodically(database, days, tables, interval), name="retention")
    try:
        yield
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])


async def _sweep_periodically(
    database: Database, days: int, tables: Sequence[Table], interval: float
) -> None:
    while True:
        try:
            async with asyncio.timeout(interval):
                deleted = await delete_older(database, utc_now() - timedelta(days=days), tables=tables)
        except TimeoutError:
            log.warning("retention_unfinished", days=days, seconds=interval)
        except Exception:
            log.exception("retention_failed", days=days)
        else:
            log.info("retention", days=days, deleted=deleted)
        await asyncio.sleep(interval)
