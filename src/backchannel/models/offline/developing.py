"""Developing: what the stand-in does for an agent that is not the todo assistant.

It cannot know what such an agent is for, so it says what it is, names the agent's tools and hand-offs, and
carries out two explicit forms: `call TOOL {"json": "args"}` (or `call TOOL key=value`) and `hand off to NAME`.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, cast

from backchannel.models.offline import replies
from backchannel.models.offline.planning import Call, Plan
from backchannel.models.offline.routing import Route

_CALL = re.compile(
    r"\s*(?:please\s+)?call\s+(?:the\s+tool\s+|tool\s+)?`?(?P<name>[\w.-]+)`?\s*(?P<rest>.*?)\s*",
    re.IGNORECASE | re.DOTALL,
)
_HAND_OFF = re.compile(
    r"\s*(?:please\s+)?(?:hand\s?-?off|transfer)\s+to\s+`?(?P<name>.+?)`?[\s.!]*", re.IGNORECASE
)
_PAIR = re.compile(
    r"(?P<key>\w+)\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s,]+))\s*,?\s*"
)


def explicit_plan(sentence: str, tools: Sequence[str], routes: Sequence[Route]) -> Plan[str] | None:
    """The plan for one of the explicit forms, or `None` if the sentence is none that fits this agent."""
    if match := _CALL.fullmatch(sentence):
        name = match.group("name")
        known = next((tool for tool in tools if tool.lower() == name.lower()), None)
        if known is not None:
            arguments = _arguments(match.group("rest"))
            if arguments is None:
                return _answer(
                    f"I could not read those arguments. Write `call {known} " + '{"key": "value"}` or '
                    f"`call {known} key=value`."
                )
            return _call(known, arguments)
    if match := _HAND_OFF.fullmatch(sentence):
        name = match.group("name").lower()
        for route in routes:
            if not route.takes_input and name in {route.name.lower(), route.tool.lower()}:
                return _hand_off(route)
    return None


def introduction_plan(sentence: str, tools: Sequence[str], routes: Sequence[Route]) -> Plan[str]:
    """The plan that says what can be done with an agent that the rules do not know."""
    if (match := _CALL.fullmatch(sentence)) and match.group("name") not in tools and _looks_meant(sentence):
        return _answer(f"This agent has no tool called `{match.group('name')}`.\n\n{_names(tools, routes)}")
    return _answer(
        f"{replies.STAND_IN}. I only understand the todo assistant, not this agent's own "
        f"job.\n\n{_names(tools, routes)}"
    )


def _looks_meant(sentence: str) -> bool:
    return "_" in sentence or "{" in sentence or "=" in sentence


def _names(tools: Sequence[str], routes: Sequence[Route]) -> str:
    offs = [route for route in routes if not route.takes_input]
    lines: list[str] = []
    if tools:
        lines.append("- Tools: " + ", ".join(f"`{name}`" for name in tools))
        lines.append(f'- To call one: `call {tools[0]} {{"key": "value"}}` or `call {tools[0]} key=value`')
    if offs:
        lines.append("- Hand-offs: " + ", ".join(f"`{route.name}`" for route in offs))
        lines.append(f"- To hand off: `hand off to {offs[0].name}`")
    if not lines:
        return "This agent has no tools and no hand-offs. Set an API key to get real answers."
    return "\n".join(lines) + "\n\nSet an API key to get real answers."


def _arguments(text: str) -> dict[str, Any] | None:
    text = text.strip()
    if not text:
        return {}
    if text.startswith("{"):
        try:
            value = json.loads(text)
        except ValueError:
            return None
        return cast(dict[str, Any], value) if isinstance(value, dict) else None
    arguments: dict[str, Any] = {}
    position = 0
    while position < len(text):
        match = _PAIR.match(text, position)
        if match is None:
            return None
        arguments[match.group("key")] = _value(match)
        position = match.end()
    return arguments


def _value(match: re.Match[str]) -> Any:
    quoted = match.group("double") if match.group("double") is not None else match.group("single")
    if quoted is not None:
        return quoted
    try:
        return json.loads(match.group("bare"))
    except ValueError:
        return match.group("bare")


def _answer(text: str) -> Plan[str]:
    yield from ()
    return text


def _call(name: str, arguments: dict[str, Any]) -> Plan[str]:
    (step,) = yield [Call(name, arguments)]
    output = (step.output or "").strip()
    if not output:
        return f"`{name}` answered with nothing."
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`{3,}", output))])
    return f"`{name}` answered:\n\n{fence}\n{output}\n{fence}"


def _hand_off(route: Route) -> Plan[str]:
    yield [Call(route.tool)]
    return f"{route.name} takes it from here."
