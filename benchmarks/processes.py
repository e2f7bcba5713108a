"""Processes that are measured: started, waited for, asked what they have cost, stopped. Linux only."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.credentials import Credentials, no_credentials

ROOT = Path(__file__).parents[1]
START_SECONDS = 120
STOP_SECONDS = 10


class DidNotStartError(Exception):
    """A process ended, or did not answer, before it could be measured. Has the end of what it printed."""


def free_port() -> int:
    """A port that nothing listens on, as of now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Measured:
    """A process that listens on a port of its own, in a folder of its own.

    Args:
        arguments: What Python is run with; `{port}` is replaced.
        settings: Variables of its environment. Those of Backchannel and OpenAI that this process has are not passed on.
        credentials: Gives the headers with which people are known to it.

    Attributes:
        headers: What each request carries, once it has started.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        folder: Path,
        settings: Mapping[str, str] | None = None,
        *,
        credentials: Credentials = no_credentials,
    ) -> None:
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = [each.format(port=self.port) for each in arguments]
        self._settings = settings or {}
        self._folder = folder
        self._output = folder / "output.log"
        self._process: asyncio.subprocess.Process | None = None
        self._credentials = credentials
        self.headers: Mapping[str, str] = {}

    async def start(self) -> None:
        """Start, and wait until the port answers.

        Raises:
            DidNotStartError: It ended, or took too long.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("BACKCHANNEL_", "OPENAI_", "VIRTUAL_ENV", "COV_"))
        }
        path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT))))
        environment = {**inherited, "PYTHONPATH": path, **self._settings}
        with self._output.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._arguments,
                cwd=self._folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._answers(self._process)
        except TimeoutError:
            raise DidNotStartError(f"{self.name} did not answer in time.\n{self.printed()}") from None
        self.headers = await self._credentials(self.url, self._folder, environment)

    async def _answers(self, process: asyncio.subprocess.Process) -> None:
        while True:
            if process.returncode is not None:
                raise DidNotStartError(f"{self.name} ended with {process.returncode}.\n{self.printed()}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return

    def printed(self) -> str:
        """The end of what it printed."""
        return self._output.read_text(errors="replace")[-2_000:] if self._output.exists() else ""

    async def stop(self) -> None:
        """End it, at once if it does not end by itself. Does nothing if it has ended."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process is not None, "not started"
        return self._process.pid

    def cpu(self) -> float:
        """Seconds of CPU, of the user and of the system, that all threads and children have had so far."""
        # The clock of another process: the same figures as /proc/<pid>/stat, in nanoseconds in place of ticks.
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in _family(self.pid))

    def memory(self) -> int:
        """Bytes that belong to it and its children alone."""
        return sum(_own_bytes(pid) for pid in _family(self.pid))


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _family(int(child))


def _own_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    return 0
