"""A scripted model, which streams its responses like a real one."""

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
    """A message, streamed in text deltas.

    Attributes:
        text: One delta, or the deltas in order.
        until: An event to wait for before the last delta, to block the answer in progress.
        item_id: The message's id; random by default.
        error: An error to raise in place of the last delta, such as a connection error.
    """

    text: str | Sequence[str]
    until: asyncio.Event | None = None
    item_id: str | None = None
    error: Exception | None = None

    @property
    def deltas(self) -> Sequence[str]:
        """The text deltas in order."""
        return [self.text] if isinstance(self.text, str) else self.text


@dataclass(frozen=True, slots=True)
class Fail:
    """A model call that raises an error."""

    error: Exception


type Step = Say | Call | Fail | Sequence[Say | Call]


class ScriptedModel(Model):
    """A model whose calls return the steps of a script in order. A step with several parts is one response.

    A call after the last step raises an `AssertionError`.

    Attributes:
        calls: The input of each call so far.
        streaming: The number of calls that are being streamed; 0 after a stopped run has closed its model call.
        deltas_sent: The number of text deltas streamed so far.
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
