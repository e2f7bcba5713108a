"""Fields of an agent in a served chat: instructions, context, hooks, what is enabled, copies."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from agents import (
    Agent,
    AgentHooks,
    Model,
    ModelProvider,
    ModelResponse,
    ModelSettings,
    RunContextWrapper,
    RunHooks,
    Tool,
    function_tool,
    set_trace_processors,
    set_tracing_disabled,
)
from agents.tracing import Span, Trace, TracingProcessor

from backchannel import Application
from backchannel.chat.agent.context import AnswerContext
from backchannel.context import RequestContext
from backchannel.errors import ConfigurationError
from backchannel.testing import Call, Say, ScriptedModel
from backchannel.testing.endpoints import Call as EndpointCall
from backchannel.testing.endpoints import Say as EndpointSay
from backchannel.testing.endpoints import StrictEndpoint
from field.odd_models import error, lookup, say, served_on, texts

pytestmark = pytest.mark.row("B10")


async def test_instructions_can_be_a_function(serve: Any, stack: Any) -> None:
    """Called for each model call, with the caller's context."""
    seen: list[tuple[str, str]] = []

    async def instructions(context: RunContextWrapper[AnswerContext], agent: Agent[Any]) -> str:
        request = context.context.request_context
        seen.append((request.identity.user, context.context.thread.id))
        return f"You are {agent.name}, call number {len(seen)}."

    endpoint = StrictEndpoint("openai-chat", EndpointCall("lookup", {"q": "x"}), then=EndpointSay("ok"))
    served = await served_on(
        serve, stack, endpoint, Agent(name="A", instructions=instructions, tools=[lookup])
    )
    thread_id, _ = await served.create()
    await say(served, thread_id, "and?")
    systems = [request.body["messages"][0] for request in endpoint.requests]
    assert [message["role"] for message in systems] == ["system"] * 3
    assert [message["content"] for message in systems] == [f"You are A, call number {n}." for n in (1, 2, 3)]
    assert {thread for _, thread in seen} == {thread_id}
    assert len({user for user, _ in seen}) == 1


@dataclass
class Shop:
    """An application's own context."""

    currency: str


@function_tool
def price(ctx: RunContextWrapper[AnswerContext]) -> str:
    """Tell the price."""
    shop: Shop = ctx.context.request_context.app
    return f"10 {shop.currency}"


async def test_an_own_context_is_below_the_request_context(serve: Any) -> None:
    """Decision 15. Code that gets an `Agent[Shop]` reads `ctx.context.request_context.app`."""

    def context(request: RequestContext, _: Any) -> Shop:
        return Shop("EUR")

    model = ScriptedModel(Call("price"), Say("done"))
    served = await serve(Application(agent=Agent(name="A", model=model, tools=[price]), context=context))
    await served.create()
    assert [item["output"] for item in model.calls[-1] if "output" in item] == ["10 EUR"]


async def test_an_agent_that_expects_its_own_context_fails_in_its_tool_alone(serve: Any) -> None:
    @function_tool
    def own(ctx: RunContextWrapper[Any]) -> str:
        """Read a field of another context."""
        return ctx.context.currency

    model = ScriptedModel(Call("own"), Say("It failed."))
    served = await serve(Agent(name="A", model=model, tools=[own]))
    thread_id, events = await served.create()
    assert error(events) is None
    [workflow] = [item["workflow"] for item in await served.items(thread_id) if item["type"] == "workflow"]
    assert workflow["tasks"][0]["content"] == "Failed."


class Recorder(AgentHooks[Any]):
    """Records what happens to one agent."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.contexts: list[Any] = []

    async def on_start(self, context: Any, agent: Agent[Any]) -> None:
        self.contexts.append(context.context)
        self.seen.append(f"start {agent.name}")

    async def on_end(self, context: Any, agent: Agent[Any], output: Any) -> None:
        self.seen.append(f"end {agent.name}: {output}")

    async def on_handoff(self, context: Any, agent: Agent[Any], source: Agent[Any]) -> None:
        self.seen.append(f"hand-off {source.name} to {agent.name}")

    async def on_tool_start(self, context: Any, agent: Agent[Any], tool: Tool) -> None:
        self.seen.append(f"tool {tool.name}")

    async def on_tool_end(self, context: Any, agent: Agent[Any], tool: Tool, result: Any) -> None:
        self.seen.append(f"tool {tool.name}: {result}")

    async def on_llm_start(self, context: Any, agent: Agent[Any], system_prompt: Any, items: Any) -> None:
        self.seen.append("model call")

    async def on_llm_end(self, context: Any, agent: Agent[Any], response: ModelResponse) -> None:
        self.seen.append(f"model call: {len(response.output)}")


async def test_hooks_of_agents_are_called(serve: Any) -> None:
    """openai/openai-agents-python#1909: some were not."""
    first, second = Recorder(), Recorder()
    target = Agent[Any](
        name="B", hooks=second, tools=[lookup], model=ScriptedModel(Call("lookup", {"q": "x"}), Say("done"))
    )
    agent = Agent[Any](name="A", hooks=first, handoffs=[target], model=ScriptedModel(Call("transfer_to_b")))
    await (await serve(agent)).create()
    # The Agents SDK reports a hand-off to the agent that hands off.
    assert first.seen == ["start A", "model call", "model call: 1", "hand-off A to B"]
    assert second.seen == [
        "start B",
        "model call",
        "model call: 1",
        "tool lookup",
        "tool lookup: found x",
        "model call",
        "model call: 1",
        "end B: done",
    ]
    assert isinstance(second.contexts[0], AnswerContext)


async def test_hooks_of_an_agent_that_is_a_tool_are_called(serve: Any) -> None:
    """openai/openai-agents-python#2036."""
    inner, run = Recorder(), list[str]()

    class Run(RunHooks[Any]):
        async def on_agent_start(self, context: Any, agent: Agent[Any]) -> None:
            run.append(agent.name)

    helper = Agent[Any](
        name="Helper",
        hooks=inner,
        tools=[lookup],
        model=ScriptedModel(Call("lookup", {"q": "x"}), Say("found")),
    )
    model = ScriptedModel(Call("helper", {"input": "x"}), Say("done"))
    await (
        await serve(Agent(name="A", model=model, tools=[helper.as_tool("helper", "Help.", hooks=Run())]))
    ).create()
    assert inner.seen[0] == "start Helper"
    assert "tool lookup: found x" in inner.seen
    assert inner.seen[-1] == "end Helper: found"
    assert run == ["Helper"]


async def test_a_hook_that_fails_ends_the_answer_with_an_error(serve: Any) -> None:
    class Broken(AgentHooks[Any]):
        async def on_tool_end(self, context: Any, agent: Agent[Any], tool: Tool, result: Any) -> None:
            raise RuntimeError("broken hook")

    model = ScriptedModel(Call("lookup", {"q": "x"}), Say("fine"))
    served = await serve(Agent(name="A", model=model, tools=[lookup], hooks=Broken()))
    thread_id, events = await served.create()
    assert error(events) is not None
    assert error(await say(served, thread_id, "and?")) is None


def test_hooks_of_runs_are_refused_at_the_start() -> None:
    """`RunHooks` belong to a call of `Runner.run`, which the server makes."""
    with pytest.raises(ConfigurationError, match="Hooks"):
        Application(agent=Agent(name="A"), hooks=[RunHooks()])  # type: ignore[list-item]


async def test_what_is_not_enabled_is_not_offered(serve: Any, stack: Any) -> None:
    asked: list[str] = []

    def enabled(context: RunContextWrapper[AnswerContext], agent: Any) -> bool:
        asked.append(context.context.request_context.identity.user)
        return False

    @function_tool(is_enabled=enabled)
    def hidden() -> str:
        """Never offered."""
        return "x"

    helper = Agent[Any](name="Helper")
    tools = [lookup, hidden, helper.as_tool("helper", "Help.", is_enabled=enabled)]
    endpoint = StrictEndpoint("openai-chat")
    served = await served_on(serve, stack, endpoint, Agent(name="A", tools=tools))
    await served.create()
    [request] = endpoint.requests
    assert [tool["function"]["name"] for tool in request.body["tools"]] == ["lookup"]
    assert len(asked) >= 2


async def test_a_tool_is_forced_once(serve: Any, stack: Any) -> None:
    """`tool_choice` with `reset_tool_choice`, which is the default: no endless loop of calls."""
    endpoint = StrictEndpoint("openai-chat", EndpointCall("lookup", {"q": "x"}), then=EndpointSay("done"))
    agent = Agent[Any](name="A", tools=[lookup], model_settings=ModelSettings(tool_choice="required"))
    served = await served_on(serve, stack, endpoint, agent)
    thread_id, _ = await served.create()
    await say(served, thread_id, "and?")
    assert [request.body.get("tool_choice") for request in endpoint.requests] == [
        "required",
        None,
        "required",
    ]


async def test_a_tool_choice_that_is_not_reset(serve: Any, stack: Any) -> None:
    endpoint = StrictEndpoint("openai-chat", EndpointCall("lookup", {"q": "x"}), then=EndpointSay("done"))
    settings = ModelSettings(tool_choice="lookup")
    agent = Agent[Any](name="A", tools=[lookup], model_settings=settings, reset_tool_choice=False)
    served = await served_on(serve, stack, endpoint, agent)
    await served.create()
    choice = {"type": "function", "function": {"name": "lookup"}}
    assert [request.body.get("tool_choice") for request in endpoint.requests] == [choice, choice]


async def test_a_copy_of_an_agent_is_an_agent_of_its_own(serve: Any) -> None:
    first = Agent[Any](name="A", model=ScriptedModel(Say("first")))
    served = await serve(first)
    await served.create()
    copy = first.clone(name="B", model=ScriptedModel(Say("second")))
    thread_id, _ = await (other := await serve(copy, database_url="sqlite:///:memory:")).create()
    assert texts(await other.items(thread_id)) == ["hello", "second"]


class Traces(TracingProcessor):
    """Keeps traces and the names of spans."""

    def __init__(self) -> None:
        self.traces: list[dict[str, Any]] = []
        self.spans: list[dict[str, Any]] = []

    def on_trace_start(self, trace: Trace) -> None: ...

    def on_trace_end(self, trace: Trace) -> None:
        self.traces.append(trace.export() or {})

    def on_span_start(self, span: Span[Any]) -> None: ...

    def on_span_end(self, span: Span[Any]) -> None:
        self.spans.append(span.export() or {})

    def shutdown(self) -> None: ...

    def force_flush(self) -> None: ...


async def test_each_run_is_a_trace(serve: Any) -> None:
    traces = Traces()
    set_trace_processors([traces])
    set_tracing_disabled(False)
    try:
        model = ScriptedModel(Call("lookup", {"q": "words of the person"}), Say("words of the model"))
        served = await serve(Agent(name="A", model=model, tools=[lookup]), titles="rule")
        stream = await served.person.say("hello")
        events = await stream.events()
    finally:
        set_tracing_disabled(True)
        set_trace_processors([])
    [trace] = traces.traces
    assert trace["workflow_name"] == "A"
    assert trace["group_id"] == events[0]["thread"]["id"]
    assert trace["metadata"]["run_id"] == stream.run_id
    assert {"agent", "function"} <= {span["span_data"]["type"] for span in traces.spans}
    assert "words of" not in json.dumps(traces.spans)


async def test_a_model_provider_of_the_application(serve: Any) -> None:
    """`RunConfig.model_provider` of a program. It resolves the names of all agents' models."""
    asked: list[str | None] = []

    class Mine(ModelProvider):
        def get_model(self, model_name: str | None) -> Model:
            asked.append(model_name)
            return (
                ScriptedModel(Call("transfer_to_b")) if model_name == "first" else ScriptedModel(Say("done"))
            )

    first = Agent[Any](name="A", model="first", handoffs=[Agent[Any](name="B")])
    served = await serve(Application(agent=first, model_provider=Mine()), titles="rule")
    thread_id, _ = await served.create()
    assert texts(await served.items(thread_id)) == ["hello", "done"]
    assert asked == ["first", None]
