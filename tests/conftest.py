"""What all tests share."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
import structlog
from agents import set_trace_processors
from hypothesis import HealthCheck, settings

from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import upgrade
from databases import KINDS, empty_database

# How long an example takes says nothing on a shared machine, and in a fresh clone the first one also pays for
# Hypothesis's tables of characters.
settings.register_profile("shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-machine")


@pytest.fixture(scope="session", autouse=True)
def no_trace_export() -> None:
    """The SDK's exporter would look for OpenAI's server at the end of the run, as in `backchannel serve`."""
    set_trace_processors([])


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """Tracebacks without the values of variables, which take seconds to draw."""
    plain = structlog.dev.plain_traceback
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain),
        ]
    )


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop that the server runs on."""
    return "asyncio"


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """The address of an empty database, of each kind in turn."""
    with empty_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    """A database with Backchannel's tables, of each kind in turn."""
    database = Database(database_url)
    await upgrade(database)
    yield database
    await database.close()
