"""Hand-offs after they happened: what later inputs of a model say of them, and which agent answers next."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from agents import Agent, Handoff
from chatkit.store import Store
from chatkit.types import ThreadItem, UserMessageItem
from openai.types.responses import ResponseFunctionToolCall

from backchannel.chat.protocol.paging import newest_items
from backchannel.chat.recovery import journal
from backchannel.chat.recovery.resume_point import find_agent
from backchannel.model_calls.tool_calls import api_name


def hand_off_request(
    from_agent: Agent[Any], to_agent: Agent[Any], output: Iterable[object]
) -> ResponseFunctionToolCall | None:
    """The call by which a model handed the conversation off; `None` if it is not among the output of its response."""
    names = {_tool_name(each) for each in from_agent.handoffs if _target(each) == to_agent.name}
    calls = (each for each in output if isinstance(each, ResponseFunctionToolCall))
    return next((call for call in calls if call.name in names), None)


def hand_off_call(entry: journal.HandOff, item_id: str) -> journal.ToolCall:
    """A hand-off as the call of a tool with its output, in the form that the Agents SDK gives it within a run.

    Args:
        item_id: The id of the journal's item.
    """
    return journal.ToolCall(
        call_id=entry.call_id or item_id,
        name=entry.tool or api_name(f"transfer_to_{entry.agent}".lower()),
        arguments=entry.arguments,
        output=json.dumps({"assistant": entry.agent}, ensure_ascii=False),
        finished=True,
        provider_data=entry.provider_data,
        reasoning=entry.reasoning,
        response=entry.response,
    )


async def answering_agent(
    store: Store[Any],
    thread_id: str,
    context: object,
    history: Sequence[ThreadItem],
    first: Agent[Any],
    *,
    remember: bool,
) -> tuple[Agent[Any], bool]:
    """The agent that begins an answer, or goes on with it; and whether it is remembered from the turn before.

    An agent to which nobody can hand off any more is replaced by `first`.

    Args:
        history: The thread's items, oldest first, with all of the newest turn.
        first: The agent that answers messages.
        remember: A new message is for the agent that answered the one before.
    """
    name = _last_agent(_newest_turn(history))
    if name is not None:
        return find_agent(first, name), False
    if not remember:
        return first, False
    # The turn before may be too long for the history.
    turn: list[ThreadItem] = []
    messages = 0
    async for item in newest_items(store, thread_id, context):
        messages += isinstance(item, UserMessageItem)
        if messages > 1:
            break
        turn.append(item)
    name = _last_agent(turn[::-1])
    agent = first if name is None else find_agent(first, name)
    return agent, agent is not first


def _newest_turn(history: Sequence[ThreadItem]) -> Sequence[ThreadItem]:
    places = [place for place, item in enumerate(history) if isinstance(item, UserMessageItem)]
    return history[places[-1] :] if places else history


def _last_agent(items: Sequence[ThreadItem]) -> str | None:
    names = [name for item in items if (name := journal.agent_of(item)) is not None]
    return names[-1] if names else None


def _tool_name(target: Agent[Any] | Handoff[Any, Any]) -> str:
    return target.tool_name if isinstance(target, Handoff) else Handoff.default_tool_name(target)


def _target(target: Agent[Any] | Handoff[Any, Any]) -> str:
    return target.agent_name if isinstance(target, Handoff) else target.name
