"""The processes of MCP servers, and those that they have started, end with them.

The client of MCP ends a server's process group while its leader lives. A wrapper such as `npx` can exit before the
program that it started, which then is nobody's child. All of them inherit a variable of the environment, by which they
are found. Linux only; elsewhere nothing is found.
"""

import asyncio
import os
import signal
from pathlib import Path

VARIABLE = "BACKCHANNEL_MCP_PROCESS"

TERMINATE_SECONDS = 1.0
"""How long processes may take to react to SIGTERM."""

_POLL_SECONDS = 0.02


async def end_processes(mark: str) -> int:
    """End the processes that have a mark in `VARIABLE`: SIGTERM, and SIGKILL for those that ignore it.

    Returns:
        How many there were.
    """
    found = await asyncio.to_thread(_marked, mark)
    if not found:
        return 0
    for sent in (signal.SIGTERM, signal.SIGKILL):
        _send(found, sent)
        deadline = asyncio.get_running_loop().time() + TERMINATE_SECONDS
        while (  # noqa: ASYNC110 - other processes set no event
            left := await asyncio.to_thread(_marked, mark)
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


def _marked(mark: str) -> list[int]:
    wanted = f"{VARIABLE}={mark}".encode()
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            # A process that has ended and was not waited for has an empty one.
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found
