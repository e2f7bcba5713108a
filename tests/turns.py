"""Tests of several processes (pytest-xdist) beside each other, but for those that need the machine to themselves."""

import fcntl
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def turn(config: pytest.Config, *, alone: bool) -> Generator[None]:
    """Wait for one's turn. A test that runs alone waits for the tests that run, and those to come wait for it."""
    run_id = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run_id is None or not hasattr(config, "workerinput"):
        yield
        return
    folder = Path(tempfile.gettempdir())
    with (
        _open(folder / f"pytest-{run_id}-gate") as gate,
        _open(folder / f"pytest-{run_id}-running") as running,
    ):
        # Without the gate, tests that follow each other in the other processes would never let this one in.
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


@contextmanager
def _open(path: Path) -> Generator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
