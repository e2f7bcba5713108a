"""Questions about calls of tools, and what counts as an approval."""

from datetime import datetime
from typing import Any

import pytest
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    HiddenContextItem,
    InferenceOptions,
    StructuredInputAnswer,
    StructuredInputItem,
    ThreadItem,
    ThreadMetadata,
    UserMessageItem,
    UserMessageTextContent,
)

from backchannel.chat.agent import approvals
from backchannel.chat.agent.approvals import APPROVE, APPROVE_ALWAYS, DECLINE, Decision
from backchannel.chat.recovery import journal

pytestmark = pytest.mark.row("M13", "B8")

THREAD = ThreadMetadata(id="thr_1", created_at=datetime(2026, 11, 28))
COMMON: dict[str, Any] = {"thread_id": "thr_1", "created_at": datetime(2026, 11, 28)}


def call(number: int = 1, **fields: Any) -> journal.RequestedCall:
    fields = {"name": "erase", "arguments": '{"path": "/a"}', "agent": "A", **fields}
    return journal.RequestedCall(question=f"approval_{number}", call_id=f"call_{number}", **fields)


def request(*calls: journal.RequestedCall, state: dict[str, Any] | None = None) -> journal.ApprovalRequest:
    return journal.ApprovalRequest(item_id="msg_q", calls=list(calls or [call()]), state=state)


def answered(*values: str | None) -> StructuredInputItem:
    item = approvals.question_item(request(*(call(n + 1) for n in range(len(values)))), THREAD)
    for question, value in zip(item.inputs, values, strict=True):
        if value is not None:
            question.answer = StructuredInputAnswer(values=[value])
    return item


@pytest.mark.parametrize(
    ("value", "decision"),
    [
        (APPROVE, Decision(approved=True)),
        (f" {APPROVE} ", Decision(approved=True)),
        (APPROVE_ALWAYS, Decision(approved=True, always=True)),
        (DECLINE, Decision(approved=False)),
        (approvals.decline(None), Decision(approved=False)),
        (approvals.decline("  "), Decision(approved=False)),
        (approvals.decline("use /b"), Decision(approved=False, reason="use /b")),
        # No text of a person's own approves: pydantic/pydantic-ai#8060, mastra-ai/mastra#21195.
        (approvals.decline(APPROVE), Decision(approved=False, reason=APPROVE)),
        ("approve", Decision(approved=False, reason="approve")),
        ("yes", Decision(approved=False, reason="yes")),
        ("Declined by me", Decision(approved=False, reason="Declined by me")),
        ("", Decision(approved=False)),
        (None, Decision(approved=False)),
    ],
)
def test_what_approves(value: str | None, decision: Decision):
    made = approvals.decisions_of(request(), answered(value))
    assert made == {"approval_1": decision}


def test_a_question_without_an_answer_declines():
    question = answered(APPROVE)
    question.inputs[0].answer = StructuredInputAnswer(values=[APPROVE], skipped=True)
    assert approvals.decisions_of(request(), question) == {"approval_1": Decision(approved=False)}
    question.inputs.clear()
    assert approvals.decisions_of(request(), question) == {"approval_1": Decision(approved=False)}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "Run “erase” with path: /a?"),
        ({"arguments": "{}"}, "Run “erase”?"),
        ({"arguments": ""}, "Run “erase”?"),
        ({"arguments": "{not json"}, "Run “erase” with {not json?"),
        ({"arguments": "[1]"}, "Run “erase” with [1]?"),
        ({"arguments": '{"a": {"b": [1, "é"]}, "c": null}'}, 'Run “erase” with a: {"b": [1, "é"]}, c: null?'),
        ({"kind": "nested", "agent": "Inner"}, "Inner wants to run “erase” with path: /a?"),
    ],
)
def test_the_question_has_all_arguments(fields: dict[str, Any], text: str):
    assert approvals.question_text(call(**fields)) == text


def test_long_arguments_are_shortened_in_the_middle():
    hidden = "x" * 5000 + " --force"
    text = approvals.question_text(call(arguments=hidden))
    assert text.endswith("xxx --force?")
    assert "[… 3,008 characters …]" in text
    assert len(text) < 2100


def test_tools_are_remembered_by_agent():
    thread = THREAD.model_copy(update={"metadata": {"theme": "dark"}})
    decisions = {
        "approval_1": Decision(approved=True, always=True),
        "approval_2": Decision(approved=True),
        "approval_3": Decision(approved=True, always=True),
    }
    calls = [call(1), call(2, name="send"), call(3, agent="B")]
    approvals.remember(thread, request(*calls), decisions)
    approvals.remember(thread, request(call(1)), {"approval_1": Decision(approved=False)})
    assert thread.metadata == {"theme": "dark", approvals.ALWAYS_KEY: ["A: erase", "B: erase"]}
    assert approvals.approved_always(thread) == {"A: erase", "B: erase"}


@pytest.mark.parametrize("metadata", [{}, {approvals.ALWAYS_KEY: "A: erase"}, {approvals.ALWAYS_KEY: None}])
def test_metadata_of_another_form_approves_nothing(metadata: dict[str, Any]):
    assert approvals.approved_always(THREAD.model_copy(update={"metadata": metadata})) == set()


def message(item_id: str) -> UserMessageItem:
    content: list[Any] = [UserMessageTextContent(text="go")]
    return UserMessageItem(
        id=item_id, content=content, attachments=[], inference_options=InferenceOptions(), **COMMON
    )


def entry(item_id: str, content: journal.Entry) -> HiddenContextItem:
    return journal.to_item(content, "thr_1").model_copy(update={"id": item_id})


def tool_call(item_id: str, call_id: str, *, finished: bool = True) -> HiddenContextItem:
    made = journal.ToolCall(call_id=call_id, name="erase", arguments="{}", output="done", finished=finished)
    return entry(item_id, made)


REQUEST = entry("hcx_r", request(call(1), state={"a": 1}))
QUESTION = answered(APPROVE)


@pytest.mark.parametrize(
    ("items", "current", "usable"),
    [
        ([message("m1"), REQUEST, QUESTION], True, True),
        ([message("m1"), tool_call("h1", "call_0"), REQUEST, QUESTION], True, True),
        ([message("m1"), REQUEST, QUESTION, tool_call("h2", "call_1")], True, True),
        # The run has come further than its stored state.
        (
            [message("m1"), REQUEST, QUESTION, tool_call("h2", "call_1"), tool_call("h3", "call_2")],
            True,
            False,
        ),
        (
            [message("m1"), REQUEST, QUESTION, tool_call("h2", "call_1"), tool_call("h3", "call_1")],
            True,
            False,
        ),
        ([message("m1"), REQUEST, QUESTION, message("m2")], False, True),
    ],
)
def test_how_the_run_can_go_on(items: list[ThreadItem], current: bool, usable: bool):
    pending = approvals.find_pending(items)
    assert pending is not None
    assert (pending.current, pending.state_is_current) == (current, usable)
    assert pending.question is not None
    assert not pending.decided


def test_text_after_the_decision_means_that_the_run_has_come_further():
    said = AssistantMessageItem(id="a", content=[AssistantMessageContent(text="Gone.")], **COMMON)
    pending = approvals.find_pending([message("m1"), REQUEST, QUESTION, said])
    assert pending is not None
    assert not pending.state_is_current


def test_what_is_not_pending():
    settled = entry("hcx_r", request())
    assert approvals.find_pending([]) is None
    assert approvals.find_pending([message("m1"), QUESTION]) is None
    assert approvals.find_pending([message("m1"), settled, QUESTION]) is None
    pending = approvals.find_pending([message("m1"), REQUEST])
    assert pending is not None
    assert pending.question is None
