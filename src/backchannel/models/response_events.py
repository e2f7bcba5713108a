"""Builds output items and stream events of the Responses API, for models that run in this process."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.items import TResponseStreamEvent
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCreatedEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseFunctionToolCall,
    ResponseInProgressEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ResponseUsage,
)
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

type OutputItem = ResponseOutputMessage | ResponseFunctionToolCall


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call or a hand-off by a model.

    Attributes:
        name: The tool's name. A hand-off is a call of `transfer_to_<agent>`.
        arguments: The arguments, or their JSON text, which is not validated.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict[str, Any])


def message(text: str, item_id: str | None = None) -> ResponseOutputMessage:
    """A completed assistant message; its id is random unless `item_id` is given."""
    return ResponseOutputMessage(
        id=item_id or f"msg_{secrets.token_hex(12)}",
        type="message",
        role="assistant",
        status="completed",
        content=[_part(text)],
    )


def function_call(call: Call) -> ResponseFunctionToolCall:
    """A completed function call with random ids."""
    arguments = call.arguments
    return ResponseFunctionToolCall(
        id=f"fc_{secrets.token_hex(12)}",
        call_id=f"call_{secrets.token_hex(12)}",
        type="function_call",
        name=call.name,
        arguments=arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False),
        status="completed",
    )


def usage(input_tokens: int, output_tokens: int) -> ResponseUsage:
    """The token counts of one response, without cached or reasoning tokens."""
    return ResponseUsage(
        input_tokens=input_tokens,
        input_tokens_details=InputTokensDetails(cache_write_tokens=0, cached_tokens=0),
        output_tokens=output_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
        total_tokens=input_tokens + output_tokens,
    )


class ResponseEvents:
    """Builds the stream events of one response, numbered from 0 in the order of the calls.

    Args:
        model: The model's name in the response.
    """

    def __init__(self, model: str) -> None:
        self._number = -1
        self._response = Response(
            id=f"resp_{secrets.token_hex(12)}",
            created_at=time.time(),
            model=model,
            object="response",
            output=[],
            tool_choice="auto",
            tools=[],
            parallel_tool_calls=True,
            status="in_progress",
        )

    def started(self) -> Sequence[TResponseStreamEvent]:
        """`response.created` and `response.in_progress`."""
        return [
            ResponseCreatedEvent(
                type="response.created",
                response=self._response.model_copy(deep=True),
                sequence_number=self._next(),
            ),
            ResponseInProgressEvent(
                type="response.in_progress",
                response=self._response.model_copy(deep=True),
                sequence_number=self._next(),
            ),
        ]

    def item_added(self, index: int, item: OutputItem) -> TResponseStreamEvent:
        """`response.output_item.added`, with the item unchanged."""
        return ResponseOutputItemAddedEvent(
            type="response.output_item.added", item=item, output_index=index, sequence_number=self._next()
        )

    def call_started(self, index: int, item: ResponseFunctionToolCall) -> Sequence[TResponseStreamEvent]:
        """The events before a function call's `item_done`: the item without arguments, then the arguments."""
        position: dict[str, Any] = {"item_id": item.id or item.call_id, "output_index": index}
        return [
            self.item_added(index, item.model_copy(update={"arguments": "", "status": "in_progress"})),
            ResponseFunctionCallArgumentsDeltaEvent(
                type="response.function_call_arguments.delta",
                delta=item.arguments,
                sequence_number=self._next(),
                **position,
            ),
            ResponseFunctionCallArgumentsDoneEvent(
                type="response.function_call_arguments.done",
                arguments=item.arguments,
                sequence_number=self._next(),
                **position,
            ),
        ]

    def message_started(self, index: int, item: ResponseOutputMessage) -> Sequence[TResponseStreamEvent]:
        """The events before a message's text: the item without content, then its only content part, empty."""
        return [
            self.item_added(index, item.model_copy(update={"content": [], "status": "in_progress"})),
            ResponseContentPartAddedEvent(
                type="response.content_part.added", part=_part(""), **self._position(index, item)
            ),
        ]

    def text_delta(self, index: int, item: ResponseOutputMessage, delta: str) -> TResponseStreamEvent:
        """`response.output_text.delta`."""
        return ResponseTextDeltaEvent(
            type="response.output_text.delta", delta=delta, logprobs=[], **self._position(index, item)
        )

    def text_done(self, index: int, item: ResponseOutputMessage, text: str) -> TResponseStreamEvent:
        """`response.output_text.done`, with the whole text."""
        return ResponseTextDoneEvent(
            type="response.output_text.done", text=text, logprobs=[], **self._position(index, item)
        )

    def part_done(self, index: int, item: ResponseOutputMessage, text: str) -> TResponseStreamEvent:
        """`response.content_part.done`, with the whole text."""
        return ResponseContentPartDoneEvent(
            type="response.content_part.done", part=_part(text), **self._position(index, item)
        )

    def item_done(self, index: int, item: OutputItem) -> TResponseStreamEvent:
        """`response.output_item.done`."""
        return ResponseOutputItemDoneEvent(
            type="response.output_item.done",
            item=item.model_copy(deep=True),
            output_index=index,
            sequence_number=self._next(),
        )

    def completed(self, output: Sequence[OutputItem], used: ResponseUsage) -> TResponseStreamEvent:
        """`response.completed`, with all output items and the usage."""
        done = self._response.model_copy(
            deep=True, update={"status": "completed", "output": list(output), "usage": used}
        )
        return ResponseCompletedEvent(type="response.completed", response=done, sequence_number=self._next())

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _position(self, index: int, item: ResponseOutputMessage) -> dict[str, Any]:
        return {
            "item_id": item.id,
            "output_index": index,
            "content_index": 0,
            "sequence_number": self._next(),
        }


def _part(text: str) -> ResponseOutputText:
    return ResponseOutputText(type="output_text", text=text, annotations=[], logprobs=[])
