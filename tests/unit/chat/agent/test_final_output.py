"""Final answers that are results of tools or structured output: what is shown, and what the model gets later."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from agents import Agent, RunContextWrapper, StopAtTools, ToolsToFinalOutputResult, function_tool
from agents.exceptions import ModelBehaviorError
from chatkit import types as ck
from chatkit.widgets import WidgetRoot
from pydantic import BaseModel, TypeAdapter

from backchannel.chat.agent.converter import HistoryConverter
from backchannel.chat.agent.history import to_model_input
from backchannel.chat.agent.shown_answers import SHOWN
from backchannel.testing import Call, Say, ScriptedModel

pytestmark = pytest.mark.row("M21")

type Ask = Callable[[Agent[Any]], Awaitable[list[ck.ThreadStreamEvent]]]
type Answering = Callable[[Agent[Any]], AsyncGenerator[ck.ThreadStreamEvent]]

CARD: Any = TypeAdapter[Any](WidgetRoot).validate_python(
    {"type": "Card", "children": [{"type": "Text", "value": "hi"}]}
)


class City(BaseModel):
    name: str
    people: int


@function_tool
def find(name: str) -> dict[str, Any]:
    """Find a city."""
    return {"name": name, "people": 3}


@function_tool
def say(text: str) -> str:
    """Say it."""
    return text


@function_tool
async def show_card(ctx: RunContextWrapper[Any]) -> str:
    """Show a widget."""
    await ctx.context.stream_widget(CARD)
    return "shown"


@function_tool
def nothing() -> None:
    """Return nothing."""


def texts(events: Sequence[ck.ThreadStreamEvent]) -> list[str]:
    return [
        event.item.content[0].text
        for event in events
        if isinstance(event, ck.ThreadItemDoneEvent) and isinstance(event.item, ck.AssistantMessageItem)
    ]


def streamed(events: Sequence[ck.ThreadStreamEvent]) -> str:
    return "".join(
        event.update.delta
        for event in events
        if isinstance(event, ck.ThreadItemUpdatedEvent)
        and isinstance(event.update, ck.AssistantMessageContentPartTextDelta)
    )


async def later_input(events: Sequence[ck.ThreadStreamEvent]) -> list[dict[str, Any]]:
    """What a later turn's model gets of an answer."""
    done: dict[str, ck.ThreadItem] = {
        event.item.id: event.item for event in events if isinstance(event, ck.ThreadItemDoneEvent)
    }
    question = ck.UserMessageItem(
        id="msg_next", thread_id="thr_1", created_at=next(iter(done.values())).created_at,
        content=[ck.UserMessageTextContent(text="and?")], inference_options=ck.InferenceOptions(),
    )  # fmt: skip
    return [dict(item) for item in await to_model_input([*done.values(), question], HistoryConverter())]


@pytest.mark.parametrize("stop", ["stop_on_first_tool", StopAtTools(stop_at_tool_names=["find"])])
async def test_the_result_of_a_tool_is_the_answer(ask: Ask, stop: Any) -> None:
    model = ScriptedModel(Call("find", {"name": "Rome"}))
    events = await ask(Agent(name="A", model=model, tools=[find], tool_use_behavior=stop))
    assert texts(events) == ["- **Name:** Rome\n- **People:** 3"]
    assert streamed(events) == texts(events)[0]
    call, output, answer, _ = await later_input(events)
    assert call["name"] == "find"
    assert output["output"] == SHOWN
    assert json.loads(answer["content"]) == {"name": "Rome", "people": 3}


async def test_text_of_a_tool_is_shown_unchanged_and_json_text_as_a_value(ask: Ask) -> None:
    for said, shown in (("*Hi* {you}", "*Hi* {you}"), ('{"a": 1, "b": 2}', "- **A:** 1\n- **B:** 2")):
        model = ScriptedModel(Call("say", {"text": said}))
        events = await ask(Agent(name="A", model=model, tools=[say], tool_use_behavior="stop_on_first_tool"))
        assert texts(events) == [shown]
        assert [each.get("content") for each in await later_input(events)][2] == said


async def test_a_function_makes_an_answer_of_its_own_of_the_results(ask: Ask) -> None:
    def decide(context: Any, results: list[Any]) -> ToolsToFinalOutputResult:
        return ToolsToFinalOutputResult(is_final_output=True, final_output=f"{len(results)} found")

    model = ScriptedModel([Call("find", {"name": "Rome"}), Call("find", {"name": "Bonn"})])
    events = await ask(Agent(name="A", model=model, tools=[find], tool_use_behavior=decide))
    assert texts(events) == ["2 found"]
    sent = await later_input(events)
    assert [json.loads(each["output"])["name"] for each in sent if "output" in each] == ["Rome", "Bonn"]
    assert sent[-2]["content"] == "2 found"


async def test_what_a_tool_returns_beside_a_widget_is_for_the_model(ask: Ask) -> None:
    model = ScriptedModel(Call("show_card"))
    agent = Agent(name="A", model=model, tools=[show_card], tool_use_behavior="stop_on_first_tool")
    events = await ask(agent)
    assert texts(events) == []
    assert (await later_input(events))[1]["output"] == "shown"


async def test_a_tool_that_returns_nothing_shows_no_empty_message(ask: Ask) -> None:
    agent = Agent(
        name="A",
        model=ScriptedModel(Call("nothing")),
        tools=[nothing],
        tool_use_behavior="stop_on_first_tool",
    )
    assert texts(await ask(agent)) == []


async def test_structured_output_is_never_shown_raw(ask: Ask) -> None:
    said = '{"name": "Rome", "people": 3}'
    model = ScriptedModel(Say(list(said)))
    events = await ask(Agent(name="A", model=model, output_type=City))
    assert texts(events) == ["- **Name:** Rome\n- **People:** 3"]
    assert streamed(events) == texts(events)[0]
    assert isinstance(events[0], ck.ProgressUpdateEvent)
    (answer, _) = await later_input(events)
    assert answer == {"role": "assistant", "content": said}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('{"name": "Rome", "peo', '```json\n{"name": "Rome", "peo\n```'),
        ("I would rather not say.", "I would rather not say."),
    ],
)
async def test_invalid_structured_output_is_kept_before_the_error(
    answering: Answering, said: str, shown: str
) -> None:
    events: list[ck.ThreadStreamEvent] = []

    async def collect() -> None:
        agent = Agent[Any](name="A", model=ScriptedModel(Say(said)), output_type=City)
        async with aclosing(answering(agent)) as answer:
            async for event in answer:
                events.append(event)  # noqa: PERF401 - what came before the error is needed

    with pytest.raises(ModelBehaviorError):
        await collect()
    assert texts(events) == [shown]


async def test_only_the_agent_with_an_output_type_is_rendered(ask: Ask) -> None:
    last = Agent[Any](name="Last", model=ScriptedModel(Say('{"name": "Rome"}')))
    first = Agent[Any](
        name="First", model=ScriptedModel(Call("transfer_to_last")), output_type=City, handoffs=[last]
    )
    assert texts(await ask(first)) == ['{"name": "Rome"}']


async def test_an_agent_that_is_a_tool_gives_its_caller_the_json(ask: Ask) -> None:
    inner = Agent[Any](
        name="Inner", model=ScriptedModel(Say('{"name": "Rome", "people": 3}')), output_type=City
    )
    model = ScriptedModel(Call("inner", {"input": "?"}), Say("done"))
    agent = Agent[Any](name="A", model=model, tools=[inner.as_tool("inner", "Ask.")])
    assert texts(await ask(agent)) == ["done"]
    assert "Rome" in json.dumps([dict(each) for each in model.calls[-1]])
