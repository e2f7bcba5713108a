"""Options of tools and of agents that are tools, in a served chat."""

import asyncio
import json
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from agents import (
    Agent,
    AgentToolStreamEvent,
    FunctionToolCustomDataContext,
    RunConfig,
    Runner,
    SQLiteSession,
    StopAtTools,
    ToolsToFinalOutputResult,
    function_tool,
)
from agents.tool_context import ToolContext
from pydantic import BaseModel

from backchannel.testing import Call, Fail, Say, ScriptedModel
from backchannel.testing.endpoints import Call as EndpointCall
from backchannel.testing.endpoints import Say as EndpointSay
from backchannel.testing.endpoints import StrictEndpoint
from field.odd_models import error, lookup, outputs, say, served_on, tasks, texts

pytestmark = pytest.mark.row("B10")


async def test_name_description_and_schema_reach_the_model(serve: Any, stack: Any) -> None:
    @function_tool(name_override="find", description_override="Find it.", strict_mode=False)
    def search(words: list[str], limit: int = 3) -> str:
        """Another text.

        Args:
            words: What to look for.
        """
        return "x"

    endpoint = StrictEndpoint("openai-chat")
    await (await served_on(serve, stack, endpoint, Agent(name="A", tools=[search]))).create()
    [tool] = endpoint.requests[0].body["tools"]
    function = tool["function"]
    assert (function["name"], function["description"]) == ("find", "Find it.")
    assert function["parameters"]["properties"]["words"]["description"] == "What to look for."
    assert function["parameters"]["required"] == ["words"]
    assert not function.get("strict")


async def test_an_error_function_of_a_tool_writes_what_the_model_is_told(serve: Any) -> None:
    def told(_context: Any, failure: Exception) -> str:
        return f"Sorry: {failure}"

    @function_tool(failure_error_function=told)
    def broken() -> str:
        """Fail."""
        raise ValueError("no stock")

    model = ScriptedModel(Call("broken"), Say("done"), Say("again"))
    served = await serve(Agent(name="A", model=model, tools=[broken]), titles="rule")
    thread_id, _ = await served.create()
    assert outputs(model) == ["Sorry: no stock"]
    await say(served, thread_id, "and?")
    assert outputs(model) == ["Sorry: no stock"]


async def test_a_tool_without_an_error_function_ends_the_answer(serve: Any) -> None:
    @function_tool(failure_error_function=None)
    def broken() -> str:
        """Fail."""
        raise ValueError("no stock")

    model = ScriptedModel(Call("broken"), Say("fine"))
    served = await serve(Agent(name="A", model=model, tools=[broken]), titles="rule")
    thread_id, events = await served.create()
    assert error(events) == ("tool_failed", True)
    assert tasks(await served.items(thread_id)) == [("Broken", "none", "Failed.")]
    assert error(await say(served, thread_id, "and now?")) is None


@pytest.mark.parametrize("behavior", ["error_as_result", "raise_exception"])
async def test_the_time_limit_of_a_tool(serve: Any, behavior: Any) -> None:
    @function_tool(timeout=0.05, timeout_behavior=behavior)
    async def slow() -> str:
        """Never return."""
        await asyncio.Event().wait()
        return "x"

    model = ScriptedModel(Call("slow"), Say("It took too long."))
    served = await serve(Agent(name="A", model=model, tools=[slow]), titles="rule")
    thread_id, events = await served.create()
    if behavior == "raise_exception":
        assert error(events) == ("tool_failed", True)
        assert tasks(await served.items(thread_id)) == [("Slow", "none", "Failed.")]
    else:
        assert error(events) is None
        assert "timed out" in outputs(model)[0]


@pytest.mark.parametrize("stop", ["names", "function"])
async def test_a_function_or_names_decide_when_the_answer_ends(serve: Any, stop: str) -> None:
    def decide(_context: Any, results: list[Any]) -> ToolsToFinalOutputResult:
        final = any(result.output == "found end" for result in results)
        return ToolsToFinalOutputResult(is_final_output=final, final_output="ended" if final else None)

    behavior: Any = decide if stop == "function" else StopAtTools(stop_at_tool_names=["finish"])

    @function_tool
    def finish() -> str:
        """End."""
        return "x"

    last = Call("lookup", {"q": "end"}) if stop == "function" else Call("finish")
    model = ScriptedModel(Call("lookup", {"q": "x"}), last)
    agent = Agent[Any](name="A", model=model, tools=[lookup, finish], tool_use_behavior=behavior)
    thread_id, events = await (served := await serve(agent)).create()
    assert error(events) is None
    assert len(model.calls) == 2
    assert [state for _, state, _ in tasks(await served.items(thread_id))] == ["complete", "complete"]


class Question(BaseModel):
    """The input of an agent that is a tool."""

    topic: str
    depth: int


async def test_an_agent_as_a_tool_with_its_own_parameters(serve: Any) -> None:
    async def built(options: Any) -> str:
        return f"Topic {options['params']['topic']}, depth {options['params']['depth']}"

    async def extracted(result: Any) -> str:
        return f"<{result.final_output}>"

    inner = ScriptedModel(Say("deep"))
    helper = Agent[Any](name="Helper", model=inner)
    tool = helper.as_tool(
        "helper", "Help.", parameters=Question, input_builder=built, custom_output_extractor=extracted
    )
    model = ScriptedModel(Call("helper", {"topic": "sea", "depth": 3}), Say("done"))
    served = await serve(Agent(name="A", model=model, tools=[tool]), titles="rule")
    thread_id, _ = await served.create()
    assert inner.calls == [[{"role": "user", "content": "Topic sea, depth 3"}]]
    assert outputs(model) == ["<deep>"]
    assert tasks(await served.items(thread_id)) == [("Helper", "complete", "topic: sea · depth: 3\n\ndeep")]


async def test_the_events_of_an_agent_that_is_a_tool(serve: Any) -> None:
    """openai/openai-agents-python#667, openai/openai-agents-python#2065."""
    seen: list[str] = []

    async def on_stream(event: AgentToolStreamEvent) -> None:
        seen.append(f"{event['agent'].name} {event['event'].type}")

    helper = Agent[Any](name="Helper", model=ScriptedModel(Say(["a", "b"])))
    model = ScriptedModel(Call("helper", {"input": "x"}), Say("done"))
    tool = helper.as_tool("helper", "Help.", on_stream=on_stream)
    await (await serve(Agent(name="A", model=model, tools=[tool]), titles="rule")).create()
    assert "Helper raw_response_event" in seen
    assert seen[-1] == "Helper run_item_stream_event"
    assert outputs(model) == ["ab"]


async def test_an_agent_that_is_a_tool_has_its_own_limit_and_error(serve: Any) -> None:
    def told(_context: Any, failure: Exception) -> str:
        return f"Gave up: {type(failure).__name__}"

    inner = ScriptedModel(*[Call("lookup", {"q": "x"})] * 5)
    helper = Agent[Any](name="Helper", model=inner, tools=[lookup])
    tool = helper.as_tool("helper", "Help.", max_turns=2, failure_error_function=told)
    model = ScriptedModel(Call("helper", {"input": "x"}), Say("done"))
    served = await serve(Agent(name="A", model=model, tools=[tool]), titles="rule")
    _, events = await served.create()
    assert error(events) is None
    assert len(inner.calls) == 2
    assert outputs(model) == ["Gave up: MaxTurnsExceeded"]


async def test_the_usage_of_an_agent_that_is_a_tool_is_booked(serve: Any) -> None:
    helper = Agent[Any](
        name="Helper", model=ScriptedModel(Call("lookup", {"q": "x"}), Say("a")), tools=[lookup]
    )
    model = ScriptedModel(Call("helper", {"input": "x"}), Say("done"))
    served = await serve(
        Agent(name="A", model=model, tools=[helper.as_tool("helper", "Help.")]), titles="rule"
    )
    stream = await served.person.say("hi")
    await stream.events()
    run = (await served.person.http.get(f"/api/chatkit/runs/{stream.run_id}")).json()
    assert run["usage"]["requests"] == 4


async def test_an_agent_that_is_a_tool_uses_the_models_of_the_server(serve: Any, stack: Any) -> None:
    endpoint = StrictEndpoint(
        "openai-chat", EndpointCall("helper", {"input": "x"}), EndpointSay("inner"), EndpointSay("outer")
    )
    tool = Agent[Any](name="Helper").as_tool("helper", "Help.")
    served = await served_on(serve, stack, endpoint, Agent(name="A", tools=[tool]))
    thread_id, events = await served.create()
    assert error(events) is None
    assert texts(await served.items(thread_id)) == ["hello", "outer"]
    assert len(endpoint.requests) == 3


async def test_a_run_inside_a_tool_uses_the_models_of_the_server_if_it_is_given_the_run_config(
    serve: Any, stack: Any
) -> None:
    """`Runner.run(…, run_config=ctx.run_config)`. Without it, the Agents SDK's own default provider is used."""
    judge = Agent[Any](name="Judge")

    @function_tool
    async def ask_judge(ctx: ToolContext[Any], text: str) -> str:
        """Ask the judge."""
        result = await Runner.run(judge, text, context=ctx.context, run_config=ctx.run_config)
        return str(result.final_output)

    endpoint = StrictEndpoint(
        "openai-chat", EndpointCall("ask_judge", {"text": "x"}), EndpointSay("guilty"), EndpointSay("outer")
    )
    served = await served_on(serve, stack, endpoint, Agent(name="A", tools=[ask_judge]))
    _, events = await served.create()
    assert error(events) is None
    [told] = [each["content"] for each in endpoint.requests[-1].body["messages"] if each["role"] == "tool"]
    assert told == "guilty"


async def test_a_session_of_an_agent_that_is_a_tool_remembers_for_everyone(serve: Any) -> None:
    """The object is the agent's, and so is shared by all people: the documentation warns of it."""
    inner = ScriptedModel(Say("one"), Say("two"))
    with closing(SQLiteSession("shared")) as session:
        tool = Agent[Any](name="Helper", model=inner).as_tool("helper", "Help.", session=session)
        model = ScriptedModel(
            Call("helper", {"input": "Ann's"}), Say("x"), Call("helper", {"input": "Bob's"}), Say("y")
        )
        served = await serve(Agent(name="A", model=model, tools=[tool]), titles="rule")
        await served.create()
        other = await served.someone()
        await (await other.say("hi")).events()
    assert "Ann's" in json.dumps(inner.calls[1])


async def test_a_run_config_of_an_agent_that_is_a_tool(serve: Any) -> None:
    used = ScriptedModel(Say("inner"))
    config = RunConfig(model=used, tracing_disabled=True)
    tool = Agent[Any](name="Helper", model=ScriptedModel(Fail(RuntimeError()))).as_tool(
        "helper", "Help.", run_config=config
    )
    model = ScriptedModel(Call("helper", {"input": "x"}), Say("done"))
    await (await serve(Agent(name="A", model=model, tools=[tool]), titles="rule")).create()
    assert outputs(model) == ["inner"]


@dataclass
class Row:
    """An output with a type."""

    id: int


async def test_the_output_type_of_a_tool(serve: Any) -> None:
    @function_tool(output_type=Row)
    def row() -> Row:
        """Get a row."""
        return Row(7)

    model = ScriptedModel(Call("row"), Say("done"), Say("again"))
    served = await serve(Agent(name="A", model=model, tools=[row]), titles="rule")
    thread_id, events = await served.create()
    assert error(events) is None
    await say(served, thread_id, "and?")
    assert [json.loads(output) for output in outputs(model)] == [{"id": 7}]


async def test_data_beside_an_output(serve: Any) -> None:
    seen: list[Any] = []

    def extract(context: FunctionToolCustomDataContext) -> dict[str, Any]:
        seen.append(context.output)
        return {"for": "programs"}

    @function_tool(custom_data_extractor=extract)
    def count() -> int:
        """Count."""
        return 7

    model = ScriptedModel(Call("count"), Say("done"))
    served = await serve(Agent(name="A", model=model, tools=[count]), titles="rule")
    thread_id, events = await served.create()
    assert error(events) is None
    assert seen == [7]
    assert "programs" not in json.dumps([events, model.calls, await served.items(thread_id)])
