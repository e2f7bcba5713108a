"""Whether another process of this machine is still alive, by its process id."""

import os
import socket
from functools import cache
from pathlib import Path

from backchannel.ids import new_id


@cache
def host_id() -> str:
    """Names this machine since its start, and the namespace of its process ids: where a process id identifies one."""
    parts = [socket.gethostname()]
    for path in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        try:
            parts.append(str(path.readlink()) if path.is_symlink() else path.read_text().strip())
        except OSError:
            # Not Linux: two machines of one name cannot be told apart, so no process counts as of this machine.
            return f"{socket.gethostname()} {new_id('replica')}"
    return " ".join(parts)[:255]


def is_dead(pid: int) -> bool:
    """Whether no process of this machine has that id, or only a zombie."""
    if pid == os.getpid():
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state in {"Z", "X"}
