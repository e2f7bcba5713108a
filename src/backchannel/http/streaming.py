"""A run's events as a streaming response, in either vocabulary."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic, perf_counter
from typing import Any, Literal

from chatkit.types import StreamingReq
from starlette.requests import Request
from starlette.responses import AsyncContentStream, Response

from backchannel import sse
from backchannel.chat.recovery.snapshot import snapshot
from backchannel.context import Identity, RequestContext
from backchannel.errors import (
    InvalidInputError,
    NotFoundError,
    UnavailableError,
    UnsupportedMediaTypeError,
)
from backchannel.event_logs.base import Batch
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.hooks import StreamClosed, StreamOpened
from backchannel.http.attachment_links import links_for
from backchannel.http.event_stream import EventStreamResponse
from backchannel.http.services import Services
from backchannel.plain import DELTAS, EVENTS, done
from backchannel.plain import encode as encode_plain
from backchannel.stores.run_states import ACTIVE

MAX_KEY_CHARS = 255

STORED_ITEMS_SEQ = 10**12
"""Items that are sent in place of expired events have numbers after this one. Those of events stay below."""

LOG_SECONDS = 2
"""How long a reader waits for the log of an active run to begin."""

LOG_POLL_SECONDS = 0.05

CANCEL_HEADER = "Backchannel-Cancel"
"""With the value `explicit`, a client says that it stops runs by `POST …/runs/{id}/cancel` and not by going away."""

PLAIN_EVENTS = "\n".join(
    [
        "An event stream: `event: <type>`, `data: <JSON object with that type>`, `id: <run>:<number>`. Events:",
        "",
        *(f"- `{name}` {fields}" for name, fields in EVENTS.items()),
        "",
        "Types of `delta`:",
        "",
        *(f"- `{name}` {fields}" for name, fields in DELTAS.items()),
        "",
        "Programs pass over types and fields that they do not know.",
    ]
)
"""The plain vocabulary, for OpenAPI."""

KEY_HEADER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Names the attempt: sending the request again with the same key does nothing a second time and gets "
    "the response to the first one, or follows its run. Keys are stored for a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS},
}
"""The header that makes a request safe to send twice, for OpenAPI."""

RUN_HEADERS: list[dict[str, Any]] = [
    KEY_HEADER,
    {
        "name": CANCEL_HEADER,
        "in": "header",
        "description": "`explicit`: the client stops runs by `POST …/runs/{id}/cancel`, so it may offer that.",
        "schema": {"type": "string", "enum": ["explicit"]},
    },
    {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The id of an event of one's own run: nothing is started, that run goes on after the event.",
        "schema": {"type": "string"},
    },
]
"""What the headers of a request that starts a run mean, for OpenAPI."""

STREAM_CONTENT: dict[str, Any] = {"text/event-stream": {"schema": {"type": "string"}}}
"""An event stream, for OpenAPI."""


async def run_response(
    services: Services, request: Request, asked: StreamingReq, context: RequestContext, *, plain: bool
) -> Response:
    """Start a run and follow it; or, if the request carries the `Last-Event-ID` of one's own run, only follow that.

    Args:
        plain: Whether in the words of the plain API, not ChatKit's.

    Raises:
        InvalidInputError: The `Idempotency-Key` is too long, or the `Last-Event-ID` is not one.
        BackchannelError: The request was refused (see `Runs.start`), or the run is not the caller's.
    """
    place = requested_position(request.headers.get("last-event-id"))
    if place is not None:
        await services.runs.load(place[0], context.identity)
        services.unanswered.answered(place[0])
        return await events_response(services, *place, context, plain=plain)
    cancels = services.settings.on_disconnect == "cancel"
    can_stop = cancels or plain or request.headers.get(CANCEL_HEADER, "").strip().lower() == "explicit"
    key = idempotency_key(request)

    async def start() -> str:
        return await services.runs.start(asked, context, key=key, can_stop=can_stop)

    async def is_active(run_id: str) -> bool:
        return (await services.runs.load(run_id, context.identity)).status in ACTIVE

    if key is None and not cancels:
        run_id = await services.unanswered.start(asked, context.identity, request, start, is_active)
    else:
        run_id = await start()
    response = await events_response(services, run_id, 0, context, plain=plain)
    if cancels and isinstance(response, EventStreamResponse):
        response.body_iterator = _stopping(services, run_id, context, response.body_iterator)
    return response


async def events_response(
    services: Services,
    run_id: str,
    after: int,
    context: RequestContext,
    *,
    plain: bool,
    may_end: bool = False,
) -> Response:
    """Follow one of the caller's runs from the event after `after`, which may be still to come. Closing the connection
    changes nothing for the run. Of a run whose events have expired, the items that it left in its thread are sent.

    Args:
        may_end: Whether the response is 204, on which an `EventSource` stops, if the run has ended and its last event
            is not after `after`. Otherwise it is an empty stream.

    Raises:
        NotFoundError: There is no such run.
        UnavailableError: Its events cannot be read now.
    """

    async def trailer(seq: int) -> bytes:
        return done(run_id, seq, await _status(services, run_id, context.identity))

    encode = _encoder(services, context, plain=plain)
    heartbeat = services.settings.heartbeat_seconds
    headers = {**sse.HEADERS, "X-Run-Id": run_id, sse.HEARTBEAT_HEADER: f"{heartbeat:g}"}
    try:
        first = await _first_events(services, run_id, after, context)
        if may_end and first.ended and not encode(run_id, first.frames):
            # The plain API's last event is not in the log; its number follows that of the log's last event.
            missing = plain and (after == 0 or (await services.events.read(run_id, after - 1, wait=0)).frames)
            if not missing:
                return Response(status_code=204, headers={"X-Run-Id": run_id})
    except LookupError:
        return await _stored_response(services, run_id, after, context, headers, plain=plain, may_end=may_end)
    stream = sse.stream(
        services.events,
        run_id,
        after,
        heartbeat=heartbeat,
        first=first,
        encode=encode,
        trailer=trailer if plain else None,
    )
    hooks = services.parts.hooks
    if hooks.listens(StreamOpened) or hooks.listens(StreamClosed):
        stream = _reported(hooks, run_id, context, "plain" if plain else "chatkit", stream)
    return EventStreamResponse(stream, headers=headers)


def _encoder(services: Services, context: RequestContext, *, plain: bool) -> sse.Encode:
    """How the frames of a run are sent to a reader: each time with links that are valid from now on."""
    encode, add_links = encode_plain if plain else sse.encode, links_for(services, context)
    return lambda run_id, frames: add_links(encode(run_id, frames))


async def _first_events(services: Services, run_id: str, after: int, context: RequestContext) -> Batch:
    """The events after `after` that are there. The log of an active run that has none yet is waited for: with a store
    of the application's own, the run's row can be read before its message is stored and its log begins.

    Raises:
        LookupError: There is no log.
        NotFoundError: There is no such run.
    """
    deadline = monotonic() + LOG_SECONDS
    while True:
        try:
            return await services.events.read(run_id, after, wait=0)
        except LookupError:
            if monotonic() >= deadline:
                raise
            if (await services.runs.load(run_id, context.identity)).status not in ACTIVE:
                raise
        await asyncio.sleep(LOG_POLL_SECONDS)


async def _stored_response(
    services: Services,
    run_id: str,
    after: int,
    context: RequestContext,
    headers: dict[str, str],
    *,
    plain: bool,
    may_end: bool,
) -> Response:
    """The response for a run whose events have expired: its items as they are stored. Their numbers are larger than
    those of every log, so that a client which reconnects after them does not get them again."""
    record = await services.runs.load(run_id, context.identity)
    if record.status in ACTIVE:
        raise UnavailableError("The run is changing hands. Try again in a moment.", retry_after=1)
    frames = await snapshot(services.server, record, STORED_ITEMS_SEQ, context)
    last = frames[-1].seq if frames else STORED_ITEMS_SEQ
    encode = _encoder(services, context, plain=plain)
    stored = encode(run_id, [frame for frame in frames if frame.seq > after])
    if plain and after <= last:
        stored += done(run_id, last, await _status(services, run_id, context.identity))
    if may_end and not stored:
        return Response(status_code=204, headers={"X-Run-Id": run_id})
    return EventStreamResponse(_once(stored + sse.END), headers=headers)


async def check_content_type(request: Request) -> None:
    """Let only JSON in.

    Raises:
        UnsupportedMediaTypeError: The body says that it is something else.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A page of another site can send text/plain without asking first, but not application/json.
    if content_type != "application/json":
        raise UnsupportedMediaTypeError("Send the request as Content-Type: application/json.")


def idempotency_key(request: Request) -> str | None:
    """The name that a request gives itself, so that sending it twice does it once.

    Raises:
        InvalidInputError: It is empty or too long.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= MAX_KEY_CHARS:
        raise InvalidInputError(f"Idempotency-Key must have 1 to {MAX_KEY_CHARS} characters.")
    return key


def requested_position(last_event_id: str | None) -> tuple[str, int] | None:
    """The run and the number of a `Last-Event-ID`; `None` if there is none or it is empty.

    Raises:
        InvalidInputError: It is not the id of an event.
    """
    if last_event_id is None or not last_event_id.strip():
        return None
    position = sse.parse_last_event_id(last_event_id)
    if position is None:
        raise InvalidInputError("Last-Event-ID is not the id of an event. Leave it out to get all events.")
    return position


async def _status(services: Services, run_id: str, identity: Identity) -> str:
    try:
        return (await services.runs.load(run_id, identity)).status
    except NotFoundError:
        # A run is deleted together with its conversation, which may be before the last reader is through.
        return "deleted"


async def _stopping(
    services: Services, run_id: str, context: RequestContext, stream: AsyncContentStream
) -> AsyncGenerator[Any]:
    """Stop the run when the client that asked for it goes away before its end."""
    try:
        async for chunk in stream:
            yield chunk
    except (asyncio.CancelledError, GeneratorExit):
        services.runs.client_disconnected(run_id, context.identity)
        raise


async def _once(chunk: bytes) -> AsyncGenerator[bytes]:
    yield chunk


async def _reported(
    hooks: HookDispatcher,
    run_id: str,
    context: RequestContext,
    format: Literal["chatkit", "plain"],
    stream: AsyncGenerator[bytes],
) -> AsyncGenerator[bytes]:
    """A stream whose beginning and end are reported to the listeners."""
    fields: dict[str, Any] = {
        "run_id": run_id,
        "identity": context.identity,
        "request_id": context.request_id,
        "format": format,
    }
    began = perf_counter()
    outcome: Literal["ended", "reconnect", "disconnected", "failed"] = "disconnected"
    hooks.emit(StreamOpened(**fields))
    try:
        async with aclosing(stream):
            async for chunk in stream:
                if chunk.endswith(sse.END):
                    outcome = "ended"
                elif chunk.endswith(sse.RECONNECT):
                    outcome = "reconnect"
                yield chunk
    except Exception:
        outcome = "failed"
        raise
    finally:
        hooks.emit(StreamClosed(**fields, seconds=perf_counter() - began, outcome=outcome))
