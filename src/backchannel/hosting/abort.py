"""Lets responses break their connection off, which ASGI has no message for."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from backchannel.http.event_stream import ABORT

ABORT_SECONDS = 2
"""How long a client may take to receive what was already sent."""


class AbortableResponses:
    """ASGI application around another one, directly under Uvicorn, that offers it the extension `ABORT`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Uvicorn's `send` is a method of the object that has the connection of the request.
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        if scope["type"] == "http" and transport is not None:
            scope.setdefault("extensions", {})[ABORT] = _abort(transport, scope, receive)
        await self._app(scope, receive, send)


def _abort(transport: Any, scope: Scope, receive: Receive) -> Callable[[], Awaitable[None]]:
    async def abort() -> None:
        if scope["http_version"] == "1.0":
            # There the end of the connection is the end of a complete response, except for a reset.
            connection = transport.get_extra_info("socket")
            with suppress(OSError, AttributeError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.close()
        # Uvicorn logs an error for a response that is incomplete, unless its connection is closed by then.
        for seconds in (ABORT_SECONDS, ABORT_SECONDS):
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while (await receive())["type"] != "http.disconnect":
                        pass
                return
            transport.abort()

    return abort
