"""CORS: which pages of other origins may send requests and read the responses, by the settings."""

from collections.abc import Iterable
from typing import override

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backchannel.web.origins import Origin, OriginPatterns

MAX_AGE_SECONDS = 600
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class CrossOrigin(CORSMiddleware):
    """ASGI middleware. Pages of other origins than the allowed ones get no CORS header at all.

    Args:
        origins: As `OriginPatterns` takes them.
        loopback: Whether pages of loopback origins are allowed, too.
        expose: Headers of responses that pages may read.
    """

    def __init__(
        self, app: ASGIApp, *, origins: Iterable[str], loopback: bool, expose: Iterable[str]
    ) -> None:
        super().__init__(
            app,
            allow_methods=METHODS,
            allow_headers=["*"],
            allow_credentials=True,
            expose_headers=tuple(expose),
            max_age=MAX_AGE_SECONDS,
        )
        self._patterns = OriginPatterns(origins)
        self._loopback = loopback

    @override
    def is_allowed_origin(self, origin: str) -> bool:
        parsed = Origin.parse(origin)
        if self._patterns.match(parsed):
            return True
        return self._loopback and parsed is not None and parsed.is_loopback

    @override
    def preflight_response(self, request_headers: Headers) -> Response:
        if not self.is_allowed_origin(request_headers.get("origin", "")):
            return Response("This origin is not allowed.", 400, {"Vary": "Origin"}, "text/plain")
        return super().preflight_response(request_headers)

    @override
    async def simple_response(
        self, scope: Scope, receive: Receive, send: Send, request_headers: Headers
    ) -> None:
        if self.is_allowed_origin(request_headers.get("origin", "")):
            await super().simple_response(scope, receive, send, request_headers)
            return

        async def send_varied(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).add_vary_header("Origin")
            await send(message)

        await self.app(scope, receive, send_varied)
