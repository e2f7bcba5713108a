"""The offline model: an Agents SDK model that answers by rules and needs neither a key nor a network."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, cast, override

from agents import AgentOutputSchemaBase, Handoff, Model, ModelResponse, ModelSettings, ModelTracing, Tool
from agents.items import TResponseInputItem, TResponseStreamEvent
from agents.usage import Usage
from openai.types.responses import ResponseTextDeltaEvent
from openai.types.responses.response_prompt_param import ResponsePromptParam

from backchannel.models.offline.deciding import decide
from backchannel.models.offline.events import EventStream, OutputItem, function_call, message, usage_of

WORDS_PER_SECOND = 40.0


def local_now() -> datetime:
    """The local wall time without a zone: what a person means by `tomorrow at 5` is floating time."""
    return datetime.now().astimezone().replace(tzinfo=None)


class OfflineModel(Model):
    """A deterministic stand-in that lets the todo assistant work without an API key.

    It keeps nothing between calls: the same input at the same time gives the same answer, apart from ids. For
    agents that are not the todo assistant it says what it is and how to call their tools by hand.

    Args:
        clock: Gives the person's present wall time, without a zone.
        words_per_second: The pace of streamed text; 0 streams without any delay.
    """

    def __init__(
        self, *, clock: Callable[[], datetime] = local_now, words_per_second: float = WORDS_PER_SECOND
    ) -> None:
        if words_per_second < 0:
            raise ValueError("words_per_second must be 0 (no delay) or more.")
        self._clock = clock
        self._delay = 1 / words_per_second if words_per_second else 0.0

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
        """The whole answer at once, with the same content as the stream."""
        await asyncio.sleep(0)
        output = self._answer(input, tools, handoffs)
        used = usage_of(_words(system_instructions, input), output)
        usage = Usage(
            requests=1,
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            total_tokens=used.total_tokens,
        )
        return ModelResponse(output=list(output), usage=usage, response_id=None)

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
        """The answer as stream events, text word by word. Can be cancelled between any two events."""
        output = self._answer(input, tools, handoffs)
        usage = usage_of(_words(system_instructions, input), output)
        for event in EventStream(output, usage):
            yield event
            await asyncio.sleep(self._delay if isinstance(event, ResponseTextDeltaEvent) else 0)

    def _answer(
        self, items: str | list[TResponseInputItem], tools: list[Tool], handoffs: list[Handoff[Any, Any]]
    ) -> list[OutputItem]:
        decision = decide(cast(str | list[object], items), tools, handoffs, self._clock())
        if isinstance(decision, str):
            return [message(decision)]
        return [function_call(call.name, json.dumps(call.arguments, ensure_ascii=False)) for call in decision]


def _words(instructions: str | None, items: object) -> int:
    return len((instructions or "").split()) + _words_in(items)


def _words_in(value: object) -> int:
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, Mapping):
        fields = cast(Mapping[str, object], value)
        return sum(_words_in(fields.get(name)) for name in ("content", "text", "arguments", "output"))
    if isinstance(value, Iterable):
        return sum(_words_in(item) for item in cast(Iterable[object], value))
    return 0
