"""Asks a person to approve calls of tools, and reads what they decided.

The question is a structured input item, which every ChatKit front end can show and answer: a choice for each call. Any
other text than one of the choices declines the call, and is given to the model as the reason. What the run needs to go
on is stored with the question (`journal.ApprovalRequest`), so that the answer may come on any replica, at any time.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from agents import RunState
from agents.items import ToolApprovalItem
from chatkit.store import Store
from chatkit.types import (
    HiddenContextItem,
    StructuredInputAnswer,
    StructuredInputItem,
    StructuredInputMultipleChoice,
    StructuredInputMultipleChoiceOption,
    ThreadItem,
    ThreadMetadata,
    UserMessageItem,
)

from backchannel.chat.agent.executed_tools import subject
from backchannel.chat.agent.tool_output import are_arguments, invalid_arguments
from backchannel.chat.protocol.paging import newest_items
from backchannel.chat.recovery import journal
from backchannel.context import RequestContext
from backchannel.stores.times import to_sdk, utc_now, utc_text

APPROVE = "Approve"
APPROVE_ALWAYS = "Approve, and do not ask again in this conversation"
DECLINE = "Decline"

ALWAYS_KEY = "backchannel_approved_tools"
"""The thread's metadata with the tools that need no further approval in it."""

MAX_QUESTION_CHARS = 2000
"""Longer arguments and questions are shortened. The end, which could hide something, is shown too."""

DECLINED = "The person declined this call, so it did not run."


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """A request for approval in a thread whose answer has not gone on yet.

    Attributes:
        item: The journal's item with the request.
        request: The request.
        question: The item that asks the person; `None` if a crash came before it was stored.
        current: Whether the request is in the newest turn. Else the person wrote a new message instead of a decision.
        calls: The journaled calls of the turn, with their items, in order.
        later: Those after the request, also of agents that are tools.
        decided: Whether the decision is in the journal.
        answered: Whether the assistant has written something since.
    """

    item: HiddenContextItem
    request: journal.ApprovalRequest
    question: StructuredInputItem | None
    current: bool
    calls: Sequence[tuple[HiddenContextItem, journal.ToolCall]]
    later: Sequence[tuple[HiddenContextItem, journal.ToolCall | journal.InnerToolCall]]
    decided: bool
    answered: bool

    @property
    def state_is_current(self) -> bool:
        """Whether the run can go on from its stored state. After a crash it may have come further than that: calls of
        tools that the state does not know would be made again."""
        known = {call.call_id for call in self.request.calls}
        later = [call.call_id for _, call in self.later]
        return not self.answered and len(later) == len(set(later)) and known.issuperset(later)


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's decision about one call.

    Attributes:
        always: Whether the tool needs no further approval in this thread.
        reason: Why the call was declined, if the person said so.
        refusal: What the model gets as the output of a call that was refused without a question.
    """

    approved: bool
    always: bool = False
    reason: str | None = None
    refusal: str | None = None

    @property
    def output(self) -> str:
        """What the model gets as the output of a declined call."""
        if self.refusal is not None:
            return self.refusal
        return f"{DECLINED} They said: {self.reason}" if self.reason else DECLINED


def find_pending(items: Sequence[ThreadItem]) -> PendingApproval | None:
    """The newest request for approval among the newest items of a thread, oldest first, that is not settled."""
    found = [
        (place, item, entry)
        for place, item in enumerate(items)
        if journal.kind(item) == journal.APPROVAL_REQUEST
        and isinstance(entry := journal.read(item), journal.ApprovalRequest)
        and entry.state is not None
    ]
    if not found:
        return None
    place, item, request = found[-1]
    later = items[place + 1 :]
    messages = [each for each, other in enumerate(items) if isinstance(other, UserMessageItem)]
    turn = items[max((each for each in messages if each < place), default=0) :]
    questions = [
        each for each in later if isinstance(each, StructuredInputItem) and each.id == request.item_id
    ]
    decisions = [entry for each in later if isinstance(entry := journal.read(each), journal.ApprovalDecision)]
    return PendingApproval(
        item=cast("HiddenContextItem", item),
        request=request,
        question=questions[0] if questions else None,
        current=not messages or messages[-1] < place,
        calls=[
            (each, call)
            for each in turn
            if isinstance(each, HiddenContextItem) and (call := journal.tool_call(each)) is not None
        ],
        later=[
            (each, entry)
            for each in later
            if isinstance(each, HiddenContextItem)
            and isinstance(entry := journal.read(each), journal.ToolCall | journal.InnerToolCall)
        ],
        decided=any(entry.item_id == request.item_id for entry in decisions),
        answered=any(each.type == "assistant_message" for each in later),
    )


async def load_pending(store: Store[Any], thread_id: str, context: object) -> PendingApproval | None:
    """The request in the newest turn of a thread that waits for the person, if there is one."""
    items: list[ThreadItem] = []
    async for item in newest_items(store, thread_id, context):
        items.append(item)
        if isinstance(item, UserMessageItem):
            break
    pending = find_pending(items[::-1])
    question = pending.question if pending is not None else None
    return pending if question is not None and question.status == "pending" else None


def question_item(request: journal.ApprovalRequest, thread: ThreadMetadata) -> StructuredInputItem:
    """The item that asks the person about the calls of a request."""
    options = [
        StructuredInputMultipleChoiceOption(value=value) for value in (APPROVE, APPROVE_ALWAYS, DECLINE)
    ]
    return StructuredInputItem(
        id=request.item_id,
        thread_id=thread.id,
        created_at=to_sdk(utc_now()),
        inputs=[
            StructuredInputMultipleChoice(
                id=call.question,
                question=question_text(call),
                options=[each.model_copy() for each in options],
            )
            for call in request.calls
            if call.decided is None
        ],
    )


def early_decision(item: ToolApprovalItem, always: Collection[str]) -> Decision | None:
    """The decision about a call for which the person is not asked; `None` if they are.

    Args:
        always: What the person has approved for the whole thread (`approved_always`).
    """
    if getattr(item.raw_item, "type", None) == "function_call" and not are_arguments(item.arguments):
        # It cannot be made, whatever the person says.
        return Decision(approved=False, refusal=invalid_arguments(name_of(item)))
    known = remembered_as(item.agent.name, name_of(item)) in always
    return Decision(approved=True) if known else None


def question_text(call: journal.RequestedCall) -> str:
    """The question about a call: what the application has set, or its tool and all of its arguments."""
    if call.description:
        return _shortened(call.description)
    arguments = _shortened(
        subject(call.item_type, call.arguments) if call.item_type is not None else _describe(call.arguments)
    )
    whose = f"{call.agent} wants to run" if call.kind == "nested" else "Run"
    return f"{whose} “{call.name}” with {arguments}?" if arguments else f"{whose} “{call.name}”?"


def _shortened(text: str) -> str:
    if len(text) <= MAX_QUESTION_CHARS:
        return text
    half = MAX_QUESTION_CHARS // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]} [… {left_out:,} characters …] {text[-half:]}"


def skipped(question: StructuredInputItem) -> StructuredInputItem:
    """A copy of a question that the person can no longer answer."""
    copy = question.model_copy(deep=True, update={"status": "skipped"})
    for each in copy.inputs:
        each.answer = StructuredInputAnswer(skipped=True)
    return copy


def decisions_of(request: journal.ApprovalRequest, question: StructuredInputItem) -> Mapping[str, Decision]:
    """What the person decided, by the id of the question. A call without an answer is declined, unless another call of
    the same tool was approved for the whole thread."""
    answers = {each.id: each.answer for each in question.inputs}
    decisions = {
        call.question: _decision(answers.get(call.question))
        if call.decided is None
        else Decision(call.decided, refusal=call.refusal)
        for call in request.calls
    }
    always = {
        remembered_as(call.agent, call.name) for call in request.calls if decisions[call.question].always
    }
    for call in request.calls:
        answer = answers.get(call.question)
        unanswered = call.decided is None and (answer is None or not answer.values)
        if unanswered and remembered_as(call.agent, call.name) in always:
            decisions[call.question] = Decision(approved=True)
    return decisions


def decision_entry(
    request: journal.ApprovalRequest, decisions: Mapping[str, Decision], context: RequestContext
) -> journal.ApprovalDecision:
    """The journal entry of a decision that the caller has made now."""
    return journal.ApprovalDecision(
        item_id=request.item_id,
        user=context.identity.user,
        decided_at=utc_text(utc_now()),
        approved=[question for question, decision in decisions.items() if decision.approved],
        reasons={question: each.reason for question, each in decisions.items() if each.reason},
    )


def remember(
    thread: ThreadMetadata, request: journal.ApprovalRequest, decisions: Mapping[str, Decision]
) -> None:
    """Note in the thread which tools need no further approval in it."""
    names = {
        remembered_as(call.agent, call.name) for call in request.calls if decisions[call.question].always
    }
    if names:
        thread.metadata = {**thread.metadata, ALWAYS_KEY: sorted(names | approved_always(thread))}


def remembered_as(agent: str, tool: str) -> str:
    """How an agent's tool is named in the thread's metadata. Tools of different agents may have the same name."""
    return f"{agent}: {tool}"


def approved_always(thread: ThreadMetadata) -> set[str]:
    """The names of the tools that need no further approval in a thread."""
    names = thread.metadata.get(ALWAYS_KEY)
    return set(cast("list[str]", names)) if isinstance(names, list) else set()


def decide(
    state: RunState[Any, Any],
    request: journal.ApprovalRequest,
    decisions: Mapping[str, Decision],
    *,
    formatted: bool = False,
) -> None:
    """Apply decisions to a run's state. A call without a decision is declined.

    Args:
        formatted: A formatter of the application says what the model is told of a call that was declined without a
            reason.
    """
    calls = list(request.calls)
    for item in state.get_interruptions():
        # Ids of calls are not unique: those of an agent that is a tool may be the same as its caller's.
        place = next((n for n, call in enumerate(calls) if _is_about(call, item)), None)
        call = calls.pop(place) if place is not None else None
        decision = decisions[call.question] if call is not None else Decision(approved=False)
        hosted = call is None or call.kind == "hosted"
        apply(state, item, decision, formatted=formatted and not hosted)


def apply(
    state: RunState[Any, Any], item: ToolApprovalItem, decision: Decision, *, formatted: bool = False
) -> None:
    """Apply the decision about one call; `formatted` is as for `decide`."""
    if decision.approved:
        state.approve(item)
    else:
        by_formatter = formatted and decision.reason is None and decision.refusal is None
        state.reject(item, rejection_message=None if by_formatter else decision.output)


def _is_about(call: journal.RequestedCall, item: ToolApprovalItem) -> bool:
    return (call.call_id, call.agent) == (item.call_id, item.agent.name)


def name_of(item: ToolApprovalItem) -> str:
    """The name of the tool that needs approval, with its namespace or server where there is one."""
    label = getattr(item.raw_item, "server_label", None)
    name = item.qualified_name or item.name or "tool"
    return f"{label}.{name}" if isinstance(label, str) else name


def decline(reason: str | None) -> str:
    """The answer that declines a call for a reason, which cannot be taken for an approval, whatever it says."""
    return f"{DECLINE}: {reason.strip()}" if reason and reason.strip() else DECLINE


def _decision(answer: StructuredInputAnswer | None) -> Decision:
    if answer is None or answer.skipped or not answer.values:
        return Decision(approved=False)
    text = answer.values[0].strip()
    if text in {APPROVE, APPROVE_ALWAYS}:
        return Decision(approved=True, always=text == APPROVE_ALWAYS)
    reason = "" if text == DECLINE else text.removeprefix(f"{DECLINE}:").strip()
    return Decision(approved=False, reason=reason or None)


def _describe(arguments: str) -> str:
    try:
        values: object = json.loads(arguments or "{}")
    except ValueError:
        return arguments
    if not isinstance(values, dict):
        return arguments
    return ", ".join(
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in cast("dict[str, object]", values).items()
    )
