"""What all tests share."""

import gc
import os
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
import structlog
from agents import set_trace_processors
from hypothesis import HealthCheck, settings

from backchannel.stores.sql.engine import Database
from databases import KINDS, database_with_tables, drop_spare_databases, empty_database
from turns import turn

# Before anything imports them: their assertions are explained as those of tests are.
pytest.register_assert_rewrite("backchannel.testing.contracts")

# How long an example takes says nothing on a shared machine, and in a fresh clone the first one also pays for
# Hypothesis's tables of characters.
settings.register_profile("shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-machine")


def pytest_configure(config: pytest.Config) -> None:
    """Without arguments the tests in a browser are left out, which take as long as all others; not in CI."""
    everything = config.args_source is not pytest.Config.ArgsSource.ARGS
    if everything and not config.option.markexpr and not config.option.keyword and not _is_ci():
        config.option.markexpr = "not browser"


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process a core; one more without a browser, because then tests wait for a third of their time."""
    cores = len(os.sched_getaffinity(0))
    return cores + 1 if config.option.markexpr == "not browser" else cores


def pytest_report_header(config: pytest.Config) -> str | None:
    """Says what is left out."""
    if config.option.markexpr == "not browser":
        return (
            "Tests in a browser are left out: run them with `pytest -m browser`, or everything with CI=true."
        )
    return None


def _is_ci() -> bool:
    return os.environ.get("CI") == "true"


def pytest_collection_finish() -> None:
    """What the libraries and the collected tests consist of stays to the end: the garbage collector passes over it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that is marked `alone` waits until no process of the test run is in a test, and others wait for it."""
    with turn(item.config, alone=item.get_closest_marker("alone") is not None):
        return (yield)


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


@pytest.fixture(scope="session", autouse=True)
def spare_databases() -> Generator[None]:
    """Databases that tests take over from each other are dropped at the end."""
    yield
    drop_spare_databases()


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """The address of an empty database, of each kind in turn."""
    with empty_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture(params=KINDS)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Database]:
    """A database with Backchannel's tables, of each kind in turn."""
    with database_with_tables(request.param, tmp_path) as url:
        database = Database(url)
        yield database
        await database.close()
