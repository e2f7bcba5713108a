"""Events: a model's answer as the Responses API would stream it, one word at a time."""

import re
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

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

MODEL_NAME = "offline"
_WORD = re.compile(r"\s*\S+\s*?(?=\s|$)|\s+")

type OutputItem = ResponseOutputMessage | ResponseFunctionToolCall


def message(text: str) -> ResponseOutputMessage:
    """A finished message of the assistant, with a fresh id."""
    return ResponseOutputMessage(
        id=f"msg_{secrets.token_hex(12)}",
        type="message",
        role="assistant",
        status="completed",
        content=[ResponseOutputText(type="output_text", text=text, annotations=[], logprobs=[])],
    )


def function_call(name: str, arguments: str) -> ResponseFunctionToolCall:
    """A finished function call with fresh ids. `arguments` is a JSON object as text."""
    return ResponseFunctionToolCall(
        id=f"fc_{secrets.token_hex(12)}",
        call_id=f"call_{secrets.token_hex(12)}",
        type="function_call",
        name=name,
        arguments=arguments,
        status="completed",
    )


def usage_of(input_words: int, output: Sequence[OutputItem]) -> ResponseUsage:
    """A count of words in place of tokens."""
    written = 0
    for item in output:
        if isinstance(item, ResponseFunctionToolCall):
            written += 1 + len(item.arguments.split())
        else:
            written += sum(
                len(part.text.split()) for part in item.content if isinstance(part, ResponseOutputText)
            )
    return ResponseUsage(
        input_tokens=input_words,
        input_tokens_details=InputTokensDetails(cache_write_tokens=0, cached_tokens=0),
        output_tokens=written,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
        total_tokens=input_words + written,
    )


@dataclass(slots=True)
class EventStream:
    """The events of one answer, in order, with rising sequence numbers."""

    output: Sequence[OutputItem]
    usage: ResponseUsage
    _number: int = field(default=-1, init=False)
    _response: Response = field(init=False)

    def __post_init__(self) -> None:
        self._response = Response(
            id=f"resp_{secrets.token_hex(12)}",
            created_at=time.time(),
            model=MODEL_NAME,
            object="response",
            output=[],
            tool_choice="auto",
            tools=[],
            parallel_tool_calls=True,
            status="in_progress",
        )

    def _next(self) -> int:
        self._number += 1
        return self._number

    def __iter__(self) -> Iterator[TResponseStreamEvent]:
        started = self._response
        yield ResponseCreatedEvent(
            type="response.created", response=started.model_copy(deep=True), sequence_number=self._next()
        )
        yield ResponseInProgressEvent(
            type="response.in_progress", response=started.model_copy(deep=True), sequence_number=self._next()
        )
        for index, item in enumerate(self.output):
            if isinstance(item, ResponseFunctionToolCall):
                yield from self._call(index, item)
            else:
                yield from self._message(index, item)
        done = started.model_copy(
            deep=True, update={"status": "completed", "output": list(self.output), "usage": self.usage}
        )
        yield ResponseCompletedEvent(type="response.completed", response=done, sequence_number=self._next())

    def _added(self, index: int, item: OutputItem) -> TResponseStreamEvent:
        return ResponseOutputItemAddedEvent(
            type="response.output_item.added", item=item, output_index=index, sequence_number=self._next()
        )

    def _done(self, index: int, item: OutputItem) -> TResponseStreamEvent:
        return ResponseOutputItemDoneEvent(
            type="response.output_item.done",
            item=item.model_copy(deep=True),
            output_index=index,
            sequence_number=self._next(),
        )

    def _call(self, index: int, item: ResponseFunctionToolCall) -> Iterator[TResponseStreamEvent]:
        item_id = item.id or item.call_id
        yield self._added(index, item.model_copy(update={"arguments": "", "status": "in_progress"}))
        yield ResponseFunctionCallArgumentsDeltaEvent(
            type="response.function_call_arguments.delta",
            item_id=item_id,
            output_index=index,
            delta=item.arguments,
            sequence_number=self._next(),
        )
        yield ResponseFunctionCallArgumentsDoneEvent(
            type="response.function_call_arguments.done",
            item_id=item_id,
            output_index=index,
            arguments=item.arguments,
            sequence_number=self._next(),
        )
        yield self._done(index, item)

    def _message(self, index: int, item: ResponseOutputMessage) -> Iterator[TResponseStreamEvent]:
        yield self._added(index, item.model_copy(update={"content": [], "status": "in_progress"}))
        for place, part in enumerate(item.content):
            if isinstance(part, ResponseOutputText):
                yield from self._text(index, item.id, place, part)
        yield self._done(index, item)

    def _text(
        self, index: int, item_id: str, place: int, part: ResponseOutputText
    ) -> Iterator[TResponseStreamEvent]:
        yield ResponseContentPartAddedEvent(
            type="response.content_part.added",
            item_id=item_id,
            output_index=index,
            content_index=place,
            part=part.model_copy(deep=True, update={"text": ""}),
            sequence_number=self._next(),
        )
        for word in _WORD.findall(part.text):
            yield ResponseTextDeltaEvent(
                type="response.output_text.delta",
                item_id=item_id,
                output_index=index,
                content_index=place,
                delta=word,
                logprobs=[],
                sequence_number=self._next(),
            )
        yield ResponseTextDoneEvent(
            type="response.output_text.done",
            item_id=item_id,
            output_index=index,
            content_index=place,
            text=part.text,
            logprobs=[],
            sequence_number=self._next(),
        )
        yield ResponseContentPartDoneEvent(
            type="response.content_part.done",
            item_id=item_id,
            output_index=index,
            content_index=place,
            part=part.model_copy(deep=True),
            sequence_number=self._next(),
        )
