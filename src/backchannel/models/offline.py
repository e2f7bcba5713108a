"""The offline model: a rule-based model for agents that run without a configured model.

It calls tools and hands off by name, and otherwise describes itself. An application can subclass `OfflineModel`,
override `answer`, and pass an instance as its `offline_model`.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast, override

from agents import AgentOutputSchemaBase, Handoff, Model, ModelResponse, ModelSettings, ModelTracing, Tool
from agents.items import TResponseInputItem, TResponseStreamEvent
from agents.tool import FunctionTool
from agents.usage import Usage
from openai.types.responses import ResponseFunctionToolCall, ResponseTextDeltaEvent, ResponseUsage
from openai.types.responses.response_prompt_param import ResponsePromptParam

from backchannel.models.offline_files import about_attachments, without_attachments
from backchannel.models.response_events import Call, OutputItem, ResponseEvents, function_call, message, usage

MODEL_NAME = "offline"

_INTRODUCTION = (
    "I'm a rule-based stand-in that works without an API key, not a language model, so I cannot answer that."
)
_SETUP = (
    "To get answers from a real model, set `OPENAI_API_KEY`, or set `BACKCHANNEL_MODEL` and "
    "`OPENAI_BASE_URL` for another endpoint, and restart the server."
)
_CALL = re.compile(
    r"(?:please\s+)?call\s+(?:the\s+tool\s+|tool\s+)?`?(?P<name>[\w.-]+)`?\s*(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_HAND_OFF = re.compile(
    r"(?:please\s+)?(?:hand\s?-?off|transfer)\s+to\s+`?(?P<name>.+?)`?[\s.!]*", re.IGNORECASE
)
_PAIR = re.compile(
    r"(?P<key>\w+)\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s,]+))\s*,?\s*"
)
# User input that the ChatKit SDK adds to a message: hidden context, attachments, tags, quotations.
_ADDED_CONTEXT = re.compile(r"<[A-Z]|Hidden context for the agent|The user is referring to this")
_WORD = re.compile(r"\s*\S+\s*?(?=\s|$)|\s+")


class OfflineModel(Model):
    """A deterministic model that needs no API key and no network. Answers to the same input differ only in ids.

    Subclasses override `answer`. Responses, stream events and usage (which counts words) are derived from it.

    Args:
        words_per_second: The rate of streamed text; 0 streams without delay.

    Raises:
        ValueError: `words_per_second` is negative.
    """

    def __init__(self, *, words_per_second: float = 40.0) -> None:
        if words_per_second < 0:
            raise ValueError("words_per_second must be 0 (no delay) or more.")
        self._delay = 1 / words_per_second if words_per_second else 0.0

    def answer(
        self,
        input: str | Sequence[TResponseInputItem],
        tools: Sequence[Tool],
        handoffs: Sequence[Handoff[Any, Any]],
    ) -> str | Sequence[Call]:
        """The agent's next step: the text of the answer, or tool calls.

        Called again with the outputs of those calls at the end of `input`, until it returns a text or hands off.

        Args:
            input: The conversation in the format of the Responses API, oldest item first, or the user's message.
            tools: The agent's tools.
            handoffs: The agent's hand-offs. A call of `Handoff.tool_name` hands off.
        """
        explicit = self.explicit_answer(input, tools, handoffs)
        if explicit is not None:
            return explicit
        return _introduction(
            _last_turn(input)[0], _names(tools), [handoff.agent_name for handoff in handoffs]
        )

    def explicit_answer(
        self,
        input: str | Sequence[TResponseInputItem],
        tools: Sequence[Tool],
        handoffs: Sequence[Handoff[Any, Any]],
    ) -> str | Sequence[Call] | None:
        """The answer to the commands `call TOOL {"json": "args"}`, `call TOOL key=value` and `hand off to NAME`.

        Returns:
            `None` if the last message is not a command, or the agent has no such tool or hand-off. Case is ignored.
        """
        sentence, outputs = _last_turn(input)
        if match := _CALL.fullmatch(sentence):
            requested = match["name"].lower()
            name = next((name for name in _names(tools) if name.lower() == requested), None)
            if name is not None:
                return _call(name, match["rest"].strip(), outputs)
        if match := _HAND_OFF.fullmatch(sentence):
            requested = match["name"].lower()
            for handoff in handoffs:
                if requested in {handoff.agent_name.lower(), handoff.tool_name.lower()}:
                    done = handoff.tool_name in outputs
                    return f"Handed off to {handoff.agent_name}." if done else [Call(handoff.tool_name)]
        return None

    model: ClassVar[str] = "offline"
    """Its name where usage is stored."""

    @override
    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None = None,
        conversation_id: str | None = None,
        prompt: ResponsePromptParam | None = None,
    ) -> ModelResponse:
        """The complete answer, with the same content as the stream."""
        await asyncio.sleep(0)
        output = self._output(input, tools, handoffs)
        used = _usage(system_instructions, input, output)
        return ModelResponse(
            output=list(output),
            usage=Usage(
                requests=1,
                input_tokens=used.input_tokens,
                output_tokens=used.output_tokens,
                total_tokens=used.total_tokens,
            ),
            response_id=None,
        )

    @override
    async def stream_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None = None,
        conversation_id: str | None = None,
        prompt: ResponsePromptParam | None = None,
    ) -> AsyncIterator[TResponseStreamEvent]:
        """The answer as stream events, with one text delta per word. Can be cancelled between any two events."""
        output = self._output(input, tools, handoffs)
        for event in _events(output, _usage(system_instructions, input, output)):
            yield event
            await asyncio.sleep(self._delay if isinstance(event, ResponseTextDeltaEvent) else 0)

    def _output(
        self,
        items: str | Sequence[TResponseInputItem],
        tools: list[Tool],
        handoffs: list[Handoff[Any, Any]],
    ) -> list[OutputItem]:
        rest, attached, sentence = without_attachments(items)
        answer = about_attachments(attached, sentence) or self.answer(rest, tools, handoffs)
        return [message(answer)] if isinstance(answer, str) else [function_call(call) for call in answer]


def _names(tools: Sequence[Tool]) -> list[str]:
    return [tool.name for tool in tools if isinstance(tool, FunctionTool)]


def _last_turn(items: str | Sequence[TResponseInputItem]) -> tuple[str, Mapping[str, str]]:
    """The last user message, and the outputs of the function calls since then, by tool name."""
    if isinstance(items, str):
        return items.strip(), {}
    sentence = ""
    names_by_call_id: dict[str, str] = {}
    outputs: dict[str, str] = {}
    for item in items:
        fields = cast(Mapping[str, Any], item)
        call_id = fields.get("call_id", "")
        if fields.get("role") == "user":
            text = _text(fields.get("content")).strip()
            if not _ADDED_CONTEXT.match(text):
                sentence, names_by_call_id, outputs = text, {}, {}
        elif fields.get("type") == "function_call":
            names_by_call_id[call_id] = fields.get("name", "")
        elif fields.get("type") == "function_call_output" and call_id in names_by_call_id:
            outputs[names_by_call_id[call_id]] = _text(fields.get("output"))
    return sentence, outputs


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, Iterable) or isinstance(content, Mapping):
        return ""
    parts = (
        cast(Mapping[str, Any], part) for part in cast(Iterable[object], content) if isinstance(part, Mapping)
    )
    return "\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _introduction(sentence: str, tools: Sequence[str], handoffs: Sequence[str]) -> str:
    lines = [_INTRODUCTION]
    # "Call me tomorrow" is not a tool call.
    if (match := _CALL.fullmatch(sentence)) and re.search(r"[_{=]", sentence):
        lines = [f"This agent has no tool called `{match['name']}`."]
    abilities: list[str] = []
    if tools:
        abilities.append("- Tools: " + ", ".join(f"`{name}`" for name in tools))
        abilities.append(
            f'- To call one: `call {tools[0]} {{"key": "value"}}` or `call {tools[0]} key=value`'
        )
    if handoffs:
        abilities.append("- Hand-offs: " + ", ".join(f"`{name}`" for name in handoffs))
        abilities.append(f"- To hand off: `hand off to {handoffs[0]}`")
    lines.append("\n".join(abilities) or "This agent has no tools and no hand-offs.")
    return "\n\n".join([*lines, _SETUP])


def _call(name: str, rest: str, outputs: Mapping[str, str]) -> str | Sequence[Call]:
    arguments = _arguments(rest)
    if arguments is None:
        return f'I could not read those arguments. Write `call {name} {{"key": "value"}}` or `call {name} key=value`.'
    if name not in outputs:
        return [Call(name, arguments)]
    output = outputs[name].strip()
    if not output:
        return f"`{name}` returned nothing."
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`{3,}", output))])
    return f"`{name}` returned:\n\n{fence}\n{output}\n{fence}"


def _arguments(text: str) -> dict[str, Any] | None:
    """The arguments as JSON or as `key=value` pairs; `None` if the text is neither."""
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
        arguments[match["key"]] = _value(match)
        position = match.end()
    return arguments


def _value(match: re.Match[str]) -> Any:
    if match["bare"] is None:
        return match["double"] or match["single"] or ""
    try:
        return json.loads(match["bare"])
    except ValueError:
        return match["bare"]


def _events(output: Sequence[OutputItem], used: ResponseUsage) -> Iterator[TResponseStreamEvent]:
    events = ResponseEvents(MODEL_NAME)
    yield from events.started()
    for index, item in enumerate(output):
        if isinstance(item, ResponseFunctionToolCall):
            yield from events.call_started(index, item)
        else:
            text = _text(item.model_dump()["content"])
            yield from events.message_started(index, item)
            for word in _WORD.findall(text):
                yield events.text_delta(index, item, word)
            yield events.text_done(index, item, text)
            yield events.part_done(index, item, text)
        yield events.item_done(index, item)
    yield events.completed(output, used)


def _usage(instructions: str | None, items: object, output: Sequence[OutputItem]) -> ResponseUsage:
    written = sum(_words(item.model_dump()) for item in output)
    return usage(_words(instructions or "") + _words(items), written)


def _words(value: object) -> int:
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, Mapping):
        fields = cast(Mapping[str, object], value)
        return sum(_words(fields.get(name)) for name in ("content", "text", "arguments", "output"))
    if isinstance(value, Iterable):
        return sum(_words(item) for item in cast(Iterable[object], value))
    return 0
