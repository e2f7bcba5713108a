"""The processes of MCP servers, and those that they have started, end with them.

The client of MCP ends a server's process group while its leader lives. A wrapper such as `npx` can exit before the
program that it started, which then is no child of the client. All of them inherit a variable of the environment, by
which they are found. It also names the process that has started them: if that one was killed, most servers end because
their standard input does; those that do not are ended by the next process that starts on the machine. Linux only;
elsewhere nothing is found.
"""

import asyncio
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

VARIABLE = "BACKCHANNEL_MCP_PROCESS"

TERMINATE_SECONDS = 1.0
"""How long processes may take to react to SIGTERM."""

_POLL_SECONDS = 0.02

_MARK = re.compile(r"(\d+)-(\d+)-[0-9a-f]+")
"""The process that has started a server, the time of its own start, and what distinguishes its servers."""

_PREFIX = f"{VARIABLE}=".encode()


def new_mark() -> str:
    """A mark for the processes of one server of this process."""
    return f"{os.getpid()}-{_started(os.getpid())}-{token_hex(8)}"


async def end_processes(mark: str) -> int:
    """End the processes that have a mark in `VARIABLE`: SIGTERM, and SIGKILL for those that ignore it.

    Returns:
        How many there were.
    """
    return await _end(lambda other: other == mark)


async def end_orphans() -> int:
    """End the servers of processes that do not exist any more.

    Only processes of the same PID namespace are looked at: in another container, for example, the numbers of processes
    mean others.

    Returns:
        How many there were.
    """
    return await _end(_is_orphaned)


async def _end(chosen: Callable[[str], bool]) -> int:
    found = await asyncio.to_thread(_marked, chosen)
    if not found:
        return 0
    for sent in (signal.SIGTERM, signal.SIGKILL):
        _send(found, sent)
        deadline = asyncio.get_running_loop().time() + TERMINATE_SECONDS
        while (  # noqa: ASYNC110 - other processes set no event
            left := await asyncio.to_thread(_marked, chosen)
        ) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
        if not left:
            break
    return len(found)


def _send(processes: list[int], sent: signal.Signals) -> None:
    for process in processes:
        try:
            os.kill(process, sent)
        except (ProcessLookupError, PermissionError):
            continue


def _marked(chosen: Callable[[str], bool]) -> list[int]:
    namespace = _namespace("self")
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            # A process that has ended and was not waited for has an empty one.
            variables = path.read_bytes().split(b"\0")
        except OSError:
            continue
        mark = next((each for each in variables if each.startswith(_PREFIX)), None)
        if mark is None or not chosen(mark.removeprefix(_PREFIX).decode(errors="replace")):
            continue
        if _namespace(path.parent.name) == namespace:
            found.append(int(path.parent.name))
    return found


def _is_orphaned(mark: str) -> bool:
    found = _MARK.fullmatch(mark)
    return found is not None and _started(int(found[1])) != int(found[2])


def _started(process: int) -> int:
    """When a process has started, in ticks since the machine has; 0 if there is none. Its number may be used again."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The name of the program, which comes before, can hold anything.
    return int(text.rpartition(")")[2].split()[19])


def _namespace(process: str) -> str | None:
    try:
        return str(Path(f"/proc/{process}/ns/pid").readlink())
    except OSError:
        return None
