"""The limit of concurrent runs is exact on every database, whichever replica admits them."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from backchannel.context import Identity, Usage
from backchannel.ids import new_id
from backchannel.retry import with_retry_budget
from backchannel.stores.run_store import RunLimitError, RunRecord
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.runs import SqlRuns
from backchannel.stores.sql.transactions import retryable
from backchannel.stores.times import utc_now

pytestmark = pytest.mark.row("F5")

ADA, BOB = Identity("ada", tenant="acme"), Identity("bob", tenant="acme")


@pytest.fixture
async def replicas(database: Database) -> AsyncGenerator[list[SqlRuns]]:
    """Two processes with connections of their own."""
    other = Database(str(database.url.render_as_string(hide_password=False)))
    yield [SqlRuns(database), SqlRuns(other)]
    await other.close()


def a_run(identity: Identity = ADA, **values: object) -> RunRecord:
    known = {"replica": "rep_1", "fence": 1, "attempt": 1, "request": "{}", **values}
    return RunRecord(new_id("run"), identity, new_id("thread"), "threads.x", "running", utc_now(), **known)


class Admission:
    """What admission does with the store of runs."""

    def __init__(self, runs: SqlRuns) -> None:
        self.database = runs.database
        self.runs = runs

    async def admit(self, run: RunRecord, most: int) -> bool:
        with with_retry_budget(5):
            return await self._admit(run, most)

    @retryable
    async def _admit(self, run: RunRecord, most: int) -> bool:
        try:
            async with self.database.transaction():
                await self.runs.check_room(run.identity, most)
                await asyncio.sleep(0.002)
                await self.runs.insert_running(run)
        except RunLimitError:
            return False
        return True


async def test_of_many_at_once_as_many_are_admitted_as_may_be(replicas: list[SqlRuns]):
    admitted = await asyncio.gather(*(Admission(replicas[n % 2]).admit(a_run(), 3) for n in range(12)))
    assert sum(admitted) == 3
    assert await Admission(replicas[0]).admit(a_run(BOB), 3)
    assert await Admission(replicas[0]).admit(a_run(Identity("ada", tenant="other")), 3)


async def test_what_counts_is_running_or_queued(replicas: list[SqlRuns]):
    runs = replicas[0]
    running, waiting = a_run(), a_run()
    await runs.insert_running(running)
    await runs.insert_running(waiting)
    await runs.finish(waiting.id, 1, "waiting", None, Usage())
    await runs.check_room(ADA, 2)
    queued = replace(a_run(), thread_id=running.thread_id, status="queued", replica=None, fence=0)
    await runs.enqueue(queued)
    with pytest.raises(RunLimitError):
        await runs.check_room(ADA, 2)
    # Both are about to be stopped for another message to their thread.
    await runs.check_room(ADA, 1, besides=running.queue)
    with pytest.raises(RunLimitError):
        await runs.check_room(ADA, 2, besides=waiting.queue)
    assert await runs.cancel(queued.id, ADA)
    await runs.check_room(ADA, 2)
    await runs.finish(running.id, 1, "completed", None, Usage())
    await runs.check_room(ADA, 1)
