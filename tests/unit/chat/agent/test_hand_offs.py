"""Hand-offs after they happened: the call that a model gets, and the agent that answers next."""

from datetime import datetime
from typing import Any

import pytest
from agents import Agent, handoff
from chatkit import types as ck
from chatkit.store import Store
from openai.types.responses import ResponseFunctionToolCall

from backchannel.chat.agent.hand_offs import answering_agent, hand_off_call, hand_off_request
from backchannel.chat.recovery import journal
from backchannel.chat.recovery.resume_point import find_resume_point
from backchannel.context import RequestContext

pytestmark = pytest.mark.row("M26")

NOW = datetime(2026, 11, 28)
LAST = Agent[Any](name="Last")
MIDDLE = Agent[Any](name="Middle", handoffs=[handoff(LAST, tool_name_override="to_the_end")])
FIRST = Agent[Any](name="First", handoffs=[MIDDLE])


def call(name: str) -> ResponseFunctionToolCall:
    return ResponseFunctionToolCall(type="function_call", call_id=f"c_{name}", name=name, arguments="{}")


def message(number: int) -> ck.ThreadItem:
    return ck.UserMessageItem(
        id=f"msg_{number}",
        thread_id="thr_1",
        created_at=NOW,
        content=[],
        inference_options=ck.InferenceOptions(),
    )


def item(entry: journal.Entry) -> ck.ThreadItem:
    return journal.to_item(entry, "thr_1")


def test_the_call_of_a_hand_off_is_found_by_its_name() -> None:
    output = [call("lookup"), call("transfer_to_middle")]
    found = hand_off_request(FIRST, MIDDLE, output)
    assert found is not None
    assert found.call_id == "c_transfer_to_middle"
    found = hand_off_request(MIDDLE, LAST, [call("to_the_end")])
    assert found is not None
    assert hand_off_request(FIRST, MIDDLE, [call("lookup")]) is None


def test_an_entry_without_its_call_becomes_one_with_the_usual_name() -> None:
    made = hand_off_call(journal.HandOff(agent="Car Rental"), "hci_1")
    assert (made.name, made.arguments, made.call_id) == ("transfer_to_car_rental", "{}", "hci_1")
    assert (made.finished, made.output) == (True, '{"assistant": "Car Rental"}')


@pytest.mark.parametrize(
    ("before", "remember", "expected"),
    [
        ([journal.HandOff(agent="Last")], True, (LAST, True)),
        ([journal.HandOff(agent="Last")], False, (FIRST, False)),
        ([journal.AnsweringAgent(agent="Middle")], True, (MIDDLE, True)),
        ([journal.AnsweringAgent(agent="Middle"), journal.HandOff(agent="Last")], True, (LAST, True)),
        ([journal.HandOff(agent="Last"), journal.HandOff(agent="First")], True, (FIRST, False)),
        ([journal.HandOff(agent="Gone")], True, (FIRST, False)),
        ([], True, (FIRST, False)),
    ],
)
async def test_who_answers_a_new_message(
    store: Store[Any],
    request_context: RequestContext,
    before: list[journal.Entry],
    remember: bool,
    expected: tuple[Agent[Any], bool],
) -> None:
    older = [message(1), item(journal.HandOff(agent="Middle"))]
    items = [*older, message(2), *map(item, before), message(3)]
    for each in items:
        await store.add_thread_item("thr_1", each, request_context)
    # The turn before did not fit into the history.
    history = [items[-1]]
    found = await answering_agent(store, "thr_1", request_context, history, FIRST, remember=remember)
    assert found == expected


@pytest.mark.parametrize("remember", [True, False])
async def test_an_answer_goes_on_with_its_agent(
    store: Store[Any], request_context: RequestContext, remember: bool
) -> None:
    history = [message(1), item(journal.HandOff(agent="Last"))]
    found = await answering_agent(store, "thr_1", request_context, history, FIRST, remember=remember)
    assert found == (LAST, False)


def test_an_interrupted_answer_is_resumed_with_the_agent_that_began_it() -> None:
    assert find_resume_point([item(journal.AnsweringAgent(agent="Last"))], FIRST).agent is LAST
