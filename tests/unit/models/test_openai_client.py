"""The OpenAI client reads deltas faster, and as ever."""

import json
from collections.abc import AsyncGenerator
from typing import Any, cast

import httpx2
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AsyncStream
from openai.types import responses

from backchannel.models.event_stream import EventStreamDecoder
from backchannel.models.openai_client import OpenAIClient, decoding_client

pytestmark = pytest.mark.row("C4")

DELTAS: list[dict[str, Any]] = [
    {
        "type": "response.output_text.delta",
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": "Hällo\u2028",
        "logprobs": [{"token": "H", "logprob": -0.1, "top_logprobs": []}],
        "sequence_number": 4,
        "obfuscation": "xyz",
    },
    {
        "type": "response.function_call_arguments.delta",
        "item_id": "fc_1",
        "output_index": 1,
        "delta": '{"a',
        "sequence_number": 5,
    },
    {
        "type": "response.refusal.delta",
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": "No",
        "sequence_number": 6,
    },
    {
        "type": "response.reasoning_summary_text.delta",
        "item_id": "rs_1",
        "output_index": 0,
        "summary_index": 0,
        "delta": "Hm",
        "sequence_number": 7,
    },
    {
        "type": "response.reasoning_text.delta",
        "item_id": "rs_1",
        "output_index": 0,
        "content_index": 0,
        "delta": "Hm",
        "sequence_number": 8,
    },
]
INCOMPLETE: list[dict[str, Any]] = [
    {"type": "response.output_text.delta", "delta": "no numbers"},
    {"type": "response.output_text.delta", "delta": 7, "logprobs": None},
    {"type": "response.made_up.delta", "delta": "?"},
    {"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1"}},
    {"type": 7},
    {},
]


@pytest.fixture
async def client() -> AsyncGenerator[OpenAIClient]:
    client = OpenAIClient(api_key="none", base_url=None)
    yield client
    await client.close()


@pytest.fixture
async def plain() -> AsyncGenerator[AsyncOpenAI]:
    client = AsyncOpenAI(api_key="none")
    yield client
    await client.close()


def read(client: AsyncOpenAI, event: dict[str, Any]) -> Any:
    # As the client's own stream does it.
    cast_to = responses.ResponseStreamEvent
    data = json.loads(json.dumps(event))
    return cast("Any", client)._process_response_data(data=data, cast_to=cast_to, response=None)


@pytest.mark.parametrize("event", [*DELTAS, *INCOMPLETE], ids=lambda event: str(event.get("type")))
async def test_events_are_what_the_client_itself_makes_of_them(
    client: OpenAIClient, plain: AsyncOpenAI, event: dict[str, Any]
) -> None:
    mine, usual = read(client, event), read(plain, event)
    assert type(mine) is type(usual)
    assert mine == usual


async def test_deltas_of_a_stream_are_not_held_against_every_kind(
    client: OpenAIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dear(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("the dear way")

    monkeypatch.setattr(AsyncOpenAI, "_process_response_data", dear)
    lines = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in DELTAS)
    request = httpx2.Request("POST", "http://127.0.0.1/v1/responses")
    response = httpx2.Response(200, content=lines.encode(), request=request)
    kind = cast("type[responses.ResponseStreamEvent]", responses.ResponseStreamEvent)
    stream = AsyncStream[responses.ResponseStreamEvent](cast_to=kind, response=response, client=client)
    assert [cast("Any", event).delta async for event in stream] == [event["delta"] for event in DELTAS]


@pytest.mark.row("B10")
@pytest.mark.parametrize(
    "client",
    [
        OpenAIClient(api_key="x", base_url="http://127.0.0.1:1/v1"),
        AsyncOpenAI(api_key="x", base_url="http://127.0.0.1:1/v1"),
        AsyncAzureOpenAI(api_key="x", azure_endpoint="http://127.0.0.1:1", api_version="1"),
    ],
    ids=lambda client: type(client).__name__,
)
def test_a_copy_of_a_client_decodes_as_the_client_does(client: AsyncOpenAI) -> None:
    """The Agents SDK makes one for calls that must not be repeated."""
    copy: Any = decoding_client(client).with_options(max_retries=0).copy(timeout=7)
    assert type(copy) is type(client)
    assert (copy.max_retries, copy.timeout, copy.api_key, str(copy.base_url)) == (
        0,
        7,
        "x",
        str(client.base_url),
    )
    assert isinstance(copy._make_sse_decoder(), EventStreamDecoder)
    assert copy._client is client._client
