"""Finds where an interrupted answer stopped, from its stored items and journal.

Unfinished text is generated again. A tool that was running is called again only if it is idempotent; for any other the
model gets an output which states that the outcome is unknown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents import Agent, Handoff
from chatkit.store import Store
from chatkit.types import (
    AssistantMessageItem,
    ClientToolCallItem,
    HiddenContextItem,
    StructuredInputItem,
    ThreadItem,
)

from backchannel.chat.protocol.paging import newest_items
from backchannel.chat.recovery import journal

FOR_THE_MODEL = {"client_tool_call", "hidden_context_item", "workflow"}
"""Types of items of tools that show the person no answer."""


@dataclass(slots=True)
class ResumePoint:
    """The point at which an answer is resumed.

    Attributes:
        agent: The agent that continues the answer.
        complete: Whether the answer was already complete.
        discarded: The ids of messages to remove, because they are generated again.
        interrupted_calls: The journal items of tools that were running, oldest first.
        last_calls: The journal items of the calls of the last response, oldest first, if nothing followed them.
        shown_by_tools: Whether the tools of these calls have shown something to the person.
        queued_client_calls: The ids of client tool calls that are queued.
    """

    agent: Agent[Any]
    complete: bool = False
    discarded: list[str] = field(default_factory=list[str])
    interrupted_calls: list[HiddenContextItem] = field(default_factory=list[HiddenContextItem])
    last_calls: list[HiddenContextItem] = field(default_factory=list[HiddenContextItem])
    shown_by_tools: bool = False
    queued_client_calls: set[str] = field(default_factory=set[str])

    def follow(self, item: ThreadItem, entry: journal.Entry | None) -> None:
        """Note what the next item of the answer says about the calls of the last response."""
        match entry:
            case journal.ToolCall() if isinstance(item, HiddenContextItem):
                previous = journal.tool_call(self.last_calls[-1]) if self.last_calls else None
                if previous is None or previous.response is None or previous.response != entry.response:
                    self.last_calls, self.shown_by_tools = [], False
                self.last_calls.append(item)
            case journal.HandOff():
                self.last_calls = []
            case journal.QueuedClientCall():
                self.queued_client_calls.add(entry.call_id)
            case None if isinstance(item, AssistantMessageItem):
                # The model has been called again.
                self.last_calls = []
            case _:
                self.shown_by_tools |= item.type not in FOR_THE_MODEL


async def answer_items(
    store: Store[Any], thread_id: str, began_after: str, context: object
) -> list[ThreadItem]:
    """The stored items of an answer, oldest first."""
    items: list[ThreadItem] = []
    async for item in newest_items(store, thread_id, context):
        if item.id == began_after:
            break
        items.append(item)
    items.reverse()
    return items


def find_resume_point(
    items: Sequence[ThreadItem], first: Agent[Any], *, output_guardrails: bool = False
) -> ResumePoint:
    """The point at which to resume the answer with these stored items.

    Args:
        first: The agent that began the answer.
        output_guardrails: The run has output guardrails, besides those of its agents.
    """
    entries = [(item, journal.read(item)) for item in items]
    agents = [name for item in items if (name := journal.agent_of(item)) is not None]
    point = ResumePoint(find_agent(first, agents[-1]) if agents else first)
    input_requests = (ClientToolCallItem, StructuredInputItem)
    if any(isinstance(item, input_requests) and item.status == "pending" for item in items):
        point.complete = True
        return point
    intermediate = {entry.item_id for _, entry in entries if isinstance(entry, journal.IntermediateMessage)}
    last_messages: list[str] = []
    for item, entry in entries:
        point.follow(item, entry)
        if isinstance(item, AssistantMessageItem):
            last_messages.append(item.id)
        elif isinstance(entry, journal.ToolCall | journal.HandOff):
            last_messages = []
            if isinstance(entry, journal.ToolCall) and not entry.finished:
                assert isinstance(item, HiddenContextItem)
                point.interrupted_calls.append(item)
    # Output guardrails may not have checked the last message: it is then generated, and checked, again.
    unchecked = output_guardrails or bool(point.agent.output_guardrails)
    if last_messages and last_messages[-1] not in intermediate and not unchecked:
        point.complete = True
    else:
        point.discarded = last_messages
    return point


def reachable_agents(first: Agent[Any]) -> list[Agent[Any]]:
    """The agents that can be reached by hand-offs from `first`, which comes first."""
    seen: list[Agent[Any]] = [first]
    for agent in seen:
        seen += [each for each in _successors(agent) if not any(each is known for known in seen)]
    return seen


def find_agent(first: Agent[Any], name: str) -> Agent[Any]:
    """The agent of that name that can be reached by hand-offs from `first`; else `first`, which can hand off again."""
    return next((agent for agent in reachable_agents(first) if agent.name == name), first)


def _successors(agent: Agent[Any]) -> Iterator[Agent[Any]]:
    for each in agent.handoffs:
        if isinstance(each, Handoff):
            # The SDK has no public access to a hand-off's agent.
            reference = getattr(each, "_agent_ref", None)
            each = reference() if reference is not None else None  # noqa: PLW2901
        if isinstance(each, Agent):
            yield each
