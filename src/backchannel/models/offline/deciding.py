"""Deciding: the next step of an agent, from its tools, its hand-offs and the conversation."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from agents.handoffs import Handoff
from agents.tool import FunctionTool, Tool

from backchannel.models.offline.actions import NEEDED, carry_out
from backchannel.models.offline.developing import explicit_plan, introduction_plan
from backchannel.models.offline.intents import Intent
from backchannel.models.offline.interpreting import interpret
from backchannel.models.offline.planning import Call, Plan, Work, advance
from backchannel.models.offline.reading import Conversation, read_conversation
from backchannel.models.offline.routing import Route, field_of, route_for, route_plan
from backchannel.models.offline.sentences import read_sentence

_TODO_TOOLS = frozenset(
    {
        "create_todo", "list_todos", "update_todo", "complete_todo", "delete_todo", "search_todos",
        "describe_capabilities",
    }
)  # fmt: skip


def decide(
    items: str | Sequence[object], tools: Sequence[Tool], handoffs: Sequence[Handoff[Any, Any]], now: datetime
) -> list[Call] | str:
    """The calls to make next, or the text to answer with.

    Args:
        items: The model's input, in the Responses API's form.
        tools: The agent's tools.
        handoffs: The agent's hand-offs.
        now: The person's present wall time, without a zone.
    """
    conversation = read_conversation(items)
    names = [tool.name for tool in tools]
    routes = [
        *(Route(handoff.tool_name, handoff.agent_name, handoff.tool_description) for handoff in handoffs),
        *(
            Route(tool.name, tool.name, _description(tool), takes_input=True)
            for tool in tools
            if _is_agent(tool)
        ),
    ]
    return advance(_plan(conversation, names, routes, now), conversation.now.steps)


def _plan(conversation: Conversation, names: list[str], routes: list[Route], now: datetime) -> Plan[str]:
    sentence = conversation.now.sentence
    explicit = explicit_plan(sentence, names, routes)
    if explicit is not None:
        return explicit
    own = _TODO_TOOLS.intersection(names)
    known_routes = any(route.field() == "todo" for route in routes)
    if not own and not known_routes:
        return introduction_plan(sentence, names, routes)
    intents = interpret(conversation, now)
    if not own or (known_routes and not _serves(own, intents) and _leads_on(intents, routes)):
        alone = list(intents) == read_sentence(sentence, now)
        return route_plan(conversation, intents, routes, alone=alone)
    return carry_out(Work(now, conversation, own), intents)


def _serves(own: frozenset[str], intents: Sequence[Intent]) -> bool:
    return all(intent.kind not in NEEDED or own.intersection(NEEDED[intent.kind]) for intent in intents)


def _leads_on(intents: Sequence[Intent], routes: Sequence[Route]) -> bool:
    field = field_of(intents)
    return field is not None and route_for(field, routes) is not None


def _description(tool: Tool) -> str:
    return tool.description if isinstance(tool, FunctionTool) else ""


def _is_agent(tool: Tool) -> bool:
    """Whether the tool is an agent: it takes one text called `input`."""
    if not isinstance(tool, FunctionTool):
        return False
    properties = tool.params_json_schema.get("properties")
    if not isinstance(properties, Mapping) or tool.name in _TODO_TOOLS:
        return False
    return list(cast(Mapping[str, Any], properties)) == ["input"]
