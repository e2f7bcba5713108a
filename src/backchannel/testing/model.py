"""A model that does exactly what its script says, and streams it as a real one does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, override

from agents import Model, ModelResponse, ModelSettings, ModelTracing, TResponseInputItem, Usage
from agents.agent_output import AgentOutputSchemaBase
from agents.handoffs import Handoff
from agents.items import TResponseStreamEvent
from agents.tool import Tool
from openai.types.responses import ResponseOutputMessage

from backchannel.models.response_events import (
    Call,
    OutputItem,
    ResponseEvents,
    function_call,
    message,
    usage,
)


@dataclass(frozen=True, slots=True)
class Say:
    """Say a text, delta by delta.

    Attributes:
        text: One delta, or the deltas in order.
        until: Wait for this before the last delta, to hold an answer in the middle.
        item_id: The message's id, in place of a random one.
        error: Raise this in place of the last delta, as a connection that breaks does.
    """

    text: str | Sequence[str]
    until: asyncio.Event | None = None
    item_id: str | None = None
    error: Exception | None = None

    @property
    def deltas(self) -> Sequence[str]:
        """The text in the pieces in which it is streamed."""
        return [self.text] if isinstance(self.text, str) else self.text


@dataclass(frozen=True, slots=True)
class Fail:
    """Raise an error in place of an answer."""

    error: Exception


type Step = Say | Call | Fail | Sequence[Say | Call]


class ScriptedModel(Model):
    """Each call of the model plays the next step; a step with several parts plays them in one response.

    Attributes:
        calls: The input of every call so far.
        streaming: How many calls are being streamed now: 0 once a stopped run has let go of its model.
    """

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)
        self.calls: list[list[TResponseInputItem]] = []
        self.streaming = 0
        self.deltas_sent = 0

    def add(self, *steps: Step) -> None:
        """Append steps to the script."""
        self._steps.extend(steps)

    @override
    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: Any,
    ) -> ModelResponse:
        parts = self._next(input)
        return ModelResponse(
            output=[_output(part) for part in parts],
            usage=Usage(requests=1, input_tokens=10, output_tokens=5, total_tokens=15),
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
        handoffs: list[Handoff],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: Any,
    ) -> AsyncIterator[TResponseStreamEvent]:
        parts = self._next(input)
        events = ResponseEvents("scripted")
        output: list[OutputItem] = []
        self.streaming += 1
        try:
            for index, part in enumerate(parts):
                item = _output(part)
                output.append(item)
                if isinstance(part, Say):
                    async for event in self._say(part, events, index, item):
                        yield event
                else:
                    yield events.item_added(index, item)
                yield events.item_done(index, item)
            yield events.completed(output, usage(10, 5))
        finally:
            self.streaming -= 1

    async def _say(
        self, say: Say, events: ResponseEvents, index: int, item: OutputItem
    ) -> AsyncIterator[TResponseStreamEvent]:
        assert isinstance(item, ResponseOutputMessage)
        for event in events.message_started(index, item):
            yield event
        for number, delta in enumerate(say.deltas):
            if say.until is not None and number == len(say.deltas) - 1:
                await say.until.wait()
            if say.error is not None and number == len(say.deltas) - 1:
                raise say.error
            self.deltas_sent += 1
            yield events.text_delta(index, item, delta)
        yield events.text_done(index, item, "".join(say.deltas))

    def _next(self, input: str | list[TResponseInputItem]) -> Sequence[Say | Call]:
        self.calls.append([{"role": "user", "content": input}] if isinstance(input, str) else list(input))
        if not self._steps:
            raise AssertionError(f"The script ended after {len(self.calls) - 1} calls of the model.")
        step = self._steps.pop(0)
        if isinstance(step, Fail):
            raise step.error
        return [step] if isinstance(step, Say | Call) else step


def _output(part: Say | Call) -> OutputItem:
    if isinstance(part, Call):
        return function_call(part)
    return message("".join(part.deltas), part.item_id)
