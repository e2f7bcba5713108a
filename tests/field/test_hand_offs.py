"""A hand-off in an earlier turn: the model is told of it, and a setting says which agent answers the next message."""

import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    RunContextWrapper,
    function_tool,
    handoff,
    input_guardrail,
)
from agents.extensions import handoff_filters
from chatkit.agents import ClientToolCall
from pydantic import BaseModel

from backchannel.testing.endpoints import Call, Say, StrictEndpoint
from backchannel.testing.endpoints.wire import json_reply
from field.odd_models import error, lookup, say, served_on, texts

pytestmark = pytest.mark.row("M26")

PROFILES = pytest.mark.parametrize(
    ("profile", "api"),
    [
        ("strictest", "chat_completions"),
        ("mistral", "chat_completions"),
        ("gemini", "chat_completions"),
        ("llama.cpp", "chat_completions"),
        ("openai-responses", "responses"),
    ],
)
MODES = pytest.mark.parametrize(
    ("mode", "speaker"), [("start-agent", "You are the desk."), ("last-agent", "You rent cars.")]
)


class Reason(BaseModel):
    reason: str


def rental(**more: Any) -> Agent[Any]:
    return Agent[Any](name="Car Rental", instructions="You rent cars.", **more)


def desk(*handoffs: Any, **more: Any) -> Agent[Any]:
    return Agent[Any](name="Desk", instructions="You are the desk.", handoffs=list(handoffs), **more)


def instructions(endpoint: StrictEndpoint) -> str:
    """Those of the newest request: they name the agent."""
    body = endpoint.requests[-1].body
    return body["instructions"] if "input" in body else str(body["messages"][0]["content"])


def told(endpoint: StrictEndpoint) -> list[tuple[str, str]]:
    """The hand-offs in the newest input: the tool that was called, and what it returned."""
    body = endpoint.requests[-1].body
    if "input" in body:
        calls = [each["name"] for each in body["input"] if each.get("type") == "function_call"]
        outputs = [each["output"] for each in body["input"] if each.get("type") == "function_call_output"]
    else:
        calls = [
            call["function"]["name"] for each in body["messages"] for call in each.get("tool_calls") or ()
        ]
        outputs = [each["content"] for each in body["messages"] if each["role"] == "tool"]
    return list(zip(calls, outputs, strict=True))


@PROFILES
@MODES
async def test_the_next_message_is_for_the_agent_of_the_setting_and_its_model_knows(
    serve: Any, stack: AsyncExitStack, profile: Any, api: str, mode: str, speaker: str
) -> None:
    """openai/openai-agents-python#69, #741, #1815; run-llama/python-agents-tutorial#5."""
    endpoint = StrictEndpoint(profile, Call("transfer_to_car_rental"), then=Say("Where to?"))
    served = await served_on(
        serve, stack, endpoint, desk(rental(tools=[lookup])), model_api=api, after_hand_off=mode
    )
    thread_id, events = await served.create("A car, please.")
    assert error(events) is None
    for text in ("San Francisco", "Tomorrow"):
        assert error(await say(served, thread_id, text)) is None
        assert speaker in instructions(endpoint)
        assert told(endpoint) == [("transfer_to_car_rental", '{"assistant": "Car Rental"}')]
    assert endpoint.refused == []


@PROFILES
@pytest.mark.parametrize("how", ["input_filter", "nest_handoff_history"])
async def test_a_second_hand_off_filters_what_is_told_of_the_first(
    serve: Any, stack: AsyncExitStack, profile: Any, api: str, how: str
) -> None:
    options: dict[str, Any] = {how: handoff_filters.remove_all_tools if how == "input_filter" else True}
    endpoint = StrictEndpoint(
        profile, Call("transfer_to_car_rental"), Say("one"), Call("transfer_to_car_rental"), Say("two")
    )
    agent = desk(handoff(rental(), **options))
    served = await served_on(serve, stack, endpoint, agent, model_api=api)
    thread_id, _ = await served.create("A car, please.")
    assert error(await say(served, thread_id, "Another one.")) is None
    assert endpoint.refused == []
    assert "You rent cars." in instructions(endpoint)
    assert told(endpoint) == []


async def test_the_call_is_told_as_the_model_made_it(serve: Any, stack: AsyncExitStack) -> None:
    async def noted(context: RunContextWrapper[Any], given: Reason) -> None: ...

    to_rental = handoff(rental(), tool_name_override="ask_the_garage", on_handoff=noted, input_type=Reason)
    calls = [Call("lookup", {"q": "x"}), Call("ask_the_garage", {"reason": "a van"})]
    endpoint = StrictEndpoint("strictest", calls, then=Say("fine"))
    served = await served_on(serve, stack, endpoint, desk(to_rental, tools=[lookup]))
    thread_id, events = await served.create()
    assert error(events) is None
    assert error(await say(served, thread_id, "thanks")) is None
    assert told(endpoint) == [("lookup", "found x"), ("ask_the_garage", '{"assistant": "Car Rental"}')]
    assert "a van" in json.dumps(endpoint.requests[-1].body)
    assert endpoint.refused == []


async def test_an_agent_that_is_gone_is_replaced_by_the_first(serve: Any, stack: AsyncExitStack) -> None:
    endpoint = StrictEndpoint("openai-chat", Call("transfer_to_car_rental"), then=Say("fine"))
    served = await served_on(serve, stack, endpoint, desk(rental()), after_hand_off="last-agent")
    thread_id, _ = await served.create()
    cookies = served.person.http.cookies
    served = await served_on(serve, stack, endpoint, desk(), after_hand_off="last-agent")
    served.person.http.cookies = cookies
    assert error(await say(served, thread_id, "still there?")) is None
    assert "You are the desk." in instructions(endpoint)


async def test_the_last_agent_is_remembered_over_long_and_failed_turns(
    serve: Any, stack: AsyncExitStack
) -> None:
    refusal = json_reply({"error": {"message": "Invalid image.", "code": "invalid_image"}}, 400)
    endpoint = StrictEndpoint(
        "openai-chat", Call("transfer_to_car_rental"), Say("long " * 3000), Say("long " * 3000), refusal, Say("fine")
    )  # fmt: skip
    served = await served_on(
        serve, stack, endpoint, desk(rental()), after_hand_off="last-agent", history_tokens=500
    )
    thread_id, _ = await served.create()
    for text in ("b", "c", "d"):
        await say(served, thread_id, text)
        assert "You rent cars." in instructions(endpoint)


async def test_a_hand_off_back_and_a_retry_give_the_thread_back(serve: Any, stack: AsyncExitStack) -> None:
    back, there = Call("transfer_to_desk"), Call("transfer_to_car_rental")
    endpoint = StrictEndpoint("openai-chat", there, Say("1"), back, Say("2"), Say("3"), Say("4"))
    specialist, first = rental(), desk()
    first.handoffs, specialist.handoffs = [specialist], [first]
    served = await served_on(serve, stack, endpoint, first, after_hand_off="last-agent")
    thread_id, events = await served.create()
    message = events[1]["item"]["id"]
    await say(served, thread_id, "back, please")
    await say(served, thread_id, "who are you?")
    assert "You are the desk." in instructions(endpoint)
    params = {"thread_id": thread_id, "item_id": message}
    await (await served.person.stream("threads.retry_after_item", params)).events()
    assert "You are the desk." in instructions(endpoint)
    assert texts(await served.items(thread_id)) == ["hello", "4"]


@MODES
async def test_the_agent_that_asked_the_browser_gets_its_answer(
    serve: Any, stack: AsyncExitStack, mode: str, speaker: str
) -> None:
    @function_tool
    async def ask_browser(ctx: RunContextWrapper[Any]) -> str:
        """Ask the person's browser."""
        ctx.context.client_tool_call = ClientToolCall(name="ask_browser", arguments={})
        return "asked"

    stop: Any = {"stop_at_tool_names": ["ask_browser"]}
    endpoint = StrictEndpoint(
        "openai-chat", Call("transfer_to_car_rental"), Call("ask_browser"), Say("Noon.")
    )
    agent = desk(rental(tools=[ask_browser], tool_use_behavior=stop))
    served = await served_on(serve, stack, endpoint, agent, after_hand_off=mode)
    thread_id, _ = await served.create()
    params = {"thread_id": thread_id, "result": {"time": "12:00"}}
    events = await (await served.person.stream("threads.add_client_tool_output", params)).events()
    assert error(events) is None
    assert "You rent cars." in instructions(endpoint)


async def test_the_guardrails_of_the_first_agent_check_every_message(
    serve: Any, stack: AsyncExitStack
) -> None:
    @input_guardrail
    async def no_secrets(
        context: RunContextWrapper[Any], agent: Agent[Any], given: str | list[Any]
    ) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered="secret" in json.dumps(given))

    endpoint = StrictEndpoint("openai-chat", Call("transfer_to_car_rental"), then=Say("fine"))
    agent = desk(rental(), input_guardrails=[no_secrets])
    served = await served_on(serve, stack, endpoint, agent, after_hand_off="last-agent")
    thread_id, _ = await served.create()
    assert error(await say(served, thread_id, "my secret")) == ("guardrail", False)
