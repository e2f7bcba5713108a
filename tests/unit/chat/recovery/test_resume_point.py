"""Where an answer stands whose process died, from what it left in its thread."""

from datetime import datetime
from typing import Any

import pytest
from agents import Agent, GuardrailFunctionOutput, OutputGuardrail, RunConfig, function_tool, handoff
from agents.tool_context import ToolContext
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    ClientToolCallItem,
    HiddenContextItem,
    ThreadItem,
    UserMessageItem,
)

from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.interrupted_tools import repeat_call
from backchannel.chat.recovery import journal
from backchannel.chat.recovery.resume_point import answer_items, find_resume_point
from backchannel.context import RequestContext
from backchannel.tools import idempotency_key, idempotent

pytestmark = pytest.mark.row("H1", "A1")

NOW = datetime(2026, 11, 24)
LATER = Agent(name="Later")
SECOND = Agent(name="Second", handoffs=[handoff(LATER)])
FIRST = Agent(name="First", handoffs=[SECOND])
SECOND.handoffs.append(FIRST)


def said(item_id: str) -> AssistantMessageItem:
    return AssistantMessageItem(
        id=item_id, thread_id="thr_1", created_at=NOW, content=[AssistantMessageContent(text="x")]
    )


def asked(item_id: str) -> UserMessageItem:
    return UserMessageItem(
        id=item_id, thread_id="thr_1", created_at=NOW, content=[], attachments=[], inference_options={}
    )


def called(call_id: str, *, finished: bool = True, name: str = "note") -> HiddenContextItem:
    item = journal.to_item(journal.ToolCall(call_id=call_id, name=name, arguments="{}"), "thr_1")
    return journal.with_output(item, "ok") if finished else item


def goes_on(item_id: str) -> HiddenContextItem:
    return journal.to_item(journal.IntermediateMessage(item_id=item_id), "thr_1")


def to(agent: str) -> HiddenContextItem:
    return journal.to_item(journal.HandOff(agent=agent), "thr_1")


@pytest.mark.parametrize(
    ("items", "answered", "discarded"),
    [
        ([], False, []),
        ([said("m1")], True, []),
        ([goes_on("m1"), said("m1")], False, ["m1"]),
        ([said("m1"), goes_on("m2"), said("m2")], False, ["m1", "m2"]),
        ([goes_on("m1"), said("m1"), said("m2")], True, []),
        ([called("c1")], False, []),
        ([goes_on("m1"), said("m1"), called("c1")], False, []),
        ([called("c1"), said("m1")], True, []),
        ([said("m1"), to("Second")], False, []),
        ([to("Second"), goes_on("m1"), said("m1")], False, ["m1"]),
    ],
    ids=[
        "nothing", "its last word", "there was more to say", "two messages and more", "the last one was the last",
        "a tool has run", "said before the tool ran", "said after the tool ran", "handed off", "handed off and more",
    ],
)  # fmt: skip
def test_what_is_left_to_say(items: list[ThreadItem], answered: bool, discarded: list[str]):
    now = find_resume_point(items, FIRST)
    assert (now.complete, now.discarded) == (answered, discarded)


def test_a_question_to_the_person_is_the_end_of_an_answer():
    call = ClientToolCallItem(
        id="tc_1", thread_id="thr_1", created_at=NOW, call_id="c1", name="where", arguments={}
    )
    assert find_resume_point([called("c1", name="where"), call], FIRST).complete
    done = call.model_copy(update={"status": "completed"})
    assert not find_resume_point([called("c1", name="where"), done], FIRST).complete


def test_what_a_guardrail_may_still_refuse_is_said_again():
    async def pass_all(*_: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=False)

    guarded = Agent[Any](name="Guarded", output_guardrails=[OutputGuardrail(pass_all)])
    now = find_resume_point([said("m1")], guarded)
    assert (now.complete, now.discarded) == (False, ["m1"])


def test_what_a_guardrail_of_the_run_may_still_refuse_is_said_again():
    now = find_resume_point([said("m1")], FIRST, output_guardrails=True)
    assert (now.complete, now.discarded) == (False, ["m1"])
    assert find_resume_point([said("m1")], FIRST).complete


def test_tools_that_were_running_are_known():
    running = called("c2", finished=False)
    assert find_resume_point([called("c1"), running], FIRST).interrupted_calls == [running]


@pytest.mark.parametrize(
    ("handed", "agent"),
    [
        ([], FIRST),
        (["Second"], SECOND),
        (["Second", "Later"], LATER),
        (["Gone"], FIRST),
        (["Second", "First"], FIRST),
    ],
)
def test_who_was_answering_goes_on(handed: list[str], agent: Agent[Any]):
    assert find_resume_point([to(name) for name in handed], FIRST).agent is agent


async def test_only_what_came_after_the_message_is_the_answer(store: Any, request_context: RequestContext):
    for item in (asked("m0"), said("m1"), asked("m2"), called("c1"), said("m3")):
        await store.add_thread_item("thr_1", item, request_context)
    assert [item.type for item in await answer_items(store, "thr_1", "m2", request_context)] == [
        "hidden_context_item",
        "assistant_message",
    ]


async def test_a_tool_is_called_again_with_its_key_if_it_is_idempotent_and_else_not(
    thread: Any, store: Any, request_context: RequestContext
):
    keys: list[str] = []

    @idempotent
    @function_tool(name_override="pay")
    async def pay(ctx: ToolContext[Any]) -> str:
        """Pay."""
        keys.append(idempotency_key(ctx))
        return "paid"

    @function_tool(name_override="note")
    async def note() -> str:
        """Note."""
        raise AssertionError("called again")

    agent = Agent[Any](name="A", tools=[pay, note])
    context = AnswerContext(thread=thread, store=store, request_context=request_context)
    for _ in range(2):
        again = await repeat_call(called("c1", finished=False, name="pay"), agent, context, RunConfig())
        assert again is not None
        entry = journal.tool_call(again)
        assert entry is not None
        assert (entry.output, entry.finished) == ("paid", True)
    assert len(keys) == 2
    assert keys[0] == keys[1]
    await repeat_call(called("c2", finished=False, name="pay"), agent, context, RunConfig())
    assert keys[2] != keys[0]
    assert await repeat_call(called("c3", finished=False), agent, context, RunConfig()) is None
    assert await repeat_call(called("c4", finished=False, name="gone"), agent, context, RunConfig()) is None
