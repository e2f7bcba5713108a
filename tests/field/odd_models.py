"""A server whose agent is on an endpoint for tests, and what its threads and events say."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from agents import (
    function_tool,
)
from openai import _base_client

from backchannel.model_calls import normalized_model
from backchannel.testing import ScriptedModel
from backchannel.testing.endpoints import Reply, StrictEndpoint
from backchannel.testing.endpoints.wire import DONE, ChatStream
from backchannel.wiring import Target

CHAT = ChatStream("m")


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed calls of models are made again at once."""
    monkeypatch.setattr(_base_client.BaseClient, "_calculate_retry_timeout", lambda *_: 0.01)
    monkeypatch.setattr(normalized_model, "RETRY_DELAYS", (0.01, 0.01))


async def served_on(
    serve: Any, stack: AsyncExitStack, endpoint: StrictEndpoint, agent: Target, **settings: Any
):
    url = await stack.enter_async_context(endpoint.running())
    environment = {
        "OPENAI_API_KEY": "sk-test-key-000",
        "OPENAI_BASE_URL": url,
        "titles": "rule",
        "model": "m",
    }
    return await serve(agent, **{"model_api": "chat_completions", **environment, **settings})


@function_tool
def lookup(q: str) -> str:
    """Look something up."""
    return f"found {q}"


def chat(*parts: bytes) -> Reply:
    return Reply([*parts, DONE])


def texts(items: list[dict[str, Any]]) -> list[str]:
    """The texts of the messages of a thread."""
    return ["".join(part["text"] for part in item["content"]) for item in items if "content" in item]


def tasks(items: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    """The tasks of all workflows: title, state, content."""
    workflows = [item["workflow"] for item in items if item["type"] == "workflow"]
    return [
        (task["title"], task["status_indicator"], task.get("content"))
        for workflow in workflows
        for task in workflow["tasks"]
    ]


def outputs(model: ScriptedModel) -> list[Any]:
    """The outputs of tools in the newest input of a model."""
    return [item["output"] for item in model.calls[-1] if item.get("type") == "function_call_output"]


def error(events: list[dict[str, Any]]) -> tuple[str, bool] | None:
    errors = [(each["reason"], each["allow_retry"]) for each in events if each["type"] == "error"]
    assert len(errors) <= 1
    return errors[0] if errors else None


async def say(served: Any, thread_id: str, text: str) -> list[dict[str, Any]]:
    return await (await served.person.say(text, thread_id)).events()
