"""The calls of tools of one answer: shown as tasks, reported to programs, and journaled where no tool ran."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

from agents import (
    ToolInputGuardrailTripwireTriggered,
    ToolOutputGuardrailTripwireTriggered,
    ToolTimeoutError,
    UserError,
)
from agents.items import ToolCallItem, ToolCallOutputItem
from chatkit.types import CustomTask, HiddenContextItem, ThreadItemDoneEvent, ThreadStreamEvent
from openai.types.responses import ResponseFunctionToolCall

from backchannel.chat.agent.activity import Activity, declined_tool_task
from backchannel.chat.agent.approvals import DECLINED
from backchannel.chat.agent.context import AnswerContext, JournalWrite
from backchannel.chat.agent.executed_tools import (
    COMPUTER,
    Outcome,
    call_task,
    finished_task,
    read_call,
    read_outcome,
)
from backchannel.chat.agent.inner_activity import InnerActivity
from backchannel.chat.agent.run_hooks import provider_data
from backchannel.chat.agent.tool_output import decode_arguments, output_text, output_value
from backchannel.chat.protocol.failures import SAFETY_CHECK
from backchannel.chat.recovery import journal

_TOOL_ERROR = re.compile(r"Error running tool ([^:]+):")
"""The SDK's message for an exception of a tool that ends the run; its cause is that exception."""


class ToolActivity:
    """The calls of tools of one answer.

    Args:
        approved: Calls with which the run goes on, because they are decided now.

    Attributes:
        calls: The calls, in order. Those of tools that are no functions are given as calls of functions.
        journaled: The journal's items of calls that have returned, by the call's id.
        inner: What agents say and do that are tools.
    """

    def __init__(
        self, context: AnswerContext, activity: Activity, approved: Sequence[journal.RequestedCall]
    ) -> None:
        self._context = context
        self._activity = activity
        self._decided = {call.call_id: call for call in approved if call.kind == "function"}
        self._item_types = {call.call_id: call.item_type for call in self._decided.values()}
        self.calls = [
            _as_call(call.call_id, call.name, call.arguments, call.provider_data)
            for call in self._decided.values()
        ]
        self.journaled: dict[str, HiddenContextItem] = {}
        self.inner = InnerActivity(context, activity)

    def begin(self) -> Iterator[ThreadStreamEvent]:
        """Begin the tasks of the calls with which the run goes on."""
        for call in self._decided.values():
            task = call_task(call.item_type, call.name, call.arguments)
            yield from self._activity.begin(call.call_id, task, tool=call.name)

    def called(self, item: ToolCallItem) -> Iterator[ThreadStreamEvent]:
        """A model has called a tool. Tools that only a provider can run are left to `HostedTools`."""
        call, item_type = item.raw_item, None
        if (executed := read_call(call, item.tool_name)) is not None:
            item_type = executed.item_type
            call = _as_call(executed.call_id, executed.name, executed.json, executed.provider_data)
        if not isinstance(call, ResponseFunctionToolCall):
            return
        self.calls.append(call)
        self._item_types[call.call_id] = item_type
        event = {"call_id": call.call_id, "name": call.name, "arguments": decode_arguments(call.arguments)}
        self._context.request_context.publish({"type": "tool_call.started", **event})
        task = call_task(item_type, call.name, call.arguments)
        yield from self._activity.begin(call.call_id, task, tool=call.name)

    def journal_written(self, write: JournalWrite) -> Iterator[ThreadStreamEvent]:
        """Store an entry of the journal, and show what it says of an agent that is a tool."""
        if (call := journal.tool_call(write.item)) is not None and call.finished:
            self.journaled[call.call_id] = write.item
        yield ThreadItemDoneEvent(item=write.item)
        if isinstance(entry := journal.read(write.item), journal.InnerToolCall):
            yield from self.inner.call(write.item.id, entry)

    def ended(self, item: ToolCallOutputItem) -> Iterator[ThreadStreamEvent]:
        """A tool has returned, or will not be called."""
        raw = cast("dict[str, Any]", item.raw_item)
        call_id = raw.get("call_id", "")
        call = next((each for each in reversed(self.calls) if each.call_id == call_id), None)
        if call is None:
            return
        if (outcome := read_outcome(item)) is not None:
            yield from self._executed(call, item, outcome)
            return
        output = raw.get("output")
        journaled = self.journaled.get(call_id)
        if journaled is not None and not isinstance(output, str):
            # Images and files: the output in the form that the model receives is available only now.
            yield ThreadItemDoneEvent(item=journal.with_output(journaled, output))
        elif journaled is None:
            # No tool ran: it does not exist, or a guardrail refused the call.
            yield self._journal(call, output)
        # Images and files are a list for the model. Of anything else but strings it gets Python's `str`.
        is_text = isinstance(output, str)
        self._publish_output(call, output_value(item.output) if is_text else output)
        task = self._activity.task(call_id)
        if isinstance(task, CustomTask):
            text = output_text(item.output) if is_text else output
            # An approved call may have been rejected by a guardrail.
            declined = call_id in self._context.declined_calls or str(text).startswith(DECLINED)
            if journaled is None and call_id in self._decided and declined:
                completed = declined_tool_task(task)
            else:
                failed = journaled is None or call_id in self._context.failed_calls
                completed = self.inner.completed(call_id, task, text, failed=failed)
            yield from self._activity.change(call_id, completed)

    def _executed(
        self, call: ResponseFunctionToolCall, item: ToolCallOutputItem, outcome: Outcome
    ) -> Iterator[ThreadStreamEvent]:
        call_id = call.call_id
        # A shell that the provider runs has a list as its output.
        declined = call_id not in self.journaled and isinstance(item.output, str)
        if call_id not in self.journaled:
            text = item.output if isinstance(item.output, str) else outcome.text
            yield self._journal(call, text)
        self._publish_output(call, outcome.text)
        task = self._activity.task(call_id)
        if isinstance(task, CustomTask):
            if call_id in self._context.failed_calls:
                outcome = Outcome(outcome.text, failed=True)
            finished = finished_task(task, self._item_types.get(call_id), outcome)
            yield from self._activity.change(call_id, declined_tool_task(task) if declined else finished)

    def _journal(self, call: ResponseFunctionToolCall, output: object) -> ThreadItemDoneEvent:
        """Journal a call that no tool of this process has handled. The model needs its output in later turns."""
        entry = journal.ToolCall(
            call_id=call.call_id,
            name=call.name,
            arguments=call.arguments,
            output=output,
            finished=True,
            provider_data=provider_data(call),
        )
        return ThreadItemDoneEvent(item=journal.to_item(entry, self._context.thread.id))

    def _publish_output(self, call: ResponseFunctionToolCall, output: object) -> None:
        event = {"call_id": call.call_id, "name": call.name, "output": output}
        self._context.request_context.publish({"type": "tool_call.completed", **event})


def failed_tool(error: BaseException) -> str | None:
    """The name of the tool whose exception or guardrail ended the run; `None` if it was something else."""
    match error:
        case ToolInputGuardrailTripwireTriggered() | ToolOutputGuardrailTripwireTriggered():
            return ""
        case ToolTimeoutError():
            return error.tool_name
        case UserError() if str(error) == SAFETY_CHECK:
            return COMPUTER
        case UserError(__cause__=Exception()) if found := _TOOL_ERROR.match(str(error)):
            return found[1]
        case _:
            return None


def _as_call(
    call_id: str, name: str, arguments: str, data: dict[str, Any] | None
) -> ResponseFunctionToolCall:
    call = ResponseFunctionToolCall(type="function_call", call_id=call_id, name=name, arguments=arguments)
    return call.model_copy(update={"provider_data": data}) if data else call
