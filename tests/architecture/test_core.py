"""The core does not know the reference application. Import-linter checks its imports; this test checks its words."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "backchannel"
# A word of its own, or a part of a name such as `create_todo`.
WORD = re.compile(r"(?<![a-z])todos?(?![a-z])", re.IGNORECASE)
ALLOWED = {
    "cli/": "the help texts name the default target",
    "settings/answers.py": "`agents` is a setting of the default target",
    "settings/server.py": "the default target",
}
TEXT = {".py", ".js", ".css", ".html"}
SOURCES = sorted(
    path for path in ROOT.rglob("*") if path.suffix in TEXT and path.relative_to(ROOT).parts[0] != "todo"
)


def lines_about_todos(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [f"{number}: {line.strip()}" for number, line in enumerate(lines, start=1) if WORD.search(line)]


def test_the_core_has_no_words_of_the_reference_application() -> None:
    """A line that is found belongs in todo/, or its place in ALLOWED with a reason."""
    found = {path.relative_to(ROOT).as_posix(): lines_about_todos(path) for path in SOURCES}
    assert len(found) > 100
    assert {
        place: lines for place, lines in found.items() if lines and not place.startswith(tuple(ALLOWED))
    } == {}


@pytest.mark.parametrize("place", ALLOWED)
def test_what_is_allowed_is_needed(place: str) -> None:
    assert any(
        lines_about_todos(path) for path in SOURCES if path.relative_to(ROOT).as_posix().startswith(place)
    )


def test_the_pattern_finds_words_and_parts_of_names() -> None:
    assert all(
        WORD.search(text) for text in ("a Todo", "two todos", "create_todo", "_TODO_TOOLS", "list-todos")
    )
    assert not any(WORD.search(text) for text in ("method", "todomvc", "into do"))
