"""The response that carries an event stream."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from time import monotonic
from typing import cast, override

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from backchannel.errors import UnavailableError
from backchannel.sse import RECONNECT

ABORT = "backchannel.abort"
"""The name under which a server's `scope["extensions"]` may have an async function that breaks the connection of a
response off. It returns when the connection is closed."""


CHECK_SECONDS = 15.0
"""A stream whose reader's session has ended is broken off with the first event, or heartbeat, after so many seconds."""

log = structlog.get_logger(__name__)


class EventStreamResponse(StreamingResponse):
    """An event stream. If its run goes on in another process, or the session of its reader has ended, the response is
    left incomplete.

    Clients would take a response that ends as HTTP demands for the whole stream, unless they know the comment before
    its end. All of them notice a connection that breaks, and reconnect.
    """

    _incomplete = False
    _session_ended: Callable[[], Awaitable[bool]] | None = None

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._session_ended = scope["state"]["backchannel"].session_ended
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
        check_at = monotonic() + CHECK_SECONDS
        async for chunk in self.body_iterator:
            if self._session_ended is not None and monotonic() >= check_at:
                if await self._must_not_go_on():
                    self._incomplete = True
                    return
                check_at = monotonic() + CHECK_SECONDS
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        # No event ends like this: they end with a blank line.
        self._incomplete = isinstance(chunk, bytes) and chunk.endswith(RECONNECT)
        if not self._incomplete:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _must_not_go_on(self) -> bool:
        assert self._session_ended is not None
        try:
            if not await self._session_ended():
                return False
        except UnavailableError as error:
            log.warning("session_of_stream_not_checked", reason=error.message)
            return False
        log.info("stream_ended_with_session")
        await cast("AsyncGenerator[bytes]", self.body_iterator).aclose()
        return True
