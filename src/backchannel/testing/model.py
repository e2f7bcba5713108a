"""A model that does exactly what its script says, and streams it as a real one does."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, override

from agents import Model, ModelResponse, ModelSettings, ModelTracing, TResponseInputItem, Usage
from agents.agent_output import AgentOutputSchemaBase
from agents.handoffs import Handoff
from agents.items import TResponseOutputItem, TResponseStreamEvent
from agents.tool import Tool
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseContentPartAddedEvent,
    ResponseFunctionToolCall,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ResponseUsage,
)
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails


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
class Call:
    """Call a tool, or hand off: a hand-off is a call of `transfer_to_<agent>`."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict[str, Any])


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
        output: list[TResponseOutputItem] = []
        self.streaming += 1
        try:
            for index, part in enumerate(parts):
                item = _output(part)
                output.append(item)
                if isinstance(part, Say):
                    async for event in self._say(part, item, index):
                        yield event
                else:
                    yield ResponseOutputItemAddedEvent(
                        item=item,
                        output_index=index,
                        sequence_number=0,
                        type="response.output_item.added",
                    )
                yield ResponseOutputItemDoneEvent(
                    item=item, output_index=index, sequence_number=0, type="response.output_item.done"
                )
            yield ResponseCompletedEvent(
                response=_response(output), sequence_number=0, type="response.completed"
            )
        finally:
            self.streaming -= 1

    async def _say(
        self, say: Say, item: TResponseOutputItem, index: int
    ) -> AsyncIterator[TResponseStreamEvent]:
        assert isinstance(item, ResponseOutputMessage)
        empty = ResponseOutputText(text="", annotations=[], type="output_text")
        place: dict[str, Any] = {
            "item_id": item.id,
            "output_index": index,
            "content_index": 0,
            "sequence_number": 0,
        }
        yield ResponseOutputItemAddedEvent(
            item=item.model_copy(update={"content": [], "status": "in_progress"}),
            output_index=index,
            sequence_number=0,
            type="response.output_item.added",
        )
        yield ResponseContentPartAddedEvent(part=empty, type="response.content_part.added", **place)
        for number, delta in enumerate(say.deltas):
            if say.until is not None and number == len(say.deltas) - 1:
                await say.until.wait()
            if say.error is not None and number == len(say.deltas) - 1:
                raise say.error
            self.deltas_sent += 1
            yield ResponseTextDeltaEvent(delta=delta, logprobs=[], type="response.output_text.delta", **place)
        text = "".join(say.deltas)
        yield ResponseTextDoneEvent(text=text, logprobs=[], type="response.output_text.done", **place)

    def _next(self, input: str | list[TResponseInputItem]) -> Sequence[Say | Call]:
        self.calls.append([{"role": "user", "content": input}] if isinstance(input, str) else list(input))
        if not self._steps:
            raise AssertionError(f"The script ended after {len(self.calls) - 1} calls of the model.")
        step = self._steps.pop(0)
        if isinstance(step, Fail):
            raise step.error
        return [step] if isinstance(step, Say | Call) else step


def _output(part: Say | Call) -> TResponseOutputItem:
    unique = secrets.token_hex(12)
    if isinstance(part, Call):
        arguments = part.arguments if isinstance(part.arguments, str) else json.dumps(part.arguments)
        return ResponseFunctionToolCall(
            id=f"fc_{unique}",
            call_id=f"call_{unique}",
            name=part.name,
            arguments=arguments,
            type="function_call",
            status="completed",
        )
    text = ResponseOutputText(text="".join(part.deltas), annotations=[], type="output_text")
    return ResponseOutputMessage(
        id=part.item_id or f"msg_{unique}",
        content=[text],
        role="assistant",
        status="completed",
        type="message",
    )


def _response(output: list[TResponseOutputItem]) -> Response:
    return Response(
        id=f"resp_{secrets.token_hex(12)}",
        created_at=0,
        model="scripted",
        object="response",
        output=output,
        parallel_tool_calls=True,
        tool_choice="auto",
        tools=[],
        usage=ResponseUsage(
            input_tokens=10,
            output_tokens=5,
            total_tokens=15,
            input_tokens_details=InputTokensDetails(cached_tokens=0, cache_write_tokens=0),
            output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
        ),
    )
