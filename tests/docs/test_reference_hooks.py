"""docs/reference/hooks.md lists every event with its fields, as the code has them (H14)."""

import ast
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from backchannel import hooks
from docs.conftest import DOCS

pytestmark = pytest.mark.row("H14")

PAGE = (DOCS / "reference" / "hooks.md").read_text(encoding="utf-8")
SOURCES = Path(hooks.__file__).parent
ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| ([^|]*) \| [^|]* \|$", re.MULTILINE)
EVENTS: tuple[type[Any], ...] = get_args(hooks.HookEvent.__value__)
OF_RUNS = {field.name for field in fields(hooks.RunEvent)}


def rows() -> dict[str, tuple[str, set[str]]]:
    """By the name of the event: its method and its fields."""
    return {event: (method, set(re.findall(r"`(\w+)`", names))) for method, event, names in ROW.findall(PAGE)}


def methods() -> dict[str, str]:
    """By the name of the event: the method of a listener."""
    return {
        get_type_hints(method)["event"].__name__: name
        for name, method in vars(hooks.Hooks).items()
        if callable(method) and not name.startswith("_")
    }


def test_the_page_has_every_event_and_no_other() -> None:
    assert sorted(rows()) == sorted(event.__name__ for event in EVENTS) == sorted(methods())


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_the_fields_of_an_event_are_on_the_page(event: type[Any]) -> None:
    method, names = rows()[event.__name__]
    assert method == methods()[event.__name__]
    of_runs = OF_RUNS if issubclass(event, hooks.RunEvent) else set[str]()
    assert names == {field.name for field in fields(event)} - of_runs
    for name, hint in get_type_hints(event).items():
        values = {value for value in get_args(hint) if isinstance(value, str)}
        assert values <= set(re.findall(r"`(\w+)`", PAGE)), f"{name} can be one of {values}"


def test_what_every_event_of_a_run_has_is_on_the_page() -> None:
    (sentence,) = re.findall(r"Every event of a run has (.*?)\.\n", PAGE, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == OF_RUNS


def test_the_limits_are_on_the_page() -> None:
    assert f"{hooks.SLOW_SECONDS:g} seconds" in PAGE
    assert f"{hooks.MAX_PENDING} calls may wait" in PAGE


def test_every_event_is_reported_somewhere() -> None:
    called = {
        node.func.id
        for path in SOURCES.rglob("*.py")
        if path.name != "hooks.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert {event.__name__ for event in EVENTS} <= called
