"""Every rule finds what breaks it, and nothing else."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.testing.endpoints import RULES, violations, violations_of_input
from backchannel.testing.endpoints.rules import APIS
from unit.testing.endpoints.examples import (
    ALSO_BAD,
    ALSO_GOOD,
    CHAT,
    RESPONSES,
    USER,
    call,
    calls,
    chat,
    items,
    message,
    output,
    tool,
)

pytestmark = pytest.mark.row("H5")

EXAMPLES = {"chat": CHAT, "responses": RESPONSES}
CASES = [(rule, profile) for rule in RULES for profile in (*rule.wordings, "strictest")]


def ids(case: tuple) -> str:
    return f"{case[0].api}-{case[0].id}-{case[1]}"


def names(profile: str, body: dict) -> list[str]:
    return [each.rule for each in violations(profile, body)]


def test_every_rule_has_a_bad_and_a_good_example() -> None:
    assert {(rule.api, rule.id) for rule in RULES} == {
        (api, name) for api, examples in EXAMPLES.items() for name in examples
    }
    assert len({(rule.api, rule.id) for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_the_bad_example_breaks_the_rule_and_the_good_one_does_not(case: tuple) -> None:
    rule, profile = case
    bad, good = EXAMPLES[rule.api][rule.id]
    assert rule.id in names(profile, bad)
    assert rule.id not in names(profile, good)
    if profile != "strictest":
        # Nothing else is found: a request breaks one rule, or none. To end blank, an assistant has to be last.
        assert set(names(profile, bad)) - {"last_message_of_assistant"} <= {rule.id}
        assert names(profile, good) == []
    for found in violations(profile, bad):
        assert found.message
        assert found.source
        assert "{" not in found.message.replace('{"', "").replace("{1,128}", "") or found.status == 422


def test_rules_name_profiles_and_sources_that_exist() -> None:
    assert all(rule.wordings for rule in RULES)
    for each_rule, (profile, wording) in [(rule, each) for rule in RULES for each in rule.wordings.items()]:
        assert each_rule.api in APIS[profile]
        repository, _, number = wording.source.partition("#")
        assert wording.source.startswith("https://") or (repository.count("/") == 1 and number.isdigit())


def test_a_rule_applies_to_its_profiles_only() -> None:
    bad, _ = CHAT["call_id_format"]
    assert [
        profile for profile in APIS if "chat" in APIS[profile] and "call_id_format" in names(profile, bad)
    ] == [
        "mistral",
        "strictest",
    ]


def test_a_rule_can_be_ignored() -> None:
    bad, _ = CHAT["call_id_format"]
    assert violations("mistral", bad, ignore={"call_id_format"}) == []


@pytest.mark.parametrize(("profile", "body", "expected"), ALSO_BAD)
def test_other_bad_requests_break_exactly_these_rules(profile: str, body: dict, expected: list) -> None:
    assert names(profile, body) == expected


@pytest.mark.parametrize(("profile", "body"), ALSO_GOOD)
def test_other_good_requests_break_no_rule(profile: str, body: dict) -> None:
    assert names(profile, body) == []


@pytest.mark.parametrize(
    ("profile", "example", "message"),
    [
        (
            "openai-chat",
            CHAT["call_without_output"],
            (
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                "'tool_call_id'. The following tool_call_ids did not have response messages: abcDEF123"
            ),
        ),
        (
            "openai-responses",
            RESPONSES["call_without_output"],
            "No tool output found for function call call_1.",
        ),
        (
            "openai-responses",
            RESPONSES["reasoning_without_item"],
            "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
        ),
        (
            "mistral",
            CHAT["call_id_format"],
            "Tool call id was call_abcd but must be a-z, A-Z, 0-9, with a length of 9.",
        ),
        ("vllm", CHAT["arguments_no_json"], "Unterminated string starting at: line 1 column 7 (char 6)"),
        (
            "anthropic",
            CHAT["arguments_no_object"],
            "messages.1.content.0.tool_use.input: Input should be a valid dictionary",
        ),
        (
            "anthropic",
            (chat(USER, tools=[tool("ok"), tool("todo.list")]),),
            "tools.1.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
        ),
    ],
)
def test_messages_are_those_of_the_api(profile: str, example: tuple, message: str) -> None:
    assert violations(profile, example[0])[0].message == message


def test_azure_serves_both_apis() -> None:
    assert names("azure", RESPONSES["call_without_output"][0]) == ["call_without_output"]
    assert names("azure", CHAT["call_without_output"][0]) == ["call_without_output"]


@pytest.mark.parametrize(
    ("profile", "body"), [("nobody", chat(USER)), ("gemini", items(USER)), ("openai-responses", chat(USER))]
)
def test_a_profile_that_does_not_exist_or_does_not_serve_the_api_is_an_error(
    profile: str, body: dict
) -> None:
    with pytest.raises(ValueError, match="profile"):
        violations(profile, body)


def test_items_that_the_sdk_cannot_convert_are_a_violation() -> None:
    found = violations_of_input([{"type": "compaction", "encrypted_content": "x"}], "gemini")
    assert [each.rule for each in found] == ["not_convertible"]
    with pytest.raises(ValueError, match="no profile"):
        violations_of_input([], "nobody")


def test_what_the_sdk_removes_is_not_checked() -> None:
    kept = {**message(), "id": "__fake_id__", "provider_data": {"model": "m"}}
    thought = {"type": "reasoning", "id": "__fake_id__", "summary": [], "provider_data": {"model": "m"}}
    assert violations_of_input([USER, thought, kept], "openai-responses") == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["role", "content", "tool_calls", "tool_call_id", "id", "type", "call_id", "name", "arguments", "summary"]
)
ROLES = st.sampled_from(["user", "assistant", "tool", "system", "function_call", "reasoning", "message"])
ENTRY = st.dictionaries(
    FIELDS, JSON | ROLES | st.lists(st.dictionaries(st.sampled_from(["id", "function"]), JSON))
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ENTRY | JSON, max_size=4), JSON)
def test_nothing_that_is_malformed_raises(entries: list, other: object) -> None:
    for body in ({"messages": entries, "tools": other}, {"input": entries, "tools": [other]}):
        for profile in APIS:
            if ("responses" if "input" in body else "chat") in APIS[profile]:
                violations(profile, body)


def test_a_request_is_not_changed() -> None:
    body = chat(USER, calls(call()), output())
    before = json.dumps(body)
    violations("strictest", body)
    assert json.dumps(body) == before
