"""`/api/chatkit/threads/{id}/approvals`: the calls of tools that wait for a person's approval, and the decision."""

import json
from typing import Any, Literal

from chatkit.types import (
    StructuredInputAnswerSubmission,
    StructuredInputItem,
    StructuredInputSubmission,
    ThreadAddStructuredInputParams,
    ThreadsAddStructuredInputReq,
)
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from backchannel.chat.agent.approvals import APPROVE, APPROVE_ALWAYS, decline, load_pending, question_text
from backchannel.chat.protocol.commands import load_item, load_thread
from backchannel.errors import InvalidInputError
from backchannel.http.current_context import ChatContext
from backchannel.http.json_body import JsonRoute
from backchannel.http.services import Services
from backchannel.http.streaming import PLAIN_EVENTS, RUN_HEADERS, check_content_type, run_response

MAX_REASON_CHARS = 2000


class RequestedApproval(BaseModel):
    """A call of a tool that waits for approval. `arguments` is a string if the model wrote no JSON; `question` is what
    the person is asked."""

    id: str
    agent: str
    tool: str
    arguments: Any
    question: str


class ApprovalsResponse(BaseModel):
    """The calls that wait for approval in a thread; `item_id` is `null` if there is none."""

    item_id: str | None
    data: list[RequestedApproval]


class DecisionInput(BaseModel):
    """The decision about one call. `reason` is given to the model with a declined call."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approve", "approve_always", "decline"]
    reason: str | None = Field(default=None, max_length=MAX_REASON_CHARS)


class DecisionRequest(BaseModel):
    """Decisions by the id of the call, as `GET` gives them. A call that is left out is declined."""

    model_config = ConfigDict(extra="forbid")

    item_id: str
    decisions: dict[str, DecisionInput] = Field(min_length=1)


def approvals_router(services: Services) -> APIRouter:
    """The router of approvals."""
    router = APIRouter(prefix="/chatkit/threads", tags=["approvals"], route_class=JsonRoute)

    @router.get("/{thread_id}/approvals")
    async def list_approvals(  # pyright: ignore[reportUnusedFunction]
        thread_id: str, context: ChatContext
    ) -> ApprovalsResponse:
        """The calls of tools that wait for approval in one of the caller's threads."""
        await load_thread(services.server, thread_id, context)
        pending = await load_pending(services.server.store, thread_id, context.for_server)
        if pending is None:
            return ApprovalsResponse(item_id=None, data=[])
        calls = [
            RequestedApproval(
                id=call.question,
                agent=call.agent,
                tool=call.name,
                arguments=_decoded(call.arguments),
                question=question_text(call),
            )
            for call in pending.request.calls
        ]
        return ApprovalsResponse(item_id=pending.request.item_id, data=calls)

    @router.post(
        "/{thread_id}/approvals",
        response_class=StreamingResponse,
        responses={200: {"description": PLAIN_EVENTS}},
        dependencies=[Depends(check_content_type)],
        openapi_extra={"parameters": RUN_HEADERS},
    )
    async def decide(  # pyright: ignore[reportUnusedFunction]
        request: Request, thread_id: str, decided: DecisionRequest, context: ChatContext
    ) -> Response:
        """Approve or decline calls of tools, and stream how the answer goes on. A second decision is refused: 409."""
        item = await load_item(services.server, thread_id, decided.item_id, context)
        known = {each.id for each in item.inputs} if isinstance(item, StructuredInputItem) else set[str]()
        if unknown := sorted(decided.decisions.keys() - known):
            raise InvalidInputError(f"Item {decided.item_id} asks about no such call: {', '.join(unknown)}.")
        answers = {
            call: StructuredInputAnswerSubmission(values=[_value(decision)])
            for call, decision in decided.decisions.items()
        }
        params = ThreadAddStructuredInputParams(
            thread_id=thread_id, item_id=item.id, input=StructuredInputSubmission(answers=answers)
        )
        asked = ThreadsAddStructuredInputReq(params=params)
        return await run_response(services, request, asked, context, plain=True)

    return router


def _value(decision: DecisionInput) -> str:
    match decision.decision:
        case "approve":
            return APPROVE
        case "approve_always":
            return APPROVE_ALWAYS
        case "decline":
            return decline(decision.reason)


def _decoded(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments
