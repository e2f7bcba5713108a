"""`Application.run_config` and `Application.error_handlers`: each field of a `RunConfig` has its effect, or is refused.

Before there was a place for them: openai/openai-agents-python examples/basic/retry.py,
examples/agent_patterns/human_in_the_loop_custom_rejection.py, examples/model_providers/custom_example_provider.py,
examples/sandbox/unix_local_runner.py and others, as they are served.
"""

import json
from typing import Any

import pytest
from agents import (
    Agent,
    HandoffInputData,
    ModelProvider,
    ModelSettings,
    MultiProvider,
    OpenAIProvider,
    RunConfig,
    Runner,
    SessionSettings,
    ToolExecutionConfig,
    function_tool,
    set_trace_processors,
    set_tracing_disabled,
)
from agents.run_config import CallModelData, ModelInputData
from chatkit.types import ThreadMetadata
from openai import AsyncOpenAI

from backchannel import Application
from backchannel.context import RequestContext
from backchannel.errors import ConfigurationError
from backchannel.testing import Call, Say, ScriptedModel
from backchannel.testing.endpoints import Call as EndpointCall
from backchannel.testing.endpoints import Reply, StrictEndpoint
from backchannel.testing.endpoints.wire import ResponsesStream, call_item
from field.odd_models import error, lookup, outputs, say, served_on, texts
from field.test_inference_options import ask, models
from field.test_sdk_agents import Traces

pytestmark = pytest.mark.row("B10")


def configured(agent: Agent[Any], **fields: Any) -> Application:
    return Application(agent=agent, run_config=RunConfig(**fields))


async def test_the_model_and_the_settings_of_a_run_are_those_of_every_agent(serve: Any, stack: Any) -> None:
    inner = Agent[Any](name="Inner", model="own", model_settings=ModelSettings(temperature=1.0))
    agent = Agent[Any](name="A", model="own", tools=[inner.as_tool("inner", "Ask.")])
    endpoint = StrictEndpoint("openai-chat", EndpointCall("inner", {"input": "?"}))
    application = configured(agent, model="of-the-run", model_settings=ModelSettings(temperature=0.5))
    served = await served_on(serve, stack, endpoint, application)
    _, events = await served.create()
    assert error(events) is None
    assert models(endpoint) == ["of-the-run"] * 3
    assert [request.body["temperature"] for request in endpoint.requests] == [0.5] * 3


async def test_what_a_person_chooses_wins_over_the_configuration(serve: Any, stack: Any) -> None:
    """The settings of the run come back after the call that the person has forced."""
    endpoint = StrictEndpoint("openai-chat", EndpointCall("lookup", {"q": "x"}))
    seen: list[str] = []

    def note(data: CallModelData[Any]) -> ModelInputData:
        seen.append(data.agent.name)
        return data.model_data

    application = configured(
        Agent[Any](name="A", tools=[lookup]),
        model="of-the-run",
        model_settings=ModelSettings(temperature=0.5),
        call_model_input_filter=note,
    )
    served = await served_on(serve, stack, endpoint, application, models="big")
    _, events = await ask(served, None, "a", model="big", tool_choice={"id": "lookup"})
    assert error(events) is None
    assert models(endpoint) == ["big", "big"]
    assert [request.body["temperature"] for request in endpoint.requests] == [0.5, 0.5]
    first, second = (request.body.get("tool_choice") for request in endpoint.requests)
    assert "lookup" in str(first)
    assert second in (None, "auto")
    assert seen == ["A", "A"]


async def test_a_model_object_of_a_run_is_normalized(serve: Any) -> None:
    """An empty answer is reported, and not shown: M4."""
    model = ScriptedModel(Say(""), Say("ok"))
    served = await serve(configured(Agent[Any](name="A"), model=model), titles="rule")
    thread_id, events = await served.create()
    assert error(events) == ("answer_empty", True)
    await say(served, thread_id, "again")
    assert texts(await served.items(thread_id))[-1] == "ok"


@pytest.mark.parametrize("made", [False, True], ids=["fixed", "function"])
async def test_a_model_provider_of_a_run(serve: Any, made: bool) -> None:
    model = ScriptedModel(Say("one"), Say("two"))

    class Mine(ModelProvider):
        def get_model(self, model_name: str | None) -> Any:
            return model

    config = RunConfig(model_provider=Mine())
    application = Application(
        agent=Agent[Any](name="A"), run_config=(lambda _context, _thread: config) if made else config
    )
    served = await serve(application, titles="rule")
    thread_id, _ = await served.create()
    await say(served, thread_id, "and?")
    assert texts(await served.items(thread_id)) == ["hello", "one", "and?", "two"]


async def test_a_provider_that_was_given_is_told_from_the_default(serve: Any, stack: Any) -> None:
    """Every `RunConfig` has a `MultiProvider`: one without options stands for the server's models."""
    endpoint = StrictEndpoint("openai-chat")
    url = await stack.enter_async_context(endpoint.running())
    client = await stack.enter_async_context(AsyncOpenAI(api_key="x", base_url=url))
    given = MultiProvider(openai_client=client, openai_use_responses=False)
    served = await serve(configured(Agent[Any](name="A"), model="m", model_provider=given), titles="rule")
    _, events = await served.create()
    assert error(events) is None
    assert models(endpoint) == ["m"]


async def test_the_input_of_each_call_is_filtered(serve: Any, stack: Any) -> None:
    """Also of calls after a tool, and of agents that are tools, as in the SDK. The context is that of tools."""

    async def add(data: CallModelData[Any]) -> ModelInputData:
        user = data.context.request_context.identity.user  # pyright: ignore[reportOptionalMemberAccess]
        note: Any = {"role": "user", "content": f"for {user} by {data.agent.name}"}
        return ModelInputData(input=[*data.model_data.input, note], instructions="filtered")

    endpoint = StrictEndpoint("openai-responses", EndpointCall("lookup", {"q": "x"}))
    application = configured(Agent[Any](name="A", tools=[lookup]), call_model_input_filter=add)
    served = await served_on(serve, stack, endpoint, application, model_api="responses")
    thread_id, events = await served.create()
    assert error(events) is None
    await say(served, thread_id, "and?")
    bodies = [request.body for request in endpoint.requests]
    assert [body["instructions"] for body in bodies] == ["filtered"] * 3
    assert all("by A" in str(body["input"][-1]) for body in bodies)
    assert "by A" not in json.dumps(await served.items(thread_id))


async def test_a_hand_off_filter_of_the_run(serve: Any) -> None:
    def newest(data: HandoffInputData) -> HandoffInputData:
        return data.clone(input_history=(), pre_handoff_items=(), new_items=data.new_items[-1:])

    second_model = ScriptedModel(Say("second"))
    second = Agent[Any](name="B", model=second_model)
    first = Agent[Any](name="A", model=ScriptedModel(Call("transfer_to_b")), handoffs=[second])
    served = await serve(configured(first, handoff_input_filter=newest), titles="rule")
    _, events = await served.create("secret words")
    assert error(events) is None
    assert "secret words" not in json.dumps(second_model.calls[0])


async def test_a_nested_history_of_the_run_with_a_mapper(serve: Any) -> None:
    def shorten(transcript: Any) -> Any:
        return [{"role": "user", "content": f"{len(transcript)} items before"}]

    second_model = ScriptedModel(Say("second"))
    second = Agent[Any](name="B", model=second_model)
    first = Agent[Any](name="A", model=ScriptedModel(Call("transfer_to_b")), handoffs=[second])
    application = configured(first, nest_handoff_history=True, handoff_history_mapper=shorten)
    served = await serve(application, titles="rule")
    _, events = await served.create("secret words")
    assert error(events) is None
    assert "items before" in json.dumps(second_model.calls[0])
    assert "secret words" not in json.dumps(second_model.calls[0])


async def test_tools_of_one_response_may_run_one_after_the_other(serve: Any) -> None:
    running: list[int] = [0, 0]

    @function_tool
    async def count(n: int) -> str:
        """Count how many run."""
        running[0] += 1
        running[1] = max(running)
        await Runner.run(Agent[Any](name="Slow", model=ScriptedModel(Say("x"))), "?")
        running[0] -= 1
        return "counted"

    model = ScriptedModel([Call("count", {"n": n}) for n in range(3)], Say("done"))
    agent = Agent[Any](name="A", model=model, tools=[count])
    limit = ToolExecutionConfig(max_function_tool_concurrency=1)
    served = await serve(configured(agent, tool_execution=limit), titles="rule")
    _, events = await served.create()
    assert error(events) is None
    assert outputs(model) == ["counted"] * 3
    assert running[1] == 1


async def test_a_collision_of_names_can_be_an_error(serve: Any) -> None:
    @function_tool(name_override="transfer_to_b")
    def transfer() -> str:
        """Look like a hand-off."""
        return "no"

    second = Agent[Any](name="B", model=ScriptedModel(Say("b")))
    agent = Agent[Any](name="A", model=ScriptedModel(Say("a")), tools=[transfer], handoffs=[second])
    served = await serve(configured(agent, tool_name_collision_policy="error"), titles="rule")
    _, events = await served.create()
    [failure] = [each for each in events if each["type"] == "error"]
    assert "not set up correctly" in failure["message"]


def thinks_and_calls() -> Reply:
    """A response with a thought and a call of `lookup`."""
    stream = ResponsesStream("m")
    thought = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "x"}
    call = call_item("lookup", '{"q": "x"}')
    return Reply(
        [
            *stream.created(),
            stream.added(thought),
            stream.done(thought),
            *stream.call(call, 1),
            stream.completed([thought, call]),
        ]
    )


@pytest.mark.parametrize("policy", [None, "omit"])
async def test_ids_of_reasoning_can_be_left_out(serve: Any, stack: Any, policy: Any) -> None:
    endpoint = StrictEndpoint("openai-responses", thinks_and_calls())
    application = configured(Agent[Any](name="A", tools=[lookup]), reasoning_item_id_policy=policy)
    served = await served_on(serve, stack, endpoint, application, model_api="responses")
    _, events = await served.create()
    assert error(events) is None
    [thought] = [each for each in endpoint.requests[1].body["input"] if each.get("type") == "reasoning"]
    assert thought.get("id") == (None if policy == "omit" else "rs_1")


@pytest.mark.parametrize("disabled", [False, True])
async def test_traces_have_the_names_of_the_run_and_never_words_of_people(serve: Any, disabled: bool) -> None:
    traces = Traces()
    set_trace_processors([traces])
    set_tracing_disabled(False)
    try:
        agent = Agent[Any](
            name="A", model=ScriptedModel(Call("lookup", {"q": "words"}), Say("words")), tools=[lookup]
        )
        application = configured(
            agent,
            workflow_name="Support",
            group_id="team",
            trace_metadata={"region": "eu"},
            tracing_disabled=disabled,
            trace_include_sensitive_data=True,
        )
        served = await serve(application, titles="rule")
        stream = await served.person.say("words of the person")
        await stream.events()
    finally:
        set_tracing_disabled(True)
        set_trace_processors([])
    if disabled:
        assert (traces.traces, traces.spans) == ([], [])
        return
    [trace] = traces.traces
    assert (trace["workflow_name"], trace["group_id"]) == ("Support", "team")
    assert trace["metadata"]["region"] == "eu"
    assert trace["metadata"]["run_id"] == stream.run_id
    assert "words" not in json.dumps(traces.spans)


async def test_a_function_makes_the_configuration_of_each_run(serve: Any, stack: Any) -> None:
    made: list[tuple[str, str]] = []

    async def run_config(context: RequestContext, thread: ThreadMetadata) -> RunConfig:
        made.append((context.identity.user, thread.id))
        return RunConfig(model=f"for-{len(made)}", trace_id=None)

    endpoint = StrictEndpoint("openai-chat")
    application = Application(agent=Agent[Any](name="A"), run_config=run_config)
    served = await served_on(serve, stack, endpoint, application)
    thread_id, _ = await served.create()
    await say(served, thread_id, "and?")
    assert models(endpoint) == ["for-1", "for-2"]
    assert {thread for _, thread in made} == {thread_id}


@pytest.mark.parametrize(
    "wrong", [None, {"model": "m"}, RunConfig(session_settings=SessionSettings(limit=2))]
)
async def test_a_function_that_returns_what_cannot_be_used_is_reported(serve: Any, wrong: Any) -> None:
    agent = Agent[Any](name="A", model=ScriptedModel(Say("a")))
    application = Application(agent=agent, run_config=lambda _context, _thread: wrong)
    served = await serve(application, titles="rule")
    _, events = await served.create()
    [failure] = [each for each in events if each["type"] == "error"]
    assert "not set up correctly" in failure["message"]


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ({"session_settings": SessionSettings(limit=2)}, "converter"),
        ({"session_input_callback": print}, "converter"),
        ({"trace_id": "trace_1"}, "function"),
    ],
)
def test_what_has_no_effect_is_refused_at_the_start(given: dict[str, Any], advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        configured(Agent[Any](name="A"), **given)


def test_what_is_no_configuration_is_refused_at_the_start() -> None:
    agent = Agent[Any](name="A")
    wrong: Any = "gpt-9"
    with pytest.raises(ConfigurationError, match="and not a str"):
        Application(agent=agent, run_config=wrong)
    with pytest.raises(ConfigurationError, match="not both"):
        Application(
            agent=agent,
            model_provider=OpenAIProvider(),
            run_config=RunConfig(model_provider=OpenAIProvider()),
        )
