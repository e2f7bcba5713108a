"""`POST /api/chatkit`: the whole ChatKit protocol."""

from typing import Any

from chatkit.types import ThreadsDeleteReq, is_streaming_req
from fastapi import APIRouter, Request, Response

from backchannel.chat.queries import answer
from backchannel.chat.requests import OPERATIONS, parse_request
from backchannel.context import RequestContext
from backchannel.errors import InvalidInputError, UnsupportedMediaTypeError
from backchannel.http.services import Services
from backchannel.http.streaming import events_response
from backchannel.sse import parse_last_event_id

MAX_KEY_CHARS = 255

_DOCUMENTATION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["type", "params"],
                    "properties": {
                        "type": {"type": "string", "enum": sorted(OPERATIONS)},
                        "params": {"type": "object"},
                        "metadata": {"type": "object"},
                    },
                }
            }
        },
    },
    "responses": {
        "200": {
            "description": "JSON, or an event stream for the ops that answer. Streams carry X-Run-Id.",
            "content": {"application/json": {}, "text/event-stream": {}},
        }
    },
}


def chatkit_router(services: Services) -> APIRouter:
    """The protocol's endpoint."""
    router = APIRouter(tags=["chatkit"])

    @router.post("/chatkit", openapi_extra=_DOCUMENTATION, response_class=Response)
    async def chatkit(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Any op of the ChatKit protocol. A POST with `Last-Event-ID` of one's own run resumes that run."""
        context: RequestContext = await request.state.authenticate(request)
        _check_content_type(request)
        heartbeat = services.settings.heartbeat_seconds
        limit = services.settings.max_message_chars
        parsed = parse_request(await request.body(), max_message_chars=limit)
        if is_streaming_req(parsed):
            resumed = parse_last_event_id(request.headers.get("last-event-id", ""))
            if resumed is not None:
                run_id, seq = resumed
                await services.runs.load(run_id, context.identity)
                return await events_response(services.events, run_id, seq, heartbeat=heartbeat)
            run_id = await services.runs.start(parsed, context, key=_idempotency_key(request))
            return await events_response(services.events, run_id, 0, heartbeat=heartbeat)
        if isinstance(parsed, ThreadsDeleteReq):
            await services.runs.stop_in_thread(parsed.params.thread_id, context.identity)
        return Response(await answer(services.server, parsed, context), media_type="application/json")

    return router


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= MAX_KEY_CHARS:
        raise InvalidInputError(f"Idempotency-Key must have 1 to {MAX_KEY_CHARS} characters.")
    return key


def _check_content_type(request: Request) -> None:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A page of another site can send text/plain without asking first, but not application/json.
    if content_type != "application/json":
        raise UnsupportedMediaTypeError("Send the request as Content-Type: application/json.")
