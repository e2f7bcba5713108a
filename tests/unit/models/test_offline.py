"""The built-in offline model: explicit calls and hand-offs, its introduction, its events, and subclasses of it."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, override

import pytest
from agents import Agent, Handoff, ModelSettings, ModelTracing, RunConfig, Runner, Tool, function_tool
from agents.items import TResponseInputItem, TResponseStreamEvent
from agents.result import RunResult
from agents.tool import WebSearchTool
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseTextDeltaEvent,
)

from backchannel import Call, OfflineModel

pytestmark = pytest.mark.row("B7")

type Items = str | list[TResponseInputItem]

HIDDEN = "Hidden context for the agent (not shown to the user):\n<HiddenContext>\nsecret\n</HiddenContext>"
QUOTED = "The user is referring to this in particular: \nthe weather"
CALL = 'call get_weather {"city": "Oslo", "days": 2}'


@function_tool
def get_weather(city: str, days: int = 1) -> str:
    """Report the weather."""
    return f"Sunny in {city} for {days} days" if city else ""


@function_tool
def quote(text: str) -> str:
    """Quote a text as code."""
    return f"```\n{text}\n```"


WEATHER: Agent[Any] = Agent(
    name="Weather", tools=[get_weather, quote, WebSearchTool()], handoffs=[Agent(name="Billing")]
)


class Fixed(OfflineModel):
    """Answers with the same text or calls every time, and records the inputs."""

    def __init__(self, answer: str | Sequence[Call], *, words_per_second: float = 0) -> None:
        super().__init__(words_per_second=words_per_second)
        self._fixed = answer
        self.inputs: list[object] = []

    @override
    def answer(
        self,
        input: str | Sequence[TResponseInputItem],
        tools: Sequence[Tool],
        handoffs: Sequence[Handoff[Any, Any]],
    ) -> str | Sequence[Call]:
        self.inputs.append(input)
        return self._fixed


async def run(agent: Agent[Any], said: Items, model: OfflineModel | None = None) -> RunResult:
    config = RunConfig(model=model or OfflineModel(words_per_second=0), tracing_disabled=True)
    return await Runner.run(agent, said, run_config=config, max_turns=4)


async def reply(said: Items, agent: Agent[Any] = WEATHER) -> str:
    return str((await run(agent, said)).final_output)


def stream(model: OfflineModel, items: Items) -> Any:
    return model.stream_response("Be kind", items, ModelSettings(), [], None, [], ModelTracing.DISABLED)


async def events_of(answer: str | Sequence[Call], items: Items = "hi there") -> list[TResponseStreamEvent]:
    return [event async for event in stream(Fixed(answer), items)]


def completed(events: list[TResponseStreamEvent]) -> ResponseCompletedEvent:
    last = events[-1]
    assert isinstance(last, ResponseCompletedEvent)
    return last


@pytest.mark.parametrize(
    "sentence",
    [
        CALL,
        "call get_weather city=Oslo days=2",
        "Please call the tool `get_weather` city='Oslo', days=2",
        'CALL GET_WEATHER city="Oslo" days=2 ',
    ],
)
async def test_a_tool_is_called_by_name_and_its_output_reported(sentence: str) -> None:
    assert await reply(sentence) == "`get_weather` returned:\n\n```\nSunny in Oslo for 2 days\n```"


async def test_an_output_is_fenced_whatever_it_holds() -> None:
    assert await reply("call quote text=x") == "`quote` returned:\n\n````\n```\nx\n```\n````"
    assert await reply("call get_weather city=''") == "`get_weather` returned nothing."


@pytest.mark.parametrize("name", ["Billing", "billing", "`Billing`.", "transfer_to_billing"])
async def test_the_conversation_is_handed_off_by_name(name: str) -> None:
    result = await run(WEATHER, f"hand off to {name}")
    assert result.last_agent.name == "Billing"
    assert "no tools and no hand-offs" in str(result.final_output)


async def test_a_hand_off_happens_once_a_turn() -> None:
    agent: Agent[Any] = Agent(name="Itself")
    agent.handoffs = [agent]
    first = await run(agent, "hand off to itself")
    assert first.final_output == "Handed off to Itself."
    again = await run(agent, [*first.to_input_list(), {"role": "user", "content": "hand off to itself"}])
    assert len([item for item in again.new_items if item.type == "handoff_call_item"]) == 1


async def test_it_introduces_itself_and_names_what_the_agent_has() -> None:
    text = await reply("is it going to rain?")
    for words in ("rule-based stand-in", "not a language model", "`get_weather`, `quote`", "`Billing`"):
        assert words in text
    assert 'call get_weather {"key": "value"}' in text
    assert "hand off to Billing" in text
    assert "web_search" not in text, "the provider runs it, not the agent"
    assert "no tools and no hand-offs" in await reply("hello", Agent(name="Bare"))


@pytest.mark.parametrize("sentence", ["is it going to rain?", "call get_wether city=Oslo"])
async def test_it_says_how_to_set_a_real_model(sentence: str) -> None:
    text = await reply(sentence)
    for name in ("`OPENAI_API_KEY`", "`BACKCHANNEL_MODEL`", "`OPENAI_BASE_URL`"):
        assert name in text


async def test_wrong_calls_are_explained() -> None:
    for arguments in ("{city}", "[1]", "Oslo", '{"city": "Oslo"', "city=Oslo,, days"):
        assert "could not read those arguments" in await reply(f"call get_weather {arguments}")
    text = await reply("call get_wether city=Oslo")
    assert text.startswith("This agent has no tool called `get_wether`.")
    assert "`get_weather`" in text
    assert "rule-based stand-in" in await reply("call me tomorrow")


@pytest.mark.parametrize(
    "items",
    [
        [{"role": "user", "content": [{"type": "input_text", "text": CALL}]}],
        [{"role": "user", "content": CALL}, {"role": "user", "content": HIDDEN}],
        [{"role": "user", "content": CALL}, {"role": "user", "content": QUOTED}],
        [{"role": "user", "content": CALL}, {"role": "user", "content": "<Attachment id='1'>"}],
        [
            {"role": "user", "content": "call quote text=x"},
            {"role": "assistant", "content": "Hello"},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"role": "user", "content": CALL},
        ],
    ],
)
async def test_the_users_last_message_counts(items: Items) -> None:
    assert "Sunny in Oslo for 2 days" in await reply(items)


async def test_a_call_is_repeated_in_the_next_turn() -> None:
    first = await run(WEATHER, CALL)
    items = [*first.to_input_list(), {"role": "user", "content": "call get_weather city=Bergen"}]
    assert "Sunny in Bergen for 1 days" in await reply(items)


@pytest.mark.parametrize("items", [[], "", [{"role": "assistant", "content": "hi"}]])
async def test_an_input_without_a_message_gets_the_introduction(items: Items) -> None:
    response = await OfflineModel().get_response(
        None, items, ModelSettings(), [], None, [], ModelTracing.DISABLED
    )
    assert "rule-based stand-in" in str(response.output)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["", "call get_weather ", "call ", "hand off to "]))
def test_no_text_breaks_it(text: str, start: str) -> None:
    assert OfflineModel().answer(start + text, WEATHER.tools, [])


async def test_a_subclass_overrides_only_its_answer() -> None:
    class Calls(OfflineModel):
        @override
        def answer(
            self,
            input: str | Sequence[TResponseInputItem],
            tools: Sequence[Tool],
            handoffs: Sequence[Handoff[Any, Any]],
        ) -> str | Sequence[Call]:
            if any(item.get("type") == "function_call_output" for item in input if isinstance(item, dict)):
                return "Two towns: sunny."
            assert [tool.name for tool in tools][:2] == ["get_weather", "quote"]
            assert [handoff.agent_name for handoff in handoffs] == ["Billing"]
            return [Call("get_weather", {"city": "Oslo"}), Call("get_weather", '{"city": "Ålesund"}')]

    result = await run(WEATHER, "how is it there?", Calls(words_per_second=0))
    assert result.final_output == "Two towns: sunny."
    outputs = [item.raw_item["output"] for item in result.new_items if item.type == "tool_call_output_item"]
    assert outputs == ["Sunny in Oslo for 1 days", "Sunny in Ålesund for 1 days"]


async def test_a_message_streams_word_by_word() -> None:
    text = "Hello there,\n\n- one  \n- two words "
    events = await events_of(text)
    deltas = [event.delta for event in events if isinstance(event, ResponseTextDeltaEvent)]
    assert "".join(deltas) == text
    assert [delta.strip() for delta in deltas if delta.strip()] == text.split()
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * len(deltas),
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_calls_stream_their_arguments_and_have_ids_of_their_own() -> None:
    events = await events_of([Call("a", {"x": "é"}), Call("b"), Call("c", "not json")])
    kinds = ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done"]
    assert [event.type for event in events[2:-1]] == [
        f"response.{kind}" for kind in [*kinds, "output_item.done"] * 3
    ]
    calls = completed(events).response.output
    assert all(isinstance(call, ResponseFunctionToolCall) for call in calls)
    assert [(call.name, call.arguments) for call in calls] == [
        ("a", '{"x": "é"}'),
        ("b", "{}"),
        ("c", "not json"),
    ]
    assert len({call.call_id for call in calls} | {call.id for call in calls}) == 6


async def test_usage_counts_words() -> None:
    items: Items = [
        {"role": "user", "content": [{"type": "input_text", "text": "one two three"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "c", "output": "four"},
    ]
    streamed = completed(await events_of("five six", items)).response.usage
    assert streamed is not None
    # "Be kind", three words, two of arguments, one of output.
    assert (streamed.input_tokens, streamed.output_tokens, streamed.total_tokens) == (8, 2, 10)
    whole = await Fixed("five six").get_response(
        "Be kind", items, ModelSettings(), [], None, [], ModelTracing.DISABLED
    )
    assert (whole.usage.requests, whole.usage.input_tokens, whole.usage.output_tokens) == (1, 8, 2)


async def test_a_stream_can_be_cancelled_and_is_paced() -> None:
    slow = Fixed("one two three", words_per_second=0.5)
    started = asyncio.Event()
    seen: list[str] = []

    async def read() -> None:
        async for event in stream(slow, "hi"):
            seen.append(event.type)
            if event.type == "response.output_text.delta":
                started.set()

    task = asyncio.create_task(read())
    await asyncio.wait_for(started.wait(), 5)
    for _ in range(50):
        await asyncio.sleep(0)
    assert seen.count("response.output_text.delta") == 1, "the next word must wait for its time"
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - begun < 1
    assert "response.completed" not in seen


def test_the_pace_must_not_be_negative() -> None:
    with pytest.raises(ValueError, match="words_per_second must be 0"):
        OfflineModel(words_per_second=-1)
