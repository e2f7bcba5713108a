"""A server on standard input and output that does what it should not: `odd.py silent|exits|noisy|bad-schema|asks`."""

import json
import sys
from typing import Any

HOW = sys.argv[1]


def write(message: dict[str, Any] | str) -> None:
    sys.stdout.write((message if isinstance(message, str) else json.dumps(message)) + "\n")
    sys.stdout.flush()


def ask(*methods: str) -> list[str]:
    """Ask the client for things that only some clients have; the errors that it answers with."""
    said: list[str] = []
    for method in methods:
        params: dict[str, Any] = {}
        if method == "sampling/createMessage":
            params = {"messages": [], "maxTokens": 9}
        if method == "elicitation/create":
            params = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}}
        write({"jsonrpc": "2.0", "id": method, "method": method, "params": params})
        said.append(json.loads(sys.stdin.readline())["error"]["message"])
    return said


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
        case "tools/call" if HOW == "asks":
            said = ask("sampling/createMessage", "elicitation/create", "roots/list")
            return {"content": [{"type": "text", "text": ", ".join(said)}]}
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
