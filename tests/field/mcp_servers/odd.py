"""A server on standard input and output that does what it should not: `odd.py silent|exits|noisy|bad-schema`."""

import json
import sys
from typing import Any

HOW = sys.argv[1]


def write(message: dict[str, Any] | str) -> None:
    sys.stdout.write((message if isinstance(message, str) else json.dumps(message)) + "\n")
    sys.stdout.flush()


def answer(message: dict[str, Any]) -> dict[str, Any]:
    match message["method"]:
        case "initialize":
            return {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "odd", "version": "1"},
            }
        case "tools/list":
            kind = "string" if HOW == "bad-schema" else "object"
            return {"tools": [{"name": "look", "inputSchema": {"type": kind}}]}
        case _:
            return {"content": [{"type": "text", "text": "found it"}]}


if HOW == "exits":
    sys.exit("no licence")
for line in sys.stdin:
    if HOW == "silent":
        continue
    received = json.loads(line)
    if HOW == "noisy":
        write("Listening ...")
        write('{"not": "a reply"}')
    if "id" not in received:
        continue
    reply: dict[str, Any] = {"jsonrpc": "2.0", "id": received["id"]}
    if received["method"] in {"server/discover", "ping"}:
        write(reply | {"error": {"code": -32601, "message": "Method not found"}})
    else:
        write(reply | {"result": answer(received)})
