"""The limits of the process that opens a file, and how it reports.

It reports in lines of JSON on its standard output, the last of which is `{"end": …}`: what was reported before counts
even if the process is killed. Outcomes: `done`; `damaged`, `too_large` or `no_memory`, which are the file's fault;
`time`, if its CPU time is used up.
"""

import json
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

try:
    import resource
except ImportError:  # Windows: only the time that the caller waits is limited there.
    resource = None

type Report = Callable[[dict[str, Any]], None]


class TimeUpError(BaseException):
    """The CPU time is used up. No `Exception`: parsers catch those."""


class RefusedError(Exception):
    """The file cannot be opened; the argument is the outcome."""


def run(open_file: Callable[[BinaryIO, dict[str, Any], Report], None]) -> None:
    """Open the file that is the standard input, within the limits of the options, the program's first argument."""
    options = json.loads(sys.argv[1])
    _limit(options["cpu_seconds"], options["memory_bytes"])
    outcome = "done"
    try:
        open_file(open(0, "rb", closefd=False), options, report)  # noqa: SIM115 - a descriptor has no path
    except RefusedError as refused:
        outcome = str(refused)
    except MemoryError:
        outcome = "no_memory"
    except TimeUpError:
        outcome = "time"
    except Exception:
        outcome = "damaged"
    _stop_clock()
    report({"end": outcome})


def report(what: dict[str, Any]) -> None:
    """Write one line, at once."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _limit(cpu_seconds: float, memory_bytes: int) -> None:
    if resource is None:
        return
    # Python code is interrupted a little before native code, in which no exception can be raised, is killed.
    signal.signal(signal.SIGPROF, _time_up)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds * 0.9)
    whole = int(cpu_seconds) + (cpu_seconds % 1 > 0)
    _at_most(resource.RLIMIT_CPU, whole, whole + 1)
    _at_most(resource.RLIMIT_AS, memory_bytes)
    _at_most(resource.RLIMIT_CORE, 0)
    # No file can be written.
    _at_most(resource.RLIMIT_FSIZE, 0)


def _at_most(what: int, soft: int, hard: int | None = None) -> None:
    assert resource is not None
    limit = resource.getrlimit(what)[1]
    wanted = [soft, soft if hard is None else hard]
    if limit != resource.RLIM_INFINITY:
        wanted = [min(each, limit) for each in wanted]
    try:
        resource.setrlimit(what, (wanted[0], wanted[1]))
    except (OSError, ValueError):
        # Some systems have not every limit; the others, and the time that the caller waits, remain.
        return


def _time_up(*_: object) -> None:
    raise TimeUpError


def _stop_clock() -> None:
    if resource is not None:
        signal.setitimer(signal.ITIMER_PROF, 0)
