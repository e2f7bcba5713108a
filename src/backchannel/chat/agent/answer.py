"""An agent's run as thread events: messages, thoughts, tool calls, hand-offs.

Messages are the SDK's events in the SDK's order. Item ids are always our own: models that speak Chat
Completions call every message `__fake_id__`, and an id from outside must not decide what it overwrites.
"""

import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Literal, cast

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

from backchannel.chat.agent.activity import Activity, finished, hand_off_task, tool_task
from backchannel.chat.agent.context import AnswerContext, JournalWrite
from backchannel.chat.agent.messages import Messages
from backchannel.chat.agent.run_hooks import AnswerHooks
from backchannel.chat.protocol.wire import is_hidden
from backchannel.chat.recovery import journal
from backchannel.ids import new_id
from backchannel.stores.times import to_sdk, utc_now


async def stream_answer(
    context: AnswerContext, result: RunResultStreaming, hooks: AnswerHooks
) -> AsyncGenerator[ThreadStreamEvent]:
    """Follow an agent's run. Closing the generator stops the run and its model call.

    Raises:
        Whatever the run raises, after everything that the model had written. After a guardrail's refusal, the items
        that were shown are removed first.
    """
    context.attach(result)
    answer = _Answer(context)
    outcome: Literal["failed", "cancelled"] = "cancelled"
    try:
        async for event in result.stream_events():
            for made in answer.translate(event):
                yield made
            if isinstance(event, JournalWrite):
                # Resumed after the `yield`, so the item is stored.
                event.stored.set_result(None)
        for made in answer.finish(result.last_agent):
            yield made
    except ModelRefusalError:
        outcome = "failed"
        # The refusal is the model's own text, shown like any answer.
        for made in answer.finish(result.last_agent):
            yield made
    except (InputGuardrailTripwireTriggered, OutputGuardrailTripwireTriggered):
        outcome = "failed"
        for item_id in answer.shown:
            yield ThreadItemRemovedEvent(item_id=item_id)
        context.workflow_item = None
        raise
    except Exception:
        outcome = "failed"
        raise
    finally:
        # Without this the SDK's background task keeps the model writing after the stream is closed.
        result.cancel()
        hooks.close(outcome)
        usage = result.context_wrapper.usage
        context.request_context.usage.add(usage.requests, usage.input_tokens, usage.output_tokens)


class _Answer:
    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._activity = Activity(context)
        self._messages = Messages(context, self._activity)
        self._calls: list[ResponseFunctionToolCall] = []
        self._journaled: dict[str, HiddenContextItem] = {}
        self._messages_done: list[ThreadItemDoneEvent] = []
        self.shown: list[str] = []

    def translate(self, event: StreamEvent | JournalWrite) -> Iterator[ThreadStreamEvent]:
        for made in self._translate(event):
            begins = isinstance(made, ThreadItemAddedEvent | ThreadItemDoneEvent)
            # What tools did stays stored even if the answer is withdrawn.
            if begins and not is_hidden(made.item) and made.item.id not in self.shown:
                self.shown.append(made.item.id)
            yield made

    def _translate(self, event: StreamEvent | JournalWrite) -> Iterator[ThreadStreamEvent]:
        match event:
            case RawResponsesStreamEvent():
                if self._messages_done:
                    yield from self._flush_messages(
                        intermediate=not isinstance(event.data, ResponseCompletedEvent)
                    )
                for made in self._messages.translate(event.data):
                    if isinstance(made, ThreadItemDoneEvent) and isinstance(made.item, AssistantMessageItem):
                        self._messages_done.append(made)
                    else:
                        yield made
                return
            case JournalWrite():
                yield from self._flush_messages(intermediate=False)
                yield from self._journal_written(event)
                return
            case _:
                yield from self._flush_messages(intermediate=False)
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
                self._context.request_context.publish(
                    {"type": "agent_call.started", "agent": event.new_agent.name}
                )
            case RunItemStreamEvent():
                pass
            case _:
                yield from self._streamed_by_tool(cast("ThreadStreamEvent", event))

    def _flush_messages(self, *, intermediate: bool) -> Iterator[ThreadStreamEvent]:
        """Yield that messages are done, now that it is known whether their model call went on after them: after a
        crash, a message that was the last output is the answer, and an intermediate one is written again."""
        messages, self._messages_done = self._messages_done, []
        for done in messages:
            if intermediate:
                entry = journal.IntermediateMessage(item_id=done.item.id)
                yield ThreadItemDoneEvent(item=journal.to_item(entry, self._context.thread.id))
            yield done

    def finish(self, agent: Agent[Any]) -> Iterator[ThreadStreamEvent]:
        yield from self._flush_messages(intermediate=False)
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
        event = {"call_id": call.call_id, "name": call.name, "arguments": _read(call.arguments)}
        self._context.request_context.publish({"type": "tool_call.started", **event})
        yield from self._activity.begin(call.call_id, tool_task(call.name, call.arguments))

    def _journal_written(self, write: JournalWrite) -> Iterator[ThreadStreamEvent]:
        if (call := journal.tool_call(write.item)) is not None and call.finished:
            self._journaled[call.call_id] = write.item
        yield ThreadItemDoneEvent(item=write.item)

    def _tool_ended(self, item: ToolCallOutputItem) -> Iterator[ThreadStreamEvent]:
        raw = cast("dict[str, Any]", item.raw_item)
        call_id, output = raw.get("call_id", ""), raw.get("output")
        call = next((each for each in reversed(self._calls) if each.call_id == call_id), None)
        if call is None:
            return
        journaled = self._journaled.get(call_id)
        if journaled is not None and not isinstance(output, str):
            # Pictures and files: the form in which the model gets them is known only now.
            yield ThreadItemDoneEvent(item=journal.with_output(journaled, output))
        elif journaled is None:
            # No tool ran: it does not exist, or a guardrail refused the call. Later turns show that too.
            entry = journal.ToolCall(
                call_id=call_id, name=call.name, arguments=call.arguments, output=output, finished=True
            )
            yield ThreadItemDoneEvent(item=journal.to_item(entry, self._context.thread.id))
        event = {"call_id": call_id, "name": call.name, "output": output}
        self._context.request_context.publish({"type": "tool_call.completed", **event})
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
