"""`backchannel chat` when a model or a tool fails, against a real server and a model endpoint."""

import asyncio
import io
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, function_tool
from rich.console import Console

from backchannel.cli.chat import Session
from field.model_endpoint import DROP, ModelEndpoint, call, chunk, listening_endpoint, text


@function_tool(failure_error_function=None)
async def look_up(city: str = "Rome") -> str:
    """Always fails."""
    raise RuntimeError("no")


@pytest.fixture
async def endpoint() -> AsyncGenerator[ModelEndpoint]:
    async with listening_endpoint() as endpoint:
        yield endpoint


@pytest.mark.row("M23b", "M16b")
async def test_the_terminal_says_what_failed_with_its_code(
    serve: Any, endpoint: ModelEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aerele/jarvis#543: a failed turn without a word. google-gemini/gemini-cli#9023: a failed tool that looked paused."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    address = {"OPENAI_API_KEY": "sk-test-key-000", "OPENAI_BASE_URL": endpoint.url}
    settings = {**address, "titles": "rule", "model": "m", "model_api": "chat_completions"}
    served = await serve(Agent(name="A", tools=[look_up]), **settings)

    async def shown(*replies: Any) -> tuple[list[str], int]:
        endpoint.replies[:] = replies
        console = Console(file=io.StringIO(), width=120, record=True)
        # Each message has an event loop of its own.
        exit_code = await asyncio.to_thread(Session(served.url, None, console, None).say, "hi")
        lines = [line.strip() for line in console.export_text().splitlines()]
        return [line for line in lines if line], exit_code

    cut = "The answer is cut off: the model reached its limit of length. Ask it to go on. You can try again."
    assert await shown(text("One, two", finish="length")) == (["One, two", f"{cut} (answer_truncated)"], 1)
    assert await shown(*[[chunk(content="One,"), DROP]] * 4) == (
        ["One,", "The connection to the model broke off. Try again. (answer_incomplete)"],
        1,
    )
    assert await shown([chunk(refusal="I cannot."), chunk("stop")]) == (
        ["I cannot.", "The model declined to answer this. (answer_refused)"],
        1,
    )
    assert await shown(call("look_up")) == (
        ["✗ Look up  Failed.", "A tool failed, and the answer was ended. Try again. (tool_failed)"],
        1,
    )
    assert await shown(text("All is well.")) == (["All is well."], 0)
