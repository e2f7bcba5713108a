"""What agents that are tools say: shown in their caller's task while it happens, and as far as it came."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    ImageGenerationTool,
    ToolGuardrailFunctionOutput,
    WebSearchTool,
    function_tool,
    output_guardrail,
    tool_output_guardrail,
)
from pydantic import BaseModel

from backchannel.testing import Call, Say, ScriptedModel
from backchannel.testing.endpoints import Call as EndpointCall
from backchannel.testing.endpoints import Say as EndpointSay
from backchannel.testing.endpoints import StrictEndpoint
from field.odd_models import CHAT, chat, error, outputs, say, served_on, tasks, texts
from field.test_hosted_tools import WEB, answer

pytestmark = pytest.mark.row("B5")

PICTURE = "iVBORw0KGgo="


def architect(*calls: Call, tools: list[Any], last: str = "As I said.") -> Agent[Any]:
    """An agent that calls others in one response, then ends with a sentence of its own."""
    return Agent(name="Architect", model=ScriptedModel(list(calls), Say(last)), tools=tools)


def surveyor(*steps: Any, name: str = "Surveyor", **options: Any) -> Agent[Any]:
    return Agent(name=name, model=ScriptedModel(*steps), **options)


def scripted(agent: Agent[Any]) -> ScriptedModel:
    """The script of an agent. The server has put it into a model of its own."""
    model: Any = agent.model
    return getattr(model, "inner", model)


async def contents(stream: Any) -> AsyncIterator[tuple[str, str]]:
    """The title and the content of each task, as it changes."""
    async for event in stream:
        task: dict[str, Any] = event.get("update", {}).get("task") or {}
        if task.get("content"):
            yield task["title"], task["content"]


async def until(stream: Any, shows: Callable[[str, str], bool]) -> None:
    async for title, content in contents(stream):
        if shows(title, content):
            return
    raise AssertionError("It was not shown.")


async def asked(serve: Any, agent: Agent[Any], **settings: Any) -> tuple[Any, list[dict[str, Any]]]:
    served = await serve(agent, titles="rule", **settings)
    thread_id, events = await served.create()
    assert error(events) is None
    return served, await served.items(thread_id)


async def test_the_text_of_an_inner_agent_grows_in_its_callers_task(serve: Any) -> None:
    """laravel/ai#802, google/adk-python#4095, openai/openai-agents-js#705: silence until an inner agent is done; s2b-dev/
    smart-second-brain#363: its text in the caller's message."""
    gate = asyncio.Event()
    inner = surveyor(Say(["Let me see.", " It is", " 7."], until=gate))
    agent = architect(
        Call("ask", {"input": "the roof"}), tools=[inner.as_tool("ask", "Asks.")], last="Seven, they say."
    )
    served = await serve(agent, titles="rule")
    stream = await served.person.say("How large is the roof?")
    begins = "input: the roof\n\nLet me see."
    await until(stream, lambda title, content: title == "Ask" and content.startswith(begins))
    gate.set()
    events = await stream.events()
    [thread] = (await served.person.request("threads.list", {}))["data"]
    items = await served.items(thread["id"])
    assert tasks(items) == [("Ask", "complete", "input: the roof\n\nLet me see. It is 7.")]
    assert texts(items)[1:] == ["Seven, they say."]
    assert "Let me see" not in json.dumps([each for each in events if "delta" in json.dumps(each)])
    # The caller's model gets it once, as the tool's output.
    assert outputs(scripted(agent)) == ["Let me see. It is 7."]


async def test_inner_agents_with_one_name_that_speak_at_once(serve: Any) -> None:
    """langchain-ai/deepagentsjs#560, aristoteleo/PantheonOS#90: parallel calls of one agent are mixed up."""
    both = asyncio.Barrier(2)

    @function_tool
    async def measure(what: str) -> str:
        """Measure something."""
        async with both:
            return f"{what}: 7"

    first = surveyor([Say("One. "), Call("measure", {"what": "roof"})], Say("A."), tools=[measure])
    second = surveyor([Say("Two. "), Call("measure", {"what": "wall"})], Say("B."), tools=[measure])
    tools = [first.as_tool("ask", "Asks."), second.as_tool("ask_again", "Asks.")]
    calls = Call("ask", {"input": "x"}), Call("ask_again", {"input": "y"})
    _, items = await asked(serve, architect(*calls, tools=tools))
    assert sorted(tasks(items)) == [
        ("Ask", "complete", "input: x\n\nOne.\n\nA."),
        ("Ask again", "complete", "input: y\n\nTwo.\n\nB."),
        ("Surveyor: Measure", "complete", "what: roof"),
        ("Surveyor: Measure", "complete", "what: wall"),
    ]


async def test_an_agent_in_an_agent_in_an_agent(serve: Any) -> None:
    """openai/openai-agents-js#705: recursively."""
    gate = asyncio.Event()
    mason = surveyor(Say(["Bricks", " hold."], until=gate), name="Mason")
    inner = surveyor(
        Call("ask_mason", {"input": "hold?"}), Say("They hold."), tools=[mason.as_tool("ask_mason", "Asks.")]
    )
    served = await serve(
        architect(Call("ask", {"input": "x"}), tools=[inner.as_tool("ask", "Asks.")]), titles="rule"
    )
    stream = await served.person.say("hello")
    await until(
        stream, lambda title, content: title == "Surveyor: Ask mason" and content.endswith("\n\nBricks")
    )
    gate.set()
    events = await stream.events()
    done = [each["item"] for each in events if each["type"] == "thread.item.done"]
    assert tasks(done) == [
        ("Ask", "complete", "input: x\n\nThey hold."),
        ("Surveyor: Ask mason", "complete", "input: hold?\n\nBricks hold."),
    ]


async def test_thoughts_of_an_inner_agent_are_not_part_of_what_it_says(serve: Any, stack: Any) -> None:
    """strands-agents/harness-sdk#750; google/adk-python#4095."""
    endpoint = StrictEndpoint("openai-chat", EndpointCall("ask", {"input": "x"}))
    endpoint.add(
        chat(
            CHAT.delta(role="assistant", reasoning_content="It may"),
            CHAT.delta(reasoning_content=" be 7."),
            CHAT.text("It is"),
            CHAT.text(" 7."),
            CHAT.finish(),
        ),
        EndpointSay("Seven."),
    )
    tool = Agent[Any](name="Surveyor").as_tool("ask", "Asks.")
    served = await served_on(serve, stack, endpoint, Agent(name="Architect", tools=[tool]))
    thread_id, events = await served.create()
    assert error(events) is None
    items = await served.items(thread_id)
    workflow = next(item["workflow"] for item in items if item["type"] == "workflow")
    thoughts = [(task["title"], task["content"]) for task in workflow["tasks"] if task["type"] == "thought"]
    assert thoughts == [("Surveyor", "It may be 7.")]
    assert tasks(items)[0] == ("Ask", "complete", "input: x\n\nIt is 7.")


class Size(BaseModel):
    height: int
    remarks: list[str]


async def test_structured_output_of_an_inner_agent_is_readable_while_it_streams(serve: Any) -> None:
    """vercel/ai#1473, symfony/ai#2113: incomplete JSON is shown as far as it can be read."""
    gate = asyncio.Event()
    parts = ['{"height": 7, "remarks": ["Steep', " and ", 'wet", "Old"]}']
    inner = surveyor(Say(parts, until=gate), output_type=Size)
    agent = architect(Call("ask", {"input": "x"}), tools=[inner.as_tool("ask", "Asks.")])
    served = await serve(agent, titles="rule")
    stream = await served.person.say("hello")
    seen: list[str] = []
    async for _, content in contents(stream):
        seen.append(content)
        if "Steep" in content:
            gate.set()
    whole = "input: x\n\n- **Height:** 7\n- **Remarks:**\n  - Steep and wet\n  - Old"
    assert seen[-1] == whole
    assert len(seen) > 1
    assert not any("{" in content for content in seen)


async def test_an_inner_agent_that_fails_in_the_middle(serve: Any) -> None:
    """anomalyco/opencode#29209, justrach/codegraff#793: what a failed inner agent had said is lost; anthropics/
    claude-code#73372: and it looks complete."""
    inner = surveyor(Say(["It is", " about", " 7."], error=RuntimeError("password=hunter2")))
    agent = architect(Call("ask", {"input": "x"}), tools=[inner.as_tool("ask", "Asks.")])
    _, items = await asked(serve, agent)
    assert tasks(items) == [("Ask", "none", "Failed. input: x\n\nIt is about")]
    assert "hunter2" not in json.dumps(items)


async def test_a_stop_keeps_what_an_inner_agent_said(serve: Any) -> None:
    """bastani-inc/atomic#2671."""
    inner = surveyor(Say(["It is", " 7."], until=asyncio.Event()))
    agent = architect(Call("ask", {"input": "x"}), tools=[inner.as_tool("ask", "Asks.")])
    served = await serve(agent, titles="rule")
    stream = await served.person.say("hello")
    await until(stream, lambda _, content: content.endswith("It is"))
    await served.person.stop(stream.run_id)
    await stream.events()
    [thread] = (await served.person.request("threads.list", {}))["data"]
    assert tasks(await served.items(thread["id"])) == [("Ask", "none", "input: x\n\nIt is")]
    assert scripted(inner).streaming == 0


async def test_an_extractor_decides_what_the_caller_gets_and_not_what_was_said(serve: Any) -> None:
    """openai/openai-agents-python#1057, windmill-labs/windmill#10416: the caller gets the output, people see the work."""
    seen: list[str] = []

    async def extracted(result: Any) -> str:
        return f"<{result.final_output}, {len(result.new_items)}, {result.agent_tool_invocation.tool_name}>"

    async def on_stream(event: Any) -> None:
        seen.append(event["event"].type)

    inner = surveyor(Say("Long words."))
    tool = inner.as_tool("ask", "Asks.", custom_output_extractor=extracted, on_stream=on_stream)
    agent = architect(Call("ask", {"input": "x"}), tools=[tool])
    _, items = await asked(serve, agent)
    assert tasks(items) == [("Ask", "complete", "input: x\n\nLong words.")]
    assert outputs(scripted(agent)) == ["<Long words., 1, ask>"]
    assert "raw_response_event" in seen


async def test_hosted_tools_and_pictures_of_an_inner_agent(serve: Any, stack: AsyncExitStack) -> None:
    """google/adk-docs#275, google/adk-python#729: a picture that an inner agent makes is lost."""
    picture = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": PICTURE}
    failed = {"id": "ig_2", "type": "image_generation_call", "status": "failed", "result": None}
    endpoint = StrictEndpoint("openai-responses", EndpointCall("ask", {"input": "x"}))
    endpoint.add(answer(WEB, picture, failed, text="See there."), EndpointSay("Nice."), EndpointSay("Yes."))
    inner = Agent[Any](
        name="Surveyor",
        tools=[WebSearchTool(), ImageGenerationTool(tool_config={"type": "image_generation"})],
    )
    agent = Agent[Any](name="Architect", tools=[inner.as_tool("ask", "Asks.")])
    served = await served_on(serve, stack, endpoint, agent, model_api="responses")
    thread_id, events = await served.create()
    assert error(events) is None
    items = await served.items(thread_id)
    assert tasks(items) == [
        ("Ask", "complete", "input: x\n\nSee there."),
        ("Surveyor: Web search", "complete", "query: weather Rome"),
        ("Surveyor: Image generation", "complete", None),
        ("Surveyor: Image generation", "none", "Failed."),
    ]
    [image] = [item["image"]["url"] for item in items if item["type"] == "generated_image"]
    assert image == f"data:image/png;base64,{PICTURE}"
    # Later inputs have the outer agent's call only.
    assert error(await say(served, thread_id, "Sure?")) is None
    assert "weather Rome" not in json.dumps(endpoint.requests[-1].body["input"])
    assert endpoint.refused == []


async def test_a_hand_off_inside_an_inner_agent(serve: Any) -> None:
    """openai/openai-agents-python#4144, openai/openai-agents-js#697. The second agent brings a model object of its own,
    which must be normalized: its tags are no text."""
    mason = surveyor(Say(["<think>Hm.</think>", "Bricks hold."]), name="Mason")
    inner = surveyor(Call("transfer_to_mason", {}), handoffs=[mason])
    agent = architect(Call("ask", {"input": "x"}), tools=[inner.as_tool("ask", "Asks.")])
    _, items = await asked(serve, agent)
    assert tasks(items) == [
        ("Ask", "complete", "input: x\n\nBricks hold."),
        ("Surveyor: Mason takes over", "complete", None),
        ("Mason", "none", "Hm."),
    ]
    assert outputs(scripted(agent)) == ["Bricks hold."]


async def test_what_a_guardrail_refuses_of_an_inner_agent_is_not_shown(serve: Any) -> None:
    """openai/openai-agents-python#2294: text is streamed before it is checked, and then withdrawn."""

    @output_guardrail
    async def refuse(*_: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    @tool_output_guardrail
    def replace(_data: Any) -> ToolGuardrailFunctionOutput:
        return ToolGuardrailFunctionOutput.reject_content("Not for you.")

    inner = surveyor(Say("The code is 1234."), output_guardrails=[refuse])
    guarded = surveyor(Say("The key is 5678.")).as_tool("ask_again", "Asks.")
    guarded.tool_output_guardrails = [replace]
    calls = Call("ask", {"input": "x"}), Call("ask_again", {"input": "y"})
    _, items = await asked(serve, architect(*calls, tools=[inner.as_tool("ask", "Asks."), guarded]))
    assert [(title, content) for title, _, content in tasks(items)] == [
        ("Ask", "Failed. input: x"), ("Ask again", "input: y")
    ]  # fmt: skip
    assert "1234" not in json.dumps(items)


class NotStreaming(ScriptedModel):
    """A model of an application that implements half of the interface."""

    def stream_response(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


async def test_an_inner_agent_whose_model_cannot_stream(serve: Any) -> None:
    """Such a model works with `Runner.run`, so it works in an agent that is a tool."""
    inner = Agent[Any](name="Surveyor", model=NotStreaming(Call("lookup", {"q": "x"}), Say("It is 7.")))

    @function_tool
    def lookup(q: str) -> str:
        """Look something up."""
        return q

    inner.tools = [lookup]
    agent = architect(Call("ask", {"input": "x"}), tools=[inner.as_tool("ask", "Asks.")])
    _, items = await asked(serve, agent)
    assert tasks(items)[0] == ("Ask", "complete", "input: x\n\nIt is 7.")
    assert outputs(scripted(agent)) == ["It is 7."]


async def test_a_long_text_of_an_inner_agent_costs_no_more_than_an_agents_own(serve: Any) -> None:
    """ag-ui and Vercel's `preliminary` results send the whole text with each step. Events and bytes of the run's log."""
    words = [f"word{number} " for number in range(3_000)]
    plain = surveyor(Say(words), Say(words))
    inner = surveyor(Say(words))
    served = await serve(
        architect(Call("ask", {"input": "x"}), tools=[inner.as_tool("ask", "Asks.")]), titles="rule"
    )
    stream = await served.person.say("hello")
    nested = await stream.events()
    own = await (await (await serve(plain, titles="rule")).person.say("hello")).events()
    assert len(nested) < 60
    assert len(json.dumps(nested)) < 2 * len(json.dumps(own))
    shown = [each["item"] for each in nested if each["type"] == "thread.item.done"]
    [(_, _, content)] = tasks(shown)
    assert content is not None
    assert content.endswith("word2998 word2999")
    assert content.startswith("input: x\n\n… word")
    assert len(content) < 4_100
