"""One attempt of a streamed call of a model."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from agents import Model, ModelSettings, ModelTracing, Tool, TResponseInputItem
from agents.agent_output import AgentOutputSchemaBase
from agents.exceptions import ModelBehaviorError
from agents.handoffs import Handoff
from agents.items import TResponseStreamEvent
from openai import APIStatusError
from openai.types.responses import Response
from openai.types.responses.response import IncompleteDetails

from backchannel.errors import (
    AnswerIncompleteError,
    AnswerTruncatedError,
    BackchannelError,
    ModelError,
    ModelRequestError,
    ModelResponseError,
    ModelTotalTimeoutError,
    ModelUnreachableError,
)
from backchannel.model_calls.metering import CallMeter, Report, input_tokens, limited_settings
from backchannel.model_calls.normalizer import ProviderFailureError, ResponseNormalizer
from backchannel.model_calls.provider_errors import explain_facts, explain_model_error, provider_facts
from backchannel.model_calls.redaction import redact
from backchannel.model_calls.timeouts import ModelTimeouts, Watch
from backchannel.models.event_stream import StreamRecord, current_record
from backchannel.models.response_events import ResponseEvents, usage

_BROKEN = {"error", "network_error", "abort", "malformed_function_call"}
"""Finish reasons of an answer that did not end well: OpenRouter, Zhipu, vLLM, Gemini."""
_LAST = {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
_CUT_OFF = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of a call, but for its input."""

    instructions: str | None
    settings: ModelSettings
    tools: list[Tool]
    output_schema: AgentOutputSchemaBase | None
    handoffs: list[Handoff]
    tracing: ModelTracing
    state: dict[str, Any]

    def arguments(self, items: list[TResponseInputItem]) -> tuple[Any, ...]:
        """The positional arguments of the model's methods."""
        return (
            self.instructions, items, self.settings, self.tools, self.output_schema, self.handoffs, self.tracing
        )  # fmt: skip

    def input_tokens(self, items: Sequence[TResponseInputItem]) -> int:
        """About how many tokens the call is with an input."""
        return input_tokens(self.instructions, items, self.tools, self.handoffs, self.output_schema)

    @property
    def tool_names(self) -> set[str]:
        """The names that the model may call."""
        return {tool.name for tool in self.tools} | {handoff.tool_name for handoff in self.handoffs}


class Attempt:
    """One attempt of a streamed call."""

    def __init__(
        self,
        model: Model,
        call: Call,
        items: list[TResponseInputItem],
        timeouts: ModelTimeouts,
        normalizer: ResponseNormalizer,
        meter: CallMeter | None,
    ) -> None:
        self._model = model
        self._call = call
        self._items = items
        self._timeouts = timeouts
        self._normalizer = normalizer
        self._meter = meter
        self._record = StreamRecord()
        self._report = Report()
        self._refused = False

    async def events(self) -> AsyncGenerator[TResponseStreamEvent]:
        """The normalized events. Raises what the model raises."""
        current_record.set(self._record)
        stream = self._open()
        feed = self._normalizer.feed
        meter = self._meter if self._meter is not None and self._meter.limited else None
        events, watch = aiter(stream), Watch(self._timeouts)
        try:
            while True:
                try:
                    event = await watch.next(events)
                except StopAsyncIteration:
                    break
                except NotImplementedError:
                    stream = self._whole()
                    events = aiter(stream)
                    continue
                if self._record.finish_reason == "content_filter" and self._is_notice(event):
                    continue
                if event.type in _LAST:
                    self._report = Report.of(getattr(getattr(event, "response", None), "usage", None))
                if event.type == "response.completed":
                    _check_end(self._record, event.response)
                if meter is not None and isinstance(delta := getattr(event, "delta", None), str):
                    await meter.count(delta)
                for normalized in feed(event):
                    yield normalized
        finally:
            watch.close()
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
        if not self._normalizer.completed:
            raise AnswerIncompleteError()

    def _open(self) -> AsyncIterator[TResponseStreamEvent]:
        try:
            return self._model.stream_response(*self._call.arguments(self._items), **self._call.state)
        except NotImplementedError:
            return self._whole()

    async def _whole(self) -> AsyncGenerator[TResponseStreamEvent]:
        """The response of a model that cannot stream, as one event."""
        limited = replace(self._call, settings=limited_settings(self._call.settings, self._meter))
        response = await self._model.get_response(*limited.arguments(self._items), **self._call.state)
        used = usage(response.usage.input_tokens, response.usage.output_tokens)
        yield ResponseEvents("whole").completed(cast("list[Any]", response.output), used)

    def explain(self, error: Exception) -> BackchannelError:
        """The error to raise for what the model raised.

        Raises:
            Exception: `error` itself, if it does not come from the provider or its client.
        """
        # Of a call that was answered with an error, or never reached its endpoint, nothing is charged.
        unreachable = ModelUnreachableError, ModelRequestError
        self._refused = isinstance(error, APIStatusError) and not self._normalizer.shown
        explained = self._by_record(error) or explained_error(error, self._items)
        self._refused = self._refused or (isinstance(explained, unreachable) and not self._normalizer.shown)
        if self._normalizer.shown and isinstance(explained, ModelUnreachableError):
            explained = AnswerIncompleteError()
        if isinstance(explained, ModelError) and explained.usage is None and self._record.usage is not None:
            explained.usage = (1, *self._record.usage)
        return explained

    async def close(self) -> None:
        """Book what the attempt has used."""
        if self._meter is None:
            return
        report = self._report
        if self._record.usage is not None and not (report.input_tokens or report.output_tokens):
            report = Report(*self._record.usage)
        await self._meter.close(report, None if self._refused else self._normalizer.written())

    def _by_record(self, error: Exception) -> BackchannelError | None:
        """The error for what the Agents SDK raises at the end of a stream of Chat Completions."""
        if not isinstance(error, ModelBehaviorError) or not self._record.chunks:
            return None
        match self._record.finish_reason:
            case "length":
                return AnswerTruncatedError()
            case None:
                return AnswerIncompleteError()
            case _:
                return None

    def _is_notice(self, event: Any) -> bool:
        """Whether an event belongs to the text that the Agents SDK makes up for a filtered answer without text. At the
        end of the stream, the text is removed from the response."""
        if event.type != "response.completed":
            return event.type.startswith(
                ("response.refusal", "response.content_part", "response.output_item")
            ) and (not self._normalizer.shown)
        if not self._normalizer.shown:
            event.response.output = [item for item in event.response.output if item.type != "message"]
        return False


def _check_end(record: StreamRecord, response: Response) -> None:
    """Transfer to a response of Chat Completions what the Agents SDK does not read from it.

    Raises:
        AnswerIncompleteError: The stream ended before the answer did.
    """
    if not record.chunks:
        return
    reason = _CUT_OFF.get(record.finish_reason or "")
    if reason is not None:
        response.status = "incomplete"
        response.incomplete_details = IncompleteDetails.model_construct(reason=reason)
    elif record.finish_reason in _BROKEN or (record.finish_reason is None and not record.ended):
        raise AnswerIncompleteError()


def explained_error(error: Exception, items: Sequence[TResponseInputItem]) -> BackchannelError:
    """The error for what a model raised, with what the provider said.

    Raises:
        Exception: `error` itself, if it does not come from a provider.
    """
    explained = _explain(error)
    if explained is None:
        raise error
    facts = error.facts if isinstance(error, ProviderFailureError) else provider_facts(error)
    if facts is not None and isinstance(explained, ModelError):
        explained.provider = {
            "provider_status": facts.status,
            "provider_code": facts.code,
            "provider_message": redact(facts.message, items),
        }
    return explained


def _explain(error: Exception) -> BackchannelError | None:
    match error:
        case BackchannelError():
            return error
        case ProviderFailureError():
            explained = explain_facts(error.facts)
            if isinstance(explained, ModelError):
                explained.usage = _usage(error.response)
            return explained
        case TimeoutError():
            return ModelTotalTimeoutError()
        case json.JSONDecodeError() | UnicodeDecodeError():
            return ModelResponseError("The model's endpoint sent broken JSON. Try again.")
        case _:
            return explain_model_error(error)


def _usage(response: Response | None) -> tuple[int, int, int] | None:
    counted = getattr(response, "usage", None)
    return None if counted is None else (1, counted.input_tokens or 0, counted.output_tokens or 0)


def call_ids(items: Sequence[TResponseInputItem]) -> set[str]:
    """The ids of the calls in an input."""
    return {str(call_id) for item in items if (call_id := cast("dict[str, Any]", item).get("call_id"))}


def written_in(output: Sequence[Any]) -> str:
    """The text that a model has written in a response: messages, thoughts, arguments of calls."""
    texts = [
        text
        for item in output
        for part in (item, *(getattr(item, "content", None) or ()), *(getattr(item, "summary", None) or ()))
        for name in ("text", "refusal", "arguments")
        if isinstance(text := getattr(part, name, None), str)
    ]
    return "\n".join(texts)
