"""A model whose input and output have the same form, whatever provider it is of."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast, override

import structlog
from agents import (
    Model,
    ModelResponse,
    ModelSettings,
    ModelTracing,
    OpenAIResponsesModel,
    Tool,
    TResponseInputItem,
)
from agents.agent_output import AgentOutputSchemaBase
from agents.exceptions import ModelBehaviorError
from agents.handoffs import Handoff
from agents.items import TResponseStreamEvent
from agents.retry import ModelRetryAdvice, ModelRetryAdviceRequest
from openai import APIConnectionError, APIError, APIStatusError
from openai.types.responses import Response, ResponsePromptParam
from openai.types.responses.response import IncompleteDetails

from backchannel.errors import (
    AnswerIncompleteError,
    AnswerTruncatedError,
    BackchannelError,
    MessageTooLongError,
    ModelError,
    ModelRateLimitedError,
    ModelResponseError,
    ModelTotalTimeoutError,
    ModelUnavailableError,
    ModelUnreachableError,
)
from backchannel.model_calls.context_window import ContextWindow, shrink
from backchannel.model_calls.model_input import normalize_input
from backchannel.model_calls.normalizer import ProviderFailureError, ResponseNormalizer
from backchannel.model_calls.output_items import clean_output
from backchannel.model_calls.provider_errors import explain_facts, explain_model_error, provider_facts
from backchannel.model_calls.redaction import redact
from backchannel.model_calls.retry_advice import retry_advice
from backchannel.model_calls.timeouts import ModelTimeouts, Watch
from backchannel.models.event_stream import StreamRecord, current_record
from backchannel.models.response_events import ResponseEvents, usage

log = structlog.get_logger(__name__)

MAX_SMALLER_INPUTS = 8
"""Each has half of the turns of the one before, so this is enough for 256 turns."""

RETRY_DELAYS = (0.5, 2.0)
"""Seconds before each repetition of a call whose stream began with an error. Calls that fail with an HTTP status are
repeated by the OpenAI client, which honours `Retry-After`."""


_BROKEN = {"error", "network_error", "abort", "malformed_function_call"}
"""Finish reasons of an answer that did not end well: OpenRouter, Zhipu, vLLM, Gemini."""
_CUT_OFF = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class _Call:
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

    @property
    def retry_delays(self) -> Sequence[float]:
        """Seconds before each repetition; none if the agent wants no retries."""
        retry = self.settings.retry
        return () if retry is not None and retry.max_retries == 0 else RETRY_DELAYS

    @property
    def tool_names(self) -> set[str]:
        """The names that the model may call."""
        return {tool.name for tool in self.tools} | {handoff.tool_name for handoff in self.handoffs}


class NormalizedModel(Model):
    """Calls another model with input that every API accepts, and yields a well-formed stream.

    - The input is corrected (`model_input`), and made smaller if it exceeds the model's context.
    - Time limits hold (`timeouts`).
    - What arrived is yielded before any error, and each item is closed.
    - A response that is cut off or filtered is completed with `status` `incomplete` and its reason.
    - Errors of the provider become errors of `backchannel.errors`, with the provider's as cause.

    A call is repeated if its stream begins with an error that may pass, and never after content was yielded.
    """

    def __init__(self, model: Model, timeouts: ModelTimeouts) -> None:
        self.inner = model
        self._timeouts = timeouts
        self._context = ContextWindow()

    def __getattr__(self, name: str) -> Any:
        # Such as `model`, the name, and `_supports_default_prompt_cache_key`, which the Agents SDK looks for.
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

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
        prompt: ResponsePromptParam | None,
    ) -> ModelResponse:
        state = {
            "previous_response_id": previous_response_id, "conversation_id": conversation_id, "prompt": prompt
        }  # fmt: skip
        call = _Call(system_instructions, model_settings, tools, output_schema, handoffs, tracing, state)
        items = self._context.fit(self._input(input, state))
        for _ in range(MAX_SMALLER_INPUTS):
            try:
                async with asyncio.timeout(self._timeouts.total):
                    response = await self.inner.get_response(*call.arguments(items), **state)
                break
            except Exception as error:
                items = self._smaller(items, _explained(error, items), error)
        else:
            raise MessageTooLongError
        response.output = clean_output(response.output, call.tool_names, _call_ids(items))
        return response

    @override
    def stream_response(
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
        prompt: ResponsePromptParam | None,
    ) -> AsyncIterator[TResponseStreamEvent]:
        state = {
            "previous_response_id": previous_response_id, "conversation_id": conversation_id, "prompt": prompt
        }  # fmt: skip
        call = _Call(system_instructions, model_settings, tools, output_schema, handoffs, tracing, state)
        return self._stream(call, self._input(input, state))

    @override
    def get_retry_advice(self, request: ModelRetryAdviceRequest) -> ModelRetryAdvice | None:
        return retry_advice(self.inner, request)

    @override
    async def close(self) -> None:
        await self.inner.close()

    async def _stream(
        self, call: _Call, items: list[TResponseInputItem]
    ) -> AsyncGenerator[TResponseStreamEvent]:
        items = self._context.fit(items)
        delays = iter(call.retry_delays)
        while True:
            normalizer = ResponseNormalizer(call.tool_names, _call_ids(items))
            attempt = _Attempt(self.inner, call, items, self._timeouts, normalizer)
            try:
                async with aclosing(attempt.events()) as events:
                    async for event in events:
                        yield event
                return
            except Exception as error:
                if normalizer.completed:
                    # The connection failed while it was closed.
                    log.info("model_stream_close_failed", error=type(error).__name__)
                    return
                for event in normalizer.close():
                    yield event
                explained = attempt.explain(error)
                if not normalizer.shown and may_pass(explained, error):
                    delay = next(delays, None)
                    if delay is not None:
                        await asyncio.sleep(max(delay, explained.retry_after or 0))
                        continue
                if normalizer.shown:
                    raise explained from error
                items = self._smaller(items, explained, error)

    def _input(
        self, items: str | list[TResponseInputItem], state: dict[str, Any]
    ) -> list[TResponseInputItem]:
        """The normalized input of a call. If the provider keeps the conversation, the calls of outputs are there."""
        if state["previous_response_id"] is None and state["conversation_id"] is None:
            return normalize_input(items, responses_api=isinstance(self.inner, OpenAIResponsesModel))
        return [{"role": "user", "content": items}] if isinstance(items, str) else items

    def _smaller(
        self, items: list[TResponseInputItem], explained: BackchannelError, error: BaseException
    ) -> list[TResponseInputItem]:
        """A smaller input, if the error is about its size; else raises the error."""
        if isinstance(explained, MessageTooLongError):
            self._context.refused(items)
            smaller = shrink(items)
            if smaller is not None:
                log.info("model_input_shortened", items_before=len(items), items_after=len(smaller))
                return normalize_input(smaller, responses_api=isinstance(self.inner, OpenAIResponsesModel))
        if explained is error:
            raise explained
        raise explained from error


class _Attempt:
    """One attempt of a streamed call."""

    def __init__(
        self,
        model: Model,
        call: _Call,
        items: list[TResponseInputItem],
        timeouts: ModelTimeouts,
        normalizer: ResponseNormalizer,
    ) -> None:
        self._model = model
        self._call = call
        self._items = items
        self._timeouts = timeouts
        self._normalizer = normalizer
        self._record = StreamRecord()

    async def events(self) -> AsyncGenerator[TResponseStreamEvent]:
        """The normalized events. Raises what the model raises."""
        current_record.set(self._record)
        stream = self._open()
        feed = self._normalizer.feed
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
                if event.type == "response.completed":
                    _check_end(self._record, event.response)
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
        response = await self._model.get_response(*self._call.arguments(self._items), **self._call.state)
        used = usage(response.usage.input_tokens, response.usage.output_tokens)
        yield ResponseEvents("whole").completed(cast("list[Any]", response.output), used)

    def explain(self, error: Exception) -> BackchannelError:
        """The error to raise for what the model raised.

        Raises:
            Exception: `error` itself, if it does not come from the provider or its client.
        """
        explained = self._by_record(error) or _explained(error, self._items)
        if self._normalizer.shown and isinstance(explained, ModelUnreachableError):
            explained = AnswerIncompleteError()
        if isinstance(explained, ModelError) and explained.usage is None and self._record.usage is not None:
            explained.usage = (1, *self._record.usage)
        return explained

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


def may_pass(explained: BackchannelError, error: Exception) -> bool:
    """Whether a failure was reported in a stream, and may be over soon. The OpenAI client repeats calls that fail with
    an HTTP status."""
    in_stream = isinstance(error, ProviderFailureError) or (
        isinstance(error, APIError) and not isinstance(error, APIStatusError | APIConnectionError)
    )
    return in_stream and isinstance(explained, ModelRateLimitedError | ModelUnavailableError)


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


def _explained(error: Exception, items: Sequence[TResponseInputItem]) -> BackchannelError:
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


def _call_ids(items: Sequence[TResponseInputItem]) -> set[str]:
    return {str(call_id) for item in items if (call_id := cast("dict[str, Any]", item).get("call_id"))}
