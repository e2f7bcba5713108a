"""Sends a `Reply` of `backchannel.testing.endpoints` over a plain connection; and the items of calls."""

import asyncio
import json
from typing import Any

from backchannel.testing.endpoints.wire import Drop, Reply


async def send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    """A whole reply, part by part."""
    headers = {"Content-Type": reply.content_type, "Transfer-Encoding": "chunked", "Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, **reply.headers}.items())
    writer.write(f"HTTP/1.1 {reply.status} Odd\r\n{lines}\r\n".encode())
    for part in reply.parts:
        if isinstance(part, Drop):
            return
        if isinstance(part, bytes) and part:
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def call_item(name: str, arguments: str, number: str, step: int | None) -> dict[str, Any]:
    """The item of a call of a tool with one `value`, which for a shell is a command."""
    call_id = f"call_{number}_step{step}"
    if name != "shell":
        item = {"id": f"fc_{number}", "type": "function_call", "name": name, "arguments": arguments}
        return {**item, "status": "completed", "call_id": call_id}
    action = {"commands": [json.loads(arguments)["value"]], "timeout_ms": None, "max_output_length": None}
    item = {"id": f"sh_{number}", "type": "shell_call", "action": action}
    return {**item, "status": "completed", "call_id": call_id}
