"""HTTP/1.1 as `backchannel serve` speaks it: Uvicorn's, with limits on what comes before a request is complete.

Uvicorn has none with httptools (Kludex/uvicorn#157): headers of any length, sent over any time, are read to the end.
"""

import asyncio
import json
import re
from asyncio.events import TimerHandle
from dataclasses import dataclass
from typing import Any, override

import httptools
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from backchannel.hosting.connection_limits import ConnectionLimits, Connections, Place
from backchannel.ids import new_id

LINGER_SECONDS = 2
"""How long a client may take to receive a refusal. A connection that is closed with unread input is reset, and the
refusal would be lost."""

LINGER_BYTES = 8 * 1_048_576
"""How much of what it still sends is read and dropped for that; also of a body whose request is answered already: nginx
answers with 502 in place of a 413 if it cannot send the whole body."""

SEND_SECONDS = 60
"""How long a client may take nothing of a response that waits for it, as nginx's `send_timeout`."""

MAX_PIPELINED = 32
"""How many requests may wait behind one on its connection. Browsers and proxies send none."""

_CHUNK_OVERHEAD = 16
"""Bytes of framing for each byte of a chunked body: 5 in chunks of one byte."""

_HOST = re.compile(rb"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused before the application sees it."""

    status: int
    code: str
    message: str


MALFORMED = Refusal(400, "invalid_request", "The request is not valid HTTP/1.1.")
BAD_HOST = Refusal(400, "invalid_request", "The request must have exactly one valid Host header.")
BAD_TARGET = Refusal(400, "invalid_request", "The target of the request must be a path that starts with /.")
BAD_FRAMING = Refusal(400, "invalid_request", "The body has too many bytes beside its content.")
BAD_UPGRADE = Refusal(400, "invalid_request", "A WebSocket begins with a GET without a body.")
TOO_MANY_PIPELINED = Refusal(400, "invalid_request", "Too many requests are pipelined on one connection.")
HEAD_TIMEOUT = Refusal(408, "timeout", "The headers of the request took too long to arrive.")
URL_TOO_LONG = Refusal(414, "too_large", "The URL of the request is too long.")
HEAD_TOO_LARGE = Refusal(431, "too_large", "The headers of the request are too large.")

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
)


class LimitedConfig(uvicorn.Config):
    """Uvicorn's configuration with `LimitedProtocol`."""

    def __init__(self, app: ASGIApp | str, *, limits: ConnectionLimits, **settings: Any) -> None:
        super().__init__(app, http=LimitedProtocol, **settings)
        self.limits = limits
        self.open_connections = Connections(limits)


class LimitedProtocol(HttpToolsProtocol):
    """One connection.

    It costs a request some comparisons: a timer is only started for a connection that is new, or has sent a part of a
    request's head.
    """

    config: LimitedConfig
    # Uvicorn declares what is there between requests and while the connection is open.
    parser: Any
    cycle: Any

    def __init__(
        self,
        config: LimitedConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = config.limits
        self._place: Place | None = None
        self._running: RequestResponseCycle | None = None
        self._refusal: Refusal | None = None
        self._refused = False
        self._dropped = 0
        self._deadline: TimerHandle | None = None
        self._sending: TimerHandle | None = None
        # The bytes of an incomplete head are between these two: a read may begin with the rest of another request.
        self._head_open = False
        self._head_least = self._head_most = 0
        self._read = 0
        self._read_begins = False
        self._body_open = False
        self._body_read = self._body_size = 0

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        address = self.client[0] if self.client else None
        self._place = self.config.open_connections.enter(self, address)
        if self._place is None:
            self._refused = True
            transport.write(_BUSY)
            transport.close()
        else:
            self._set_deadline()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        # Uvicorn only tells the last request of the connection.
        for cycle in (self._running, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._unset_deadline()
        self._unset_sending()
        if self._place is not None:
            self._place.leave()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        # A client that reads nothing has no more claim to its place than one that sends nothing.
        if self._place is not None:
            self._place.rest()
        self._watch_sending()

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._unset_sending()
        if self._place is not None and self.cycle is not None and not self.cycle.response_complete:
            self._place.work()

    def make_room(self) -> None:
        """Close for another connection."""
        self.config.open_connections.refused("made_room")
        self.transport.abort()

    @override
    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        size = self._read = len(data)
        if self._refused:
            self._drop(size)
            return
        self._read_begins = not (self._head_open or self._body_open)
        if self._head_open:
            self._head_least += size
            self._head_most += size
        elif self._body_open:
            self._body_read += size
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal or MALFORMED)
            return
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
                return
            # A server may ignore the wish for another protocol (RFC 9110, section 7.8).
        self._check_progress(size)

    def _check_progress(self, size: int) -> None:
        answered = self.cycle is None or self.cycle.response_complete
        if self._head_open:
            if self._head_least > self._limits.header_bytes:
                self._refuse(self._too_large())
                return
        elif self._body_open:
            overhead = self._body_read - self._body_size * (_CHUNK_OVERHEAD + 1)
            if overhead > self._limits.header_bytes:
                self._refuse(BAD_FRAMING)
                return
            if answered:
                self._drop(size)
        if self._deadline is None and (self._head_open or answered):
            self._set_deadline()

    @override
    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:
            self._fail(TOO_MANY_PIPELINED)
        super().on_message_begin()
        self._head_open = True
        self._head_least, self._head_most = self._read if self._read_begins else 0, self._read
        self._read_begins = False

    @override
    def on_headers_complete(self) -> None:
        self._head_open = False
        if self._head_most > self._limits.header_bytes:
            self._check_size()
        self._check_target()
        self._check_upgrade()
        self._unset_deadline()
        self._body_open = True
        self._body_read = self._body_size = 0
        if self._place is not None and not self.flow.write_paused:
            self._place.work()
        super().on_headers_complete()
        if not self.parser.should_upgrade():
            # The parser reports trailers as headers. They must not get among those that the application has checked.
            self.headers = []

    @override
    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._body_open = False
        super().on_message_complete()

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._place is not None and self.transport.is_closing():
            # What is written waits for the client, perhaps for long.
            self._place.rest()
        if self.pipeline or self.transport.is_closing() or self._place is None:
            return
        if self.cycle.response_complete:
            self._place.rest()
            if self._body_open:
                # The rest of a body that was not wanted: dropped for a while, so that the client reads the response.
                self._set_deadline()

    @override
    def timeout_keep_alive_handler(self) -> None:
        self._close()

    @override
    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        protocol: Any = self.transport.get_protocol()
        place, lost = self._place, protocol.connection_lost

        def connection_lost(exc: Exception | None) -> None:
            if place is not None:
                place.leave()
            lost(exc)

        protocol.connection_lost = connection_lost

    def _check_size(self) -> None:
        fields = sum(len(name) + len(value) + 4 for name, value in self.headers)
        if len(self.url) + fields > self._limits.header_bytes:
            self._fail(self._too_large())

    def _too_large(self) -> Refusal:
        return URL_TOO_LONG if len(self.url) > self._limits.header_bytes // 2 else HEAD_TOO_LARGE

    def _check_target(self) -> None:
        # The other forms are for proxies (RFC 9112, section 3.2). A host in the target would contradict Host.
        if not self.url.startswith(b"/"):
            self._fail(BAD_TARGET)
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) == 1 and _HOST.fullmatch(hosts[0]):
            return
        # Before HTTP/1.1 there was none, and health checks of old proxies still send none.
        if hosts or self.parser.get_http_version() != "1.0":
            self._fail(BAD_HOST)

    def _check_upgrade(self) -> None:
        # RFC 6455, section 4.1. Uvicorn would wait, without any answer, for the end of a body that it drops.
        if self.parser.should_upgrade() and self._should_upgrade():
            body = any(name in {b"content-length", b"transfer-encoding"} for name, _ in self.headers)
            if body or self.parser.get_method() != b"GET":
                self._fail(BAD_UPGRADE)

    def _fail(self, refusal: Refusal) -> None:
        """Stop the parser, inside one of its callbacks."""
        self._refusal = refusal
        raise ValueError(refusal.code)

    def _refuse(self, refusal: Refusal) -> None:
        self.config.open_connections.refused(refusal.code, self.client[0] if self.client else None)
        self._refused = True
        self._unset_deadline()
        running = self._running
        if running is None or running.response_complete or not (running.response_started or self.pipeline):
            if running is not None:
                # The application has begun: it is told that its client has gone, and what it sends is dropped.
                running.disconnected = True
                running.message_event.set()
            self._respond(refusal)
            self.transport.write_eof()
            self.loop.call_later(LINGER_SECONDS, self.transport.abort)
        else:
            # A response is on its way. What is written now would be taken for a part of it.
            self._close()

    def _respond(self, refusal: Refusal) -> None:
        request_id = new_id("request")
        body = json.dumps({"code": refusal.code, "message": refusal.message, "request_id": request_id})
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[refusal.status] + lines + b"\r\n" + body.encode())

    def _drop(self, size: int) -> None:
        self._dropped += size
        if self._dropped > LINGER_BYTES:
            self.transport.abort()

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
            # Closing waits for a client that does not read.
            self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _set_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._limits.header_seconds, self._on_deadline)

    def _unset_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _watch_sending(self, before: int | None = None) -> None:
        left = self.transport.get_write_buffer_size()
        if before is not None and left >= before:
            self.config.open_connections.refused("not_read", self.client[0] if self.client else None)
            self.transport.abort()
        else:
            self._sending = self.loop.call_later(SEND_SECONDS, self._watch_sending, left)

    def _unset_sending(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _on_deadline(self) -> None:
        # If the process was busy, what has come meanwhile is read first.
        self._deadline = self.loop.call_later(0, self._give_up)

    def _give_up(self) -> None:
        self._deadline = None
        if self.cycle is not None and not self.cycle.response_complete:
            # The head of a further request waits for this one, whose response is longer.
            self._set_deadline()
        elif self._head_open:
            self._refuse(HEAD_TIMEOUT)
        else:
            # Without an answer: browsers open connections that they may not use.
            self._close()
