"""Retention: while the server runs, what has become too old is deleted now and then."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog
from sqlalchemy import Table

from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.personal import delete_older
from backchannel.stores.times import utc_now

EVERY_SECONDS = 3600
"""How long after one sweep the next one begins; and how long one may take. The next one does the rest."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def retention(
    database: Database, days: int, tables: Sequence[Table], *, every: float = EVERY_SECONDS
) -> AsyncGenerator[None]:
    """Sweep at once and then every `every` seconds as long as the block runs; see `delete_older`.

    Of several processes each may do it. A sweep that fails is logged and tried again next time. One that is under
    way at the end is given up; what it deleted so far stays deleted.

    Args:
        days: The age at which a thread is deleted, since something last happened in it.
        tables: As `owned_tables` gives them.
    """
    sweeping = asyncio.create_task(_keep_sweeping(database, days, tables, every), name="retention")
    try:
        yield
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])


async def _keep_sweeping(database: Database, days: int, tables: Sequence[Table], every: float) -> None:
    while True:
        try:
            async with asyncio.timeout(every):
                deleted = await delete_older(database, utc_now() - timedelta(days=days), tables=tables)
        except TimeoutError:
            log.warning("retention_unfinished", days=days, seconds=every)
        except Exception:
            log.exception("retention_failed", days=days)
        else:
            log.info("retention", days=days, deleted=deleted)
        await asyncio.sleep(every)
