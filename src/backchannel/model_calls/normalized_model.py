"""A model whose input and output have the same form, whatever provider it is of."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, override

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
from agents.handoffs import Handoff
from agents.items import TResponseStreamEvent
from agents.retry import ModelRetryAdvice, ModelRetryAdviceRequest
from openai import APIConnectionError, APIError, APIStatusError
from openai.types.responses import ResponsePromptParam

from backchannel.errors import (
    BackchannelError,
    MessageTooLongError,
    ModelRateLimitedError,
    ModelUnavailableError,
)
from backchannel.model_calls.attempt import Attempt, Call, call_ids, explained_error, written_in
from backchannel.model_calls.context_window import ContextWindow, shrink
from backchannel.model_calls.media import MediaRefusals
from backchannel.model_calls.metering import (
    NO_METERING,
    CallMeter,
    Metering,
    Report,
    limited_settings,
    open_meter,
)
from backchannel.model_calls.model_input import normalize_input
from backchannel.model_calls.normalizer import ProviderFailureError, ResponseNormalizer
from backchannel.model_calls.output_items import clean_output
from backchannel.model_calls.retry_advice import retry_advice
from backchannel.model_calls.timeouts import ModelTimeouts

log = structlog.get_logger(__name__)

MAX_SMALLER_INPUTS = 8
"""Each has half of the turns of the one before, so this is enough for 256 turns."""

RETRY_DELAYS = (0.5, 2.0)
"""Seconds before each repetition of a call whose stream began with an error. Calls that fail with an HTTP status are
repeated by the OpenAI client, which honours `Retry-After`."""


class NormalizedModel(Model):
    """Calls another model with input that every API accepts, and yields a well-formed stream.

    - The input is corrected (`model_input`), and made smaller if it exceeds the model's context, or has pictures or
      documents that it does not take (`media`).
    - Time limits hold (`timeouts`).
    - What arrived is yielded before any error, and each item is closed.
    - A response that is cut off or filtered is completed with `status` `incomplete` and its reason.
    - Errors of the provider become errors of `backchannel.errors`, with the provider's as cause.

    - What it uses is charged to the caller of the run (`metering`). Each attempt is.

    A call is repeated if its stream begins with an error that may pass, and never after content was yielded.
    """

    def __init__(self, model: Model, timeouts: ModelTimeouts, metering: Metering = NO_METERING) -> None:
        self.inner = model
        self._timeouts = timeouts
        self._metering = metering
        self._context = ContextWindow()
        self._media = MediaRefusals()

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
        call = Call(system_instructions, model_settings, tools, output_schema, handoffs, tracing, state)
        items = self._fit(self._input(input, state))
        for _ in range(MAX_SMALLER_INPUTS):
            try:
                response = await self._whole(call, items)
                break
            except Exception as error:
                items = self._smaller(items, explained_error(error, items), error)
        else:
            raise MessageTooLongError
        response.output = clean_output(response.output, call.tool_names, call_ids(items))
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
        call = Call(system_instructions, model_settings, tools, output_schema, handoffs, tracing, state)
        return self._stream(call, self._input(input, state))

    @override
    def get_retry_advice(self, request: ModelRetryAdviceRequest) -> ModelRetryAdvice | None:
        return retry_advice(self.inner, request)

    @override
    async def close(self) -> None:
        await self.inner.close()

    async def _whole(self, call: Call, items: list[TResponseInputItem]) -> ModelResponse:
        """One attempt of a call that is not streamed. Raises what the model raises."""
        meter = await self._meter(call, items)
        report, written = Report(), ""
        try:
            limited = replace(call, settings=limited_settings(call.settings, meter))
            async with asyncio.timeout(self._timeouts.total):
                response = await self.inner.get_response(*limited.arguments(items), **call.state)
            report, written = Report.of(response.usage), written_in(response.output)
            return response
        except (APIStatusError, APIConnectionError):
            written = None
            raise
        finally:
            if meter is not None:
                await meter.close(report, written)

    async def _meter(self, call: Call, items: list[TResponseInputItem]) -> CallMeter | None:
        name = getattr(self.inner, "model", None)
        name = name if isinstance(name, str) and name else type(self.inner).__name__
        return await open_meter(self._metering, name, call.settings, partial(call.input_tokens, items))

    async def _stream(
        self, call: Call, items: list[TResponseInputItem]
    ) -> AsyncGenerator[TResponseStreamEvent]:
        items = self._fit(items)
        delays = iter(_retry_delays(call.settings))
        while True:
            normalizer = ResponseNormalizer(call.tool_names, call_ids(items))
            meter = await self._meter(call, items)
            attempt = Attempt(self.inner, call, items, self._timeouts, normalizer, meter)
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
            finally:
                await attempt.close()

    def _input(
        self, items: str | list[TResponseInputItem], state: dict[str, Any]
    ) -> list[TResponseInputItem]:
        """The normalized input of a call. If the provider keeps the conversation, the calls of outputs are there."""
        if state["previous_response_id"] is None and state["conversation_id"] is None:
            return normalize_input(items, responses_api=isinstance(self.inner, OpenAIResponsesModel))
        return [{"role": "user", "content": items}] if isinstance(items, str) else items

    def _fit(self, items: list[TResponseInputItem]) -> list[TResponseInputItem]:
        """The input as far as the model is known to take it."""
        return self._context.fit(self._media.fit(items))

    def _smaller(
        self, items: list[TResponseInputItem], explained: BackchannelError, error: BaseException
    ) -> list[TResponseInputItem]:
        """A smaller input, if the error is about its size, or about pictures and documents; else raises the error."""
        if isinstance(explained, MessageTooLongError):
            self._context.refused(items)
            smaller = shrink(items)
            if smaller is not None:
                log.info("model_input_shortened", items_before=len(items), items_after=len(smaller))
                return normalize_input(smaller, responses_api=isinstance(self.inner, OpenAIResponsesModel))
        if (fewer := self._media.refused(items, error)) is not None:
            log.info("model_takes_no_media", model=getattr(self.inner, "model", None))
            return fewer
        if explained is error:
            raise explained
        raise explained from error


def _retry_delays(settings: ModelSettings) -> Sequence[float]:
    """Seconds before each repetition; none if the agent wants no retries."""
    retry = settings.retry
    return () if retry is not None and retry.max_retries == 0 else RETRY_DELAYS


def may_pass(explained: BackchannelError, error: Exception) -> bool:
    """Whether a failure was reported in a stream, and may be over soon. The OpenAI client repeats calls that fail with
    an HTTP status."""
    in_stream = isinstance(error, ProviderFailureError) or (
        isinstance(error, APIError) and not isinstance(error, APIStatusError | APIConnectionError)
    )
    return in_stream and isinstance(explained, ModelRateLimitedError | ModelUnavailableError)
