"""An OpenAI client with faster streaming."""

import ssl
from functools import cache
from typing import Any, cast, override

import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient
from openai.types import responses
from pydantic import BaseModel, ValidationError

from backchannel.models.event_stream import EventStreamDecoder

# The frequent event types. Their class follows from `type` alone.
_DELTAS: dict[str, type[BaseModel]] = {
    "response.output_text.delta": responses.ResponseTextDeltaEvent,
    "response.refusal.delta": responses.ResponseRefusalDeltaEvent,
    "response.function_call_arguments.delta": responses.ResponseFunctionCallArgumentsDeltaEvent,
    "response.reasoning_text.delta": responses.ResponseReasoningTextDeltaEvent,
    "response.reasoning_summary_text.delta": responses.ResponseReasoningSummaryTextDeltaEvent,
}


@cache
def tls_context() -> ssl.SSLContext:
    """The trusted certificates, loaded once for all clients of a process."""
    return httpx2.create_ssl_context()


class OpenAIClient(AsyncOpenAI):
    """An `AsyncOpenAI` over aiohttp that validates each delta of a streamed response against the class of its `type`.

    The original validates every event against a union of more than fifty classes, which takes 60 µs, a fifth of the
    server's cost per token; validation against one class takes 2 µs (`benchmarks.cost`). Other events are handled by
    the original. aiohttp's transport saves another tenth.

    Args:
        api_key: As for `AsyncOpenAI`.
        base_url: The URL of the endpoint; `None` for OpenAI's.
        options: As for `AsyncOpenAI`. Its `copy` passes all of them.
    """

    def __init__(self, *, api_key: str, base_url: str | None, **options: Any) -> None:
        # A copy has the HTTP client of the original.
        http_client = options.pop("http_client", None) or DefaultAioHttpClient(verify=tls_context())
        super().__init__(api_key=api_key, base_url=base_url, http_client=http_client, **options)

    @override
    def _make_sse_decoder(self) -> EventStreamDecoder:
        return EventStreamDecoder()

    # The client parses all responses here. If a later version no longer calls it, only the speed is lost.
    @override
    def _process_response_data(self, *, data: object, cast_to: type[Any], response: Any) -> Any:
        if isinstance(data, dict) and cast_to is responses.ResponseStreamEvent:
            model = _DELTAS.get(cast("dict[str, Any]", data).get("type", ""))
            if model is not None:
                try:
                    return model.model_validate(data)
                except ValidationError:
                    # Some servers omit required fields, which the original accepts.
                    pass
        parsed: Any = super()._process_response_data(
            data=cast("object", data), cast_to=cast_to, response=response
        )
        return parsed


def decoding_client(client: AsyncOpenAI) -> AsyncOpenAI:
    """A copy of a client, with its connections, that decodes streams with `EventStreamDecoder`."""
    if isinstance(client, OpenAIClient):
        return client
    return _decoding(client.copy())


def _decoding(client: AsyncOpenAI) -> AsyncOpenAI:
    # The class is the application's, such as `AsyncAzureOpenAI`, so the methods are replaced in the object.
    replaced: Any = client
    copy = client.copy
    replaced._make_sse_decoder = EventStreamDecoder  # noqa: SLF001

    def decoding_copy(**options: Any) -> AsyncOpenAI:
        return _decoding(copy(**options))

    # The Agents SDK makes a copy for calls that the client must not repeat.
    replaced.copy = replaced.with_options = decoding_copy
    return client
