"""Agents that are tools: what they do is shown while it happens, and a crash does not make them do it again."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from agents import Agent, function_tool

from backchannel.testing import Call, Say
from backchannel.testing.endpoints import StrictEndpoint
from field.odd_models import error, say, served_on, texts

pytestmark = pytest.mark.row("B5")


def tasks(item: dict[str, Any]) -> list[tuple[str, str]]:
    return [(task["title"], task["status_indicator"]) for task in item["workflow"]["tasks"]]


# openai/openai-agents-python#864, vercel/ai#3825: minutes of silence while an inner agent works.
async def test_what_an_inner_agent_does_is_shown_while_it_happens(serve: Any, stack: AsyncExitStack):
    gate, begun = asyncio.Event(), asyncio.Event()

    @function_tool
    async def measure(what: str) -> str:
        """Measure something."""
        begun.set()
        await gate.wait()
        return f"{what}: 7"

    inner = Agent[Any](name="Surveyor", tools=[measure])
    outer = Agent[Any](name="Architect", tools=[inner.as_tool("ask_surveyor", "Asks the surveyor.")])
    endpoint = StrictEndpoint("strictest", ignore={"call_id_format"})
    endpoint.add(Call("ask_surveyor", {"input": "the roof"}), Call("measure", {"what": "roof"}))
    endpoint.add(Say("It is 7."), Say("Seven."), Say("As I said."))
    served = await served_on(serve, stack, endpoint, outer)
    stream = await served.person.say("How large is the roof?")
    live: list[str] = []
    async for event in stream:
        task = event.get("update", {}).get("task")
        if task is not None:
            live.append(f"{task['title']}: {task['status_indicator']}")
        if "Surveyor: Measure: loading" in live and not gate.is_set():
            await asyncio.wait_for(begun.wait(), 10)
            gate.set()
        if event["type"] == "thread.created":
            thread_id = event["thread"]["id"]
    assert live == [
        "Surveyor: Measure: loading",
        "Surveyor: Measure: complete",
        # With its text.
        "Ask surveyor: loading",
        "Ask surveyor: complete",
    ]
    items = await served.items(thread_id)
    [workflow] = [item for item in items if item["type"] == "workflow"]
    assert tasks(workflow) == [("Ask surveyor", "complete"), ("Surveyor: Measure", "complete")]
    assert texts(items)[-1] == "Seven."
    # The next turn's input has the outer agent's calls only.
    assert error(await say(served, thread_id, "Sure?")) is None
    names = [
        call["function"]["name"]
        for each in endpoint.requests[-1].body["messages"]
        for call in each.get("tool_calls") or ()
    ]
    assert names == ["ask_surveyor"]
    assert endpoint.refused == []


async def test_an_inner_tool_that_fails_says_so(serve: Any, stack: AsyncExitStack):
    @function_tool(failure_error_function=None)
    def measure(what: str) -> str:
        """Measure something."""
        raise ValueError(what)

    inner = Agent[Any](name="Surveyor", tools=[measure])
    outer = Agent[Any](name="Architect", tools=[inner.as_tool("ask_surveyor", "Asks the surveyor.")])
    endpoint = StrictEndpoint("strictest", ignore={"call_id_format"})
    endpoint.add(
        Call("ask_surveyor", {"input": "the roof"}), Call("measure", {"what": "roof"}), Say("Sorry.")
    )
    served = await served_on(serve, stack, endpoint, outer)
    thread_id, events = await served.create()
    assert error(events) is None
    [workflow] = [item for item in await served.items(thread_id) if item["type"] == "workflow"]
    by_title = {task["title"]: task for task in workflow["workflow"]["tasks"]}
    assert by_title["Surveyor: Measure"]["content"].startswith("Failed.")
