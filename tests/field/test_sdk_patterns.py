"""Agents in the patterns of the Agents SDK's documentation, each as a target: openai/openai-agents-python, `examples/`."""

import asyncio
import json
from typing import Any

import pytest
from agents import (
    Agent,
    AgentOutputSchema,
    GuardrailFunctionOutput,
    ItemHelpers,
    ModelSettings,
    RunContextWrapper,
    Runner,
    function_tool,
    input_guardrail,
)
from agents.tool_context import ToolContext
from pydantic import BaseModel

from backchannel import Application
from backchannel.context import RequestContext
from backchannel.testing import Call, Say, ScriptedModel
from backchannel.testing.endpoints import Say as EndpointSay
from backchannel.testing.endpoints import StrictEndpoint
from field.odd_models import error, lookup, outputs, say, served_on, tasks, texts

pytestmark = pytest.mark.row("B10")


async def test_hello_world(serve: Any, stack: Any) -> None:
    endpoint = StrictEndpoint("openai-responses")
    agent = Agent(name="Assistant", instructions="Answer in haikus.")
    served = await served_on(serve, stack, endpoint, agent, model_api="responses")
    thread_id, _ = await served.create("Tell me about recursion.")
    assert endpoint.requests[0].body["instructions"] == "Answer in haikus."
    assert texts(await served.items(thread_id)) == ["Tell me about recursion.", "ok"]


async def test_conversations_need_no_previous_response(serve: Any, stack: Any) -> None:
    """`previous_response_id`, `conversation_id` and sessions have no place: the stored thread is sent each time."""
    endpoint = StrictEndpoint("openai-responses")
    served = await served_on(serve, stack, endpoint, Agent(name="A"), model_api="responses")
    thread_id, _ = await served.create("What is the largest country?")
    await say(served, thread_id, "Its capital?")
    body = endpoint.requests[-1].body
    assert body.keys().isdisjoint({"previous_response_id", "conversation"})
    assert [item["role"] for item in body["input"]] == ["user", "assistant", "user"]


async def test_a_system_prompt_by_the_applications_context(serve: Any, stack: Any) -> None:
    def instructions(context: RunContextWrapper[Any], _agent: Agent[Any]) -> str:
        return f"Talk like a {context.context.request_context.app}."

    def style(request: RequestContext, _: Any) -> str:
        return "pirate" if request.identity.anonymous else "robot"

    endpoint = StrictEndpoint("openai-chat")
    agent = Agent[Any](name="A", instructions=instructions)
    served = await served_on(serve, stack, endpoint, Application(agent=agent, context=style))
    await served.create()
    assert endpoint.requests[0].body["messages"][0]["content"] == "Talk like a pirate."


async def test_routing(serve: Any) -> None:
    """Each turn begins at the router, with the whole conversation."""
    french = Agent[Any](name="French", model=ScriptedModel(Say("Bonjour"), Say("Merci")))
    router_model = ScriptedModel(Call("transfer_to_french"), Call("transfer_to_french"))
    router = Agent[Any](name="Router", model=router_model, handoffs=[french, Agent[Any](name="Spanish")])
    served = await serve(router, titles="rule")
    thread_id, _ = await served.create("Salut")
    await say(served, thread_id, "Et toi?")
    assert texts(await served.items(thread_id)) == ["Salut", "Bonjour", "Et toi?", "Merci"]
    assert {"role": "assistant", "content": "Bonjour"} in router_model.calls[1]


async def test_a_deterministic_flow_in_a_tool(serve: Any) -> None:
    """Outline, check, story: agents that code runs one after the other, with the models of the server."""
    outline = Agent[Any](name="Outline", model=ScriptedModel(Say("a cat, a hat")))
    check = Agent[Any](name="Check", model=ScriptedModel(Say('{"good": true}')), output_type=Verdict)
    writer = Agent[Any](name="Writer", model=ScriptedModel(Say("The cat had a hat.")))

    @function_tool
    async def write_story(ctx: ToolContext[Any], subject: str) -> str:
        """Write a story."""
        run: Any = {"context": ctx.context, "run_config": ctx.run_config}
        made = await Runner.run(outline, subject, **run)
        verdict = await Runner.run(check, str(made.final_output), **run)
        if not verdict.final_output.good:
            return "The outline is no good."
        return str((await Runner.run(writer, str(made.final_output), **run)).final_output)

    model = ScriptedModel(Call("write_story", {"subject": "cats"}), Say("Here it is."))
    served = await serve(Agent(name="A", model=model, tools=[write_story]), titles="rule")
    thread_id, events = await served.create()
    assert error(events) is None
    assert outputs(model) == ["The cat had a hat."]
    assert tasks(await served.items(thread_id)) == [("Write story", "complete", "subject: cats")]


async def test_agents_as_tools(serve: Any) -> None:
    spanish = Agent[Any](name="Spanish", model=ScriptedModel(Say("hola")))
    french = Agent[Any](name="French", model=ScriptedModel(Say("salut")))
    calls = [Call("to_spanish", {"input": "hi"}), Call("to_french", {"input": "hi"})]
    model = ScriptedModel(calls, Say("hola, salut"))
    tools = [spanish.as_tool("to_spanish", "Translate."), french.as_tool("to_french", "Translate.")]
    served = await serve(Agent(name="A", model=model, tools=tools), titles="rule")
    thread_id, _ = await served.create()
    assert sorted(outputs(model)) == ["hola", "salut"]
    assert texts(await served.items(thread_id)) == ["hello", "hola, salut"], "the inner answers are not shown"
    assert [state for _, state, _ in tasks(await served.items(thread_id))] == ["complete", "complete"]


async def test_agents_as_tools_that_depend_on_the_person(serve: Any, stack: Any) -> None:
    def european(context: RunContextWrapper[Any], _agent: Any) -> bool:
        return context.context.request_context.app == "fr"

    def language(request: RequestContext, _: Any) -> str:
        return (request.locale or "en").partition("-")[0]

    french = Agent[Any](name="French").as_tool("to_french", "Translate.", is_enabled=european)
    endpoint = StrictEndpoint("openai-chat")
    agent = Agent[Any](name="A", tools=[french, lookup])
    served = await served_on(serve, stack, endpoint, Application(agent=agent, context=language))
    await served.create()
    served.person.http.headers["Accept-Language"] = "fr-FR"
    await served.create()
    offered = [[tool["function"]["name"] for tool in request.body["tools"]] for request in endpoint.requests]
    assert offered == [["lookup"], ["to_french", "lookup"]]


async def test_parallel_agents_in_a_tool(serve: Any) -> None:
    both = asyncio.Barrier(2)

    @function_tool
    async def wait() -> str:
        """Wait for the other."""
        async with asyncio.timeout(5):
            await both.wait()
        return "x"

    def translator(text: str) -> Agent[Any]:
        return Agent[Any](name=text, model=ScriptedModel(Call("wait"), Say(text)), tools=[wait])

    @function_tool
    async def best_of_two(ctx: ToolContext[Any]) -> str:
        """Let two answer."""
        results = await asyncio.gather(
            *(
                Runner.run(translator(text), "hi", context=ctx.context, run_config=ctx.run_config)
                for text in ("hola", "buenas")
            )
        )
        return " / ".join(ItemHelpers.text_message_outputs(result.new_items) for result in results)

    model = ScriptedModel(Call("best_of_two"), Say("done"))
    served = await serve(Agent(name="A", model=model, tools=[best_of_two]), titles="rule")
    _, events = await served.create()
    assert error(events) is None
    assert outputs(model) == ["hola / buenas"]


class Verdict(BaseModel):
    """What a judge says."""

    good: bool


async def test_a_model_as_a_judge(serve: Any) -> None:
    """The judge's answers are not shown; the loop is one tool of the conversation's agent."""
    judge = Agent[Any](
        name="Judge", output_type=Verdict, model=ScriptedModel(Say('{"good": false}'), Say('{"good": true}'))
    )
    writer = Agent[Any](name="Writer", model=ScriptedModel(Say("draft"), Say("better")))

    @function_tool
    async def write(ctx: ToolContext[Any], subject: str) -> str:
        """Write until it is good."""
        run: Any = {"context": ctx.context, "run_config": ctx.run_config}
        for _ in range(3):
            text = str((await Runner.run(writer, subject, **run)).final_output)
            if (await Runner.run(judge, text, **run)).final_output.good:
                return text
        return "Nothing good came."

    model = ScriptedModel(Call("write", {"subject": "x"}), Say("better"))
    served = await serve(Agent(name="A", model=model, tools=[write]), titles="rule")
    thread_id, _ = await served.create()
    assert outputs(model) == ["better"]
    assert texts(await served.items(thread_id)) == ["hello", "better"]


async def test_a_guardrail_that_asks_an_agent(serve: Any, stack: Any) -> None:
    """The agent has no model of its own: it gets the server's by the context's `run_config`."""
    checker = Agent[Any](name="Checker", output_type=Verdict)

    @input_guardrail(run_in_parallel=False)
    async def check(context: RunContextWrapper[Any], _agent: Any, given: Any) -> GuardrailFunctionOutput:
        result = await Runner.run(
            checker, given, context=context.context, run_config=context.context.run_config
        )
        return GuardrailFunctionOutput(result.final_output, not result.final_output.good)

    endpoint = StrictEndpoint(
        "openai-chat", EndpointSay('{"good": true}'), EndpointSay("fine"), EndpointSay('{"good": false}')
    )
    served = await served_on(serve, stack, endpoint, Agent[Any](name="A", input_guardrails=[check]))
    thread_id, events = await served.create()
    assert error(events) is None
    assert texts(await served.items(thread_id)) == ["hello", "fine"]
    assert error(await say(served, thread_id, "do my homework")) == ("guardrail", False)
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize("behavior", ["run_llm_again", "stop_on_first_tool"])
async def test_forcing_a_tool(serve: Any, behavior: Any) -> None:
    model = ScriptedModel(Call("lookup", {"q": "x"}), Say("done"))
    agent = Agent[Any](
        name="A",
        model=model,
        tools=[lookup],
        model_settings=ModelSettings(tool_choice="required"),
        tool_use_behavior=behavior,
    )
    served = await serve(agent, titles="rule")
    thread_id, events = await served.create()
    assert error(events) is None
    assert len(model.calls) == (2 if behavior == "run_llm_again" else 1)
    assert tasks(await served.items(thread_id)) == [("Lookup", "complete", "q: x")]


class Jokes(BaseModel):
    """An output whose keys are not known: no strict schema."""

    jokes: dict[int, str]


async def test_an_output_type_that_is_not_strict(serve: Any, stack: Any) -> None:
    endpoint = StrictEndpoint("openai-responses")
    schema = AgentOutputSchema(Jokes, strict_json_schema=False)
    served = await served_on(
        serve, stack, endpoint, Agent(name="A", output_type=schema), model_api="responses"
    )
    _, events = await served.create()
    sent = endpoint.requests[0].body["text"]["format"]
    assert (sent["type"], sent["strict"]) == ("json_schema", False)
    # "ok" is not JSON.
    assert error(events) == ("invalid_output", True)


async def test_an_output_type_is_checked(serve: Any) -> None:
    answer = json.dumps({"jokes": {"1": "Knock knock."}})
    schema = AgentOutputSchema(Jokes, strict_json_schema=False)
    agent = Agent[Any](name="A", output_type=schema, model=ScriptedModel(Say(answer), Say('{"jokes": 7}')))
    served = await serve(agent, titles="rule")
    thread_id, events = await served.create()
    assert error(events) is None
    assert error(await say(served, thread_id, "more")) == ("invalid_output", True)
