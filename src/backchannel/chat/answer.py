"""An agent's run as thread events: its words, its thoughts, its tools, its hand-offs.

Messages are the SDK's events in the SDK's order. Item ids are always our own: models that speak Chat
Completions call every message `__fake_id__`, and an id from outside must not decide what it overwrites.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, cast, override

from agents import (
    Agent,
    AgentUpdatedStreamEvent,
    InputGuardrailTripwireTriggered,
    ModelRefusalError,
    OutputGuardrailTripwireTriggered,
    RawResponsesStreamEvent,
    RunItemStreamEvent,
    RunResultStreaming,
    StopAtTools,
    StreamEvent,
)
from agents.items import HandoffOutputItem, ToolCallItem, ToolCallOutputItem
from chatkit.agents import AgentContext
from chatkit.types import (
    ClientToolCallItem,
    CustomTask,
    HiddenContextItem,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadStreamEvent,
)
from openai.types.responses import ResponseFunctionToolCall

from backchannel.chat.activity import Activity, finished, hand_off_task, tool_task
from backchannel.chat.journal import ToolCall
from backchannel.chat.messages import Messages
from backchannel.chat.wire import is_hidden
from backchannel.context import RequestContext
from backchannel.ids import new_id
from backchannel.stores.times import to_sdk, utc_now


class AnswerContext(AgentContext[RequestContext]):
    """What tools get as `ctx.context`: the SDK's `AgentContext`, whose events keep their place.

    An event that a tool streams goes into the run's own queue, behind everything the model said before the
    tool was called. (The SDK's helper merges two queues, and a tool's widget can overtake its message.)
    """

    def flow_into(self, result: RunResultStreaming) -> None:
        """Send what tools stream through `result.stream_events()` from now on."""
        queue = cast("Any", result)._event_queue  # noqa: SLF001 - the only queue with the run's order
        self._events = _Outlet(queue.put_nowait)


class _Outlet(asyncio.Queue[Any]):
    """Stands where the SDK's context has its own queue, and passes everything on at once."""

    def __init__(self, sink: Callable[[ThreadStreamEvent], None]) -> None:
        super().__init__()
        self._sink = sink

    @override
    async def put(self, item: ThreadStreamEvent) -> None:
        self._sink(item)


async def stream_answer(
    context: AnswerContext, result: RunResultStreaming
) -> AsyncGenerator[ThreadStreamEvent]:
    """Follow an agent's run and tell what it does. Closing the generator stops the run and its model call.

    Raises:
        Whatever the run raises, after everything it had said. After a guardrail's refusal, the items that
        were shown are removed first.
    """
    context.flow_into(result)
    answer = _Answer(context)
    try:
        async for event in result.stream_events():
            for told in answer.tell(event):
                yield told
        for told in answer.finish(result.last_agent):
            yield told
    except ModelRefusalError:
        # The refusal was said in the model's own words, as any answer.
        for told in answer.finish(result.last_agent):
            yield told
    except (InputGuardrailTripwireTriggered, OutputGuardrailTripwireTriggered):
        for item_id in answer.shown:
            yield ThreadItemRemovedEvent(item_id=item_id)
        context.workflow_item = None
        raise
    finally:
        # Without this the SDK's background task keeps the model talking after nobody listens.
        result.cancel()
        usage = result.context_wrapper.usage
        context.request_context.usage.add(usage.requests, usage.input_tokens, usage.output_tokens)


class _Answer:
    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._activity = Activity(context)
        self._messages = Messages(context, self._activity)
        self._calls: list[ResponseFunctionToolCall] = []
        self._journal: dict[str, HiddenContextItem] = {}
        self.shown: list[str] = []

    def tell(self, event: StreamEvent) -> Iterator[ThreadStreamEvent]:
        for told in self._tell(event):
            begins = isinstance(told, ThreadItemAddedEvent | ThreadItemDoneEvent)
            # What tools did stays on record even if the answer is taken back: they did it.
            if begins and not is_hidden(told.item) and told.item.id not in self.shown:
                self.shown.append(told.item.id)
            yield told

    def _tell(self, event: StreamEvent) -> Iterator[ThreadStreamEvent]:
        match event:
            case RawResponsesStreamEvent():
                yield from self._messages.tell(event.data)
            case RunItemStreamEvent(item=ToolCallItem() as item):
                yield from self._tool_called(item)
            case RunItemStreamEvent(item=ToolCallOutputItem() as item):
                yield from self._tool_ended(item)
            case RunItemStreamEvent(name="handoff_requested"):
                yield from self._activity.begin("hand-off", hand_off_task())
            case RunItemStreamEvent(item=HandoffOutputItem() as item):
                yield from self._activity.change("hand-off", hand_off_task(item.target_agent.name))
            case RunItemStreamEvent() | AgentUpdatedStreamEvent():
                pass
            case _:
                yield from self._streamed_by_tool(cast("ThreadStreamEvent", event))

    def finish(self, agent: Agent[Any]) -> Iterator[ThreadStreamEvent]:
        yield from self._activity.close()
        asked = self._context.client_tool_call
        if asked is None:
            return
        call = self._call_of_client_tool(agent, asked.name)
        yield ThreadItemDoneEvent(
            item=ClientToolCallItem(
                id=new_id("tool_call"),
                thread_id=self._context.thread.id,
                created_at=to_sdk(utc_now()),
                name=asked.name,
                arguments=asked.arguments,
                call_id=call.call_id if call else new_id("tool_call"),
            )
        )

    def _call_of_client_tool(self, agent: Agent[Any], name: str) -> ResponseFunctionToolCall | None:
        # The SDK does not say which of several tools asked the client: it is the one that the agent stops at.
        behavior = agent.tool_use_behavior
        stops = cast("StopAtTools", behavior)["stop_at_tool_names"] if isinstance(behavior, dict) else []
        names = {*stops, name}
        matching = [call for call in self._calls if call.name in names]
        return (matching or self._calls or [None])[-1]

    def _tool_called(self, item: ToolCallItem) -> Iterator[ThreadStreamEvent]:
        call = item.raw_item
        if not isinstance(call, ResponseFunctionToolCall):
            return
        self._calls.append(call)
        kept = ToolCall(call_id=call.call_id, name=call.name, arguments=call.arguments)
        self._journal[call.call_id] = HiddenContextItem(
            id=new_id("hidden_context"),
            thread_id=self._context.thread.id,
            created_at=to_sdk(utc_now()),
            content=kept.model_dump(),
        )
        yield ThreadItemDoneEvent(item=self._journal[call.call_id])
        yield from self._activity.begin(call.call_id, tool_task(call.name, call.arguments))

    def _tool_ended(self, item: ToolCallOutputItem) -> Iterator[ThreadStreamEvent]:
        raw = cast("dict[str, Any]", item.raw_item)
        call_id = raw.get("call_id", "")
        entry = self._journal.get(call_id)
        if entry is not None:
            content = {**cast("dict[str, Any]", entry.content), "output": raw.get("output"), "finished": True}
            yield ThreadItemDoneEvent(item=entry.model_copy(update={"content": content}))
        task = self._activity.task(call_id)
        if isinstance(task, CustomTask):
            yield from self._activity.change(call_id, finished(task, raw.get("output")))

    def _streamed_by_tool(self, event: ThreadStreamEvent) -> Iterator[ThreadStreamEvent]:
        # Something to look at ends the workflow above it, as in the SDK; a workflow's own events do not.
        if isinstance(event, ThreadItemAddedEvent | ThreadItemDoneEvent):
            current = self._context.workflow_item
            quiet = {"client_tool_call", "hidden_context_item"}
            if current is not None and event.item.id != current.id and event.item.type not in quiet:
                yield from self._activity.close()
        yield event
