"""The event log in a database keeps the contract of every event log, on SQLite, PostgreSQL and MariaDB."""

from collections.abc import AsyncGenerator, Generator

import pytest

from backchannel.event_logs.sql import SqlEventLog
from backchannel.stores.sql.dialects import PoolOptions
from backchannel.stores.sql.engine import Database
from backchannel.testing.contracts.event_log import EventLogContract, Window
from contracts.event_log_windows import PageWindow
from databases import KINDS, database_with_tables

pytestmark = pytest.mark.row("C3", "C4", "H2")


@pytest.fixture(scope="module", params=KINDS)
def events_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A database for all tests of a kind: runs have names of their own, and making the tables takes a while."""
    with database_with_tables(request.param, tmp_path_factory.mktemp("events")) as url:
        yield url


class TestSqlEventLog(EventLogContract):
    rounds = 256
    # On three kinds of database: more than ten thousand of this log together.
    windows = 3_400

    @pytest.fixture
    async def here(self, events_url: str) -> AsyncGenerator[Database]:
        database = Database(events_url)
        yield database
        await database.close()

    @pytest.fixture
    async def there(self, events_url: str) -> AsyncGenerator[Database]:
        # Connections of its own, as another process has them.
        database = Database(events_url, PoolOptions(pre_ping=False))
        yield database
        await database.close()

    @pytest.fixture
    async def event_log(self, here: Database) -> AsyncGenerator[SqlEventLog]:
        log = SqlEventLog(here, retention=60, poll_seconds=0.01)
        yield log
        await log.aclose()

    @pytest.fixture
    async def another_log(self, there: Database) -> AsyncGenerator[SqlEventLog]:
        log = SqlEventLog(there, retention=60, poll_seconds=0.01)
        yield log
        await log.aclose()

    @pytest.fixture
    async def expiring_log(self, here: Database) -> AsyncGenerator[SqlEventLog]:
        log = SqlEventLog(here, retention=0.05, poll_seconds=0.01)
        yield log
        await log.aclose()

    @pytest.fixture
    async def window(self, there: Database) -> AsyncGenerator[Window]:
        log = SqlEventLog(there, retention=60, poll_seconds=0.01, cache_seconds=0)
        yield PageWindow(log)
        await log.aclose()
