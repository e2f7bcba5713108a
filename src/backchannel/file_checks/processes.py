"""Runs the process that opens an image or a PDF. A parser that crashes, loops or fills the memory ends only that.

The process gets the file as its standard input, no environment and no other descriptor. It imports Pillow or pypdf from
where this process would, and nothing else: importing Backchannel takes seconds.
"""

import asyncio
import contextlib
import importlib.util
import json
import signal
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

from backchannel.errors import UnavailableError

type Outcome = Literal["done", "damaged", "too_large", "no_memory", "time", "crashed"]

MAX_PROCESSES = 2
CPU_SHARE = 0.5
"""Of the time that a process may take, so much it may use a processor; other processes use it meanwhile."""

MAX_REPORT_BYTES = 32 << 20
RETRY_AFTER_SECONDS = 10

_PROGRAM = "import sys; sys.path[len(sys.path):] = sys.argv[2:]; from opening import {0}; {0}.main()"
_LIBRARIES = {"images": "PIL", "pdfs": "pypdf"}
_CRASHES = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}
    | {getattr(signal, name) for name in ("SIGBUS", "SIGSYS", "SIGXFSZ") if hasattr(signal, name)}
)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a process reported.

    Attributes:
        reports: In their order; those that it made before it was ended, too.
        outcome: How it ended. `crashed` and `time` are the file's fault as well: it was ended by its own limits.
    """

    reports: list[dict[str, Any]]
    outcome: Outcome

    def value(self, name: str) -> Any:
        """The first report of a name; `None` if there is none."""
        return next((each[name] for each in self.reports if name in each), None)


class Openers:
    """Opens files in processes, `MAX_PROCESSES` at a time.

    Args:
        seconds: How long a file may wait for its turn, and how long its process may take, which gets half as much CPU
            time.
        memory_bytes: The address space of a process.
    """

    def __init__(self, seconds: float, memory_bytes: int) -> None:
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._turns = asyncio.Semaphore(MAX_PROCESSES)

    async def open(self, path: Path, module: Literal["images", "pdfs"], options: dict[str, Any]) -> Opened:
        """Open a file. A cancelled call has ended its process when it returns.

        Args:
            path: The file.
            module: The module of `opening` that reads it.
            options: See `open_image` and `open_pdf`.

        Raises:
            UnavailableError: No turn came, the process could not start, or it ended for reasons other than the file.
        """
        try:
            async with asyncio.timeout(self._seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise _busy() from None
        try:
            return await self._run(path, module, options)
        finally:
            self._turns.release()

    async def _run(self, path: Path, module: str, options: dict[str, Any]) -> Opened:
        limits = {"cpu_seconds": self._seconds * CPU_SHARE, "memory_bytes": self._memory_bytes}
        # Without `site`: it is not needed, and takes as long as the rest of the start.
        command = [sys.executable, "-I", "-S", "-c", _PROGRAM.format(module), json.dumps(options | limits)]
        command += [str(Path(__file__).parent), _folder_of(_LIBRARIES[module])]
        process = await _started(command, path)
        try:
            async with asyncio.timeout(self._seconds):
                written = await _all_of(process.stdout)
                code = await process.wait()
        except TimeoutError:
            raise _busy() from None
        finally:
            await _ended(process)
        return _read(written, code)


def _read(written: bytes, code: int) -> Opened:
    reports: list[dict[str, Any]] = []
    for line in written.splitlines():
        # The last line of a process that was ended may be cut.
        with contextlib.suppress(ValueError):
            reports.append(json.loads(line))
    if reports and "end" in reports[-1]:
        return Opened(reports[:-1], reports[-1]["end"])
    if code == -getattr(signal, "SIGXCPU", 0):
        return Opened(reports, "time")
    if -code in _CRASHES:
        return Opened(reports, "crashed")
    # For example, there was no memory for the process, or its libraries are missing.
    raise UnavailableError(
        f"The file could not be examined (the process that does it ended with {code}). Try again in a moment.",
        retry_after=RETRY_AFTER_SECONDS,
    )


async def _started(command: list[str], path: Path) -> asyncio.subprocess.Process:
    try:
        with _opened(path) as file:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=file,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
    except OSError as failed:
        raise UnavailableError(
            "The file could not be examined. Try again in a moment.", retry_after=RETRY_AFTER_SECONDS
        ) from failed


def _opened(path: Path) -> BinaryIO:
    # In a thread, a file that is opened when the call is cancelled would stay open.
    return path.open("rb")


async def _all_of(stream: asyncio.StreamReader | None) -> bytes:
    assert stream is not None
    written = bytearray()
    while chunk := await stream.read(1 << 20):
        written += chunk
        if len(written) > MAX_REPORT_BYTES:
            raise _busy()
    return bytes(written)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Kill the process if it runs, and wait for its end; it has no child and cannot refuse."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


@cache
def _folder_of(library: str) -> str:
    found = importlib.util.find_spec(library)
    if found is None or found.origin is None:
        return ""
    return str(Path(found.origin).parents[1])


def _busy() -> UnavailableError:
    return UnavailableError(
        "Too many files are examined at the moment. Try again in a moment.", retry_after=RETRY_AFTER_SECONDS
    )
