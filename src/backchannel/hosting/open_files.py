"""How many files a process may open. Each connection is one."""

import sys

OTHER_FILES = 256
"""For databases, Redis, models, MCP servers and files."""

if sys.platform == "win32":

    def raise_open_files(wanted: int) -> int | None:
        """There is no such limit."""
        return None

else:
    import resource

    def raise_open_files(wanted: int) -> int | None:
        """Let this process open as many files as wanted, if it is permitted to.

        Returns:
            How many it may open now; `None` if there is no limit.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        unlimited = resource.RLIM_INFINITY
        if soft == unlimited:
            return None
        if soft < wanted:
            soft = wanted if hard == unlimited else min(wanted, hard)
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            except (OSError, ValueError):
                soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return soft
