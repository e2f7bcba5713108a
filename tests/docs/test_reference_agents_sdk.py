"""docs/reference/agents-sdk.md has every feature of the Agents SDK, and names tests that exist (B10)."""

import dataclasses
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import agents
import pytest
from agents import Agent, AgentHooks, ModelSettings, RunConfig, Runner, function_tool, handoff

from docs.conftest import DOCS

pytestmark = pytest.mark.row("B10")

PAGE = (DOCS / "reference" / "agents-sdk.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`(?:\w+\.)?(\w+)`", PAGE))
ROW = re.compile(r"^\| (?!feature|---)(.+?) \| (yes|partly|no) \| (.+?) \| ?(.*?) ?\|$", re.MULTILINE)
TEST = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)
TESTS = {
    name
    for path in (DOCS.parent / "tests").rglob("test_*.py")
    for name in TEST.findall(Path(path).read_text(encoding="utf-8"))
}

ELSEWHERE = re.compile(r"mcp|approv", re.IGNORECASE)
"""Names of MCP servers and of human approval, which have pages of their own."""


def missing(names: Any) -> list[str]:
    return sorted(
        name
        for name in names
        if name not in NAMED and not name.startswith("_") and not ELSEWHERE.search(name)
    )


@pytest.mark.parametrize("made", [Agent, RunConfig, ModelSettings])
def test_the_page_has_every_field(made: Any) -> None:
    assert missing(field.name for field in dataclasses.fields(made)) == []


@pytest.mark.parametrize("function", [function_tool, handoff, Agent.as_tool, Runner.run_streamed])
def test_the_page_has_every_parameter(function: Callable[..., Any]) -> None:
    assert missing(name for name in inspect.signature(function).parameters if name != "self") == []


def test_the_page_has_every_hook() -> None:
    assert missing(name for name in vars(AgentHooks) if name.startswith("on_")) == []


def test_the_page_has_every_public_name() -> None:
    assert missing(agents.__all__) == []


def test_every_row_names_a_test_that_exists_or_says_what_differs() -> None:
    rows = ROW.findall(PAGE)
    assert len(rows) == len(re.findall(r"^\| (?!feature|---)", PAGE, re.MULTILINE)) > 50
    for feature, works, shown, differs in rows:
        names = re.findall(r"`(test_\w+)`", shown)
        assert set(names) <= TESTS, feature
        assert names or differs or shown == "see below", feature
        assert works == "yes" or differs, feature
    assert set(re.findall(r"`(test_\w+)`", PAGE)) <= TESTS
