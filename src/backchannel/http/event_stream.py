"""The response that carries an event stream."""

from typing import override

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from backchannel.sse import RECONNECT

ABORT = "backchannel.abort"
"""The name under which a server's `scope["extensions"]` may have an async function that breaks the connection of a
response off. It returns when the connection is closed."""


class EventStreamResponse(StreamingResponse):
    """An event stream. If its run goes on in another process, the response is left incomplete.

    Clients would take a response that ends as HTTP demands for the whole stream, unless they know the comment before
    its end. All of them notice a connection that breaks, and reconnect.
    """

    _incomplete = False

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)
        if self._incomplete:
            # Without the extension, the server closes the connection of a response that was not completed, and logs it.
            abort = scope.get("extensions", {}).get(ABORT)
            if abort is not None:
                await abort()

    @override
    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        chunk: str | bytes | memoryview = b""
        async for chunk in self.body_iterator:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        # No event ends like this: they end with a blank line.
        self._incomplete = isinstance(chunk, bytes) and chunk.endswith(RECONNECT)
        if not self._incomplete:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
