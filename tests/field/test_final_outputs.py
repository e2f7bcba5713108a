"""Final answers that are no text of the model: a tool's result, and structured output. Shown readable, live and after a
reload, and given to the model once in the next turn."""

import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from agents import Agent, StopAtTools, function_tool
from pydantic import BaseModel

from backchannel.application import Application
from backchannel.testing import Say as Scripted
from backchannel.testing import ScriptedModel
from backchannel.testing.endpoints import Call, Say, StrictEndpoint
from field.odd_models import error, lookup, say, served_on, texts

pytestmark = pytest.mark.row("M21")


class Movie(BaseModel):
    title: str
    year: int
    actors: list[str]


SAID = '{"title": "Alien", "year": 1979, "actors": ["Sigourney Weaver", "John Hurt"]}'
SHOWN = "- **Title:** Alien\n- **Year:** 1979\n- **Actors:**\n  - Sigourney Weaver\n  - John Hurt"


@function_tool
def broken() -> str:
    """Fail."""
    raise ValueError("password=hunter2")


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param("stop_on_first_tool", id="agno-agi/agno#2689"),
        pytest.param(StopAtTools(stop_at_tool_names=["lookup"]), id="openai/openai-agents-python#632"),
    ],
)
@pytest.mark.parametrize("profile", ["strictest", "mistral", "llama.cpp", "gemini"])
async def test_the_result_of_a_tool_is_the_answer(
    serve: Any, stack: AsyncExitStack, stop: Any, profile: Any
) -> None:
    endpoint = StrictEndpoint(profile, Call("lookup", {"q": "x"}), Say("fine"))
    served = await served_on(serve, stack, endpoint, Agent(name="A", tools=[lookup], tool_use_behavior=stop))
    thread_id, events = await served.create()
    assert error(events) is None
    assert texts([each["item"] for each in events if each["type"] == "thread.item.done"]) == [
        "hello",
        "found x",
    ]
    assert texts(await served.items(thread_id)) == ["hello", "found x"]
    assert error(await say(served, thread_id, "thanks")) is None
    assert endpoint.refused == []
    assert json.dumps(endpoint.requests[-1].body).count("found x") == 1
    assert [each["role"] for each in endpoint.requests[-1].body["messages"]][-4:] == [
        "assistant", "tool", "assistant", "user"
    ]  # fmt: skip


async def test_a_tool_that_failed_is_no_answer(serve: Any) -> None:
    """openai/openai-agents-python#945."""
    agent = Agent[Any](
        name="A",
        model=ScriptedModel(Call("broken"), Scripted("fine")),
        tools=[broken],
        tool_use_behavior="stop_on_first_tool",
    )
    served = await serve(agent)
    thread_id, events = await served.create()
    assert error(events) == ("tool_failed", True)
    assert "hunter2" not in json.dumps(events)
    assert error(await say(served, thread_id, "again")) is None


async def test_structured_output_is_shown_readable(serve: Any, stack: AsyncExitStack) -> None:
    """elastic/kibana#292423: raw JSON while it streams, and after."""
    endpoint = StrictEndpoint("openai-chat", Say(SAID), Say(SAID))
    served = await served_on(serve, stack, endpoint, Agent(name="A", output_type=Movie))
    thread_id, events = await served.create()
    assert error(events) is None
    assert "1979," not in json.dumps(events), "no JSON at any time"
    assert texts(await served.items(thread_id)) == ["hello", SHOWN]
    await say(served, thread_id, "another one")
    (answer,) = [each for each in endpoint.requests[-1].body["messages"] if each["role"] == "assistant"]
    assert answer["content"] == SAID


async def test_an_answer_that_breaks_off_is_kept(serve: Any, stack: AsyncExitStack) -> None:
    """openai/openai-agents-python#526."""
    model = ScriptedModel(Scripted([SAID[:30], SAID[30:]], error=ConnectionError("gone")))
    served = await serve(Agent(name="A", model=model, output_type=Movie))
    thread_id, events = await served.create()
    assert error(events) is not None
    (_, kept) = texts(await served.items(thread_id))
    assert SAID[:30] in kept


def title(movie: Movie) -> str:
    return f"# {movie.title}"


def cover(movie: Any) -> str:
    return movie.cover


@pytest.mark.parametrize(
    ("render", "shown"),
    [(title, "# Alien"), (cover, f"```json\n{json.dumps(json.loads(SAID), indent=2)}\n```")],
)
async def test_an_application_renders_itself(serve: Any, render: Any, shown: str) -> None:
    agent = Agent[Any](name="A", model=ScriptedModel(Scripted(SAID)), output_type=Movie)
    served = await serve(Application(agent=agent, render_output=render))
    thread_id, _ = await served.create()
    assert texts(await served.items(thread_id)) == ["hello", shown]
