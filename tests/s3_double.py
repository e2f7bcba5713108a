"""An HTTP server that answers as S3 does in one situation, and remembers what it was asked."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


type Answer = tuple[int, str] | None
"""A status and a body; `None` never answers."""


@dataclass
class S3Double:
    answer: Callable[[Request], Answer | Awaitable[Answer]]
    requests: list[Request] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, method: str, part: str = "") -> list[str]:
        return [each.target for each in self.requests if each.method == method and part in each.target]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().strip().split("\r\n")
                method, target, _ = first.split(" ")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                request = Request(method, target, headers, body)
                self.requests.append(request)
                answer = self.answer(request)
                if isinstance(answer, Awaitable):
                    answer = await answer
                if answer is None:
                    await reader.read()
                    return
                status, text = answer
                writer.write(
                    f'HTTP/1.1 {status} X\r\ncontent-length: {len(text)}\r\netag: "1"\r\n\r\n{text}'.encode()
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def s3_double(
    answer: Callable[[Request], Answer | Awaitable[Answer]],
) -> AsyncGenerator[S3Double]:
    double = S3Double(answer)
    server = await asyncio.start_server(double.serve, "127.0.0.1", 0, limit=1_048_576)
    double.port = server.sockets[0].getsockname()[1]
    try:
        yield double
    finally:
        server.close()
        server.close_clients()
        await server.wait_closed()
