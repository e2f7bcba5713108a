"""What all durable event logs share keeps the contract, on a server that is only a dictionary."""

from collections.abc import AsyncGenerator

import pytest

from backchannel.event_logs.durable import DurableEventLog
from backchannel.testing.contracts.event_log import EventLogContract, Window
from contracts.event_log_storage import Server, shared_log
from contracts.event_log_windows import PageWindow

pytestmark = pytest.mark.row("C3", "C4", "H2")


class TestDurableEventLog(EventLogContract):
    @pytest.fixture
    def server(self) -> Server:
        return Server()

    @pytest.fixture
    async def event_log(self, server: Server) -> AsyncGenerator[DurableEventLog]:
        log = shared_log(server)
        yield log
        await log.aclose()

    @pytest.fixture
    async def another_log(self, server: Server) -> AsyncGenerator[DurableEventLog]:
        log = shared_log(server)
        yield log
        await log.aclose()

    @pytest.fixture
    async def expiring_log(self, server: Server) -> AsyncGenerator[DurableEventLog]:
        log = shared_log(server, retention=0.05)
        yield log
        await log.aclose()

    @pytest.fixture
    async def window(self, server: Server) -> AsyncGenerator[Window]:
        log = shared_log(server, cache_seconds=0)
        yield PageWindow(log)
        await log.aclose()
