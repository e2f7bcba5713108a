"""A run's events as a streaming response."""

from collections.abc import AsyncGenerator

from starlette.responses import StreamingResponse

from backchannel import sse
from backchannel.errors import NotFoundError
from backchannel.event_logs.base import EventLog


async def events_response(
    events: EventLog, run_id: str, after: int, *, heartbeat: float
) -> StreamingResponse:
    """Follow a run from the event after `after`, which may be still to come. Closing the connection changes
    nothing for the run.

    Raises:
        NotFoundError: The run's events are gone.
    """
    try:
        batch = await events.read(run_id, after, wait=0)
    except LookupError:
        raise NotFoundError(
            "The events of this run are no longer kept. Load the thread's items instead."
        ) from None
    stream = sse.stream(events, run_id, after, heartbeat=heartbeat)
    if not batch.frames and not batch.ended:
        # The headers go out at once, so that the client knows the run's id while the model thinks.
        stream = _with_first(sse.HEARTBEAT, stream)
    return StreamingResponse(stream, headers={**sse.HEADERS, "X-Run-Id": run_id})


async def _with_first(first: bytes, stream: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    yield first
    async for chunk in stream:
        yield chunk
