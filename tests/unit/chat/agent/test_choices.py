"""What a person chooses for one answer: what is refused, and what is applied."""

from datetime import datetime
from typing import Any, override

import pytest
from agents import Agent, HostedMCPTool, ModelProvider, RunConfig, WebSearchTool, function_tool
from agents.run_config import CallModelData, ModelInputData
from chatkit import types as ck
from chatkit.store import Store

from backchannel.chat.agent.answer_options import AnswerOptions
from backchannel.chat.agent.choices import Choices, check_choices, choices_for
from backchannel.chat.agent.server import ChatServer
from backchannel.chat.recovery import journal
from backchannel.context import RequestContext
from backchannel.errors import InvalidInputError
from backchannel.testing import Say, ScriptedModel

pytestmark = pytest.mark.row("M27")

NOW = datetime(2026, 11, 28)


@function_tool
def lookup(q: str) -> str:
    """Look up."""
    return q


@function_tool(is_enabled=False)
def hidden() -> str:
    """Never there."""
    return ""


MCP = HostedMCPTool(tool_config={"type": "mcp", "server_label": "x", "server_url": "https://a.b"})
AGENT = Agent[Any](name="A", tools=[lookup, hidden, WebSearchTool(), MCP])


def options(model: str | None = None, tool: str | None = None) -> ck.InferenceOptions:
    return ck.InferenceOptions(model=model, tool_choice=ck.ToolChoice(id=tool) if tool else None)


def message(number: int, chosen: ck.InferenceOptions) -> ck.ThreadItem:
    return ck.UserMessageItem(
        id=f"msg_{number}", thread_id="thr_1", created_at=NOW, content=[], inference_options=chosen
    )


@pytest.mark.parametrize(
    ("chosen", "word"),
    [
        (options("gpt-9"), "one of: large, small"),
        (options(tool="transfer_to_b"), "one of: hidden, lookup, web_search"),
        (options(tool="hosted_mcp"), "hosted_mcp"),
        (options("small", "no"), "'no'"),
    ],
)
def test_what_cannot_be_chosen_is_refused_with_what_can(chosen: ck.InferenceOptions, word: str) -> None:
    with pytest.raises(InvalidInputError, match=word):
        check_choices(chosen, AGENT, ("small", "large"))


def test_without_a_list_nothing_can_be_chosen() -> None:
    with pytest.raises(InvalidInputError, match=r"leave inference_options\.model out"):
        check_choices(options("gpt"), AGENT, ())
    with pytest.raises(InvalidInputError, match=r"leave inference_options\.tool_choice out"):
        check_choices(options(tool="lookup"), Agent(name="B"), ())


def test_what_can_be_chosen_is_accepted() -> None:
    for chosen in (options(), options(""), options("small", "lookup"), options(tool="web_search")):
        check_choices(chosen, AGENT, ("small",))


async def test_the_newest_message_decides() -> None:
    history = [message(1, options("small")), message(2, options("large", "lookup"))]
    assert await choices_for(history, AGENT, ("small", "large"), None) == Choices("large", "lookup")
    assert await choices_for(history[:1], AGENT, ("small", "large"), None) == Choices("small")
    assert await choices_for([], AGENT, (), None) == Choices()


async def test_what_can_no_longer_be_chosen_is_not_applied() -> None:
    assert await choices_for([message(1, options("old"))], AGENT, ("new",), None) == Choices()
    for tool in ("gone", "hidden"):
        assert await choices_for([message(1, options(tool=tool))], AGENT, (), None) == Choices()


@pytest.mark.parametrize(
    "entry",
    [journal.ToolCall(call_id="c", name="lookup", arguments="{}"), journal.HandOff(agent="B")],
)
async def test_only_the_first_model_call_of_an_answer_is_forced(entry: journal.Entry) -> None:
    history = [message(1, options("small", "lookup")), journal.to_item(entry, "thr_1")]
    assert await choices_for(history, AGENT, ("small",), None) == Choices("small")


def test_later_calls_of_a_run_are_free() -> None:
    config = Choices(tool="lookup").apply(RunConfig())
    assert config.model_settings is not None
    assert config.model_settings.tool_choice == "lookup"
    assert config.call_model_input_filter is not None
    data = ModelInputData(input=[], instructions=None)
    assert config.call_model_input_filter(CallModelData(data, AGENT, None)) is data
    assert config.model_settings is None


def test_the_entry_agent_has_the_chosen_model_even_if_it_names_another() -> None:
    own = Agent[Any](name="A", model=ScriptedModel())
    assert Choices("small").entry(own).model == "small"
    assert own.model != "small"
    assert Choices("small").entry(AGENT) is AGENT
    assert Choices().entry(own) is own


class Named(ModelProvider):
    """Gives the same model for every name, and records the names."""

    def __init__(self, model: ScriptedModel) -> None:
        self.model = model
        self.names: list[str | None] = []

    @override
    def get_model(self, model_name: str | None) -> ScriptedModel:
        self.names.append(model_name)
        return self.model


async def test_a_resumed_answer_has_the_choices_of_its_message(
    store: Store[Any], thread: ck.ThreadMetadata, request_context: RequestContext
) -> None:
    provider = Named(ScriptedModel(Say("done")))
    server = ChatServer(AGENT, store, AnswerOptions(provider, models=("small",)))
    asked = message(1, options("small", "lookup"))
    call = journal.ToolCall(call_id="c", name="lookup", arguments="{}", output="x", finished=True)
    for item in (asked, journal.to_item(call, thread.id)):
        await store.add_thread_item(thread.id, item, request_context)
    assert isinstance(asked, ck.UserMessageItem)
    events = [event async for event in server.resume(thread, asked, asked.id, request_context)]
    assert [event for event in events if isinstance(event, ck.ThreadItemDoneEvent)]
    assert set(provider.names) == {"small"}


async def test_a_resumed_answer_has_the_configuration_of_runs(
    store: Store[Any], thread: ck.ThreadMetadata, request_context: RequestContext
) -> None:
    """A new one: the function that makes it is called again."""
    made: list[str] = []

    def run_config(context: RequestContext, of: ck.ThreadMetadata) -> RunConfig:
        made.append(of.id)
        return RunConfig(model="of-the-run")

    provider = Named(ScriptedModel(Say("done")))
    server = ChatServer(AGENT, store, AnswerOptions(provider, run_config=run_config))
    asked = message(1, options())
    call = journal.ToolCall(call_id="c", name="lookup", arguments="{}", output="x", finished=True)
    for item in (asked, journal.to_item(call, thread.id)):
        await store.add_thread_item(thread.id, item, request_context)
    assert isinstance(asked, ck.UserMessageItem)
    events = [event async for event in server.resume(thread, asked, asked.id, request_context)]
    assert [event for event in events if isinstance(event, ck.ThreadItemDoneEvent)]
    assert set(provider.names) == {"of-the-run"}
    assert made == [thread.id]
