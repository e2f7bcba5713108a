"""The event log in memory keeps the contract of every event log."""

from collections.abc import AsyncGenerator

import pytest

from backchannel.event_logs.base import Event
from backchannel.event_logs.memory import MemoryEventLog
from backchannel.testing.contracts.event_log import EventLogContract
from backchannel.testing.contracts.event_log_base import ADA

pytestmark = pytest.mark.row("C3", "C4")


class TestMemoryEventLog(EventLogContract):
    shared = False

    @pytest.fixture
    async def event_log(self) -> AsyncGenerator[MemoryEventLog]:
        log = MemoryEventLog(retention=60)
        yield log
        await log.aclose()

    @pytest.fixture
    def another_log(self, event_log: MemoryEventLog) -> MemoryEventLog:
        return event_log

    @pytest.fixture
    async def expiring_log(self) -> AsyncGenerator[MemoryEventLog]:
        log = MemoryEventLog(retention=0.05)
        yield log
        await log.aclose()

    async def test_no_retention_at_all_still_tells_the_reader_who_waits(self) -> None:
        log = MemoryEventLog(retention=0)
        await log.begin("run_1", ADA, fence=1)
        log.append("run_1", Event(b"{}"))
        await log.end("run_1")
        batch = await log.read("run_1", 0, wait=1)
        assert (len(batch.frames), batch.ended) == (1, True)
        await log.aclose()
