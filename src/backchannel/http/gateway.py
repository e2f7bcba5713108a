"""What every request passes first: an id, limits on its body, headers of its response, one log line.

Plain ASGI, so it is the same in every framework that mounts Backchannel, and it never touches a stream.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backchannel.authenticators.base import Authenticator, authenticate
from backchannel.context import RequestContext
from backchannel.errors import BackchannelError, InvalidRequestError, TooLargeError
from backchannel.http.errors import error_response, unexpected_error
from backchannel.ids import new_id

log = structlog.get_logger(__name__)

BODY_SECONDS = 30
"""How long a client may take to send the body."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class BodyTimeoutError(BackchannelError):
    """The client did not send its request in time."""

    code = "timeout"
    status = 408


class Gateway:
    """ASGI middleware around all endpoints.

    Endpoints find `request.state.request_id` and `request.state.authenticate(request)`, which gives the
    `RequestContext` of the caller.

    Args:
        authenticators: The chain that knows callers.
        public_url: The server's public address, or `None` to take it from each request.
        max_body_bytes: Larger bodies are refused with 413.
        debug: Whether responses to unexpected errors say what was raised.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticators: Sequence[Authenticator],
        public_url: str | None,
        max_body_bytes: int,
        debug: bool,
    ) -> None:
        self._app = app
        self._authenticators = authenticators
        self._public_url = public_url
        self._max_body_bytes = max_body_bytes
        self._debug = debug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id("request")
        exchange = _Exchange(scope, send, request_id)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["authenticate"] = partial(self._authenticate, exchange)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            body = await self._read_body(scope, receive)
            await self._app(scope, _replay(body, receive), exchange.send)
        except BackchannelError as error:
            await exchange.respond(error_response(error, request_id), receive)
        except Exception as error:
            if exchange.started:
                # Part of an answer is on its way: only a broken connection tells that it is not all.
                log.exception("response_broken")
                raise
            await exchange.respond(unexpected_error(error, request_id, debug=self._debug), receive)
        finally:
            exchange.log()

    async def _authenticate(self, exchange: "_Exchange", connection: HTTPConnection) -> RequestContext:
        found = await authenticate(self._authenticators, connection)
        exchange.set_cookie = found.set_cookie
        structlog.contextvars.bind_contextvars(user_id=found.identity.user)
        return RequestContext(
            identity=found.identity,
            request_id=exchange.request_id,
            locale=connection.headers.get("accept-language", "").partition(",")[0].partition(";")[0].strip()
            or None,
            base_url=self._public_url or str(connection.base_url).rstrip("/"),
        )

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        if scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            return b""
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdigit():
            raise InvalidRequestError("Content-Length is not a number.")
        if int(declared[:20]) > self._max_body_bytes:
            raise self._too_large()
        chunks, size = list[bytes](), 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise InvalidRequestError(
                            "The connection was closed before the request was complete."
                        )
                    chunk: bytes = message.get("body", b"")
                    size += len(chunk)
                    if size > self._max_body_bytes:
                        raise self._too_large()
                    chunks.append(chunk)
                    if not message.get("more_body"):
                        return b"".join(chunks)
        except TimeoutError:
            raise BodyTimeoutError(f"The request was not complete after {BODY_SECONDS} seconds.") from None

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"The request body is larger than {self._max_body_bytes} bytes.")


class _Exchange:
    """One request and its response, as the gateway sees them."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope = scope
        self._send = send
        self._began = time.perf_counter()
        self.request_id = request_id
        self.set_cookie: str | None = None
        self.status = 0

    @property
    def started(self) -> bool:
        return self.status != 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self.request_id
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            if self.set_cookie is not None:
                headers.append("Set-Cookie", self.set_cookie)
        await self._send(message)

    async def respond(self, response: Response, receive: Receive) -> None:
        await response(self._scope, receive, self.send)

    def log(self) -> None:
        path = quote(self._scope["path"], safe="/:")
        level = log.debug if path.startswith(("/health", "/page/")) else log.info
        level(
            "request",
            method=self._scope["method"],
            path=path[:200],
            status=self.status,
            ms=round((time.perf_counter() - self._began) * 1000, 1),
        )


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            # Only the end of the connection can follow: streams wait for it.
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
