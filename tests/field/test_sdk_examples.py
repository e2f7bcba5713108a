"""What failed when the examples of the Agents SDK were served as they are: openai/openai-agents-python, `examples/`.

Each test is an equivalent of our own of the file that it names. The table of all files is docs/reference/sdk-examples.md.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest
from agents import (
    Agent,
    AgentOutputSchema,
    GenerateDynamicPromptData,
    GuardrailFunctionOutput,
    ModelProvider,
    OpenAIResponsesModel,
    RunContextWrapper,
    Runner,
    function_tool,
    handoff,
    input_guardrail,
    set_default_openai_client,
)
from agents.models import _openai_shared as shared
from openai import AsyncOpenAI
from pydantic import BaseModel

from backchannel import Application
from backchannel.errors import ConfigurationError
from backchannel.testing import Call, Say, ScriptedModel
from backchannel.testing.endpoints import Call as EndpointCall
from backchannel.testing.endpoints import Say as EndpointSay
from backchannel.testing.endpoints import StrictEndpoint
from field.odd_models import error, outputs, served_on, tasks

pytestmark = pytest.mark.row("B10")


@dataclass
class Booking:
    """An application's own context, as `Runner.run(…, context=Booking())` has it."""

    language: str = "fr"
    seats: list[str] = field(default_factory=list[str])
    flight: str | None = None

    def upper(self) -> str:
        """The language in capitals."""
        return self.language.upper()


async def test_code_that_was_written_for_its_own_context_finds_it(serve: Any) -> None:
    """examples/customer_service/main.py, basic/dynamic_system_prompt.py, agent_patterns/agents_as_tools_conditional.py,
    tools/codex_same_thread.py: instructions, tools, hand-offs and `is_enabled` read and set fields of it."""
    bookings: list[Booking] = []

    def made(_request: Any, _http: Any) -> Booking:
        bookings.append(Booking())
        return bookings[-1]

    def instructions(context: RunContextWrapper[Booking], _agent: Agent[Booking]) -> str:
        return f"Answer in {context.context.upper()}."

    @function_tool
    def book(context: RunContextWrapper[Booking], seat: str) -> str:
        """Book a seat."""
        assert context.context.flight is not None
        context.context.seats.append(seat)
        return f"{seat} on {context.context.flight}"

    def begin(context: RunContextWrapper[Booking]) -> None:
        context.context.flight = "FL-1"

    def french(context: RunContextWrapper[Booking], _agent: Any) -> bool:
        return context.context.language == "fr"

    model = ScriptedModel(Call("book", {"seat": "1A"}), Say("done"))
    clerk = Agent[Booking](name="Clerk", model=model, instructions=instructions, tools=[book])
    first_model = ScriptedModel(Call("transfer_to_clerk"))
    first = Agent[Booking](
        name="A", model=first_model, handoffs=[handoff(clerk, on_handoff=begin, is_enabled=french)]
    )
    served = await serve(Application(agent=first, context=made), titles="rule")
    _, events = await served.create()
    assert error(events) is None
    assert outputs(model)[-1] == "1A on FL-1"
    assert [(each.flight, each.seats) for each in bookings] == [("FL-1", ["1A"])]


async def test_a_context_may_be_a_mapping(serve: Any) -> None:
    """examples/memory/file_hitl_example.py: `context={…}`."""

    @function_tool
    def profile(context: RunContextWrapper[dict[str, str]]) -> str:
        """Read the profile."""
        context.context["read"] = "yes"
        assert "name" in context.context
        return f"{context.context['name']} {context.context.get('read')} {context.context.get('age')}"

    model = ScriptedModel(Call("profile"), Say("done"))
    agent = Agent[Any](name="A", model=model, tools=[profile])
    served = await serve(
        Application(agent=agent, context=lambda _request, _http: {"name": "Ann"}), titles="rule"
    )
    await served.create()
    assert outputs(model) == ["Ann yes None"]


async def test_a_prompt_may_be_made_of_the_own_context(serve: Any, stack: Any) -> None:
    """examples/basic/prompt_template.py"""

    async def prompt(data: GenerateDynamicPromptData) -> Any:
        own: Any = data.context.context
        return {"id": "pmpt_1", "variables": {"style": own.language}}

    endpoint = StrictEndpoint("openai-responses")
    agent = Agent[Any](name="A", prompt=prompt)
    application = Application(agent=agent, context=lambda _request, _http: Booking())
    served = await served_on(serve, stack, endpoint, application, model_api="responses")
    _, events = await served.create()
    assert error(events) is None
    assert endpoint.requests[0].body["prompt"]["variables"] == {"style": "fr"}


async def test_a_context_that_was_not_given_is_named_in_the_log(
    serve: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log said that an `AnswerContext` has no attribute `language`."""

    def instructions(context: RunContextWrapper[Booking], _agent: Agent[Booking]) -> str:
        return context.context.language

    served = await serve(Agent(name="A", model=ScriptedModel(Say("x")), instructions=instructions))
    _, events = await served.create()
    assert error(events) == ("internal_error", True)
    assert "Application.context" in capsys.readouterr().out


@pytest.mark.parametrize("profile", ["openai-chat", "openai-responses"])
async def test_agents_that_code_runs_itself_have_the_models_of_the_server(
    serve: Any, stack: Any, monkeypatch: pytest.MonkeyPatch, profile: Any
) -> None:
    """examples/agent_patterns/input_guardrails.py, agents_as_tools_streaming.py: `Runner.run` without a `run_config` used
    the SDK's own provider: without a key in the environment, or on an endpoint without the Responses API, every message
    failed."""
    checker = Agent[Any](name="Checker")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    @input_guardrail(run_in_parallel=False)
    async def check(context: RunContextWrapper[Any], _agent: Any, given: Any) -> GuardrailFunctionOutput:
        result = await Runner.run(checker, given, context=context.context)
        return GuardrailFunctionOutput(None, "bad" in str(result.final_output))

    @function_tool
    async def ask(text: str) -> str:
        """Ask another agent."""
        streamed = Runner.run_streamed(checker, text)
        async for _ in streamed.stream_events():
            pass
        return str(streamed.final_output)

    endpoint = StrictEndpoint(
        profile, EndpointSay("fine"), EndpointCall("ask", {"text": "?"}), EndpointSay("inner"), EndpointSay("outer")
    )  # fmt: skip
    api = "chat_completions" if profile == "openai-chat" else "responses"
    agent = Agent[Any](name="A", input_guardrails=[check], tools=[ask])
    served = await served_on(serve, stack, endpoint, agent, model_api=api)
    thread_id, events = await served.create()
    assert error(events) is None
    assert "inner" in str(endpoint.requests[-1].body)
    assert tasks(await served.items(thread_id)) == [("Ask", "complete", "text: ?")]
    assert [request.body["model"] for request in endpoint.requests] == ["m"] * 4


async def test_runs_outside_of_answers_are_left_alone(serve: Any) -> None:
    """Of a host application in the same process: the models of the server are not theirs."""
    served = await serve(Agent(name="A", model=ScriptedModel(Say("x"))), titles="rule")
    await served.create()
    client = AsyncOpenAI(api_key="x", base_url="http://127.0.0.1:9/v1", max_retries=0)
    before = shared.get_default_openai_client()
    set_default_openai_client(client, use_for_tracing=False)
    try:
        with pytest.raises(Exception, match="Connection error"):
            await Runner.run(Agent(name="B"), "hi")
    finally:
        shared._default_openai_client = before  # pyright: ignore[reportPrivateUsage]


async def test_a_model_that_was_given_no_client(
    serve: Any, stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """examples/agent_patterns/hosted_multi_agent_beta.py: such a model makes its client for the first call, from the
    environment. Every message failed with an `AttributeError`."""
    endpoint = StrictEndpoint("openai-responses")
    url = await stack.enter_async_context(endpoint.running())
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-key-000")
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    none: Any = None
    model = OpenAIResponsesModel("m", none)
    served = await serve(Agent[Any](name="A", model=model), titles="rule")
    _, events = await served.create()
    assert error(events) is None
    assert [request.body["model"] for request in endpoint.requests] == ["m"]
    await model._client.close()  # pyright: ignore[reportPrivateUsage]


class Jokes(BaseModel):
    """An output whose keys are not known: no strict schema."""

    jokes: dict[int, str]


def test_an_output_type_that_cannot_be_used_is_refused_at_the_start() -> None:
    """examples/basic/non_strict_output_type.py: every message failed, and the person was told of a tool."""
    second = Agent[Any](name="Comedian", output_type=Jokes)
    for agent in (second, Agent[Any](name="A", handoffs=[second])):
        with pytest.raises(ConfigurationError, match=r"output_type of Comedian.*strict_json_schema=False"):
            Application(agent=agent)
    Application(agent=Agent[Any](name="A", output_type=AgentOutputSchema(Jokes, strict_json_schema=False)))


async def test_a_library_that_is_not_there_is_a_matter_of_set_up(
    serve: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """examples/model_providers/litellm_auto.py without LiteLLM: "Something went wrong while answering. Try again." """

    class Missing(ModelProvider):
        def get_model(self, model_name: str | None) -> Any:
            raise ImportError("`nowhere_of_test` is required: pip install nowhere_of_test")

    served = await serve(Application(agent=Agent[Any](name="A"), model_provider=Missing()), titles="rule")
    _, events = await served.create()
    [failure] = [each for each in events if each["type"] == "error"]
    assert "not set up correctly" in failure["message"]
    assert "pip install nowhere_of_test" in capsys.readouterr().out
