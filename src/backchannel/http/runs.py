"""JSON endpoints of runs: state, event stream, cancellation."""

from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from backchannel.chat.protocol.commands import load_thread
from backchannel.chat.protocol.queries import MAX_PAGE
from backchannel.context import Usage
from backchannel.errors import BackchannelError, InvalidInputError
from backchannel.errors.base import class_of
from backchannel.http.current_context import ChatContext
from backchannel.http.services import Services
from backchannel.http.streaming import STREAM_CONTENT, events_response, requested_position
from backchannel.runs.stored_request import waiting_text
from backchannel.sse import MAX_SEQ
from backchannel.stores.run_states import ACTIVE, RunStatus
from backchannel.stores.run_store import RunRecord
from backchannel.stores.times import utc_text

_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "An event stream. `POST /api/chatkit/stream` describes the plain events.",
        "content": STREAM_CONTENT,
    },
    204: {"description": "The run has ended, and there is no event after that position. Do not reconnect."},
}


class UsageResponse(BaseModel):
    """The model usage of a run."""

    requests: int
    input_tokens: int
    output_tokens: int

    @classmethod
    def of(cls, usage: Usage) -> Self:
        """The response for what a run has used."""
        return cls(
            requests=usage.requests, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens
        )


class RunErrorResponse(BaseModel):
    """Why a run failed. `message` is the general text of the code: the event in the stream may have said more."""

    code: str
    message: str
    allow_retry: bool

    @classmethod
    def of(cls, code: str) -> Self:
        """The response for an error code."""
        known = class_of(code) or BackchannelError
        return cls(code=code, message=known.text, allow_retry=known.allow_retry)


class RunResponse(BaseModel):
    """A run: the execution of one streaming request.

    Status `queued` means that it waits for earlier runs of its thread (`text` is its message), `waiting` that the
    answer ended by asking the person for input. `replica` is the process that executes it, `fence` the number of
    processes that have executed it, `attempt` the number of starts without those after a handover. `usage` is `null`
    in lists.
    """

    id: str
    thread_id: str
    operation: str
    status: Literal["queued", "running", "waiting", "completed", "failed", "cancelled", "interrupted"]
    error_code: str | None
    error: RunErrorResponse | None
    replica: str | None
    fence: int
    attempt: int
    text: str | None
    usage: UsageResponse | None
    created_at: str
    started_at: str | None
    ended_at: str | None

    @classmethod
    def of(cls, run: RunRecord) -> Self:
        """The response for `run`."""
        usage = run.usage
        return cls(
            id=run.id,
            thread_id=run.thread_id,
            operation=run.operation,
            status=run.status,
            error_code=run.error_code,
            error=RunErrorResponse.of(run.error_code) if run.error_code else None,
            replica=run.replica if run.status == "running" else None,
            fence=run.fence,
            attempt=run.attempt,
            text=waiting_text(run),
            usage=usage and UsageResponse.of(usage),
            created_at=utc_text(run.created_at),
            started_at=run.started_at and utc_text(run.started_at),
            ended_at=run.ended_at and utc_text(run.ended_at),
        )


class RunPage(BaseModel):
    """Runs of a thread, newest first."""

    data: list[RunResponse]
    has_more: bool = False
    after: str | None = None


def runs_router(services: Services) -> APIRouter:
    """The router of runs: state, event stream, cancellation."""
    router = APIRouter(prefix="/chatkit/runs", tags=["runs"])

    @router.get("/{run_id}")
    async def get_run(run_id: str, context: ChatContext) -> RunResponse:  # pyright: ignore[reportUnusedFunction]
        """A run with its status and usage."""
        return RunResponse.of(await services.runs.load(run_id, context.identity))

    @router.get("/{run_id}/events", response_class=StreamingResponse, responses=_EVENTS)
    async def get_events(  # pyright: ignore[reportUnusedFunction]
        run_id: str,
        context: ChatContext,
        after: Annotated[int, Query(ge=0, le=MAX_SEQ)] = 0,
        format: Literal["chatkit", "plain"] = "chatkit",
        last_event_id: Annotated[str | None, Header()] = None,
        last_event_id_parameter: Annotated[str | None, Query(alias="lastEventId")] = None,
    ) -> Response:
        """Stream the events of a run after the number `after`, or after the `Last-Event-ID`, as ChatKit thread events
        or as plain events. Both formats have the same numbers and are available for every run. `lastEventId` is for
        clients that send the `Last-Event-ID` as a parameter; the header takes precedence."""
        await services.runs.load(run_id, context.identity)
        position = requested_position(last_event_id) or requested_position(last_event_id_parameter)
        if position is not None:
            if position[0] != run_id:
                raise InvalidInputError("Last-Event-ID is an event of another run.")
            after = position[1]
        services.unanswered.answered(run_id)
        return await events_response(services, run_id, after, context, plain=format == "plain", may_end=True)

    @router.post("/{run_id}/cancel")
    async def cancel_run(run_id: str, context: ChatContext) -> RunResponse:  # pyright: ignore[reportUnusedFunction]
        """Cancel a run and its model call. The partial answer is stored. Repeating the request has no effect."""
        return RunResponse.of(await services.runs.stop(run_id, context.identity))

    return router


def thread_runs_router(services: Services) -> APIRouter:
    """The router of a thread's runs."""
    router = APIRouter(prefix="/chatkit/threads", tags=["runs"])

    @router.get("/{thread_id}/runs")
    async def list_runs(  # pyright: ignore[reportUnusedFunction]
        thread_id: str,
        context: ChatContext,
        status: Literal["active", "queued", "running", "waiting"] | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 20,
    ) -> RunPage:
        """A thread's runs, newest first; with `status=active` only those that are queued or running."""
        await load_thread(services.server, thread_id, context)
        statuses: frozenset[RunStatus] | None = (
            None if status is None else ACTIVE if status == "active" else frozenset({status})
        )
        runs = await services.runs.list_by_thread(thread_id, context.identity, status=statuses, limit=limit)
        return RunPage(data=[RunResponse.of(run) for run in runs])

    return router
