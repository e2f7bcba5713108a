"""Names, arguments and ids of calls."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from backchannel.model_calls.tool_calls import (
    api_name,
    call_id_for,
    history_arguments,
    usable_arguments,
    usable_call_id,
    usable_name,
)

pytestmark = pytest.mark.row("M1", "M2", "M3")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("lookup", "lookup"),
        ("lookup<|channel|>commentary", "lookup"),
        ("functions.lookup", "lookup"),
        ("default_api:lookup", "lookup"),
        ("tools/lookup", "lookup"),
        (" lookup\n", "lookup"),
        ("lookup<｜tool▁sep｜>", "lookup"),
        ("lookups", "lookups"),
        ("näme with spaces!", "n_me_with_spaces"),
        ("", "unknown_tool"),
        (None, "unknown_tool"),
        ("7up", "_7up"),
    ],
)
def test_the_tool_that_is_meant(name: str | None, meant: str) -> None:
    assert usable_name(name, {"lookup", "other"}) == meant


@given(some.text(max_size=200))
def test_every_api_accepts_the_name(name: str) -> None:
    assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}", api_name(name))


@pytest.mark.parametrize(
    ("arguments", "usable"),
    [
        ('{"q": "x"}', '{"q": "x"}'),
        ("", "{}"),
        (None, "{}"),
        ("null", "{}"),
        ({"q": "é"}, '{"q": "é"}'),
        ('"{\\"q\\": 1}"', '{"q": 1}'),
        ('{"q": 1}<|call|>', '{"q": 1}'),
        ('{"q": 1}{"q": 1}', '{"q": 1}'),
        ('{"q": 1}{"q": 2}', '{"q": 1}{"q": 2}'),
        ('{"q": "x', '{"q": "x'),
        ("[1]", "[1]"),
        ('"text"', '"text"'),
    ],
)
def test_arguments_for_the_tool(arguments: object, usable: str) -> None:
    assert usable_arguments(arguments) == usable


@given(some.one_of(some.text(max_size=100), some.none(), some.dictionaries(some.text(), some.integers())))
def test_history_holds_an_object(arguments: object) -> None:
    assert isinstance(json.loads(history_arguments(arguments)), dict)


def test_unreadable_arguments_are_quoted_in_history() -> None:
    assert json.loads(history_arguments('{"q": "x')) == {"unreadable_arguments": '{"q": "x'}
    assert len(history_arguments("x" * 100_000)) < 600


def test_ids() -> None:
    assert usable_call_id("call_0", set()) == "call_0"
    assert usable_call_id("call_0", {"call_0"}) != "call_0"
    assert usable_call_id("", set())
    assert re.fullmatch(r"[a-zA-Z0-9]{9}", call_id_for("it_1"))
    assert call_id_for("it_1") == call_id_for("it_1") != call_id_for("it_2")
