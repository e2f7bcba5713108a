"""What tools get as `ctx.context`, and how what they stream stays in order."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast, override

from agents import RunResultStreaming
from chatkit.agents import AgentContext
from chatkit.types import HiddenContextItem, ThreadStreamEvent

from backchannel.context import RequestContext


@dataclass(frozen=True, slots=True)
class JournalWrite:
    """An item of the journal to be stored; `stored` is resolved when it is."""

    item: HiddenContextItem
    stored: asyncio.Future[None]


class AnswerContext(AgentContext[RequestContext]):
    """What tools get as `ctx.context`: the SDK's `AgentContext`, whose events stay in order.

    An event that a tool streams goes into the run's own queue, behind everything that the model wrote before the tool
    was called. (The SDK's helper merges two queues, and a tool's widget can overtake its message.)
    """

    def attach(self, result: RunResultStreaming) -> None:
        """Send what tools stream through `result.stream_events()` from now on."""
        queue = cast("Any", result)._event_queue  # noqa: SLF001 - the only queue with the run's order
        self._events = _RunEventQueue(queue.put_nowait)

    async def write_journal(self, item: HiddenContextItem) -> None:
        """Wait until everything that was streamed so far, and then `item`, is stored."""
        write = JournalWrite(item, asyncio.get_running_loop().create_future())
        # In place of an event: the reader of the queue recognises it.
        await self._events.put(cast("Any", write))
        await write.stored


class _RunEventQueue(asyncio.Queue[Any]):
    """Stands in for the queue of the SDK's context, and passes everything on at once."""

    def __init__(self, sink: Callable[[ThreadStreamEvent], None]) -> None:
        super().__init__()
        self._sink = sink

    @override
    async def put(self, item: ThreadStreamEvent) -> None:
        self._sink(item)
