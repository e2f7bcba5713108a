"""Runs and threads as plain JSON endpoints, for clients that need more than the protocol offers."""

from typing import Annotated, Any, Literal, Self

from chatkit.types import Page, Thread, ThreadItem, ThreadsUpdateReq, ThreadUpdateParams
from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from backchannel.chat import queries
from backchannel.chat.acceptance import load_thread
from backchannel.chat.requests import check
from backchannel.chat.wire import encode
from backchannel.errors import InvalidInputError
from backchannel.http.caller import Caller
from backchannel.http.services import Services
from backchannel.http.streaming import events_response
from backchannel.sse import parse_last_event_id
from backchannel.stores.base import RunRecord

Limit = Annotated[int, Query(ge=1, le=queries.MAX_PAGE)]
Order = Literal["asc", "desc"]


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
            created_at=run.created_at.isoformat().replace("+00:00", "Z"),
            ended_at=run.ended_at.isoformat().replace("+00:00", "Z") if run.ended_at else None,
        )


class RunPage(BaseModel):
    """Runs of a thread, newest first."""

    data: list[RunResponse]
    has_more: bool = False
    after: str | None = None


class Rename(BaseModel):
    """What can be changed of a thread."""

    title: str


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


def threads_router(services: Services) -> APIRouter:
    """Threads and their items, in keyset pages `{"data", "has_more", "after"}`."""
    router = APIRouter(prefix="/chatkit/threads", tags=["threads"])

    @router.get("", response_model=Page[Thread])
    async def list_threads(  # pyright: ignore[reportUnusedFunction]
        caller: Caller, limit: Limit = 20, after: str | None = None, order: Order = "desc"
    ) -> Response:
        """The caller's threads, newest first."""
        return _json(await queries.list_threads(services.server, limit, after, order, caller))

    @router.get("/{thread_id}", response_model=Thread)
    async def get_thread(thread_id: str, caller: Caller) -> Response:  # pyright: ignore[reportUnusedFunction]
        """A thread with its first items."""
        return _json(await queries.get_thread(services.server, thread_id, caller))

    @router.patch("/{thread_id}", response_model=Thread)
    async def rename_thread(  # pyright: ignore[reportUnusedFunction]
        thread_id: str, change: Rename, caller: Caller
    ) -> Response:
        """Rename a thread."""
        request = ThreadsUpdateReq(params=ThreadUpdateParams(thread_id=thread_id, title=change.title))
        check(request, max_message_chars=0)
        return _json(await queries.rename(services.server, thread_id, request.params.title, caller))

    @router.delete("/{thread_id}", status_code=204)
    async def delete_thread(thread_id: str, caller: Caller) -> None:  # pyright: ignore[reportUnusedFunction]
        """Delete a thread with everything in it. An answer in progress is stopped first."""
        await services.runs.stop_in_thread(thread_id, caller.identity)
        await queries.delete_thread(services.server, thread_id, caller)

    @router.get("/{thread_id}/items", response_model=Page[ThreadItem])
    async def list_items(  # pyright: ignore[reportUnusedFunction]
        thread_id: str, caller: Caller, limit: Limit = 20, after: str | None = None, order: Order = "desc"
    ) -> Response:
        """A thread's items, newest first."""
        await load_thread(services.server, thread_id, caller)
        return _json(await queries.list_items(services.server, thread_id, limit, after, order, caller))

    @router.get("/{thread_id}/runs")
    async def list_runs(  # pyright: ignore[reportUnusedFunction]
        thread_id: str,
        caller: Caller,
        status: Literal["active"] | None = None,
        limit: Limit = 20,
    ) -> RunPage:
        """A thread's newest runs; with `status=active` those that go on."""
        await load_thread(services.server, thread_id, caller)
        runs = await services.runs.of_thread(
            thread_id, caller.identity, active=status == "active", limit=limit
        )
        return RunPage(data=[RunResponse.of(run) for run in runs])

    return router


def _json(model: Any) -> Response:
    return Response(encode(model), media_type="application/json")
