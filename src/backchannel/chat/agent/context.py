"""The context of tools, which keeps the events that they stream in the run's order."""

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
    """A request to store a journal item. `stored` is resolved once the item is stored."""

    item: HiddenContextItem
    stored: asyncio.Future[None]


class AnswerContext(AgentContext[RequestContext]):
    """The SDK's `AgentContext`, which tools get as `ctx.context`, with ordered events.

    An event that a tool streams goes into the run's own queue, after everything that the model wrote before the call.
    The SDK's helper merges two queues, which can put a tool's widget before the preceding message.
    """

    def attach(self, result: RunResultStreaming) -> None:
        """Route events that tools stream to `result.stream_events()` from now on."""
        queue = cast("Any", result)._event_queue  # noqa: SLF001 - the only queue in the run's order
        self._events = _RunEventQueue(queue.put_nowait)

    async def write_journal(self, item: HiddenContextItem) -> None:
        """Store `item`, after everything streamed so far, and wait until it is stored."""
        write = JournalWrite(item, asyncio.get_running_loop().create_future())
        # Not an event: `stream_answer`, which reads the queue, handles it.
        await self._events.put(cast("Any", write))
        await write.stored


class _RunEventQueue(asyncio.Queue[Any]):
    """Replaces the queue of the SDK's context and forwards every event immediately."""

    def __init__(self, sink: Callable[[ThreadStreamEvent], None]) -> None:
        super().__init__()
        self._sink = sink

    @override
    async def put(self, item: ThreadStreamEvent) -> None:
        self._sink(item)
