"""Tests of several processes (pytest-xdist) beside each other, but for those that need the machine to themselves."""

import fcntl
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

# The same for all runs of one user: two of them at once take turns too.
LOCKS = Path(tempfile.gettempdir(), f"backchannel-tests-{os.getuid()}")


@contextmanager
def turn(config: pytest.Config, *, alone: bool, locks: Path = LOCKS) -> Generator[None]:
    """Wait for one's turn. A test that runs alone waits for the tests that run, and those to come wait for it."""
    if not hasattr(config, "workerinput"):
        yield
        return
    with _open(locks.with_suffix(".gate")) as gate, _open(locks.with_suffix(".running")) as running:
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
