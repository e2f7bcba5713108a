"""How failures of models and tools are reported, repeated, counted and logged."""

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Any

import pytest
from agents import (
    Agent,
    function_tool,
)
from agents.tool import FunctionTool

from backchannel.model_calls import normalized_model
from backchannel.testing.endpoints import Call, Pause, Reply, Say, StrictEndpoint
from backchannel.testing.endpoints.wire import json_reply
from field.odd_models import CHAT, chat, error, say, served_on, texts


def raising(message: str, **options: Any) -> FunctionTool:
    @function_tool(**options)
    def fails(q: str) -> str:
        """Fail."""
        raise RuntimeError(message)

    return fails


@pytest.mark.row("M24")
async def test_a_tool_that_raises_is_logged_and_shown_as_failed(
    serve: Any, stack: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    """openai/openai-agents-python#945."""
    endpoint = StrictEndpoint(
        "strictest", Call("fails", {"q": "x"}), Say("It failed."), ignore={"call_id_format"}
    )
    served = await served_on(serve, stack, endpoint, Agent(name="A", tools=[raising("kaputt")]))
    with caplog.at_level(logging.ERROR):
        thread_id, events = await served.create()
    assert error(events) is None
    (workflow,) = [item for item in await served.items(thread_id) if item["type"] == "workflow"]
    (task,) = workflow["workflow"]["tasks"]
    assert task["status_indicator"] == "none"
    assert task["content"].startswith("Failed.")


@pytest.mark.row("M16")
async def test_a_tool_that_ends_the_run_is_shown_as_failed_and_others_are_settled(
    serve: Any, stack: AsyncExitStack
) -> None:
    """openai/openai-agents-python#991."""
    began = asyncio.Event()

    @function_tool
    async def waits() -> str:
        """Wait for ever."""
        began.set()
        await asyncio.Event().wait()
        return ""

    @function_tool(failure_error_function=None)
    async def ends(q: str) -> str:
        """Fail."""
        await began.wait()
        raise RuntimeError("kaputt")

    both = [Say("Let me see."), Call("waits", {}), Call("ends", {"q": "x"})]
    endpoint = StrictEndpoint("strictest", both, Say("fine"), ignore={"call_id_format"})
    served = await served_on(serve, stack, endpoint, Agent(name="A", tools=[waits, ends]))
    thread_id, events = await served.create()
    assert error(events) == ("tool_failed", True)
    (workflow,) = [item for item in await served.items(thread_id) if item["type"] == "workflow"]
    tasks = {task["title"]: task for task in workflow["workflow"]["tasks"]}
    assert all(task["status_indicator"] == "none" for task in tasks.values())
    assert tasks["Ends"]["content"].startswith("Failed.")
    assert tasks["Waits"]["content"] == "Not finished."
    assert error(await say(served, thread_id, "go on")) is None
    assert endpoint.refused == []


@pytest.mark.row("M23")
@pytest.mark.parametrize(
    ("setting", "parts", "reason"),
    [
        ("model_first_byte_seconds", 0, "model_timeout_first_byte"),
        ("model_between_bytes_seconds", 1, "model_timeout_between_bytes"),
        ("model_total_seconds", 1, "model_timeout_total"),
    ],
)
async def test_each_limit_of_time_has_its_error(
    serve: Any, stack: AsyncExitStack, setting: str, parts: int, reason: str
) -> None:
    never = asyncio.Event()
    endpoint = StrictEndpoint("openai-chat", Reply([*[CHAT.text("half")][:parts], Pause(never)]), Say("fine"))
    served = await served_on(serve, stack, endpoint, Agent(name="A"), **{setting: 0.3})
    thread_id, events = await served.create()
    never.set()
    assert error(events) == (reason, True)
    assert texts(await served.items(thread_id)) == ["hello", "half"][: 1 + parts]
    assert error(await say(served, thread_id, "again")) is None


@pytest.mark.row("M23")
async def test_tokens_of_a_failed_answer_are_counted(serve: Any, stack: AsyncExitStack) -> None:
    cut = chat(CHAT.text("half"), CHAT.finish("length"), CHAT.usage(7, 3))
    endpoint = StrictEndpoint("openai-chat", cut)
    served = await served_on(serve, stack, endpoint, Agent(name="A"))
    thread_id, events = await served.create()
    assert error(events) == ("answer_truncated", True)
    page = (await served.person.http.get(f"/api/chatkit/threads/{thread_id}/runs")).json()
    run = (await served.person.http.get(f"/api/chatkit/runs/{page['data'][0]['id']}")).json()
    assert (run["status"], run["error"]["code"]) == ("failed", "answer_truncated")
    assert (run["usage"]["input_tokens"], run["usage"]["output_tokens"]) == (7, 3)


OVERLOADED = b'data: {"error": {"message": "Overloaded", "type": "overloaded_error"}}\n\n'


@pytest.mark.row("M23")
async def test_a_failure_is_repeated_only_before_anything_was_shown(
    serve: Any, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normalized_model, "RETRY_DELAYS", (0.01, 0.01))
    limited = json_reply({"error": {"message": "slow down"}}, 429, {"retry-after-ms": "1"})
    endpoint = StrictEndpoint(
        "openai-chat",
        limited,
        Reply([OVERLOADED]),
        Say("one"),
        Reply([CHAT.text("half"), OVERLOADED]),
        Say("three"),
    )
    served = await served_on(serve, stack, endpoint, Agent(name="A"))
    thread_id, events = await served.create()
    assert error(events) is None
    assert len(endpoint.requests) == 3
    assert error(await say(served, thread_id, "again")) == ("model_unavailable", True)
    assert len(endpoint.requests) == 4, "what was shown is not asked for again"
    assert texts(await served.items(thread_id)) == ["hello", "one", "again", "half"]
    assert error(await say(served, thread_id, "go on")) is None


@pytest.mark.row("M23")
async def test_the_log_has_the_providers_words_without_secrets(
    serve: Any, stack: AsyncExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """openai/openai-agents-python#4515."""
    body = {
        "error": {
            "message": "Invalid value: 'my dog is called Bello' (key sk-proj-0123456789)",
            "code": "bad_value",
        }
    }
    endpoint = StrictEndpoint("openai-chat", json_reply(body, 400))
    served = await served_on(serve, stack, endpoint, Agent(name="A"))
    await served.create("my dog is called Bello")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "turn_failed" in line]
    assert "provider_status=400" in line
    assert "bad_value" in line
    assert "Invalid value" in line
    assert "Bello" not in line
    assert "0123456789" not in line
