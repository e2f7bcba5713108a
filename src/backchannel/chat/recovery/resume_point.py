"""Where an answer stands whose process died, read from what it left in the thread.

The journal says what the agents did; what they were saying when the process died is lost and is said again. A tool
that was running is called again only if it is idempotent; of any other the model is told, by the history, that its
outcome is unknown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from agents import Agent, FunctionTool, Handoff, RunConfig, RunContextWrapper, Usage
from agents.tool import invoke_function_tool
from agents.tool_context import ToolContext
from chatkit.store import Store
from chatkit.types import (
    AssistantMessageItem,
    ClientToolCallItem,
    HiddenContextItem,
    StructuredInputItem,
    ThreadItem,
)

from backchannel.chat.recovery import journal
from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.protocol.paging import newest_items
from backchannel.tools import is_idempotent

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Standing:
    """How far an answer has come.

    Attributes:
        agent: Who answers now.
        answered: Whether nothing is left to say.
        unsaid: Messages that are to be said again, to be removed first.
        unfinished: The journal's items of tools that were running, oldest first.
    """

    agent: Agent[Any]
    answered: bool = False
    unsaid: list[str] = field(default_factory=list[str])
    unfinished: list[HiddenContextItem] = field(default_factory=list[HiddenContextItem])


async def items_of_answer(
    store: Store[Any], thread_id: str, began_after: str, context: object
) -> list[ThreadItem]:
    """What an answer has left in its thread, oldest first."""
    items: list[ThreadItem] = []
    async for item in newest_items(store, thread_id, context):
        if item.id == began_after:
            break
        items.append(item)
    items.reverse()
    return items


def standing(items: Sequence[ThreadItem], first: Agent[Any]) -> Standing:
    """Where the answer stands that left these items.

    Args:
        first: The agent that began it.
    """
    entries = [(item, journal.read(item)) for item in items]
    agents = [entry.agent for _, entry in entries if isinstance(entry, journal.HandOff)]
    now = Standing(_find(first, agents[-1]) if agents else first)
    asks = (ClientToolCallItem, StructuredInputItem)
    if any(isinstance(item, asks) and item.status == "pending" for item in items):
        now.answered = True
        return now
    went_on = {entry.item_id for _, entry in entries if isinstance(entry, journal.GoesOn)}
    last_words: list[str] = []
    for item, entry in entries:
        if isinstance(item, AssistantMessageItem):
            last_words.append(item.id)
        elif isinstance(entry, journal.ToolCall | journal.HandOff):
            last_words = []
            if isinstance(entry, journal.ToolCall) and not entry.finished:
                assert isinstance(item, HiddenContextItem)
                now.unfinished.append(item)
    # A guardrail may still have had something against the last message: it is made, and judged, anew.
    if last_words and last_words[-1] not in went_on and not now.agent.output_guardrails:
        now.answered = True
    else:
        now.unsaid = last_words
    return now


def _find(first: Agent[Any], name: str) -> Agent[Any]:
    """The agent of that name among all that can be handed off to, or the first one, which can hand off again."""
    seen: list[Agent[Any]] = [first]
    for agent in seen:
        if agent.name == name:
            return agent
        seen += [each for each in _successors(agent) if each not in seen]
    return first


def _successors(agent: Agent[Any]) -> Iterator[Agent[Any]]:
    for each in agent.handoffs:
        if isinstance(each, Handoff):
            # The SDK has no public way from a hand-off to its agent.
            reference = getattr(each, "_agent_ref", None)
            each = reference() if reference is not None else None  # noqa: PLW2901
        if isinstance(each, Agent):
            yield each
