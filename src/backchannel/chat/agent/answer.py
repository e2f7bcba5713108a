"""An agent's run as thread events: its words, its thoughts, its tools, its hand-offs.

Messages are the SDK's events in the SDK's order. Item ids are always our own: models that speak Chat
Completions call every message `__fake_id__`, and an id from outside must not decide what it overwrites.
"""

import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any, cast

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
from chatkit.types import (
    AssistantMessageItem,
    ClientToolCallItem,
    CustomTask,
    HiddenContextItem,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadStreamEvent,
)
from openai.types.responses import ResponseCompletedEvent, ResponseFunctionToolCall

from backchannel.chat.recovery import journal
from backchannel.chat.agent.activity import Activity, finished, hand_off_task, tool_task
from backchannel.chat.agent.messages import Messages
from backchannel.chat.agent.context import AnswerContext, Note
from backchannel.chat.protocol.wire import is_hidden
from backchannel.ids import new_id
from backchannel.stores.times import to_sdk, utc_now


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
            if isinstance(event, Note):
                # Asked to go on, so what was told is kept.
                event.kept.set_result(None)
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
        self._noted: dict[str, HiddenContextItem] = {}
        self._said: list[ThreadItemDoneEvent] = []
        self.shown: list[str] = []

    def tell(self, event: StreamEvent | Note) -> Iterator[ThreadStreamEvent]:
        for told in self._tell(event):
            begins = isinstance(told, ThreadItemAddedEvent | ThreadItemDoneEvent)
            # What tools did stays on record even if the answer is taken back: they did it.
            if begins and not is_hidden(told.item) and told.item.id not in self.shown:
                self.shown.append(told.item.id)
            yield told

    def _tell(self, event: StreamEvent | Note) -> Iterator[ThreadStreamEvent]:
        match event:
            case RawResponsesStreamEvent():
                if self._said:
                    yield from self._settle(goes_on=not isinstance(event.data, ResponseCompletedEvent))
                for told in self._messages.tell(event.data):
                    if isinstance(told, ThreadItemDoneEvent) and isinstance(told.item, AssistantMessageItem):
                        self._said.append(told)
                    else:
                        yield told
                return
            case Note():
                yield from self._settle(goes_on=False)
                yield from self._noted_down(event)
                return
            case _:
                yield from self._settle(goes_on=False)
        match event:
            case RunItemStreamEvent(item=ToolCallItem() as item):
                yield from self._tool_called(item)
            case RunItemStreamEvent(item=ToolCallOutputItem() as item):
                yield from self._tool_ended(item)
            case RunItemStreamEvent(name="handoff_requested"):
                yield from self._activity.begin("hand-off", hand_off_task())
            case RunItemStreamEvent(item=HandoffOutputItem() as item):
                yield from self._activity.change("hand-off", hand_off_task(item.target_agent.name))
            case AgentUpdatedStreamEvent():
                self._context.request_context.tell(
                    {"type": "agent_call.started", "agent": event.new_agent.name}
                )
            case RunItemStreamEvent():
                pass
            case _:
                yield from self._streamed_by_tool(cast("ThreadStreamEvent", event))

    def _settle(self, *, goes_on: bool) -> Iterator[ThreadStreamEvent]:
        """Tell that messages are complete, now that it is known whether the model had more to say after them: if a
        crash follows, a message that was its last word is the answer, and any other is said again."""
        said, self._said = self._said, []
        for told in said:
            if goes_on:
                note = journal.GoesOn(item_id=told.item.id)
                yield ThreadItemDoneEvent(item=journal.keep(note, self._context.thread.id))
            yield told

    def finish(self, agent: Agent[Any]) -> Iterator[ThreadStreamEvent]:
        yield from self._settle(goes_on=False)
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
        told = {"call_id": call.call_id, "name": call.name, "arguments": _read(call.arguments)}
        self._context.request_context.tell({"type": "tool_call.started", **told})
        yield from self._activity.begin(call.call_id, tool_task(call.name, call.arguments))

    def _noted_down(self, note: Note) -> Iterator[ThreadStreamEvent]:
        if (call := journal.tool_call(note.item)) is not None and call.finished:
            self._noted[call.call_id] = note.item
        yield ThreadItemDoneEvent(item=note.item)

    def _tool_ended(self, item: ToolCallOutputItem) -> Iterator[ThreadStreamEvent]:
        raw = cast("dict[str, Any]", item.raw_item)
        call_id, output = raw.get("call_id", ""), raw.get("output")
        call = next((each for each in reversed(self._calls) if each.call_id == call_id), None)
        if call is None:
            return
        noted = self._noted.get(call_id)
        if noted is not None and not isinstance(output, str):
            # Pictures and files: how the model is told of them is known only now.
            yield ThreadItemDoneEvent(item=journal.ended(noted, output))
        elif noted is None:
            # No tool ran: the model made it up, or a guardrail refused it. The model is to remember that too.
            entry = journal.ToolCall(
                call_id=call_id, name=call.name, arguments=call.arguments, output=output, finished=True
            )
            yield ThreadItemDoneEvent(item=journal.keep(entry, self._context.thread.id))
        told = {"call_id": call_id, "name": call.name, "output": output}
        self._context.request_context.tell({"type": "tool_call.completed", **told})
        task = self._activity.task(call_id)
        if isinstance(task, CustomTask):
            yield from self._activity.change(call_id, finished(task, output))

    def _streamed_by_tool(self, event: ThreadStreamEvent) -> Iterator[ThreadStreamEvent]:
        # Something to look at ends the workflow above it, as in the SDK; a workflow's own events do not.
        if isinstance(event, ThreadItemAddedEvent | ThreadItemDoneEvent):
            current = self._context.workflow_item
            quiet = {"client_tool_call", "hidden_context_item"}
            if current is not None and event.item.id != current.id and event.item.type not in quiet:
                yield from self._activity.close()
        yield event


def _read(arguments: str) -> object:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments
