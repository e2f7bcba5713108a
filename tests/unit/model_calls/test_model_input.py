"""Whatever a thread and a run hold, no API refuses the model's input."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from backchannel.model_calls.model_input import (
    BEGINNING,
    CONTINUE,
    EMPTY_OUTPUT,
    INTERRUPTED,
    MAX_OUTPUT_CHARS,
    NO_ANSWER,
    normalize_input,
)
from backchannel.testing.endpoints import violations_of_input
from backchannel.testing.endpoints.rules import APIS

pytestmark = pytest.mark.row("C8", "H7")

FOREIGN_IDS = {"call_id_format", "call_id_characters", "call_id_too_long", "id_too_long"}
"""A provider accepts the ids that it made itself; those of earlier turns are Backchannel's (`test_history_rules.py`)."""

TEXTS = some.one_of(
    some.sampled_from(["", " ", "\n\n", "hello", "\ud83d", "a\0b", "x" * 5_000, "<|channel|>", "你好"]),
    some.text(max_size=20),
)
ARGUMENTS = some.sampled_from(
    [
        '{"q": "x',
        "",
        "null",
        "[]",
        '"text"',
        "{}",
        '{"a": 1}',
        '{"a": NaN}',
        '"{\\"a\\": 1}"',
        "{}{}",
        '{"a":"\\ud83d"}',
    ]
)
NAMES = some.sampled_from(
    [
        "lookup",
        "functions.lookup",
        "lookup<|channel|>commentary",
        "",
        "päck",
        "9lives",
        "x" * 100,
        "a b",
        "-a",
    ]
)
IDS = some.sampled_from(["call_0", "call_1", "", "a" * 100, "call é", "abcdefghi"])
OUTPUTS = some.one_of(
    TEXTS,
    some.none(),
    some.just([]),
    some.just([{"type": "input_text", "text": ""}]),
    some.just([{"type": "input_text", "text": "page"}]),
)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


ITEMS = some.one_of(
    TEXTS.map(user),
    TEXTS.map(lambda text: user([{"type": "input_text", "text": text}])),
    some.just(user([])),
    TEXTS.map(lambda text: {"role": "assistant", "content": text}),
    TEXTS.map(lambda text: {"role": "system", "content": text}),
    some.builds(
        lambda call, name, arguments: {
            "type": "function_call", "call_id": call, "name": name, "arguments": arguments, "id": "__fake_id__"
        },
        IDS, NAMES, ARGUMENTS,
    ),
    some.builds(lambda call, output: {"type": "function_call_output", "call_id": call, "output": output}, IDS, OUTPUTS),
)  # fmt: skip


def refusals(items: Any, profile: str) -> list[str]:
    return [
        f"{each.rule}: {each.message}"
        for each in violations_of_input(items, profile, ignore=FOREIGN_IDS)  # pyright: ignore[reportArgumentType]
    ]


@settings(max_examples=300)
@given(some.lists(ITEMS, max_size=12))
@pytest.mark.parametrize("profile", APIS)
def test_no_api_refuses_any_input(profile: str, items: list[Any]) -> None:
    assert refusals(normalize_input(items), profile) == [], json.dumps(items)


@given(some.lists(ITEMS, max_size=12))
def test_normalized_input_is_not_changed_again(items: list[Any]) -> None:
    once = normalize_input(items)
    assert normalize_input(once) == once


def test_a_correct_conversation_is_unchanged() -> None:
    items: list[Any] = [
        {"role": "system", "content": "Be kind."},
        user("list"),
        {"type": "function_call", "call_id": "c1", "name": "todos", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "none"},
        {"role": "assistant", "content": "There are none."},
        user(
            [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": "https://x/y.png"}]
        ),
    ]
    assert normalize_input(items) == items


def test_every_text_is_kept() -> None:
    items: list[Any] = [
        {"role": "assistant", "content": "Welcome!"},
        user("one"),
        user([{"type": "input_text", "text": "two"}]),
        {"role": "assistant", "content": "three"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "four"}]},
    ]
    normalized: Any = normalize_input(items)
    assert [each["role"] for each in normalized] == ["user", "assistant", "user", "assistant", "user"]
    assert (normalized[0]["content"], normalized[-1]["content"]) == (BEGINNING, CONTINUE)
    assert [part["text"] for part in normalized[2]["content"]] == ["one", "two"]
    assert normalized[3]["content"] == "three\n\nfour"


def call(call_id: str, **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "t", "arguments": "{}", **more}


def output(call_id: str, text: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def test_calls_with_one_id_keep_their_own_outputs() -> None:
    items: list[Any] = [
        user("a"), call("call_0"), output("call_0", "first"), user("b"), call("call_0"), output("call_0", "second"),
        call("call_0"),
    ]  # fmt: skip
    normalized: Any = normalize_input(items)
    pairs = {each["call_id"]: each["output"] for each in normalized if "output" in each}
    assert list(pairs.values()) == ["first", "second", INTERRUPTED]


def test_outputs_follow_the_calls_of_their_response() -> None:
    items: list[Any] = [
        user("a"), call("1"), call("2"), user("between"), output("2", "two"), output("1", ""), output("9", "loose"),
    ]  # fmt: skip
    normalized: Any = normalize_input(items)
    assert [each.get("output", each.get("call_id", each.get("content"))) for each in normalized] == [
        "a", "1", "2", EMPTY_OUTPUT, "two", NO_ANSWER, "between"
    ]  # fmt: skip


def test_reasoning_stays_only_before_what_it_led_to() -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    kept: Any = normalize_input([user("a"), reasoning, call("1"), output("1", "x")])
    assert [each.get("type") for each in kept] == [None, "reasoning", "function_call", "function_call_output"]
    loose: Any = normalize_input([user("a"), reasoning, user("b")])
    assert [each.get("role") for each in loose] == ["user"]


@pytest.mark.parametrize(
    "kind", ["function_call", "custom_tool_call", "local_shell_call", "apply_patch_call"]
)
def test_a_long_output_of_any_tool_is_shortened(kind: str) -> None:
    """In the turn of the call too: openai/codex#6417 is a patch whose output filled the context."""
    long = "x" * (MAX_OUTPUT_CHARS + 1_000)
    made = {**call("1"), "type": kind}
    items: list[Any] = [user("a"), made, {"type": f"{kind}_output", "call_id": "1", "output": long}]
    [shortened] = [each["output"] for each in normalize_input(items, responses_api=True) if "output" in each]
    assert len(str(shortened)) < len(long)


def test_each_long_stream_of_a_shell_is_shortened() -> None:
    long = "x" * (MAX_OUTPUT_CHARS + 1_000)
    streams = {"stdout": long, "stderr": long, "outcome": {"type": "exit", "exit_code": 0}}
    shell = {"type": "shell_call", "call_id": "1", "action": {"commands": ["yes"]}}
    items: list[Any] = [user("a"), shell, {"type": "shell_call_output", "call_id": "1", "output": [streams]}]
    normalized: Any = normalize_input(items, responses_api=True)
    [shortened] = normalized[-1]["output"]
    assert max(len(shortened["stdout"]), len(shortened["stderr"])) < len(long)
    assert shortened["outcome"] == streams["outcome"]
