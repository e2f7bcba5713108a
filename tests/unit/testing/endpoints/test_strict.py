"""The strict endpoint, over HTTP."""

import asyncio
import json
from typing import get_args

import httpx2
import pytest
from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    function_tool,
    handoff,
    set_tracing_disabled,
)
from openai import APIConnectionError, AsyncOpenAI, BadRequestError, InternalServerError, OpenAI

from backchannel.testing.endpoints import Call, Pause, Profile, Reply, Say, StrictEndpoint, tokens_of
from backchannel.testing.endpoints.rules import APIS
from unit.testing.endpoints.examples import CHAT, RESPONSES, USER, chat, items

pytestmark = pytest.mark.row("H5")

SERVED = [(profile, api) for profile, apis in APIS.items() for api in apis]


@pytest.fixture(autouse=True)
def no_tracing() -> None:
    set_tracing_disabled(True)


@function_tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"Rain in {city}"


def client(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=url, api_key="key", max_retries=0, timeout=20)


async def post(url: str, api: str, body: object) -> httpx2.Response:
    path = "/chat/completions" if api == "chat" else "/responses"
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with httpx2.AsyncClient() as http:
        return await http.post(url + path, content=content, headers={"content-type": "application/json"})


def test_every_profile_has_its_apis() -> None:
    assert set(get_args(Profile.__value__)) == set(APIS)


@pytest.mark.parametrize(
    ("profile", "api", "stream"),
    [
        *((profile, api, True) for profile, api in SERVED),
        ("openai-chat", "chat", False),
        ("openai-responses", "responses", False),
    ],
)
async def test_a_conversation_of_the_sdk_is_refused_nowhere(profile: str, api: str, stream: bool) -> None:
    """Texts, a call, two at once, a hand-off, and the turns after them."""
    endpoint = StrictEndpoint(
        profile,
        Say(["Hel", "lo"]),
        [Say("Let me look."), Call("weather", {"city": "Rome"})],
        [Call("weather", {"city": "Oslo"}), Call("weather", {"city": "Bonn"})],
        Say("It rains everywhere."),
        Call("transfer_to_expert"),
        Call("weather", {"city": "Kyiv"}),
        Say("Still rain."),
        Say("Bye."),
    )
    async with endpoint.running() as url, client(url) as openai:
        kind = OpenAIChatCompletionsModel if api == "chat" else OpenAIResponsesModel
        model = kind("model-1", openai_client=openai)
        expert = Agent(name="expert", instructions="Know.", model=model, tools=[weather])
        agent = Agent(
            name="helper", instructions="Help.", model=model, tools=[weather], handoffs=[handoff(expert)]
        )
        history, said = [], []
        for text in ("Hi", "Weather?", "An expert, please", "Thanks"):
            history.append({"role": "user", "content": text})
            if stream:
                result = Runner.run_streamed(agent, history, run_config=RunConfig())
                async for _ in result.stream_events():
                    pass
            else:
                result = await Runner.run(agent, history)
            said.append(result.final_output)
            history = result.to_input_list()
    assert endpoint.refused == []
    assert said == ["Hello", "It rains everywhere.", "Still rain.", "Bye."]
    assert [request.api for request in endpoint.requests] == [api] * 8
    assert [request.number for request in endpoint.requests] == list(range(8))


@pytest.mark.parametrize("model", ["gemini-3-pro", "deepseek-reasoner", "deepseek-v4-pro"])
async def test_what_a_provider_wants_back_is_sent_and_demanded(model: str) -> None:
    profile = model.partition("-")[0]
    endpoint = StrictEndpoint(profile, Call("weather", {"city": "Rome"}), Say("Rain."), Say("Bye."))
    async with endpoint.running() as url, client(url) as openai:
        agent = Agent(
            name="helper", model=OpenAIChatCompletionsModel(model, openai_client=openai), tools=[weather]
        )
        result = await Runner.run(agent, "Weather?")
        assert result.final_output == "Rain."
        kept = json.dumps(endpoint.requests[-1].body["messages"])
        assert ("thought_signature" if profile == "gemini" else "reasoning_content") in kept
        history = [*result.to_input_list(), {"role": "user", "content": "Thanks"}]
        assert (await Runner.run(agent, history)).final_output == "Bye."
    assert endpoint.refused == []


@pytest.mark.parametrize(
    ("profile", "example", "status", "body"),
    [
        (
            "openai-responses",
            RESPONSES["output_without_call"],
            400,
            {
                "error": {
                    "message": "No tool call found for function call output with call_id call_1.",
                    "type": "invalid_request_error",
                    "param": "input",
                    "code": None,
                }
            },
        ),
        (
            "gemini",
            CHAT["message_without_parts"],
            400,
            [
                {
                    "error": {
                        "code": 400,
                        "message": "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty.\n",
                        "status": "INVALID_ARGUMENT",
                    }
                }
            ],
        ),
        (
            "anthropic",
            CHAT["text_blank"],
            400,
            {
                "type": "error",
                "error": {
                    "type": "invalid_request_error",
                    "message": "messages: text content blocks must contain non-whitespace text",
                },
                "request_id": "req_011CUvdPgnreuT3DxJPFAoqt",
            },
        ),
        (
            "mistral",
            CHAT["user_after_output"],
            400,
            {
                "object": "error",
                "message": "Unexpected role 'user' after role 'tool'",
                "type": "invalid_request_message_order",
                "param": None,
                "code": "3230",
            },
        ),
        (
            "mistral",
            CHAT["unknown_field"],
            422,
            {
                "object": "error",
                "message": {
                    "detail": [
                        {
                            "type": "extra_forbidden",
                            "loc": ["body", "messages", 1, "assistant", "reasoning_content"],
                            "msg": "Extra inputs are not permitted",
                        }
                    ]
                },
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            },
        ),
        (
            "vllm",
            CHAT["tools_empty"],
            400,
            {
                "error": {
                    "message": "`tools` must not be an empty array.",
                    "type": "BadRequestError",
                    "param": None,
                    "code": 400,
                }
            },
        ),
        (
            "deepseek",
            CHAT["assistant_with_empty_content"],
            400,
            {
                "error": {
                    "message": "Invalid assistant message: content or tool_calls must be set",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "invalid_request_error",
                }
            },
        ),
        (
            "llama.cpp",
            CHAT["roles_do_not_alternate"],
            500,
            {
                "error": {
                    "code": 500,
                    "message": "Error: Jinja Exception: After the optional system message, conversation roles must "
                    "alternate user and assistant roles except for tool calls and results.",
                    "type": "server_error",
                }
            },
        ),
    ],
)
async def test_a_refusal_has_the_status_and_the_body_of_the_api(profile, example, status, body) -> None:
    endpoint = StrictEndpoint(profile, Say("never"))
    async with endpoint.running() as url:
        api = "chat" if "messages" in example[0] else "responses"
        refused = await post(url, api, example[0])
        assert (refused.status_code, refused.json()) == (status, body)
        assert len(endpoint.refused) == 1
        # The refused request has not used up the step.
        served = await post(url, api, example[1])
        assert served.status_code == 200
        assert "never" in served.text


async def test_clients_raise_what_they_raise_for_the_api() -> None:
    endpoint = StrictEndpoint("llama.cpp")
    async with endpoint.running() as url, client(url) as openai:
        with pytest.raises(InternalServerError, match="must alternate"):
            await openai.chat.completions.create(**CHAT["roles_do_not_alternate"][0])
        with pytest.raises(BadRequestError, match="must be at the beginning"):
            await openai.chat.completions.create(**CHAT["system_message_not_first"][0])


CONTEXT = {
    "openai-chat": "context_length_exceeded",
    "openai-responses": "context_length_exceeded",
    "azure": "context_length_exceeded",
    "gemini": "exceeds the maximum number of tokens allowed",
    "anthropic": "prompt is too long: ",
    "mistral": "too large for model with 100 maximum context length",
    "vllm": "maximum context length is 100 tokens",
    "deepseek": "maximum context length is 100 tokens",
    "llama.cpp": '"type": "exceed_context_size_error", "n_prompt_tokens": ',
    "strictest": "context_length_exceeded",
}


@pytest.mark.parametrize(("profile", "api"), SERVED)
async def test_a_request_without_room_is_refused_as_the_api_does(profile: str, api: str) -> None:
    endpoint = StrictEndpoint(profile, context_tokens=100)
    small, large = {**USER, "content": "x" * 200}, {**USER, "content": "x" * 500}
    async with endpoint.running() as url:
        assert (await post(url, api, chat(small) if api == "chat" else items(small))).status_code == 200
        refused = await post(url, api, chat(large) if api == "chat" else items(large))
    assert refused.status_code == 400
    assert CONTEXT[profile] in refused.text
    assert endpoint.refused[0][0].rule == "context_length"


def test_four_bytes_are_a_token() -> None:
    assert tokens_of({"messages": []}) == 1
    base = tokens_of(chat(USER))
    assert tokens_of(chat({**USER, "content": USER["content"] + 400 * "x"})) == base + 100
    assert tokens_of(chat({**USER, "content": USER["content"] + 100 * "\U0001f600"})) == base + 100
    assert tokens_of(chat(USER, temperature=1, user="x" * 400)) == base


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"messages": "\xff"}'])
async def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    endpoint = StrictEndpoint("openai-chat")
    async with endpoint.running() as url:
        refused = await post(url, "chat", body)
    assert refused.status_code == 400
    assert "could not parse the JSON body" in refused.json()["error"]["message"]
    assert endpoint.requests == []


async def test_an_api_that_the_profile_does_not_serve_is_not_found() -> None:
    async with StrictEndpoint("gemini").running() as url, httpx2.AsyncClient() as http:
        assert (await http.post(url + "/responses", json=items(USER))).status_code == 404
        assert (await http.post(url + "/embeddings", json={})).status_code == 404
        assert (await http.get(url + "/chat/completions")).status_code == 405


async def test_an_answer_waits_for_an_event_and_can_break_off() -> None:
    event = asyncio.Event()
    endpoint = StrictEndpoint(
        "openai-chat", Say(["one", "two"], until=event), Say(["one", "two"], error=ConnectionError())
    )
    async with endpoint.running() as url, client(url) as openai:
        seen = []
        stream = await openai.chat.completions.create(**chat(USER), stream=True)
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                seen.append(chunk.choices[0].delta.content)
                event.set()
        assert seen == ["one", "two"]
        stream = await openai.chat.completions.create(**chat(USER), stream=True)
        texts = (chunk.choices[0].delta.content async for chunk in stream)
        assert [await anext(texts), await anext(texts)] == ["", "one"]
        with pytest.raises((APIConnectionError, httpx2.RemoteProtocolError)):
            await anext(texts)


async def test_an_answer_does_not_wait_longer_than_its_patience() -> None:
    endpoint = StrictEndpoint("openai-chat", Reply([b"a", Pause(asyncio.Event()), b"b"]))
    endpoint.patience = 0.01
    async with endpoint.running() as url:
        assert (await post(url, "chat", chat(USER))).text == "ab"


def test_tests_that_are_not_async_have_it_in_a_thread() -> None:
    endpoint = StrictEndpoint("openai-chat", Say("hello"), then=Say("again"))
    with endpoint.running_in_thread() as url:
        openai = OpenAI(base_url=url, api_key="key", max_retries=0, timeout=20)
        answers = [openai.chat.completions.create(**chat(USER)).choices[0].message.content for _ in range(3)]
        openai.close()
    assert answers == ["hello", "again", "again"]


def test_a_profile_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="there are: openai-responses"):
        StrictEndpoint("openai")
