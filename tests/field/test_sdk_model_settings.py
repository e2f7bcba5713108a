"""`ModelSettings` and prompts of an agent, as they reach an endpoint."""

import asyncio
from typing import Any

import httpx2
import pytest
from agents import (
    Agent,
    AgentHooks,
    GenerateDynamicPromptData,
    ModelResponse,
    ModelRetryBackoffSettings,
    ModelRetrySettings,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Prompt,
    retry_policies,
)
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types.shared import Reasoning

from backchannel.testing.endpoints import Pause, Reply, Say, StrictEndpoint
from backchannel.testing.endpoints.wire import ChatStream, json_reply
from field.odd_models import error, lookup, say, served_on, texts

pytestmark = pytest.mark.row("B10")

SAME = {
    "temperature": 0.5,
    "top_p": 0.9,
    "parallel_tool_calls": False,
    "metadata": {"a": "b"},
    "store": False,
}
"""Fields that have the same name in both APIs."""


async def request_of(serve: Any, stack: Any, api: str, settings: ModelSettings, **agent: Any) -> Any:
    """The first request of an agent with these settings, over one of the APIs."""
    profile = "openai-chat" if api == "chat_completions" else "openai-responses"
    endpoint = StrictEndpoint(profile)
    made = Agent[Any](name="A", model_settings=settings, tools=[lookup], **agent)
    served = await served_on(serve, stack, endpoint, made, model_api=api)
    _, events = await served.create()
    assert error(events) is None
    return endpoint.requests[0]


async def test_settings_reach_chat_completions(serve: Any, stack: Any) -> None:
    settings = ModelSettings(
        **SAME,
        frequency_penalty=0.1,
        presence_penalty=0.2,
        max_tokens=77,
        reasoning=Reasoning(effort="low"),
        verbosity="low",
        top_logprobs=2,
        prompt_cache_retention="24h",
        include_usage=True,
        extra_body={"safety_identifier": "x"},
        extra_headers={"X-Mine": "yes"},
        extra_args={"seed": 7},
        extra_query={"version": "2"},
    )
    request = await request_of(serve, stack, "chat_completions", settings)
    expected = SAME | {
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "max_tokens": 77,
        "reasoning_effort": "low",
        "verbosity": "low",
        "top_logprobs": 2,
        "prompt_cache_retention": "24h",
        "stream_options": {"include_usage": True},
        "safety_identifier": "x",
        "seed": 7,
    }
    assert {name: request.body.get(name) for name in expected} == expected
    assert request.headers["x-mine"] == "yes"


async def test_settings_reach_the_responses_api(serve: Any, stack: Any) -> None:
    settings = ModelSettings(
        **SAME,
        truncation="auto",
        max_tokens=77,
        reasoning=Reasoning(effort="low", summary="auto"),
        verbosity="low",
        response_include=["reasoning.encrypted_content"],
        context_management=[{"type": "compaction", "compact_threshold": 200_000}],
        prompt_cache_retention="24h",
        prompt_cache_options={"mode": "explicit", "ttl": "30m"},
        extra_body={"safety_identifier": "x"},
        extra_headers={"X-Mine": "yes"},
        extra_args={"service_tier": "flex"},
    )
    request = await request_of(serve, stack, "responses", settings)
    expected = SAME | {
        "truncation": "auto",
        "max_output_tokens": 77,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"verbosity": "low"},
        "include": ["reasoning.encrypted_content"],
        "context_management": [{"type": "compaction", "compact_threshold": 200_000}],
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
        "safety_identifier": "x",
        "service_tier": "flex",
    }
    assert {name: request.body.get(name) for name in expected} == expected
    assert request.headers["x-mine"] == "yes"


@pytest.mark.parametrize("dynamic", [False, True])
async def test_a_prompt_reaches_the_responses_api(serve: Any, stack: Any, dynamic: bool) -> None:
    prompt: Prompt = {"id": "pmpt_1", "version": "2", "variables": {"style": "brief"}}

    async def made(data: GenerateDynamicPromptData) -> Prompt:
        user = data.context.context.request_context.identity.user
        return {**prompt, "variables": {"style": "brief", "user": user}}

    request = await request_of(serve, stack, "responses", ModelSettings(), prompt=made if dynamic else prompt)
    sent = request.body["prompt"]
    if dynamic:
        assert sent["variables"].pop("user")
    assert sent == prompt
    assert request.body["model"] == "m", "BACKCHANNEL_MODEL wins over the model of the prompt"


async def test_a_prompt_brings_its_model_if_none_is_configured(serve: Any, stack: Any) -> None:
    endpoint = StrictEndpoint("openai-responses", ignore={"model_missing"})
    agent = Agent[Any](name="A", prompt={"id": "pmpt_1"})
    served = await served_on(serve, stack, endpoint, agent, model_api="responses", model=None)
    await served.create()
    assert "model" not in endpoint.requests[0].body


UNAVAILABLE = json_reply({"error": {"message": "busy", "type": "server_error", "code": "overloaded"}}, 503)


@pytest.mark.parametrize("api", ["chat_completions", "responses"])
async def test_calls_are_retried_as_the_agent_says(serve: Any, stack: Any, api: Any) -> None:
    """The policies see the status of the endpoint, and not Backchannel's error."""
    seen: list[tuple[int | None, int]] = []

    def watched(context: Any) -> bool:
        seen.append((context.normalized.status_code, context.attempt))
        return context.normalized.status_code == 503

    settings = ModelSettings(
        retry=ModelRetrySettings(
            max_retries=4,
            backoff=ModelRetryBackoffSettings(initial_delay=0, max_delay=0, jitter=False),
            policy=watched,
        ),
        extra_headers={"x-should-retry": "false"},
    )
    profile = "openai-chat" if api == "chat_completions" else "openai-responses"
    endpoint = StrictEndpoint(profile, *[UNAVAILABLE] * 4, Say("at last"))
    agent = Agent[Any](name="A", model_settings=settings)
    served = await served_on(serve, stack, endpoint, agent, model_api=api)
    thread_id, events = await served.create()
    assert error(events) is None, (error(events), seen, len(endpoint.requests))
    assert texts(await served.items(thread_id)) == ["hello", "at last"]
    assert {status for status, _ in seen} == {503}


async def test_a_ready_made_retry_policy(serve: Any, stack: Any) -> None:
    settings = ModelSettings(
        retry=ModelRetrySettings(
            max_retries=4,
            backoff=ModelRetryBackoffSettings(initial_delay=0, max_delay=0, jitter=False),
            policy=retry_policies.http_status([503]),
        ),
    )
    endpoint = StrictEndpoint("openai-chat", *[UNAVAILABLE] * 4, Say("at last"))
    served = await served_on(serve, stack, endpoint, Agent(name="A", model_settings=settings))
    _, events = await served.create()
    assert error(events) is None, (error(events), len(endpoint.requests))


async def test_no_retries_if_the_agent_says_so(serve: Any, stack: Any) -> None:
    settings = ModelSettings(retry=ModelRetrySettings(max_retries=0))
    endpoint = StrictEndpoint("openai-chat", *[UNAVAILABLE] * 4, Say("at last"))
    served = await served_on(serve, stack, endpoint, Agent(name="A", model_settings=settings))
    _, events = await served.create()
    assert error(events) == ("model_unavailable", True)
    assert len(endpoint.requests) == 1


async def test_the_time_limit_of_an_agent(serve: Any, stack: Any) -> None:
    never = asyncio.Event()
    endpoint = StrictEndpoint("openai-chat", Reply([Pause(never), ChatStream("m").text("late")]))
    agent = Agent[Any](name="A", model_settings=ModelSettings(timeout=0.2))
    served = await served_on(serve, stack, endpoint, agent)
    thread_id, events = await served.create()
    never.set()
    assert error(events) == ("model_timeout", True)
    assert error(await say(served, thread_id, "again")) is None


async def test_the_raw_usage_of_a_call(serve: Any, stack: Any) -> None:
    seen: list[Any] = []

    class Watch(AgentHooks[Any]):
        async def on_llm_end(self, context: Any, agent: Any, response: ModelResponse) -> None:
            seen.append(response.raw_usage)

    endpoint = StrictEndpoint("openai-responses")
    agent = Agent[Any](name="A", hooks=Watch(), model_settings=ModelSettings(preserve_raw_usage=True))
    await (await served_on(serve, stack, endpoint, agent, model_api="responses")).create()
    [usage] = seen
    assert usage["output_tokens"] == 5


async def test_the_query_of_a_request_by_a_client_of_the_agent(serve: Any, stack: Any) -> None:
    queries: list[bytes] = []

    async def note(request: httpx2.Request) -> None:
        queries.append(request.url.query)

    endpoint = StrictEndpoint("openai-chat")
    url = await stack.enter_async_context(endpoint.running())
    http = await stack.enter_async_context(DefaultAsyncHttpxClient(event_hooks={"request": [note]}))
    model = OpenAIChatCompletionsModel("m", AsyncOpenAI(base_url=url, api_key="x", http_client=http))
    settings = ModelSettings(extra_query={"version": "2"}, retry=ModelRetrySettings(max_retries=0))
    served = await serve(Agent[Any](name="A", model=model, model_settings=settings), titles="rule")
    _, events = await served.create()
    assert error(events) is None
    assert queries == [b"version=2"]


async def test_a_prompt_over_chat_completions_is_reported(
    serve: Any, stack: Any, caplog: pytest.LogCaptureFixture
) -> None:
    request = await request_of(serve, stack, "chat_completions", ModelSettings(), prompt={"id": "pmpt_1"})
    assert "prompt" not in request.body
    assert "does not support `prompt`" in caplog.text
