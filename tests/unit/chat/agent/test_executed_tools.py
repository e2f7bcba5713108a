"""What calls of shells, patches, computers and custom tools are for people, programs and later models."""

import json
from typing import Any

import pytest
from agents import Agent
from agents.items import ToolCallOutputItem
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseComputerToolCall, ResponseCustomToolCall, ResponseFunctionToolCall

from backchannel.chat.agent.executed_tools import (
    MAX_CODE_CHARS,
    Outcome,
    call_task,
    finished_task,
    output_item,
    read_call,
    read_outcome,
    subject,
)

pytestmark = pytest.mark.row("B5", "B10")

type Json = dict[str, Any]


def ended(raw: Json, output: object) -> Outcome | None:
    return read_outcome(ToolCallOutputItem(agent=Agent(name="A"), raw_item=raw, output=output))  # pyright: ignore[reportArgumentType]


def content(item_type: str, **arguments: Any) -> str | None:
    return call_task(item_type, "tool", json.dumps(arguments)).content


def test_a_call_is_read_from_an_object_and_from_what_a_restart_left_of_it() -> None:
    call = ResponseCustomToolCall(type="custom_tool_call", call_id="call_1", name="calc", input="6*7")
    read = read_call(call)
    assert read == read_call(call.model_dump())
    assert read is not None
    assert (read.item_type, read.call_id, read.name, read.json) == (
        "custom_tool_call", "call_1", "calc", '{"input": "6*7"}'
    )  # fmt: skip


def test_what_a_provider_sent_with_a_call_is_kept() -> None:
    call = ResponseCustomToolCall(type="custom_tool_call", call_id="call_1", name="calc", input="6*7")
    signed = call.model_copy(update={"provider_data": {"thought_signature": "x"}})
    for each in (signed, {**call.model_dump(), "provider_data": {"thought_signature": "x"}}):
        read = read_call(each)
        assert read is not None
        assert read.provider_data == {"thought_signature": "x"}


@pytest.mark.parametrize(
    "item",
    [
        ResponseFunctionToolCall(type="function_call", call_id="c", name="f", arguments="{}"),
        {"type": "web_search_call", "id": "ws_1"},
        {"type": "shell_call", "action": {"commands": ["ls"]}},
        {},
        None,
    ],
    ids=["function", "hosted", "without id", "empty", "none"],
)
def test_other_items_are_no_such_calls(item: object) -> None:
    assert read_call(item) is None


def test_the_name_of_a_tool_is_the_applications_except_of_computers() -> None:
    shell = read_call({"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}}, "bash")
    assert shell is not None
    assert shell.name == "bash"
    raw = {
        "type": "computer_call",
        "id": "i",
        "call_id": "c",
        "status": "completed",
        "pending_safety_checks": [],
    }
    computer = read_call(ResponseComputerToolCall.model_validate(raw), "computer_use_preview")
    assert computer is not None
    assert (computer.name, computer.arguments) == ("computer", {"actions": []})


@pytest.mark.parametrize(
    ("action", "shown"),
    [
        ({"type": "click", "x": 1, "y": 2, "button": "right"}, "click 1, 2 (right)"),
        ({"type": "scroll", "x": 1, "y": 2, "scroll_x": 0, "scroll_y": 9}, "scroll 1, 2 by 0, 9"),
        ({"type": "drag", "path": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]}, "drag 1, 2 → 3, 4"),
        ({"type": "keypress", "keys": ["CTRL", "C"]}, "keypress CTRL+C"),
        ({"type": "double_click", "x": 1, "y": 2}, "double click 1, 2"),
        ({"type": "type", "text": "hi"}, "type hi"),
        ({"type": "wait"}, "wait"),
        ({}, "action"),
    ],
)
def test_what_a_computer_does_is_said_in_words(action: Json, shown: str) -> None:
    assert content("computer_call", actions=[action]) == f"`{shown}`"


def test_commands_and_patches_are_code_that_markdown_does_not_change() -> None:
    assert content("shell_call", commands=["rm *_old_*"]) == "`rm *_old_*`"
    assert content("shell_call", commands=["echo `date`"]) == "`` echo `date` ``"
    assert content("shell_call", commands=["a", "echo ```"]) == "````\na\necho ```\n````"
    assert content("local_shell_call", command=["sh", "-c", "ls *"]) == "`sh -c 'ls *'`"
    moved = {"type": "update_file", "path": "a", "move_to": "b", "diff": "+c"}
    assert content("apply_patch_call", operations=[moved, {"type": "delete_file", "path": "c"}]) == (
        "```\nupdate a → b\ndelete c\n```"
    )
    assert content("shell_call") is None
    assert call_task("shell_call", "shell", "no json").content is None


@given(st.text())
def test_a_task_is_short_whatever_is_called(text: str) -> None:
    task = call_task("custom_tool_call", "calc", json.dumps({"input": text}))
    for shown in (
        task,
        finished_task(task, "custom_tool_call", Outcome(text, failed=True, why="Exit code 1.")),
    ):
        ticks = 2 * (max(3, text.count("`") + 1) + 1)
        assert len(shown.content or "") <= MAX_CODE_CHARS + ticks + len("Failed. Exit code 1.\n")


def test_who_approves_a_call_sees_all_that_it_would_do() -> None:
    arguments = {"command": ["rm", "x"], "working_directory": "/", "env": {"A": "b"}, "timeout_ms": None}
    assert subject("local_shell_call", json.dumps(arguments)) == 'rm x\nworking_directory: /\nenv: {"A": "b"}'
    patches = {"operations": [{"type": "create_file", "path": p, "diff": f"+{p}"} for p in ("a", "b")]}
    assert subject("apply_patch_call", json.dumps(patches)) == "create a\ncreate b\ndiff: +a\ndiff: +b"


def test_outputs_are_text_and_say_whether_the_call_failed() -> None:
    exit_0, exit_1 = ({"type": "exit", "exit_code": code} for code in (0, 1))
    good = {"stdout": "a", "stderr": "", "outcome": exit_0}
    bad = {"stdout": "", "stderr": "b", "outcome": exit_1}
    late = {"stdout": "", "stderr": "", "outcome": {"type": "timeout"}}
    raw: Json = {"type": "shell_call_output", "output": [good]}
    assert ended(raw, "a") == Outcome("a")
    assert ended({**raw, "output": []}, "") == Outcome("(No output.)")
    assert ended({**raw, "output": [good, bad]}, [good, bad]) == Outcome(
        "a\n\nstderr:\nb\nexit code: 1", failed=True, why="Exit code 1."
    )
    assert ended({**raw, "output": [late]}, [late]) == Outcome(
        "status: timeout", failed=True, why="Timed out."
    )
    assert ended({**raw, "output": [bad], "status": "failed"}, "no shell") == Outcome("no shell", failed=True)
    assert ended({"type": "apply_patch_call_output", "status": "completed"}, "") == Outcome("Done.")
    assert ended({"type": "apply_patch_call_output", "status": "failed"}, "") == Outcome(
        "Failed.", failed=True
    )
    assert ended({"type": "local_shell_call_output", "output": "a"}, "a") == Outcome("a")
    assert ended({"type": "function_call_output", "output": "a"}, "a") is None


def test_a_known_output_has_the_form_of_its_call() -> None:
    forms = {
        "shell_call": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
        "local_shell_call": "a",
        "apply_patch_call": "a",
        "custom_tool_call": "a",
    }
    for item_type, output in forms.items():
        call = read_call({"type": item_type, "call_id": "c"})
        assert call is not None
        item = output_item(call, "a")
        assert (item["type"], item["call_id"], item["output"]) == (f"{item_type}_output", "c", output)
