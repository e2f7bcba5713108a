"""The agents that an agent can reach."""

from collections.abc import Iterator
from typing import Any, cast

from agents import Agent, Handoff


def reachable_agents(agent: Agent[Any], *, handoffs: bool = True) -> list[Agent[Any]]:
    """An agent, those that are its tools and, with `handoffs`, those that it hands off to; transitively, in order.

    Agents that functions of an application make during a run are not found.
    """
    found: list[Agent[Any]] = [agent]
    for each in found:
        further = [*_tools(each), *(_handoffs(each) if handoffs else ())]
        found += [other for other in further if not any(other is known for known in found)]
    return found


def _tools(agent: Agent[Any]) -> Iterator[Agent[Any]]:
    for tool in agent.tools:
        # The SDK has no public access.
        nested: object = getattr(tool, "_agent_instance", None)
        if isinstance(nested, Agent):
            yield cast("Agent[Any]", nested)


def _handoffs(agent: Agent[Any]) -> Iterator[Agent[Any]]:
    for each in agent.handoffs:
        target: object = each
        if isinstance(each, Handoff):
            # The SDK has no public access.
            reference = getattr(each, "_agent_ref", None)
            target = reference() if reference is not None else None
        if isinstance(target, Agent):
            yield cast("Agent[Any]", target)
