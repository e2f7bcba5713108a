"""What every request passes first: an id, limits on its body, headers of its response, one log line.

Plain ASGI, so it is the same in every framework that mounts Backchannel, and it never touches a stream.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backchannel.authenticators.base import (
    NEW_VISITOR,
    Authenticated,
    RejectedCookieError,
    authenticate,
)
from backchannel.context import (
    CREDENTIAL_HEADERS,
    Identity,
    RequestContext,
    current_identity_restored,
    set_current_identity,
)
from backchannel.errors import (
    BackchannelError,
    BodyTimeoutError,
    ForbiddenError,
    InvalidRequestError,
    RateLimitedError,
    TooLargeError,
    UnauthenticatedError,
)
from backchannel.hooks import RequestRefused
from backchannel.http.errors import error_response, unexpected_error
from backchannel.http.rate_limits import EarlyRefusal, LimitedRequest
from backchannel.http.refusals import Pace
from backchannel.http.security_headers import security_headers
from backchannel.http.services import Services
from backchannel.http.uploads import takes_stream
from backchannel.ids import new_id
from backchannel.retry import with_request_seconds

log = structlog.get_logger(__name__)


_LOG_VARIABLES = ("request_id", "run_id", "thread_id", "user_id")
"""What Backchannel binds for its log lines."""


class Gateway:
    """ASGI middleware around all endpoints.

    Endpoints find `request.state.backchannel`, with `request_id` and `authenticate(request)`, which gives the
    `RequestContext` of the caller. Everything else of the state, and the variables of log lines, are those of the host.
    """

    def __init__(self, app: ASGIApp, *, services: Services) -> None:
        self._app = app
        self._services = services
        self._public_url = services.settings.public_url
        self._max_body_bytes = services.settings.max_body_bytes
        self._body_seconds = services.settings.body_timeout_seconds
        self._headers = security_headers(services.settings)
        self._early_headers = [(k.lower().encode(), v.encode()) for k, v in self._headers.items()]
        self._debug = services.settings.debug
        self._database_seconds = services.settings.database_request_timeout_seconds
        self._pace = Pace()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id("request")
        limited = self._limited(scope)
        exchange = _Exchange(scope, send, request_id, self._headers, limited)
        if limited is not None and (refusal := limited.early_refusal()) is not None:
            # Nothing else is looked at, and the body is not read: a flood should cost as little as it can.
            await self._pace.turn()
            await exchange.refuse(refusal, self._early_headers)
            self._report_refusal(exchange)
            return
        exchange.authenticate = partial(self._authenticate, exchange)
        exchange.base_url = self._base_url
        scope.setdefault("state", {})["backchannel"] = exchange
        with (
            _own_log_variables(request_id),
            current_identity_restored(),
            with_request_seconds(self._database_seconds),
        ):
            await self._answer(exchange, scope, receive)

    async def _answer(self, exchange: "_Exchange", scope: Scope, receive: Receive) -> None:
        request_id = exchange.request_id
        self._pace.begin()
        exchange.on_start = self._pace.end
        try:
            self._services.check_running()
            if exchange.limited is not None and exchange.limited.by_address_first:
                await self._counted(exchange.limited.count_address())
            if takes_stream(scope["method"], scope["path"]):
                await self._app(scope, receive, exchange.send)
                return
            body = await self._read_body(scope, receive)
            await self._app(scope, _replay(body, receive), exchange.send)
        except BackchannelError as error:
            await exchange.respond(error_response(error, request_id), error.code, receive)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            if exchange.started:
                # Part of an answer is on its way: only a broken connection tells that it is not all.
                log.exception("response_broken")
                raise
            response = unexpected_error(error, request_id, debug=self._debug)
            await exchange.respond(response, "internal_error", receive)
        finally:
            if not exchange.started:
                self._pace.end()
            exchange.log()
            self._report_refusal(exchange)

    def _limited(self, scope: Scope) -> LimitedRequest | None:
        limits = self._services.parts.rate_limits if self._services.is_running else None
        return None if limits is None else limits.begin(scope)

    async def _counted(self, counting: Awaitable[None]) -> None:
        try:
            await counting
        except RateLimitedError:
            await self._pace.turn()
            raise

    async def _identify(self, exchange: "_Exchange", request: Request) -> Authenticated:
        parts = self._services.parts
        try:
            found = await authenticate(parts.authenticators, request)
            exchange.authenticated = found
            if found.session is not None and parts.access is not None:
                exchange.session_ended = partial(parts.access.sessions.has_ended, found.session)
            if found.ambient:
                parts.origins.check(request)
        except (UnauthenticatedError, ForbiddenError) as error:
            if isinstance(error, RejectedCookieError):
                exchange.set_cookie = error.set_cookie
            if exchange.limited is not None:
                await self._counted(exchange.limited.count_address())
            raise
        exchange.identity = found.identity
        if exchange.limited is not None:
            new_visitor = found.method == NEW_VISITOR
            await self._counted(exchange.limited.count_caller(found.identity, new_visitor=new_visitor))
        return found

    async def _authenticate(self, exchange: "_Exchange", request: Request) -> RequestContext:
        parts = self._services.parts
        found = await self._identify(exchange, request)
        exchange.set_cookie = found.set_cookie
        set_current_identity(found.identity)
        structlog.contextvars.bind_contextvars(user_id=found.identity.user)
        context = RequestContext(
            identity=found.identity,
            request_id=exchange.request_id,
            locale=request.headers.get("accept-language", "").partition(",")[0].partition(";")[0].strip()
            or None,
            base_url=self._base_url(request),
            headers=_plain(request.headers),
        )
        # What agents and tools get has no credentials; the application's own function may need them.
        headers = {name: value for name, value in context.headers.items() if name not in CREDENTIAL_HEADERS}
        if parts.context is None:
            return replace(context, headers=headers)
        made = parts.context(context, request)
        made = await made if inspect.isawaitable(made) else made
        return replace(context, headers=headers, app=made, replaced=parts.replace_context)

    def _base_url(self, request: Request) -> str:
        return self._public_url or str(request.base_url).rstrip("/")

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        if scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            return b""
        declared = Headers(scope=scope).get("content-length", "0")
        # Not `isdigit`, which accepts a superscript, one byte in Latin-1.
        if not declared.isdecimal():
            raise InvalidRequestError("Content-Length is not a number.")
        if int(declared[:20]) > self._max_body_bytes:
            raise self._too_large()
        chunks, size = list[bytes](), 0
        try:
            async with asyncio.timeout(self._body_seconds):
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
            raise BodyTimeoutError(
                f"The request was not complete after {self._body_seconds:g} seconds."
            ) from None

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"The request body is larger than {self._max_body_bytes} bytes.")

    def _report_refusal(self, exchange: "_Exchange") -> None:
        if exchange.status < 400 or not self._services.is_running:
            return
        hooks = self._services.parts.hooks
        if hooks.listens(RequestRefused):
            hooks.emit(exchange.refusal())


class _Exchange:
    """One request and its response.

    Attributes:
        request_id: `req_…`.
        authenticate: Gives the `RequestContext` of the caller of a request.
        base_url: Gives the address under which a request reached the server, without a slash at its end.
        error_code: The stable code of the error that is the response.
        set_cookie: A cookie to send with the response.
        identity: The caller, once authenticated.
        authenticated: How; `None` before.
        session_ended: Whether the caller's session on this server has ended since; `None` if there is none.
        limited: The limits on the rate of requests; `None` if this one has none.
        on_start: Called when the response starts.
        status: Of the response, once it has started.
    """

    authenticate: Callable[[Request], Awaitable[RequestContext]]
    base_url: Callable[[Request], str]

    def __init__(
        self,
        scope: Scope,
        send: Send,
        request_id: str,
        headers: Mapping[str, str],
        limited: LimitedRequest | None,
    ) -> None:
        self._headers = headers
        self._scope = scope
        self._send = send
        self._began = time.perf_counter()
        self.request_id = request_id
        self.error_code = "http_error"
        self.set_cookie: str | None = None
        self.identity: Identity | None = None
        self.authenticated: Authenticated | None = None
        self.session_ended: Callable[[], Awaitable[bool]] | None = None
        self.limited = limited
        self.on_start: Callable[[], None] | None = None
        self.status = 0

    @property
    def started(self) -> bool:
        return self.status != 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.on_start is not None:
                self.on_start()
            headers = MutableHeaders(scope=message)
            if self.limited is not None:
                await self.limited.count_response()
                for name, value in self.limited.headers:
                    headers[name] = value
            headers["X-Request-Id"] = self.request_id
            for name, value in self._headers.items():
                headers.setdefault(name, value)
            if self.set_cookie is not None:
                headers.append("Set-Cookie", self.set_cookie)
        await self._send(message)

    async def respond(self, response: Response, code: str, receive: Receive) -> None:
        self.error_code = code
        await response(self._scope, receive, self.send)

    async def refuse(self, refusal: EarlyRefusal, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send a response that is made already, with the `headers` of every response."""
        self.error_code, self.status = RateLimitedError.code, RateLimitedError.status
        body = refusal.body(self.request_id)
        own = [(b"content-length", b"%d" % len(body)), (b"x-request-id", self.request_id.encode())]
        start = {"type": "http.response.start", "status": self.status}
        await self._send({**start, "headers": [*own, *refusal.headers, *headers]})
        await self._send({"type": "http.response.body", "body": body})

    def refusal(self) -> RequestRefused:
        return RequestRefused(
            request_id=self.request_id,
            method=self._scope["method"],
            path=self._scope["path"],
            status=self.status,
            code=self.error_code,
            identity=self.identity,
        )

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


@contextmanager
def _own_log_variables(request_id: str) -> Generator[None]:
    """Bind the request's id for log lines. At the end, the variables that Backchannel binds are as before: those of a
    host are its own."""
    before = structlog.contextvars.get_contextvars()
    structlog.contextvars.unbind_contextvars(*_LOG_VARIABLES)
    structlog.contextvars.bind_contextvars(request_id=request_id)
    try:
        yield
    finally:
        structlog.contextvars.unbind_contextvars(*_LOG_VARIABLES)
        structlog.contextvars.bind_contextvars(
            **{name: before[name] for name in _LOG_VARIABLES if name in before}
        )


def _plain(headers: Headers) -> Mapping[str, str]:
    """The headers by lower-case name; of several with one name the values joined (RFC 9110, section 5.3)."""
    joined: dict[str, str] = {}
    for name, value in headers.items():
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


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
