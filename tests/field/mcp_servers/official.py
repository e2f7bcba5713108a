"""An MCP server of the official library, as a process: `official.py LOG`. Each call is a line of the log."""

import os
import sys
from pathlib import Path

import anyio
from mcp.server import MCPServer

LOG = Path(sys.argv[1])
server = MCPServer("files", log_level="CRITICAL")


def write(line: str) -> None:
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")


@server.tool()
def look(q: str) -> str:
    """Look something up."""
    write(f"look {q}")
    return f"found {q}"


@server.tool()
async def wait(seconds: float) -> str:
    """Wait, after the effect."""
    write("wait")
    await anyio.sleep(seconds)
    return "waited"


write(f"started {os.getpid()}")
server.run()
