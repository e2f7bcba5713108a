"""An MCP server on standard input and output, or over HTTP: `files.py LOG [PORT]`. Each call is a line of the log.

It speaks the protocol of 2025-06-18 without a library, and so starts thirty times as fast as `official.py`.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOG = Path(sys.argv[1])
TEXT = {"type": "string"}
TOOLS: dict[str, dict[str, Any]] = {
    "look": {"q": TEXT},
    "erase": {"path": TEXT},
    "wait": {"seconds": {"type": "number"}},
    "refuse": {},
    "leave": {},
    **{f"more_{number}": {} for number in range(int(os.environ.get("MORE_TOOLS", "0")))},
}
writing = threading.Lock()


def write(line: str) -> None:
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")


def send(message: dict[str, Any]) -> None:
    with writing:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def look(q: str) -> str:
    write(f"look {q}")
    return f"found {q}"


def erase(path: str) -> str:
    write(f"erase {path}")
    return f"erased {path}"


def wait(seconds: float) -> str:
    """Wait, after the effect."""
    write("wait")
    time.sleep(seconds)
    return "waited"


def refuse() -> str:
    raise ValueError("the disk is full")


def leave() -> str:
    """Start a program that outlives the server, and end."""
    program = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    write(f"left {program.pid}")
    os._exit(1)


def grow() -> str:
    """Get another tool, and say so."""
    TOOLS["grown"] = {}
    send({"method": "notifications/tools/list_changed"})
    return "grown up"


def grown() -> str:
    return "grown"


TOOLS |= {"grow": {}} if "GROWS" in os.environ else {}
FUNCTIONS: dict[str, Callable[..., str]] = {
    each.__name__: each for each in (look, erase, wait, refuse, leave, grow, grown)
}


def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        text, failed = FUNCTIONS[name](**arguments), False
    except ValueError as error:
        text, failed = f"{name} failed: {error}", True
    return {"content": [{"type": "text", "text": text}], "isError": failed}


def answer(message: dict[str, Any]) -> dict[str, Any]:
    match message["method"]:
        case "initialize":
            result: dict[str, Any] = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": {"name": "files", "version": "1"},
            }
        case "tools/list":
            listed = [(name, dict(arguments)) for name, arguments in TOOLS.items()]
            if "LISTS" in os.environ:
                write("listed")
            result = {
                "tools": [
                    {
                        "name": name,
                        "description": name,
                        "inputSchema": {"type": "object", "properties": arguments, "required": [*arguments]},
                    }
                    for name, arguments in listed
                ]
            }
        case "tools/call":
            result = call(message["params"]["name"], message["params"].get("arguments") or {})
        case "ping":
            result = {}
        case _:
            return {"id": message["id"], "error": {"code": -32601, "message": "Method not found"}}
    return {"id": message["id"], "result": result}


class Handler(BaseHTTPRequestHandler):
    """Over HTTP: one session for each life of the process."""

    def do_POST(self) -> None:
        received = json.loads(self.rfile.read(int(self.headers["content-length"])))
        known = self.headers.get("mcp-session-id") in {None, str(os.getpid())}
        body = json.dumps({"jsonrpc": "2.0", **answer(received)}) if known and "id" in received else ""
        self.send_response((200 if body else 202) if known else 404)
        if received["method"] == "initialize":
            self.send_header("mcp-session-id", str(os.getpid()))
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_GET(self) -> None:
        self.send_error(405)

    do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


if "IGNORES_ENDS" in os.environ:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(float(os.environ.get("SLOW_START", "0")))
write(f"started {os.getpid()}")
if len(sys.argv) > 2:
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
for line in sys.stdin:
    received = json.loads(line)
    if "id" in received:
        threading.Thread(target=lambda each=received: send(answer(each)), daemon=True).start()
while "IGNORES_ENDS" in os.environ:
    time.sleep(60)
