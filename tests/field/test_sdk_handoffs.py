"""Options of hand-offs: what the next agent sees, what is shown, and what the next turn's model sees."""

import json
from typing import Any

import pytest
from agents import Agent, HandoffInputData, RunContextWrapper, handoff
from agents.extensions.handoff_filters import remove_all_tools
from pydantic import BaseModel

from backchannel.chat.agent.context import AnswerContext
from backchannel.testing import Call, Say, ScriptedModel
from backchannel.testing.endpoints import StrictEndpoint
from field.odd_models import error, lookup, say, served_on, tasks, texts

pytestmark = pytest.mark.row("B10")


class Escalation(BaseModel):
    """The input of a hand-off."""

    reason: str


async def test_a_hand_off_with_input_calls_the_application(serve: Any) -> None:
    seen: list[tuple[str, str]] = []

    async def escalated(context: RunContextWrapper[AnswerContext], given: Escalation) -> None:
        seen.append((context.context.request_context.identity.user, given.reason))

    boss = Agent[Any](name="Boss", model=ScriptedModel(Say("I am here.")))
    first = Agent[Any](
        name="A",
        model=ScriptedModel(Call("escalate", {"reason": "angry"})),
        handoffs=[handoff(boss, tool_name_override="escalate", on_handoff=escalated, input_type=Escalation)],
    )
    served = await serve(first, titles="rule")
    thread_id, events = await served.create()
    assert error(events) is None
    [(user, reason)] = seen
    assert reason == "angry"
    assert user.startswith("usr_")
    assert tasks(await served.items(thread_id)) == [("Boss is answering", "complete", None)]
    assert texts(await served.items(thread_id)) == ["hello", "I am here."]


async def test_a_hand_off_whose_function_fails_ends_the_answer(serve: Any) -> None:
    def refuse(_context: Any) -> None:
        raise RuntimeError("no one is here")

    boss = Agent[Any](name="Boss", model=ScriptedModel())
    model = ScriptedModel(Call("transfer_to_boss"), Say("fine"))
    served = await serve(Agent[Any](name="A", model=model, handoffs=[handoff(boss, on_handoff=refuse)]))
    thread_id, events = await served.create()
    assert error(events) is not None
    assert all(state != "loading" for _, state, _ in tasks(await served.items(thread_id)))
    assert error(await say(served, thread_id, "and now?")) is None


async def test_an_input_filter_decides_what_the_next_agent_sees(serve: Any) -> None:
    """openai/openai-agents-python#1294. It holds for the turn: the next one starts from the stored thread."""
    boss_model = ScriptedModel(Say("two"), Say("four"))
    boss = Agent[Any](name="Boss", model=boss_model)
    model = ScriptedModel(
        Call("lookup", {"q": "x"}), Call("transfer_to_boss"), Say("three"),
    )  # fmt: skip
    first = Agent[Any](
        name="A", model=model, tools=[lookup], handoffs=[handoff(boss, input_filter=remove_all_tools)]
    )
    served = await serve(first, titles="rule")
    thread_id, _ = await served.create()
    assert "found x" not in json.dumps(boss_model.calls[0])
    assert "hello" in json.dumps(boss_model.calls[0])
    assert error(await say(served, thread_id, "again")) is None
    assert "found x" in json.dumps((model.calls + boss_model.calls[1:])[-1])


async def test_an_input_filter_of_ones_own(serve: Any) -> None:
    def only_the_last(data: HandoffInputData) -> HandoffInputData:
        return data.clone(
            input_history=({"role": "user", "content": "a summary"},), pre_handoff_items=(), new_items=()
        )

    boss_model = ScriptedModel(Say("done"))
    boss = Agent[Any](name="Boss", model=boss_model)
    model = ScriptedModel(Call("transfer_to_boss"))
    await (
        await serve(Agent[Any](name="A", model=model, handoffs=[handoff(boss, input_filter=only_the_last)]))
    ).create("a long story")
    assert boss_model.calls == [[{"role": "user", "content": "a summary"}]]


async def test_a_nested_history_is_one_summary(serve: Any) -> None:
    boss_model = ScriptedModel(Say("done"))
    boss = Agent[Any](name="Boss", model=boss_model)
    model = ScriptedModel(Call("lookup", {"q": "x"}), Call("transfer_to_boss"))
    first = Agent[Any](
        name="A", model=model, tools=[lookup], handoffs=[handoff(boss, nest_handoff_history=True)]
    )
    thread_id, events = await (served := await serve(first)).create("a long story")
    assert error(events) is None
    sent = json.dumps(boss_model.calls[0])
    assert "a long story" in sent
    assert not any(item.get("type") == "function_call" for item in boss_model.calls[0])
    assert texts(await served.items(thread_id)) == ["a long story", "done"]


async def test_a_hand_off_that_is_not_enabled_is_not_offered(serve: Any, stack: Any) -> None:
    asked: list[str] = []

    def enabled(context: RunContextWrapper[AnswerContext], agent: Agent[Any]) -> bool:
        asked.append(context.context.thread.id)
        return agent.name == "B"

    hidden, open_ = Agent[Any](name="Hidden"), Agent[Any](name="Open")
    handoffs = [
        handoff(hidden, is_enabled=enabled),
        handoff(open_, tool_description_override="Ask the open one."),
    ]
    endpoint = StrictEndpoint("openai-chat")
    served = await served_on(serve, stack, endpoint, Agent[Any](name="A", handoffs=handoffs))
    thread_id, _ = await served.create()
    [request] = endpoint.requests
    assert [
        (tool["function"]["name"], tool["function"]["description"]) for tool in request.body["tools"]
    ] == [("transfer_to_open", "Ask the open one.")]
    assert thread_id in asked


async def test_a_hand_off_description_reaches_the_model(serve: Any, stack: Any) -> None:
    endpoint = StrictEndpoint("openai-chat")
    boss = Agent[Any](name="Boss", handoff_description="Handles complaints.")
    served = await served_on(serve, stack, endpoint, Agent[Any](name="A", handoffs=[boss]))
    await served.create()
    [tool] = endpoint.requests[0].body["tools"]
    assert "Handles complaints." in tool["function"]["description"]
