"""What the tests of faults share: a model server, replicas, and their logs where a test fails."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from faults.model_server import ModelServer, model_server
from processes import LOGS

SHOWN_BYTES = 12_000

_sizes: dict[Path, int] = {}


@pytest.fixture(scope="module")
async def model() -> AsyncGenerator[ModelServer]:
    """A model server, for the tests of one file."""
    async with model_server() as model:
        yield model


@pytest.fixture(autouse=True)
def sizes_of_logs() -> None:
    """Remember what is in the logs already, so that a failing test shows only its own part."""
    _sizes.update({log: log.stat().st_size for log in LOGS if log.exists()})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what processes wrote while a test ran that failed."""
    report = yield
    if report.failed:
        for log in filter(Path.exists, LOGS):
            text = log.read_bytes()[_sizes.get(log, 0) :][-SHOWN_BYTES:].decode(errors="replace")
            if text:
                report.sections.append((f"log of {log.stem}", text))
    return report
