"""The requirements in `docs/reference/requirements.toml`, the tests that show them, and the page made of both.

uv run python -m tests.requirements > docs/reference/requirements.md
"""

import ast
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

TESTS = Path(__file__).parent
FILE = TESTS.parent / "docs" / "reference" / "requirements.toml"
PAGE = FILE.with_suffix(".md")
REGENERATE = "uv run python -m tests.requirements > docs/reference/requirements.md"

KEYS = {"id", "sentence", "source", "shown"}
SHOWN = {"test", "planned"}
_ID = re.compile(r"([A-Z])([1-9][0-9]*)(b?)")
_REPORT = re.compile(r"\b([\w.-]+/[\w.-]+)#([0-9]+)")

_HEADER = """\
# Requirements

Made from [requirements.toml](requirements.toml) and from the marks in the tests; do not edit by hand. A test that shows
a requirement is marked with its id, `@pytest.mark.row("C4")`. Planned requirements have no test yet. A contract suite
counts as one test for each implementation.

{total} requirements: {shown} shown by tests, {planned} planned.
"""


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of all tests.

    Attributes:
        tests: For each id, the tests that are marked with it, as `path::name`.
        misplaced: Marks that pytest or this check would ignore, each with its place.
    """

    tests: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    misplaced: list[str] = field(default_factory=list[str])


def sources(folder: Path = TESTS) -> dict[str, str]:
    """The text of every Python file below a folder, by its path in there."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*.py"))
    }


def collect(files: Mapping[str, str]) -> Marks:
    """The marks in test modules: on functions, parameters and classes, and in `pytestmark`."""
    marks = Marks()
    for path, text in files.items():
        _Module(path, ast.parse(text, path), marks).collect()
    return marks


class _Module:
    """Finds the marks of one module and adds them to those of the others."""

    def __init__(self, path: str, tree: ast.Module, marks: Marks) -> None:
        self._path = path
        self._tree = tree
        self._marks = marks
        self._placed: set[ast.AST] = set()

    def collect(self) -> None:
        if PurePosixPath(self._path).name.startswith("test_"):
            self._visit(self._tree.body, self._path, set())
        for node in ast.walk(self._tree):
            if _is_row(node) and node not in self._placed:
                self._misplaced(node, "is on something that is no test")

    def _visit(self, body: Sequence[ast.stmt], name: str, inherited: set[str]) -> None:
        ids = inherited | self._rows(_pytestmarks(body))
        for node in body:
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() if node.name.startswith("test"):
                    self._add(f"{name}::{node.name}", ids | self._rows(node.decorator_list))
                case ast.ClassDef() if node.name.startswith("Test"):
                    of_class = ids | self._rows(node.decorator_list)
                    if node.bases:
                        # The tests that it inherits stand elsewhere.
                        self._add(f"{name}::{node.name}", of_class | self._rows(_pytestmarks(node.body)))
                    self._visit(node.body, f"{name}::{node.name}", of_class)
                case _:
                    pass

    def _add(self, test: str, ids: Iterable[str]) -> None:
        for each in ids:
            self._marks.tests[each].add(test)

    def _rows(self, expressions: Iterable[ast.expr]) -> set[str]:
        found: set[str] = set()
        for node in (node for expression in expressions for node in ast.walk(expression)):
            if isinstance(node, ast.Call) and _is_row(node.func):
                ids = [each.value for each in node.args if isinstance(each, ast.Constant)]
                texts = {each for each in ids if isinstance(each, str)}
                if node.func not in self._placed and not (texts and len(ids) == len(node.args) == len(texts)):
                    self._misplaced(node, "needs ids as strings, each once")
                self._placed.add(node.func)
                found |= texts
        return found

    def _misplaced(self, node: Any, what: str) -> None:
        self._marks.misplaced.append(f"tests/{self._path}:{node.lineno}: this mark {what}")


def _is_row(node: ast.AST) -> bool:
    """Whether it is `pytest.mark.row` or `mark.row`."""
    match node:
        case ast.Attribute(attr="row", value=ast.Attribute(attr="mark") | ast.Name(id="mark")):
            return True
        case _:
            return False


def _pytestmarks(body: Sequence[ast.stmt]) -> Iterator[ast.expr]:
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id="pytestmark")], value=value):
                yield value
            case ast.AnnAssign(target=ast.Name(id="pytestmark"), value=ast.expr() as value):
                yield value
            case _:
                pass


def problems(document: Mapping[str, Any], marks: Marks) -> list[str]:
    """Everything that is wrong with the requirements, or between them and the marks; empty if all is well."""
    found = [
        f"requirements.toml: unknown table {key!r}"
        for key in document
        if key not in {"groups", "requirement"}
    ]
    groups, rows = document.get("groups", {}), document.get("requirement", [])
    for row in rows:
        found += [f"{row.get('id', row)}: {problem}" for problem in _problems_of(row, groups)]
    ids = [str(row.get("id")) for row in rows]
    found += [
        f"{each}: there are {count} requirements with this id"
        for each, count in Counter(ids).items()
        if count > 1
    ]
    found += [
        f"{each}: there is no {each[:-1]}" for each in ids if each.endswith("b") and each[:-1] not in ids
    ]
    for row in rows:
        tests = marks.tests.get(str(row.get("id")), set())
        if row.get("shown") == "test" and not tests:
            found.append(f"{row.get('id')}: it is shown by a test, but none is marked with it")
        if row.get("shown") == "planned" and tests:
            found.append(f"{row.get('id')}: it is planned, but {min(tests)} is marked with it")
    found += [
        f"{each}: there is no such requirement, but {min(tests)} is marked with it"
        for each, tests in marks.tests.items()
        if each not in ids
    ]
    return found + marks.misplaced


def _problems_of(row: Mapping[str, Any], groups: Mapping[str, str]) -> Iterator[str]:
    yield from (f"unknown key {key!r}" for key in sorted(row.keys() - KEYS))
    for key in sorted(KEYS):
        if not isinstance(row.get(key), str) or not row[key].strip():
            yield f"{key} is missing or empty"
    match = _ID.fullmatch(str(row.get("id")))
    if match is None or match[1] not in groups:
        yield "an id is the letter of a group and a number, such as C4"
    if row.get("shown") not in SHOWN:
        yield "shown must be 'test' or 'planned'"


def page(document: Mapping[str, Any], marks: Marks) -> str:
    """The requirements as a page: one table for each group. There must be no `problems`."""
    rows = sorted(document["requirement"], key=_order)
    count = Counter(row["shown"] for row in rows)
    parts = [_HEADER.format(total=len(rows), shown=count["test"], planned=count["planned"])]
    for letter, title in document["groups"].items():
        lines = [f"## {letter}: {title}", "", "| id | requirement | source | shown by |", "|---|---|---|---|"]
        lines += [_line(row, marks) for row in rows if row["id"].startswith(letter)]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _line(row: Mapping[str, str], marks: Marks) -> str:
    number = len(marks.tests.get(row["id"], ()))
    shown = row["shown"] if row["shown"] == "planned" else f"{number} test{'s'[: number != 1]}"
    source = _REPORT.sub(r"[\g<0>](https://github.com/\1/issues/\2)", row["source"])
    return (
        "| "
        + " | ".join(cell.replace("|", "\\|") for cell in (row["id"], row["sentence"], source, shown))
        + " |"
    )


def _order(row: Mapping[str, str]) -> tuple[str, int, str]:
    match = _ID.fullmatch(row["id"])
    assert match is not None
    return match[1], int(match[2]), match[3]


def load() -> dict[str, Any]:
    """The file as it is."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def main() -> int:
    """Print the page, or say what is wrong with the requirements."""
    document, marks = load(), collect(sources())
    wrong = problems(document, marks)
    if wrong:
        print(*wrong, sep="\n", file=sys.stderr)
        return 1
    sys.stdout.write(page(document, marks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
