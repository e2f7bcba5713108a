"""Where a run stops because calls of tools need approval: goes on at once, or asks the person."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import structlog
from agents import Agent, RunResultStreaming, RunState, TResponseInputItem
from agents.items import ToolApprovalItem
from chatkit.types import ThreadItemDoneEvent, ThreadItemReplacedEvent, ThreadMetadata, ThreadStreamEvent
from openai.types.responses import ResponseFunctionToolCall

from backchannel.chat.agent.approvals import (
    PendingApproval,
    approved_always,
    decide,
    decision_entry,
    decisions_of,
    name_of,
    question_item,
    remember,
    remembered_as,
    skipped,
)
from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.history import history_output
from backchannel.chat.agent.run_hooks import AnswerHooks, provider_data
from backchannel.chat.recovery import journal
from backchannel.context import RequestContext
from backchannel.ids import new_id
from backchannel.model_calls.model_input import INTERRUPTED

log = structlog.get_logger(__name__)


class ApprovalFlow:
    """The approvals of one answer.

    Args:
        input_until: The id of the newest item in the input with which the run began.
        start: Runs the agent from a state.
    """

    def __init__(
        self,
        context: AnswerContext,
        hooks: AnswerHooks,
        input_until: str,
        start: Callable[[RunState[Any, Agent[Any]]], RunResultStreaming],
    ) -> None:
        self._context = context
        self._hooks = hooks
        self._input_until = input_until
        self._start = start

    def proceed(self, result: RunResultStreaming) -> RunResultStreaming | None:
        """Go on with a run whose calls need no further approval in this thread; `None` if another one does."""
        always = approved_always(self._context.thread)
        state = result.to_state()
        calls = state.get_interruptions()
        if not calls or not all(remembered_as(call.agent.name, name_of(call)) in always for call in calls):
            return None
        for call in calls:
            state.approve(call)
        return self._start(state)

    def ask(
        self, result: RunResultStreaming, calls: Sequence[ResponseFunctionToolCall]
    ) -> Iterator[ThreadStreamEvent]:
        """Store the run and the question to the person.

        Args:
            calls: The calls of the run itself, as its models made them.
        """
        thread = self._context.thread
        state = result.to_state()
        own = {(call.call_id, call.name) for call in calls}
        response, reasoning = self._hooks.last_response(result.last_agent.name)
        request = journal.ApprovalRequest(
            item_id=new_id("message"),
            calls=[_requested(place, item, own) for place, item in enumerate(state.get_interruptions())],
            # The input is in the thread, and the tools' context is made anew.
            state=state.to_json(context_serializer=lambda context: {}, strict_context=True)
            | {"original_input": []},
            input_until=self._input_until,
            reasoning=reasoning,
            response=response,
        )
        # In this order: without the request, the question could not be acted upon.
        yield ThreadItemDoneEvent(item=journal.to_item(request, thread.id))
        yield ThreadItemDoneEvent(item=question_item(request, thread))


def _requested(place: int, item: ToolApprovalItem, own: set[tuple[str, str]]) -> journal.RequestedCall:
    call_id = item.call_id or ""
    hosted = getattr(item.raw_item, "type", None) == "mcp_approval_request"
    return journal.RequestedCall(
        question=f"approval_{place + 1}",
        call_id=call_id,
        name=name_of(item),
        arguments=item.arguments or "",
        agent=item.agent.name,
        kind="hosted" if hosted else "function" if (call_id, item.name) in own else "nested",
        provider_data=provider_data(item.raw_item),
    )


def settle(
    pending: PendingApproval, thread: ThreadMetadata, context: RequestContext
) -> Iterator[ThreadStreamEvent]:
    """Store what was decided and by whom. A new message in place of a decision declines every call."""
    request, question = pending.request, pending.question
    if not pending.current and question is not None and question.status == "pending":
        question = skipped(question)
        yield ThreadItemReplacedEvent(item=question)
    if not pending.decided and question is not None:
        decisions = decisions_of(request, question)
        remember(thread, request, decisions)
        entry = decision_entry(request, decisions, context)
        yield ThreadItemDoneEvent(item=journal.to_item(entry, thread.id))
    if not pending.current:
        yield forget_state(pending)


def forget_state(pending: PendingApproval) -> ThreadItemDoneEvent:
    """Store that the answer has gone on: the state of its run is not needed any more."""
    request = pending.request.model_copy(update={"state": None})
    return ThreadItemDoneEvent(item=journal.changed(pending.item, request))


async def restore(
    pending: PendingApproval,
    agent: Agent[Any],
    model_input: list[TResponseInputItem],
    context: AnswerContext,
    hooks: AnswerHooks,
) -> RunState[Any, Agent[Any]] | None:
    """The run that waited, with the person's decisions; `None` if the answer must go on from its history.

    Args:
        agent: The agent that began the run: all others are found from it.
        model_input: The input with which the run began.
    """
    request, question = pending.request, pending.question
    if not pending.current or question is None or request.state is None or not pending.state_is_current:
        return None
    try:
        # A deserializer, because an override does not reach the states of agents that are tools.
        state: RunState[Any, Agent[Any]] = await RunState.from_json(
            agent,
            {**request.state, "original_input": model_input},
            context_deserializer=lambda _stored: context,
            strict_context=True,
        )
        decide(state, request, decisions_of(request, question))
    except Exception as error:
        # The agent or a tool has changed, or the state was written by a newer version of the Agents SDK.
        log.warning("approval_state_unusable", error=type(error).__name__, reason=str(error)[:300])
        return None
    made = {call.call_id: item for item, call in pending.calls if not call.finished}
    for item, call in pending.later:
        # After a crash: the tool is not called a second time.
        if isinstance(call, journal.ToolCall):
            made[call.call_id] = item
        context.known_outputs[call.call_id] = history_output(call.output) if call.finished else INTERRUPTED
    hooks.restore(request, made)
    return state
