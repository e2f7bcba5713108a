"""Converts an agent run's stream to thread events: messages, reasoning, tool calls, hand-offs.

Messages produce the same events in the same order as the SDK's `stream_agent_response`. Item ids are generated here:
Chat Completions models give every message the id `__fake_id__`, and a provider's id must not overwrite a stored item.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
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
    StreamEvent,
)
from agents.items import HandoffOutputItem, ToolCallItem, ToolCallOutputItem
from chatkit.types import (
    AssistantMessageItem,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadStreamEvent,
    WorkflowItem,
)
from openai.types.responses import Response, ResponseCompletedEvent

from backchannel.chat.agent.activity import Activity, hand_off_task
from backchannel.chat.agent.approval_flow import ApprovalFlow
from backchannel.chat.agent.client_calls import client_calls
from backchannel.chat.agent.context import AnswerContext, JournalWrite
from backchannel.chat.agent.final_output import FinalOutput, blocked_outputs
from backchannel.chat.agent.hosted_tools import HostedTools
from backchannel.chat.agent.inner_runs import InnerEvent
from backchannel.chat.agent.messages import Messages
from backchannel.chat.agent.run_hooks import AnswerHooks
from backchannel.chat.agent.tool_activity import ToolActivity, failed_tool
from backchannel.chat.protocol.wire import is_hidden
from backchannel.chat.recovery import journal
from backchannel.errors import (
    AnswerEmptyError,
    AnswerFilteredError,
    AnswerRefusedError,
    AnswerTruncatedError,
    ToolFailedError,
)

type _RunEvent = StreamEvent | JournalWrite | InnerEvent


async def stream_answer(
    context: AnswerContext,
    result: RunResultStreaming,
    hooks: AnswerHooks,
    approvals: ApprovalFlow,
    approved: Sequence[journal.RequestedCall] = (),
) -> AsyncGenerator[ThreadStreamEvent]:
    """Yield the thread events of a run, in order. Closing the generator stops the run and its model call.

    Args:
        approvals: Asks for approval of the calls at which the run stops.
        approved: Calls with which the run goes on, because they are decided now.

    Raises:
        BaseException: Any exception of the run, after the events of everything the model wrote. If a guardrail was
            tripped, the items shown so far are removed first.
    """
    answer = _Answer(context, approved, result.last_agent)
    for thread_event in answer.tools.begin():
        yield thread_event
    while True:
        context.attach(result)
        outcome: Literal["failed", "cancelled"] = "cancelled"
        try:
            async for event in result.stream_events():
                for thread_event in answer.translate(event):
                    yield thread_event
                if isinstance(event, JournalWrite) and not event.stored.done():
                    # The consumer stores an item before it asks for the next event. The tool that waits for it may
                    # have been cancelled because another one failed.
                    event.stored.set_result(None)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            outcome = "failed"
            for thread_event in answer.fail(error):
                yield thread_event
            if isinstance(error, ModelRefusalError):
                # The text of the refusal was streamed as a message.
                raise AnswerRefusedError from error
            raise
        finally:
            # Otherwise the SDK's background task keeps consuming the model after the stream is closed.
            result.cancel()
            hooks.close(outcome)
        further = approvals.proceed(result) if result.interruptions else None
        if further is None:
            break
        result = further
    for thread_event in answer.finish(result):
        yield thread_event
    if result.interruptions:
        async for thread_event in approvals.ask(result, answer.tools.calls):
            yield thread_event
    else:
        answer.check_end()


class _Answer:
    """Converts the events of one answer.

    Attributes:
        tools: Its calls of tools.
        shown: The ids of the items that readers have got.
    """

    def __init__(
        self, context: AnswerContext, approved: Sequence[journal.RequestedCall], agent: Agent[Any]
    ) -> None:
        self._context = context
        self._activity = Activity(context)
        self.tools = ToolActivity(context, self._activity, approved)
        self._messages = Messages(context, self._activity)
        self._hosted = HostedTools(context, self._activity)
        self._final = FinalOutput(context)
        self._final.use(agent)
        self._messages_done: list[ThreadItemDoneEvent] = []
        self._last_response: Response | None = None
        self._shows_content = False
        self.shown: list[str] = []

    def translate(self, event: _RunEvent) -> Iterator[ThreadStreamEvent]:
        for thread_event in self._translate(event):
            # The journal of tool calls stays stored even if a guardrail withdraws the answer.
            if (
                isinstance(thread_event, ThreadItemAddedEvent | ThreadItemDoneEvent)
                and not is_hidden(thread_event.item)
                and thread_event.item.id not in self.shown
            ):
                self.shown.append(thread_event.item.id)
                self._shows_content |= not isinstance(thread_event.item, WorkflowItem)
            yield thread_event

    def _translate(self, event: _RunEvent) -> Iterator[ThreadStreamEvent]:
        match event:
            case RawResponsesStreamEvent():
                if isinstance(event.data, ResponseCompletedEvent):
                    self._last_response = event.data.response
                    self._final.response_completed()
                if self._messages_done:
                    yield from self._flush_messages(
                        intermediate=not isinstance(event.data, ResponseCompletedEvent)
                    )
                yield from self._hosted.translate(event.data)
                for thread_event in self._final.translate(self._messages.translate(event.data)):
                    if isinstance(thread_event, ThreadItemDoneEvent) and isinstance(
                        thread_event.item, AssistantMessageItem
                    ):
                        self._messages_done.append(thread_event)
                    else:
                        yield thread_event
                return
            case JournalWrite():
                yield from self._flush_messages(intermediate=False)
                yield from self.tools.journal_written(event)
                return
            case InnerEvent():
                yield from self.tools.inner.translate(event)
                return
            case _:
                yield from self._flush_messages(intermediate=False)
        match event:
            case RunItemStreamEvent(item=ToolCallItem() as item):
                yield from self.tools.called(item)
            case RunItemStreamEvent(item=ToolCallOutputItem() as item):
                yield from self.tools.ended(item)
            case RunItemStreamEvent(name="handoff_requested"):
                yield from self._activity.begin("hand-off", hand_off_task())
            case RunItemStreamEvent(item=HandoffOutputItem() as item):
                yield from self._activity.change("hand-off", hand_off_task(item.target_agent.name))
            case AgentUpdatedStreamEvent():
                self._final.use(event.new_agent)
                self._context.request_context.publish(
                    {"type": "agent_call.started", "agent": event.new_agent.name}
                )
            case RunItemStreamEvent():
                pass
            case _:
                yield from self._tool_event(cast("ThreadStreamEvent", event))

    def _flush_messages(self, *, intermediate: bool) -> Iterator[ThreadStreamEvent]:
        """Yield the delayed done events of messages. They wait until it is known whether the model call had further
        output: after a crash, a message that was the last output completes the answer, and an intermediate one is
        generated again."""
        messages, self._messages_done = self._messages_done, []
        for done in messages:
            if intermediate:
                entry = journal.IntermediateMessage(item_id=done.item.id)
                yield ThreadItemDoneEvent(item=journal.to_item(entry, self._context.thread.id))
            yield from self._final.entry(done.item)
            yield done

    def fail(self, error: BaseException) -> Iterator[ThreadStreamEvent]:
        """Everything that the model wrote before the run failed, and the end of what is open. If a guardrail was
        tripped, the items shown so far are removed instead."""
        if isinstance(error, InputGuardrailTripwireTriggered | OutputGuardrailTripwireTriggered):
            for item_id in self.shown:
                yield ThreadItemRemovedEvent(item_id=item_id)
            self._context.workflow_item = None
            yield from blocked_outputs(error, self._last_response, self.tools.journaled)
            return
        # The SDK raises at once, and discards what the model wrote in the same moment.
        for event in self._context.discarded_events():
            yield from self.translate(event)
            if isinstance(event, JournalWrite) and not event.stored.done():
                event.stored.set_result(None)
        yield from self._flush_messages(intermediate=False)
        yield from self._messages.close()
        yield from self._activity.fail(failed_tool(error))

    def check_end(self) -> None:
        """Report an answer that is not complete, although the run ended without an error.

        Raises:
            AnswerTruncatedError: The model reached its limit of length.
            AnswerFilteredError: A content filter ended the answer.
            AnswerEmptyError: Nothing was shown.
            ToolFailedError: The result of a tool would be the answer, and the tool failed.
        """
        if self._context.error_handled:
            return
        if self._final.tool_failed:
            raise ToolFailedError
        response = self._last_response
        details = (
            response.incomplete_details if response is not None and response.status == "incomplete" else None
        )
        if details is not None and details.reason == "content_filter":
            raise AnswerFilteredError
        if details is not None:
            raise AnswerTruncatedError
        if response is not None and not response.output and not self._shows_content:
            raise AnswerEmptyError

    def finish(self, result: RunResultStreaming) -> Iterator[ThreadStreamEvent]:
        """The end of what is open, the result of a tool that is the answer, and the calls of client tools."""
        yield from self._flush_messages(intermediate=False)
        yield from self._messages.close()
        yield from self._activity.close()
        yield from self._final.last_message(result, self.tools.journaled)
        yield from client_calls(result.last_agent, self._context, self.tools.calls)

    def _tool_event(self, event: ThreadStreamEvent) -> Iterator[ThreadStreamEvent]:
        # A visible item closes the workflow before it, as in the SDK.
        if isinstance(event, ThreadItemAddedEvent | ThreadItemDoneEvent):
            current = self._context.workflow_item
            invisible = {"client_tool_call", "hidden_context_item"}
            if current is not None and event.item.id != current.id and event.item.type not in invisible:
                yield from self._activity.close()
        self._final.tool_event(event)
        yield event
