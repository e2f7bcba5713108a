"""How the processes of a test run take turns."""

import fcntl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from turns import turn

WORKER: Any = SimpleNamespace(workerinput={})
SECONDS = 10


class Test:
    """A test in a thread of its own: locks belong to an open file, not to a process."""

    __test__ = False

    def __init__(self, locks: Path, *, alone: bool = False) -> None:
        self.runs = threading.Event()
        self.may_end = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(locks, alone), daemon=True)
        self._thread.start()

    def _run(self, locks: Path, alone: bool) -> None:
        with turn(WORKER, alone=alone, locks=locks):
            self.runs.set()
            assert self.may_end.wait(SECONDS)

    def end(self) -> None:
        self.may_end.set()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()


def is_locked(path: Path) -> bool:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_test_that_measures_waits_for_those_that_run_and_the_next_ones_wait_for_it(tmp_path: Path) -> None:
    locks = tmp_path / "locks"
    some = [Test(locks), Test(locks)]
    assert all(test.runs.wait(SECONDS) for test in some)

    alone = Test(locks, alone=True)
    # It has the gate while it waits, so that no other test can begin.
    wait_until(lambda: is_locked(locks.with_suffix(".gate")))
    later = Test(locks)
    some[0].end()
    assert not alone.runs.is_set()
    assert not later.runs.is_set()

    some[1].end()
    assert alone.runs.wait(SECONDS)
    assert not later.runs.is_set()
    alone.end()
    assert later.runs.wait(SECONDS)
    later.end()


def test_without_other_processes_nothing_is_locked(tmp_path: Path) -> None:
    one_process: Any = SimpleNamespace()
    with turn(one_process, alone=True, locks=tmp_path / "locks"):
        assert list(tmp_path.iterdir()) == []
