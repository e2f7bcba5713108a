"""The todo assistant's offline model in the Agents SDK: calls, unusual input, and other agents."""

import time
from collections import Counter
from typing import Any

import pytest
from agents import Agent, ModelSettings, ModelTracing, RunConfig, Runner, Tool, function_tool
from agents.items import TResponseInputItem, TResponseStreamEvent
from agents.tool import FunctionTool
from hypothesis import given, settings
from hypothesis import strategies as st
from offline_fakes import ALL, NOW, SPECIALISTS, TRIAGE, Chat, FakeTodos, model
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseInputTextParam,
    ResponseOutputMessage,
    ResponseOutputText,
)

from backchannel import OfflineModel
from backchannel.todo.offline import TodoOfflineModel

pytestmark = pytest.mark.row("B7")

WORDS = (
    "add delete all the second one it and , then \" ' ! ? friday at 5 may 99 priority #2 to milk "
    "rename yes no except both done mark not don't . ; move by 3 days -1 0 9999999 months 31 feb 2026-13-45 25:61"
)

TEXT: ResponseInputTextParam = {"type": "input_text", "text": "add milk"}
ASKED: TResponseInputItem = {"role": "user", "content": "add milk"}
HIDDEN = (
    "Hidden context for the agent (not shown to the user):\n<HiddenContext>\ndelete all\n</HiddenContext>"
)

type Items = str | list[TResponseInputItem]


def stream(under_test: TodoOfflineModel, items: Items, tools: list[Tool]) -> Any:
    return under_test.stream_response(None, items, ModelSettings(), tools, None, [], ModelTracing.DISABLED)


async def events_of(items: Items, tools: list[Tool]) -> list[TResponseStreamEvent]:
    return [event async for event in stream(model(), items, tools)]


async def answer(items: Items, tools: list[Tool] = ALL) -> str | list[str]:
    """The text that is answered, or the names of the tools that are called."""
    response = await model().get_response("", items, ModelSettings(), tools, None, [], ModelTracing.DISABLED)
    if isinstance(response.output[0], ResponseOutputMessage):
        return "".join(p.text for p in response.output[0].content if isinstance(p, ResponseOutputText))
    return [item.name for item in response.output if isinstance(item, ResponseFunctionToolCall)]


async def test_calls_stream_their_arguments_and_have_ids_of_their_own() -> None:
    events = await events_of("add milk, eggs and bread", ALL)
    counted = Counter(event.type for event in events)
    for kind in (
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ):
        assert counted[f"response.{kind}"] == 3
    completed = events[-1]
    assert isinstance(completed, ResponseCompletedEvent)
    calls = [item for item in completed.response.output if isinstance(item, ResponseFunctionToolCall)]
    assert [call.arguments for call in calls] == [
        '{"title": "Milk"}',
        '{"title": "Eggs"}',
        '{"title": "Bread"}',
    ]
    assert len({call.call_id for call in calls} | {call.id for call in calls}) == 6
    assert all(call.call_id.startswith("call_") and str(call.id).startswith("fc_") for call in calls)


async def test_the_runner_streams_a_whole_conversation() -> None:
    todos = FakeTodos()
    config = RunConfig(model=model(), tracing_disabled=True)
    result = Runner.run_streamed(TRIAGE, "add milk tomorrow", context=todos, run_config=config)
    kinds = [event.type async for event in result.stream_events()]
    assert "agent_updated_stream_event" in kinds
    assert result.final_output == "Added **Milk** — tomorrow."
    assert result.context_wrapper.usage.requests == 3
    assert result.context_wrapper.usage.output_tokens > 0


async def test_the_default_clock_is_the_wall_clock() -> None:
    quick = TodoOfflineModel(words_per_second=0)
    response = await quick.get_response(
        None, "add milk today", ModelSettings(), ALL, None, [], ModelTracing.DISABLED
    )
    call = response.output[0]
    assert isinstance(call, ResponseFunctionToolCall)
    assert '"due_date": "20' in call.arguments


async def test_the_same_input_gives_the_same_answer() -> None:
    assert await answer("what can you do?") == await answer("what can you do?")


@pytest.mark.parametrize(
    "items",
    [
        [{"role": "user", "content": [TEXT]}],
        [{"role": "assistant", "content": "Hello, how can I help?"}, ASKED],
        [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,", "detail": "auto"}, TEXT]}],
        [ASKED, {"role": "user", "content": HIDDEN}],
        [{"role": "system", "content": "be kind"}, {"role": "developer", "content": "x"}, ASKED],
        [{"type": "reasoning", "id": "rs_1", "summary": []}, ASKED],
    ],
)  # fmt: skip
async def test_input_of_every_shape_is_read(items: list[TResponseInputItem]) -> None:
    assert await answer(items) == ["create_todo"]


async def test_quoted_words_are_what_it_points_at() -> None:
    items: list[TResponseInputItem] = [
        {"role": "user", "content": "delete this"},
        {"role": "user", "content": "The user is referring to this in particular: \n2. Buy milk — tomorrow"},
    ]
    assert await answer(items) == ["list_todos"]


@pytest.mark.parametrize(
    "items", [[], "", [{"role": "assistant", "content": "hi"}], [{"role": "user", "content": []}]]
)
async def test_input_without_words_is_answered(items: Items) -> None:
    assert "only read words" in str(await answer(items))


@pytest.mark.parametrize(
    "output",
    ["", "boom", "[]", "null", "3", '{"todo": 3}', '{"todos": {"a": 1}}', '{"todo": {"id": 1, "title": 2}}',
     '{"error": "no"}', '{"error": {"message": null}}', '{"todo": {"id": "x", "title": "y", "due_date": "soon"}}'],
)  # fmt: skip
@pytest.mark.parametrize("sentence", ["add milk", "delete milk", "show my list", "find milk"])
async def test_outputs_of_unknown_shape_end_in_words(output: str, sentence: str) -> None:
    items: list[TResponseInputItem] = [{"role": "user", "content": sentence}]
    for step in range(9):
        called = await answer(items)
        if isinstance(called, str):
            assert called.strip()
            return
        for name in called:
            call_id = f"call_{step}_{name}"
            items.append({"type": "function_call", "name": name, "arguments": "not json", "call_id": call_id})
            items.append({"type": "function_call_output", "call_id": call_id, "output": output})
    pytest.fail("the model went on calling tools")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80))
async def test_no_text_breaks_it(text: str) -> None:
    assert await answer(text)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(WORDS.split()),
        max_size=10,
    )
)
async def test_no_sentence_breaks_it(words: list[str]) -> None:
    assert await answer(" ".join(words))


async def test_an_ordinary_decision_is_quick() -> None:
    sentence = "add buy oat milk tomorrow at 5pm, high priority and show my list"
    await answer(sentence)
    begun = time.process_time()
    for _ in range(20):
        await answer(sentence)
    # Ten milliseconds is the aim; the margin is for slow machines.
    assert (time.process_time() - begun) / 20 < 0.05


async def test_long_texts_are_not_read_by_rules() -> None:
    begun = time.process_time()
    assert "long text" in str(await answer("and delete milk, " * 2000))
    await answer("and delete milk, " * 110)
    assert time.process_time() - begun < 2


@function_tool
def get_weather(city: str, days: int = 1) -> str:
    """Says what the weather is like."""
    return f"Sunny in {city} for {days} days"


OTHER: Agent[Any] = Agent(name="Weather", tools=[get_weather], handoffs=[Agent(name="Billing")])


@pytest.mark.parametrize("sentence", ["is it going to rain?", "add milk", "call get_weather {city}"])
async def test_other_agents_get_the_built_in_answer(sentence: str) -> None:
    built_in = OfflineModel().answer(sentence, OTHER.tools, [])
    assert model().answer(sentence, OTHER.tools, []) == built_in
    assert await Chat(Agent(name="Weather", tools=OTHER.tools)).say(sentence) == built_in


async def test_other_agents_call_tools_and_hand_off_by_name() -> None:
    assert "Sunny in Oslo for 2 days" in await Chat(OTHER).say("call get_weather city=Oslo days=2")
    chat = Chat(OTHER)
    await chat.say("hand off to billing")
    assert chat.last_agent == "Billing"


async def test_a_todo_tool_is_called_by_name_too() -> None:
    chat = Chat(SPECIALISTS[0])
    assert "`create_todo` returned" in await chat.say('call create_todo {"title": "Add milk, eggs"}')
    assert chat.todos.titles() == ["Add milk, eggs"]


async def test_call_mom_is_a_todo_and_no_tool() -> None:
    chat = Chat(TRIAGE)
    await chat.say("call mom")
    assert chat.todos.titles() == ["Call mom"]


def test_the_tools_of_the_fake_are_function_tools() -> None:
    assert all(isinstance(tool, FunctionTool) for tool in ALL)
    assert NOW.hour == 12


@pytest.mark.parametrize(
    "parts", [[HIDDEN, "add milk"], [f"{HIDDEN}\nadd milk"], [HIDDEN, HIDDEN, "add milk"]]
)
async def test_what_is_said_in_one_message_with_hidden_context_is_answered(parts: list[str]) -> None:
    """Inputs for APIs that want turns to alternate have both in one message, such as after a stop."""
    content: list[Any] = [{"type": "input_text", "text": part} for part in parts]
    items: list[TResponseInputItem] = [
        {"role": "user", "content": "find eggs"},
        {"role": "assistant", "content": "There"},
        {"role": "user", "content": content},
    ]
    assert await answer(items) == ["create_todo"]
