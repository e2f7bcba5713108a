"""`POST /api/chatkit`: the endpoint of the ChatKit protocol."""

from typing import Any

from chatkit.types import AttachmentsCreateReq, ThreadsDeleteReq, is_streaming_req
from fastapi import APIRouter, Request, Response

from backchannel.chat.protocol.queries import answer
from backchannel.chat.protocol.requests import OPERATIONS, READS, parse_request
from backchannel.context import CHAT, RequestContext
from backchannel.http.attachment_links import links_for
from backchannel.http.input_limits import request_limits
from backchannel.http.json_body import parseable
from backchannel.http.services import Services
from backchannel.http.streaming import check_content_type, idempotency_key, run_response

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
            "description": "JSON, or an event stream for streaming operations, with the headers X-Run-Id and "
            "X-Heartbeat-Seconds.",
            "content": {"application/json": {}, "text/event-stream": {}},
        }
    },
}


def chatkit_router(services: Services) -> APIRouter:
    """The router of the ChatKit endpoint."""
    router = APIRouter(tags=["chatkit"])
    limits = request_limits(services.settings)

    @router.post("/chatkit", openapi_extra=_DOCUMENTATION, response_class=Response)
    async def chatkit(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Any operation of the ChatKit protocol. With a `Last-Event-ID` of the caller's own run, resumes its stream."""
        context: RequestContext = await request.state.backchannel.authenticate(request)
        context.identity.require(CHAT)
        await check_content_type(request)
        parsed = parse_request(parseable(await request.body()), limits)
        if parsed.type in READS:
            # To look is not to visit: no read sets a cookie, whatever its method.
            request.state.backchannel.set_cookie = None
        if is_streaming_req(parsed):
            return await run_response(services, request, parsed, context, plain=False)

        async def respond() -> bytes:
            if isinstance(parsed, ThreadsDeleteReq):
                await services.runs.stop_in_thread(parsed.params.thread_id, context.identity)
            return await answer(services.server, parsed, context, services.runs.partial_items)

        # An announcement is not stored with its key: it has a link for the upload, and expires with it.
        key = None if isinstance(parsed, AttachmentsCreateReq) else idempotency_key(request)
        body = await services.runs.answer_once(parsed, context, key, respond)
        return Response(links_for(services, context)(body), media_type="application/json")

    return router
