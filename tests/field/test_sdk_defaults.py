"""What an application sets for the whole Agents SDK, and agents that the server cannot run."""

from collections.abc import Iterator
from typing import Any

import pytest
from agents import (
    Agent,
    RunConfig,
    handoff,
    set_default_openai_api,
    set_default_openai_client,
    set_default_openai_key,
)
from agents.models import _openai_shared as shared
from agents.realtime import RealtimeAgent
from agents.sandbox import SandboxAgent, SandboxRunConfig
from agents.sandbox.sandboxes.unix_local import UnixLocalSandboxClient
from openai import AsyncOpenAI

from backchannel import Application
from backchannel.errors import ConfigurationError
from backchannel.testing import Call, Say, ScriptedModel
from backchannel.testing.endpoints import Say as EndpointSay
from backchannel.testing.endpoints import StrictEndpoint
from field.odd_models import error, outputs, texts

pytestmark = pytest.mark.row("B10")


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    """The defaults of the Agents SDK, as they were, after the test."""
    before = shared.get_default_openai_client(), shared.get_default_openai_key()
    yield
    shared._default_openai_client, shared._default_openai_key = before
    set_default_openai_api("responses")


async def test_a_default_client_is_used(serve: Any, stack: Any) -> None:
    """It was ignored, and the offline model answered."""
    endpoint = StrictEndpoint("openai-responses", EndpointSay("from the client"))
    url = await stack.enter_async_context(endpoint.running())
    client = await stack.enter_async_context(
        AsyncOpenAI(base_url=url, api_key="sk-of-the-application", default_headers={"X-Mine": "yes"})
    )
    set_default_openai_client(client)
    served = await serve(Agent(name="A"), titles="rule")
    thread_id, _ = await served.create()
    assert texts(await served.items(thread_id)) == ["hello", "from the client"]
    [request] = endpoint.requests
    assert request.headers["authorization"] == "Bearer sk-of-the-application"
    assert request.headers["x-mine"] == "yes"


async def test_a_default_client_serves_the_models_that_settings_name(serve: Any, stack: Any) -> None:
    endpoint = StrictEndpoint("openai-chat")
    url = await stack.enter_async_context(endpoint.running())
    set_default_openai_client(await stack.enter_async_context(AsyncOpenAI(base_url=url, api_key="x")))
    set_default_openai_api("chat_completions")
    served = await serve(Agent(name="A"), titles="rule", model="meta/llama")
    _, events = await served.create()
    assert error(events) is None
    assert [(request.api, request.model) for request in endpoint.requests] == [("chat", "meta/llama")]


async def test_a_default_key_is_used(serve: Any, stack: Any) -> None:
    endpoint = StrictEndpoint("openai-responses")
    url = await stack.enter_async_context(endpoint.running())
    set_default_openai_key("sk-of-the-application")
    served = await serve(Agent(name="A"), titles="rule", OPENAI_BASE_URL=url)
    await served.create()
    assert endpoint.requests[0].headers["authorization"] == "Bearer sk-of-the-application"


@pytest.mark.parametrize("model_api", ["responses", "chat_completions"])
async def test_a_setting_wins_over_the_default_api(serve: Any, stack: Any, model_api: str) -> None:
    endpoint = StrictEndpoint("openai-responses" if model_api == "responses" else "openai-chat")
    url = await stack.enter_async_context(endpoint.running())
    set_default_openai_api("chat_completions" if model_api == "responses" else "responses")
    served = await serve(
        Agent(name="A"), titles="rule", OPENAI_BASE_URL=url, OPENAI_API_KEY="x", model_api=model_api
    )
    _, events = await served.create()
    assert error(events) is None
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("hidden", [False, True])
def test_a_sandbox_agent_is_refused_at_the_start(hidden: bool) -> None:
    """It started, and every message failed."""
    sandbox = SandboxAgent(name="Coder")
    agent = (
        Agent[Any](name="A", handoffs=[Agent[Any](name="B", handoffs=[handoff(sandbox)])])
        if hidden
        else sandbox
    )
    with pytest.raises(ConfigurationError, match=r"Coder is a SandboxAgent.*as_tool"):
        Application(agent=agent)


async def test_a_sandbox_agent_can_be_a_tool(serve: Any) -> None:
    coder = SandboxAgent(name="Coder", model=ScriptedModel(Say("coded")))
    config = RunConfig(sandbox=SandboxRunConfig(client=UnixLocalSandboxClient()))
    model = ScriptedModel(Call("coder", {"input": "x"}), Say("done"))
    served = await serve(Agent(name="A", model=model, tools=[coder.as_tool("coder", "x", run_config=config)]))
    _, events = await served.create()
    assert error(events) is None
    assert outputs(model) == ["coded"]


async def test_a_realtime_agent_is_refused_at_the_start(serve: Any) -> None:
    with pytest.raises(ConfigurationError, match="RealtimeAgent"):
        await serve(RealtimeAgent(name="A"))
