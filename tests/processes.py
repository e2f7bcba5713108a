"""Processes that tests start, stop, pause and kill, each with a log that is shown when the test fails."""

import asyncio
import ctypes
import functools
import multiprocessing
import os
import runpy
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pytest

EXIT_SECONDS = 40

LOGS: list[Path] = []
"""Of every process so far, in the order of their first start."""

_warm = multiprocessing.get_context("forkserver")


class Running(Protocol):
    """A process, however it was started."""

    @property
    def pid(self) -> int | None: ...
    @property
    def exitcode(self) -> int | None: ...


class _Executed:
    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.pid = popen.pid

    @property
    def exitcode(self) -> int | None:
        return self._popen.poll()


class Process:
    """One program in a process of its own. It can be started again after it ended.

    Args:
        log: Where its output goes; of all its starts, one after the other.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self._running: Running | None = None
        if log not in LOGS:
            LOGS.append(log)

    def execute(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        user: str | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start a program, as another user if need be."""
        assert not self.alive
        with self.log.open("ab") as log:
            started = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=None if environment is None else dict(environment),
                cwd=cwd or self.log.parent,
                user=user,
                group=user,
                extra_groups=[] if user else None,
            )
        self._running = _Executed(started)

    def fork(
        self, arguments: Sequence[str], environment: Mapping[str, str], *, module: str = "backchannel"
    ) -> None:
        """Start a module from a process that has loaded what takes long to load (`warm`).

        All else is as with `python -m module`; it starts ten times as fast. The working directory is that of the log.
        """
        assert not self.alive
        _warm_up()
        self._running = _start_warm(_main, module, arguments, dict(environment), str(self.log))

    @property
    def pid(self) -> int:
        """Of its last start."""
        assert self._running is not None
        assert self._running.pid is not None
        return self._running.pid

    @property
    def alive(self) -> bool:
        """Whether it runs, or is paused."""
        return self._running is not None and self._running.exitcode is None

    @property
    def exit_code(self) -> int | None:
        """Of its last start; `None` while it runs. Negative: it was ended by that signal."""
        assert self._running is not None
        return self._running.exitcode

    @property
    def rss(self) -> int:
        """Bytes of memory that it uses."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def pause(self) -> None:
        """Stop it in the middle of whatever it does: to others it is silent, not gone."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused one go on, without knowing that time has passed."""
        self.signal(signal.SIGCONT)

    async def kill(self) -> None:
        """`kill -9`."""
        if self.alive:
            self.signal(signal.SIGKILL)
        await self.ended()

    async def terminate(self) -> int:
        """SIGTERM, as every supervisor sends it; gives the exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self, seconds: float = EXIT_SECONDS) -> int:
        """Wait until it has ended; gives the exit code."""
        await until(lambda: not self.alive, f"{self.log.stem} ends", seconds)
        assert self._running is not None
        code = self._running.exitcode
        assert code is not None
        return code

    def told(self) -> str:
        """Its output so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def _main(module: str, arguments: Sequence[str], environment: Mapping[str, str], log: str) -> None:
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    # Nothing is left running when the tests are killed: it dies with the process that it was forked from
    # (PR_SET_PDEATHSIG), which ends when nobody else has the pipe open that is among what it was given.
    assert prctl(1, signal.SIGKILL) == 0
    os.closerange(3, 256)
    # What it compiles of Backchannel is there for the next one.
    sys.dont_write_bytecode = False
    os.chdir(Path(log).parent)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


@functools.cache
def _warm_up() -> None:
    """Start the process that `Process.fork` forks, once."""
    before = dict(os.environ)
    # What it compiles is there for the next test run.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    _warm.set_forkserver_preload(["warm"])
    # The first process waits for the libraries.
    first = _start_warm(_look_warm)
    first.join()
    os.environ.clear()
    os.environ.update(before)
    assert first.exitcode == 0, "warm.py can not be imported"


def _start_warm(target: Callable[..., None], *args: object) -> ForkServerProcess:
    process = _warm.Process(target=target, args=args)
    # Otherwise the new process would first load what runs here, such as pytest.
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        process.start()
    finally:
        sys.modules["__main__"] = main
    return process


def _look_warm() -> None:
    # Python ignores what can not be imported.
    assert "warm" in sys.modules


async def until(
    holds: Callable[[], bool] | Callable[[], Awaitable[bool]], what: str, seconds: float = 10
) -> None:
    """Wait, for a bounded time, until a condition holds."""
    end = time.monotonic() + seconds
    while True:
        held = holds()
        if held if isinstance(held, bool) else await held:
            return
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.01)


def within[**P](seconds: float) -> Callable[[Callable[P, Awaitable[None]]], Callable[P, Awaitable[None]]]:
    """End a test with an error if it takes longer."""

    def bounded(test: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
        @functools.wraps(test)
        async def run(*args: P.args, **kwargs: P.kwargs) -> None:
            async with asyncio.timeout(seconds):
                await test(*args, **kwargs)

        return run

    return bounded


def free_port() -> int:
    """A port that nothing listens on. Not one of those that the system gives to clients: by the time a server listens on
    it, some connection could have got it."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def find_program(name: str, package: str) -> str:
    """The path of a program. Without it the test is skipped, but in continuous integration it fails."""
    folders = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=folders)
    if found is None:
        unavailable(f"There is no {name} here; Debian has it in the package {package}.")
        raise AssertionError
    return found


def unavailable(reason: str) -> None:
    """Skip the test, or fail it where everything must be there (`CI=true`)."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
