"""Tests name the rows of what Backchannel must do, and only rows that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROW = re.compile(r"[A-H][1-9]")


def marked() -> set[str]:
    rows: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        for arguments in re.findall(r"mark\.row\(([^)]*)\)", path.read_text(encoding="utf-8")):
            rows |= set(re.findall(r"\"([^\"]+)\"", arguments))
    return rows


def test_marks_are_rows() -> None:
    assert all(ROW.fullmatch(row) for row in marked())


def test_what_this_version_promises_is_tested() -> None:
    promised = {"A1", "A2", "A3", "A4", "A5", "B1", "B2", "B3", "B4", "B5", "B7", "C1", "D1", "D2", "D3"}
    promised |= {"C2", "C3", "C4", "C5", "C6", "D4", "D5", "D6", "F1", "F7", "G1", "G2"}
    promised |= {"H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8"}
    assert promised <= marked(), sorted(promised - marked())
