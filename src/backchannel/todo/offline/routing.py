"""Routes a request to another agent, by hand-off or by calling the agent as a tool."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from backchannel.todo.offline import replies
from backchannel.todo.offline.actions import say
from backchannel.todo.offline.conversation import Conversation, transcript
from backchannel.todo.offline.intents import ACTIONS, Intent
from backchannel.todo.offline.plans import Call, Plan, failure

type Field = Literal["todo", "search", "help"]

_TURNS_PASSED_ON = 6
_TELLING: tuple[tuple[Field, re.Pattern[str]], ...] = (
    ("search", re.compile(r"search|find|look ?up|query", re.IGNORECASE)),
    ("help", re.compile(r"help|support|faq|capabilit|guide", re.IGNORECASE)),
    ("todo", re.compile(r"to-?_?do|task", re.IGNORECASE)),
)
_FALL_BACK: dict[Field, tuple[Field, ...]] = {
    "todo": ("todo",),
    "search": ("search", "todo"),
    "help": ("help",),
}


@dataclass(frozen=True, slots=True)
class Route:
    """A way to another agent.

    Attributes:
        tool: The name of the function to call.
        name: The agent's name.
        description: The purpose of the agent.
        takes_input: True for an agent as a tool, which gets an input text; false for a hand-off.
    """

    tool: str
    name: str
    description: str
    takes_input: bool = False

    def field(self) -> Field | None:
        """The agent's field, from its name or else its description; `None` if neither has it."""
        for text in (self.name, self.tool, self.description):
            for name, pattern in _TELLING:
                if pattern.search(text):
                    return name
        return None


def field_of(intents: Sequence[Intent]) -> Field | None:
    """The field of the agent for a message; `None` if it needs none.

    Changes and unfiltered lists are for the todo agent, which can also search.
    """
    actions = [intent for intent in intents if intent.kind in ACTIONS]
    if not actions:
        return "help" if any(intent.kind == "help" for intent in intents) else None
    looking = all(
        intent.kind == "find" or (intent.kind == "list" and intent.filters.days) for intent in actions
    )
    return "search" if looking else "todo"


def route_for(field: Field, routes: Sequence[Route]) -> Route | None:
    """The route to the agent of a field, or to another agent that also covers it."""
    for candidate in _FALL_BACK[field]:
        for route in routes:
            if route.field() == candidate:
                return route
    return None


def route_plan(
    conversation: Conversation, intents: Sequence[Intent], routes: Sequence[Route], *, alone: bool
) -> Plan[str]:
    """The plan of an agent that routes requests to other agents.

    `alone` means that the sentence does not depend on earlier turns.
    """
    parts: list[str] = []
    calls: list[Call] = []
    for field, group in _groups(intents):
        route = route_for(field, routes) if field else None
        if route is None:
            parts.extend(say(intent) for intent in group)
        elif route.takes_input:
            calls.append(Call(route.tool, {"input": _input_for(conversation, group, alone=alone)}))
        else:
            yield [Call(route.tool)]
            return f"{route.name} takes it from here."
    if calls:
        steps = yield calls
        for step in steps:
            error = failure(step) if step.data.get("error") or not step.output else None
            parts.append(replies.tool_failed(error) if error else str(step.output))
    return "\n\n".join(dict.fromkeys(parts))


def _groups(intents: Sequence[Intent]) -> list[tuple[Field | None, list[Intent]]]:
    """The requests for help, and all others, each in their order."""
    help_wanted = [intent for intent in intents if intent.kind == "help"]
    others = [intent for intent in intents if intent.kind != "help"]
    groups: list[tuple[Field | None, list[Intent]]] = []
    if others:
        groups.append((field_of(others), others))
    if help_wanted:
        groups.append(("help", help_wanted))
    return groups if not others or intents[0].kind != "help" else groups[::-1]


def _input_for(conversation: Conversation, intents: Sequence[Intent], *, alone: bool) -> str:
    """The input for an agent as a tool: the sentence, with earlier turns if it depends on them."""
    sentence = conversation.now.sentence
    if intents[0].kind == "help":
        return intents[0].text or sentence
    contextual = any(intent.target is not None and intent.target.contextual for intent in intents)
    if (alone and not contextual) or not conversation.before:
        return sentence
    return transcript(conversation.before[-_TURNS_PASSED_ON:], sentence)
