"""Sends a `Reply` of `backchannel.testing.endpoints` over a plain connection."""

import asyncio

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
