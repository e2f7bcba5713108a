"""docs/reference/glossary.md: in alphabetical order, each term once, and each module exists."""

import importlib.util
import re

from docs.conftest import DOCS

PAGE = (DOCS / "reference" / "glossary.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?!term)([^|]+) \| ([^|]+) \| `([\w.]+)` \|$", PAGE, re.MULTILINE)
TERMS = [term for term, _, _ in ROWS]


def test_every_row_is_read() -> None:
    assert len(ROWS) == PAGE.count("\n| ") - 1 > 80


def test_the_terms_are_in_alphabetical_order_and_each_is_there_once() -> None:
    assert sorted(set(TERMS), key=str.casefold) == TERMS


def test_every_module_exists() -> None:
    assert [name for _, _, name in ROWS if importlib.util.find_spec(f"backchannel.{name}") is None] == []


def test_every_reference_to_another_term_has_one() -> None:
    assert {each for _, meaning, _ in ROWS for each in re.findall(r"^see \*(.+)\*$", meaning)} <= set(TERMS)
