"""An MCP server, as a process: `files.py LOG [PORT]`. Each call is a line of the log."""

import os
import subprocess
import sys
import time
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
def erase(path: str) -> str:
    """Erase a file."""
    write(f"erase {path}")
    return f"erased {path}"


@server.tool()
async def wait(seconds: float) -> str:
    """Wait, after the effect."""
    write("wait")
    await anyio.sleep(seconds)
    return "waited"


@server.tool()
def refuse() -> str:
    """Fail."""
    raise ValueError("the disk is full")


@server.tool()
def leave() -> str:
    """Start a program that outlives the server, and end."""
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    write(f"left {program.pid}")
    os._exit(1)


for number in range(int(os.environ.get("MORE_TOOLS", "0"))):
    server.add_tool(lambda: "more", name=f"more_{number}", description="More.")

if "SLOW_START" in os.environ:
    time.sleep(float(os.environ["SLOW_START"]))
write(f"started {os.getpid()}")
if len(sys.argv) > 2:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
else:
    server.run()
