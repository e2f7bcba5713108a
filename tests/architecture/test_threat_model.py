"""Each claim of the threat model names a test that exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "threat-model.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def missing(text: str) -> list[str]:
    """What a text names as a test and is none."""
    found = []
    for file, name in sorted(set(NAMED.findall(text))):
        path = ROOT / file
        names = (
            {
                node.name
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            if path.exists()
            else set()
        )
        if name not in names:
            found.append(f"{file}::{name}")
    return found


def test_every_test_that_is_named_exists() -> None:
    assert missing(PAGE.read_text(encoding="utf-8")) == []


def test_every_claim_names_a_test() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.count(" | ") == 2]
    claims = [row for row in rows if not row.startswith("| Attack")]
    assert len(claims) > 30
    assert [row for row in claims if not NAMED.search(row)] == []


@pytest.mark.parametrize(
    "text", ["`tests/architecture/test_threat_model.py::test_no_such`", "`tests/none.py::test_missing`"]
)
def test_what_does_not_exist_is_found(text: str) -> None:
    assert missing(text) == [text.strip("`")]
