"""The context of tools, which keeps the events that they stream in the run's order."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast, override

from agents import Agent, RunConfig, RunResultStreaming
from chatkit.agents import AgentContext, ClientToolCall
from chatkit.types import HiddenContextItem, ThreadStreamEvent
from pydantic import Field, InstanceOf, PrivateAttr, SkipValidation

from backchannel.chat.agent.rendering import OutputRenderer
from backchannel.context import RequestContext

_OWN = "backchannel."


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


def keep_events(result: RunResultStreaming) -> RunEvents:
    """Give a run a queue that keeps the events that the SDK discards when the run fails."""
    queue = RunEvents()
    internals = cast("Any", result)
    # No other queue has the run's order.
    while not internals._event_queue.empty():  # noqa: SLF001
        queue.put_nowait(internals._event_queue.get_nowait())  # noqa: SLF001
    internals._event_queue = queue  # noqa: SLF001
    return queue


class AnswerContext(AgentContext[RequestContext]):
    """The SDK's `AgentContext`, which tools get as `ctx.context`, with ordered events.

    An event that a tool streams goes into the run's own queue, after everything that the model wrote before the call.
    The SDK's helper merges two queues, which can put a tool's widget before the preceding message.

    What this class does not have is looked up in the application's own context (`request_context.app`), and set there:
    code that was written for `Agent[Shop]` finds the fields of its `Shop`. If that is a mapping, so are its keys.

    Attributes:
        render_output: Renders final answers that are no text.
        failed_calls: The ids of tool calls whose tool raised an exception, of which the model was informed.
        client_calls: Every client tool call that tools have set as `client_tool_call`, in order. Tools of one response
            run at the same time, and the SDK's field holds only the last.
        known_outputs: The outputs of calls that a resumed run makes again although their outcome is in the journal, by
            the call's id. They are used in place of a call.
        unavailable_servers: The names of the MCP servers whose tools could not be used when an agent of the answer
            started.
        declined_calls: The ids of calls that the person declined without a reason.
        error_handled: Whether an error handler of the application made the final output.
        run_config: For agents that the application's own code runs during the answer, such as in a guardrail: with it,
            `Runner.run` uses the server's models.
        prepare: Is called with each agent before its first model call, agents that are tools included.
    """

    render_output: OutputRenderer | None = None
    failed_calls: set[str] = Field(default_factory=set[str])
    declined_calls: set[str] = Field(default_factory=set[str])
    error_handled: bool = False
    client_calls: list[ClientToolCall] = Field(default_factory=list[ClientToolCall])
    known_outputs: dict[str, str] = Field(default_factory=dict[str, str])
    unavailable_servers: set[str] = Field(default_factory=set[str])
    run_config: InstanceOf[RunConfig] | None = Field(default=None, exclude=True)
    prepare: SkipValidation[Callable[[Agent[Any]], Awaitable[None]] | None] = Field(
        default=None, exclude=True
    )
    _run_events: RunEvents = PrivateAttr(default_factory=RunEvents)

    @override
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "client_tool_call" and value is not None:
            self.client_calls.append(value)
        if name.startswith("_") or name in type(self).model_fields or self.request_context.app is None:
            super().__setattr__(name, value)
        else:
            setattr(self.request_context.app, name, value)

    def __getattr__(self, name: str) -> Any:
        # Only for what is not found elsewhere. Pydantic keeps private attributes this way.
        if name.startswith("_"):
            return cast("Any", super()).__getattr__(name)
        if (app := self.request_context.app) is not None:
            return getattr(app, name)
        raise AttributeError(
            f"The context of tools has no attribute {name!r}. If the agent was written for a context of its own, make "
            "it with Application.context."
        )

    def __getitem__(self, key: Any) -> Any:
        return self.request_context.app[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.request_context.app[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self.request_context.app

    def attach(self, result: RunResultStreaming) -> None:
        """Route events that tools stream to `result.stream_events()` from now on."""
        self._run_events = keep_events(result)
        self._events = _ToolEvents(self._run_events.put_nowait)

    def post(self, event: object) -> None:
        """Have `stream_answer` handle an event of its own kinds, after everything streamed so far."""
        self._run_events.put_nowait(event)

    def discarded_events(self) -> list[Any]:
        """The events of the run that the SDK discarded when it failed, in order. Removes them."""
        queue = self._run_events
        events, queue.discarded = queue.discarded, []
        # The SDK marks the end of a stream with an object of a private class.
        return [
            event for event in events if hasattr(event, "type") or type(event).__module__.startswith(_OWN)
        ]

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
