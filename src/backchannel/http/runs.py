"""Runs as plain JSON endpoints: state, events, stopping."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from backchannel.errors import InvalidInputError
from backchannel.http.caller import Caller
from backchannel.http.services import Services
from backchannel.http.streaming import events_response
from backchannel.sse import parse_last_event_id
from backchannel.stores.base import RunRecord
from backchannel.stores.times import utc_text


class RunResponse(BaseModel):
    """A run: one answer being made, or made."""

    id: str
    thread_id: str
    operation: str
    status: Literal["running", "completed", "failed", "cancelled", "interrupted"]
    error_code: str | None
    created_at: str
    ended_at: str | None

    @classmethod
    def of(cls, run: RunRecord) -> Self:
        """The response that tells of `run`."""
        return cls(
            id=run.id,
            thread_id=run.thread_id,
            operation=run.operation,
            status=run.status,
            error_code=run.error_code,
            created_at=utc_text(run.created_at),
            ended_at=utc_text(run.ended_at) if run.ended_at else None,
        )


class RunPage(BaseModel):
    """Runs of a thread, newest first."""

    data: list[RunResponse]
    has_more: bool = False
    after: str | None = None


def runs_router(services: Services) -> APIRouter:
    """State, events and stopping of runs."""
    router = APIRouter(prefix="/chatkit/runs", tags=["runs"])

    @router.get("/{run_id}")
    async def get_run(run_id: str, caller: Caller) -> RunResponse:  # pyright: ignore[reportUnusedFunction]
        """How a run goes, or went."""
        return RunResponse.of(await services.runs.load(run_id, caller.identity))

    @router.get("/{run_id}/events", response_class=StreamingResponse)
    async def get_events(  # pyright: ignore[reportUnusedFunction]
        run_id: str,
        caller: Caller,
        after: Annotated[int, Query(ge=0)] = 0,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Follow a run from the event after `after`, or after the `Last-Event-ID`."""
        await services.runs.load(run_id, caller.identity)
        if last_event_id:
            place = parse_last_event_id(last_event_id)
            if place is None or place[0] != run_id:
                raise InvalidInputError("Last-Event-ID is not an event of this run.")
            after = place[1]
        heartbeat = services.settings.heartbeat_seconds
        return await events_response(services.events, run_id, after, heartbeat=heartbeat)

    @router.post("/{run_id}/cancel")
    async def cancel_run(run_id: str, caller: Caller) -> RunResponse:  # pyright: ignore[reportUnusedFunction]
        """Stop a run and its model call. What was said is kept. Stopping twice is the same as once."""
        return RunResponse.of(await services.runs.stop(run_id, caller.identity))

    return router
