"""The model itself: chooses between the todo rules, routing to another agent, and the built-in answer."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast, override

from agents import Handoff, Tool
from agents.items import TResponseInputItem
from agents.tool import FunctionTool

from backchannel import Call, OfflineModel
from backchannel.todo.offline.actions import NEEDED, carry_out
from backchannel.todo.offline.conversation import read_conversation
from backchannel.todo.offline.follow_ups import interpret
from backchannel.todo.offline.intents import Intent
from backchannel.todo.offline.plans import Work, advance
from backchannel.todo.offline.routing import Route, field_of, route_for, route_plan
from backchannel.todo.offline.sentences import read_sentence

_TODO_TOOLS = frozenset(
    {
        "create_todo", "list_todos", "update_todo", "complete_todo", "delete_todo", "delete_todos",
        "search_todos", "describe_capabilities",
    }
)  # fmt: skip


def local_now() -> datetime:
    """The local wall time without a time zone, as due dates have none."""
    return datetime.now().astimezone().replace(tzinfo=None)


class TodoOfflineModel(OfflineModel):
    """Answers for the agents of the todo assistant by rules, and for any other agent like `OfflineModel`.

    It has no state between calls: answers to the same input at the same time differ only in ids.

    Args:
        clock: Returns the user's current wall time, without a time zone.
        words_per_second: The rate of streamed text; 0 streams without delay.
    """

    def __init__(self, *, clock: Callable[[], datetime] = local_now, words_per_second: float = 40) -> None:
        super().__init__(words_per_second=words_per_second)
        self._clock = clock

    @override
    def answer(
        self,
        input: str | Sequence[TResponseInputItem],
        tools: Sequence[Tool],
        handoffs: Sequence[Handoff[Any, Any]],
    ) -> str | Sequence[Call]:
        explicit = self.explicit_answer(input, tools, handoffs)
        if explicit is not None:
            return explicit
        routes = _routes(tools, handoffs)
        own = _TODO_TOOLS.intersection(tool.name for tool in tools)
        known_routes = any(route.field() == "todo" for route in routes)
        if not own and not known_routes:
            return super().answer(input, tools, handoffs)
        now = self._clock()
        conversation = read_conversation(input)
        intents = interpret(conversation, now)
        if not own or (known_routes and not _serves(own, intents) and _leads_on(intents, routes)):
            alone = list(intents) == read_sentence(conversation.now.sentence, now)
            plan = route_plan(conversation, intents, routes, alone=alone)
        else:
            plan = carry_out(Work(now, conversation, own), intents)
        return advance(plan, conversation.now.steps)


def _routes(tools: Sequence[Tool], handoffs: Sequence[Handoff[Any, Any]]) -> list[Route]:
    return [
        *(Route(handoff.tool_name, handoff.agent_name, handoff.tool_description) for handoff in handoffs),
        *(
            Route(tool.name, tool.name, tool.description, takes_input=True)
            for tool in tools
            if isinstance(tool, FunctionTool) and _is_agent(tool)
        ),
    ]


def _is_agent(tool: FunctionTool) -> bool:
    """Whether the tool is an agent: its only parameter is a text called `input`."""
    properties = tool.params_json_schema.get("properties")
    if not isinstance(properties, Mapping) or tool.name in _TODO_TOOLS:
        return False
    return list(cast(Mapping[str, Any], properties)) == ["input"]


def _serves(own: frozenset[str], intents: Sequence[Intent]) -> bool:
    return all(intent.kind not in NEEDED or own.intersection(NEEDED[intent.kind]) for intent in intents)


def _leads_on(intents: Sequence[Intent], routes: Sequence[Route]) -> bool:
    field = field_of(intents)
    return field is not None and route_for(field, routes) is not None
