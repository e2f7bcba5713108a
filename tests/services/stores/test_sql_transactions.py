"""Transactions whose callers are cancelled, or that have to wait."""

import asyncio
import random
from pathlib import Path

import pytest
from chatkit.types import ThreadMetadata

from backchannel.context import Identity, RequestContext
from backchannel.errors import UnavailableError
from backchannel.retry import retry_budget, with_retry_budget
from backchannel.stores.sql.dialects import PoolOptions
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import upgrade
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.times import to_sdk, utc_now

pytestmark = pytest.mark.row("D1", "H1")


async def test_one_that_is_cancelled_at_any_moment_leaves_nothing_locked(database: Database) -> None:
    """What a driver leaves behind that was interrupted in a statement keeps its locks."""
    store, ann = SqlStore(database), RequestContext(Identity("ann"))
    thread = ThreadMetadata(id="thr_1", created_at=to_sdk(utc_now()))
    await store.save_thread(thread, ann)
    chance = random.Random(20261124)
    for number in range(300):
        named = thread.model_copy(update={"title": f"{number}"})
        writing = asyncio.create_task(store.save_thread(named, ann))
        await asyncio.sleep(chance.random() * 0.004)
        writing.cancel()
        await asyncio.wait([writing])
        async with asyncio.timeout(2):
            await store.save_thread(thread, ann)
    assert (await store.load_thread("thr_1", ann)).title is None


async def test_an_answer_waits_longer_for_a_free_connection_than_a_request(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'busy.db'}", PoolOptions(size=1, overflow=0, timeout=0.05))
    await upgrade(database)
    store, ann = SqlStore(database), RequestContext(Identity("ann"))
    thread = ThreadMetadata(id="thr_1", created_at=to_sdk(utc_now()))
    await store.save_thread(thread, ann)

    async def load(seconds: float) -> str:
        with with_retry_budget(seconds):
            return (await store.load_thread("thr_1", ann)).id

    async with database.read():
        with pytest.raises(UnavailableError, match="busy"):
            await asyncio.create_task(load(0))
        with pytest.raises(UnavailableError, match="busy"):
            await asyncio.create_task(load(0.2))
        waiting = asyncio.create_task(load(30))
        # Longer than a request would wait.
        await asyncio.sleep(0.3)
        assert not waiting.done()
    assert await waiting == "thr_1"
    assert retry_budget() == 0
    await database.close()
