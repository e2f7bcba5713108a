"""Where a run stops because calls of tools need approval: goes on at once, or asks the person."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, cast

import structlog
from agents import Agent, RunContextWrapper, RunResultStreaming, RunState, TResponseInputItem
from agents.items import ToolApprovalItem
from chatkit.types import ThreadItemDoneEvent, ThreadItemReplacedEvent, ThreadMetadata, ThreadStreamEvent
from openai.types.responses import ResponseFunctionToolCall

from backchannel.chat.agent.approvals import (
    PendingApproval,
    apply,
    approved_always,
    decide,
    decision_entry,
    decisions_of,
    early_decision,
    name_of,
    question_item,
    remember,
    skipped,
)
from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.executed_tools import read_call
from backchannel.chat.agent.history import history_output
from backchannel.chat.agent.run_hooks import AnswerHooks, provider_data
from backchannel.chat.agent.tool_errors import report_tool_error
from backchannel.chat.recovery import journal
from backchannel.chat.recovery.resume_point import find_agent
from backchannel.context import RequestContext
from backchannel.ids import new_id
from backchannel.model_calls.model_input import INTERRUPTED
from backchannel.tools import approval_question_of

log = structlog.get_logger(__name__)

QUESTION_SECONDS = 5.0
"""How long an application may take to word the question about a call."""


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
        """Go on with a run whose calls need no decision of the person; `None` if one does."""
        always = approved_always(self._context.thread)
        state = result.to_state()
        decided = [(call, early_decision(call, always)) for call in state.get_interruptions()]
        if not decided or any(decision is None for _, decision in decided):
            return None
        for call, decision in decided:
            if decision is not None:
                apply(state, call, decision)
        return self._start(state)

    async def ask(
        self, result: RunResultStreaming, calls: Sequence[ResponseFunctionToolCall]
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Store the run and the question to the person.

        Args:
            calls: The calls of the run itself, as its models made them.
        """
        thread = self._context.thread
        state = result.to_state()
        own = {(call.call_id, call.name) for call in calls}
        response, reasoning = self._hooks.last_response(result.last_agent.name)
        always = approved_always(thread)
        requested: list[journal.RequestedCall] = []
        for place, item in enumerate(state.get_interruptions()):
            call = _requested(place, item, own)
            if (decision := early_decision(item, always)) is None:
                call.description = await _question(item, result.context_wrapper)
            else:
                call.decided, call.refusal = decision.approved, decision.refusal
            requested.append(call)
        request = journal.ApprovalRequest(
            item_id=new_id("message"),
            calls=requested,
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


async def _question(item: ToolApprovalItem, context: RunContextWrapper[Any]) -> str | None:
    """The question that the application has set for a call; `None` if there is none, or it cannot be had."""
    named = (tool for tool in item.agent.tools if tool.name == item.name)
    question = next((found for tool in named if (found := approval_question_of(tool)) is not None), None)
    if question is None:
        return None
    try:
        async with asyncio.timeout(QUESTION_SECONDS):
            return await question(context, _arguments(item))
    except Exception:
        log.exception("approval_question_failed", tool=item.name)
        return None


def _arguments(item: ToolApprovalItem) -> dict[str, Any]:
    if (executed := read_call(item.raw_item, item.name)) is not None:
        return executed.arguments
    try:
        arguments: object = json.loads(item.arguments or "{}")
    except ValueError:
        return {}
    return cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {}


def _requested(place: int, item: ToolApprovalItem, own: set[tuple[str, str]]) -> journal.RequestedCall:
    call_id = item.call_id or ""
    hosted = getattr(item.raw_item, "type", None) == "mcp_approval_request"
    executed = read_call(item.raw_item, item.name)
    return journal.RequestedCall(
        question=f"approval_{place + 1}",
        call_id=call_id,
        name=name_of(item),
        arguments=executed.json if executed is not None else item.arguments or "",
        agent=item.agent.name,
        kind="hosted" if hosted else "function" if (call_id, item.name) in own else "nested",
        provider_data=executed.provider_data if executed is not None else provider_data(item.raw_item),
        item_type=executed.item_type if executed is not None else None,
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
        config = context.run_config
        formatted = config is not None and config.tool_error_formatter is not report_tool_error
        decisions = decisions_of(request, question)
        decide(state, request, decisions, formatted=formatted)
        approved = [call for call in request.calls if decisions[call.question].approved]
        if await _recipients_changed(request, approved, agent, context):
            # The Agents SDK would end the run.
            raise LookupError("An approved call would go to another server.")
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


async def _recipients_changed(
    request: journal.ApprovalRequest,
    approved: Sequence[journal.RequestedCall],
    entry: Agent[Any],
    context: AnswerContext,
) -> bool:
    """Whether the name of an approved call now means a tool of another MCP server, or no longer one of MCP.

    This is so if the servers of the agent have changed, or if two have a tool of one name and the first is down.
    """
    state: dict[str, Any] = request.state or {}
    response: dict[str, Any] = state.get("last_processed_response") or {}
    bindings: dict[str, Sequence[Any]] = response.get("mcp_tool_bindings") or {}
    calls = [call for call in approved if call.kind == "function"]
    agent = find_agent(entry, str(state["current_agent"]["name"]))
    if not calls or not (agent.mcp_servers or bindings):
        return False
    listed = await agent.get_mcp_tools(RunContextWrapper(context))
    # The Agents SDK has no public access.
    current: dict[str, Sequence[Any] | None] = {
        tool.name: getattr(tool, "_mcp_tool_binding", None) for tool in listed
    }
    for call in calls:
        own = _is_own(agent, call)
        if not own and call.name not in current:
            # The model is told that there is no such tool.
            continue
        before, now = bindings.get(call.call_id), None if own else current[call.name]
        if list(before or ()) != list(now or ()):
            return True
    return False


def _is_own(agent: Agent[Any], call: journal.RequestedCall) -> bool:
    return any(tool.name == call.name for tool in agent.tools)
