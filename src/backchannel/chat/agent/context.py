"""What tools get as `ctx.context`, and how what they stream keeps its place."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast, override

from agents import RunResultStreaming
from chatkit.agents import AgentContext
from chatkit.types import HiddenContextItem, ThreadStreamEvent

from backchannel.context import RequestContext


@dataclass(frozen=True, slots=True)
class Note:
    """An item to be kept, and who waits for that."""

    item: HiddenContextItem
    kept: asyncio.Future[None]


class AnswerContext(AgentContext[RequestContext]):
    """What tools get as `ctx.context`: the SDK's `AgentContext`, whose events keep their place.

    An event that a tool streams goes into the run's own queue, behind everything the model said before the
    tool was called. (The SDK's helper merges two queues, and a tool's widget can overtake its message.)
    """

    def flow_into(self, result: RunResultStreaming) -> None:
        """Send what tools stream through `result.stream_events()` from now on."""
        queue = cast("Any", result)._event_queue  # noqa: SLF001 - the only queue with the run's order
        self._events = _Outlet(queue.put_nowait)

    async def keep(self, item: HiddenContextItem) -> None:
        """Wait until everything that was said so far, and then `item`, is kept."""
        note = Note(item, asyncio.get_running_loop().create_future())
        # In place of an event: whoever follows the answer takes it out of the same queue.
        await self._events.put(cast("Any", note))
        await note.kept


class _Outlet(asyncio.Queue[Any]):
    """Stands where the SDK's context has its own queue, and passes everything on at once."""

    def __init__(self, sink: Callable[[ThreadStreamEvent], None]) -> None:
        super().__init__()
        self._sink = sink

    @override
    async def put(self, item: ThreadStreamEvent) -> None:
        self._sink(item)
