"""The context of tools, which keeps the events that they stream in the run's order."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast, override

from agents import RunConfig, RunResultStreaming
from chatkit.agents import AgentContext, ClientToolCall
from chatkit.types import HiddenContextItem, ThreadStreamEvent
from pydantic import Field, InstanceOf, PrivateAttr

from backchannel.chat.agent.rendering import OutputRenderer
from backchannel.context import RequestContext


@dataclass(frozen=True, slots=True)
class JournalWrite:
    """A request to store a journal item. `stored` is resolved once the item is stored."""

    item: HiddenContextItem
    stored: asyncio.Future[None]


class RunEvents(asyncio.Queue[Any]):
    """The event queue of a run. Keeps the events that the SDK discards when the run fails.

    Attributes:
        discarded: Events that `stream_events()` did not yield, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.discarded: list[Any] = []

    @override
    async def get(self) -> Any:
        event = await super().get()
        # `asyncio.Queue.get` ends with `get_nowait`.
        self.discarded.pop()
        return event

    @override
    def get_nowait(self) -> Any:
        event = super().get_nowait()
        self.discarded.append(event)
        return event


class AnswerContext(AgentContext[RequestContext]):
    """The SDK's `AgentContext`, which tools get as `ctx.context`, with ordered events.

    An event that a tool streams goes into the run's own queue, after everything that the model wrote before the call.
    The SDK's helper merges two queues, which can put a tool's widget before the preceding message.

    Attributes:
        render_output: Renders final answers that are no text.
        failed_calls: The ids of tool calls whose tool raised an exception, of which the model was informed.
        client_calls: Every client tool call that tools have set as `client_tool_call`, in order. Tools of one response
            run at the same time, and the SDK's field holds only the last.
        known_outputs: The outputs of calls that a resumed run makes again although their outcome is in the journal, by
            the call's id. They are used in place of a call.
        run_config: For agents that the application's own code runs during the answer, such as in a guardrail: with it,
            `Runner.run` uses the server's models.
    """

    render_output: OutputRenderer | None = None
    failed_calls: set[str] = Field(default_factory=set[str])
    client_calls: list[ClientToolCall] = Field(default_factory=list[ClientToolCall])
    known_outputs: dict[str, str] = Field(default_factory=dict[str, str])
    run_config: InstanceOf[RunConfig] | None = Field(default=None, exclude=True)
    _run_events: RunEvents = PrivateAttr(default_factory=RunEvents)

    @override
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "client_tool_call" and value is not None:
            self.client_calls.append(value)
        super().__setattr__(name, value)

    def attach(self, result: RunResultStreaming) -> None:
        """Route events that tools stream to `result.stream_events()` from now on."""
        queue = RunEvents()
        internals = cast("Any", result)
        # No other queue has the run's order.
        while not internals._event_queue.empty():  # noqa: SLF001
            queue.put_nowait(internals._event_queue.get_nowait())  # noqa: SLF001
        internals._event_queue = queue  # noqa: SLF001
        self._events = _ToolEvents(queue.put_nowait)
        self._run_events = queue

    def discarded_events(self) -> list[Any]:
        """The events of the run that the SDK discarded when it failed, in order. Removes them."""
        queue = self._run_events
        events, queue.discarded = queue.discarded, []
        return [event for event in events if isinstance(event, JournalWrite) or hasattr(event, "type")]

    async def write_journal(self, item: HiddenContextItem) -> None:
        """Store `item`, after everything streamed so far, and wait until it is stored."""
        write = JournalWrite(item, asyncio.get_running_loop().create_future())
        # Not an event: `stream_answer`, which reads the queue, handles it.
        await self._events.put(cast("Any", write))
        await write.stored


class _ToolEvents(asyncio.Queue[Any]):
    """Replaces the queue of the SDK's context and forwards every event immediately."""

    def __init__(self, sink: Callable[[ThreadStreamEvent], None]) -> None:
        super().__init__()
        self._sink = sink

    @override
    async def put(self, item: ThreadStreamEvent) -> None:
        self._sink(item)
