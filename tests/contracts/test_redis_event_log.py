"""The event log in Redis keeps the contract of every event log."""

from collections.abc import AsyncGenerator, Generator

import pytest

from backchannel.errors import ConfigurationError
from backchannel.event_logs.redis import RedisEventLog
from backchannel.testing.contracts.event_log import EventLogContract, Window
from contracts.event_log_windows import PageWindow
from redis_server import key_prefix, shared_server

pytestmark = pytest.mark.row("C3", "C4", "H2")


class TestRedisEventLog(EventLogContract):
    rounds = 1024

    @pytest.fixture
    def server(self) -> str:
        return shared_server()

    @pytest.fixture
    def prefix(self, server: str) -> Generator[str]:
        with key_prefix(server) as prefix:
            yield prefix

    @pytest.fixture
    async def event_log(self, server: str, prefix: str) -> AsyncGenerator[RedisEventLog]:
        log = RedisEventLog(server, retention=60, prefix=prefix)
        yield log
        await log.aclose()

    @pytest.fixture
    async def another_log(self, server: str, prefix: str) -> AsyncGenerator[RedisEventLog]:
        log = RedisEventLog(server, retention=60, prefix=prefix)
        yield log
        await log.aclose()

    @pytest.fixture
    async def expiring_log(self, server: str, prefix: str) -> AsyncGenerator[RedisEventLog]:
        log = RedisEventLog(server, retention=0.05, prefix=prefix)
        yield log
        await log.aclose()

    @pytest.fixture
    async def window(self, server: str, prefix: str) -> AsyncGenerator[Window]:
        log = RedisEventLog(server, retention=60, prefix=prefix, cache_seconds=0)
        yield PageWindow(log)
        await log.aclose()


def test_a_url_that_is_none_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigurationError, match="BACKCHANNEL_REDIS_URL"):
        RedisEventLog("http://127.0.0.1", retention=60)
