"""The requirements and the tests agree: each that is shown has a test, and each mark names one that is shown."""

import tomllib
from textwrap import dedent

import pytest

from requirements import FILE, PAGE, REGENERATE, collect, load, page, problems, sources

GOOD = """
[groups]
A = "Server"

[[requirement]]
id = "A1"
sentence = "It answers."
source = "product"
shown = "test"

[[requirement]]
id = "A2"
sentence = "It sings."
source = "some/project#12"
shown = "planned"
"""

MARKED = {"unit/test_it.py": '@mark.row("A1")\ndef test_it(): ...'}


def wrong(text: str, files: dict[str, str] = MARKED) -> list[str]:
    return problems(tomllib.loads(text), collect(files))


def marked(text: str, path: str = "test_it.py") -> dict[str, set[str]]:
    marks = collect({path: dedent(text)})
    assert marks.misplaced == []
    return dict(marks.tests)


def test_requirements_and_marks_agree() -> None:
    found = problems(load(), collect(sources()))
    assert not found, "\n".join([f"{FILE.name} and the marks in the tests do not agree:", *found])


def test_the_page_is_up_to_date() -> None:
    made = page(load(), collect(sources()))
    assert PAGE.read_text(encoding="utf-8") == made, (
        f"{PAGE.name} is not up to date. Regenerate it: {REGENERATE}"
    )


def test_a_small_set_that_agrees() -> None:
    assert wrong(GOOD) == []


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('id = "A2"', 'id = "A1"', "A1: there are 2 requirements with this id"),
        ('id = "A2"', 'id = "B2"', "B2: an id is the letter of a group and a number"),
        ('id = "A2"', 'id = "A02"', "A02: an id is"),
        ('id = "A2"', 'id = "A3b"', "A3b: there is no A3"),
        ('id = "A2"', "id = 2", "2: id is missing or empty"),
        ('sentence = "It sings."', 'sentence = " "', "A2: sentence is missing or empty"),
        ('sentence = "It sings."', "", "A2: sentence is missing or empty"),
        ('source = "product"', "", "A1: source is missing or empty"),
        ('source = "product"', 'source = "product"\nwhen = "soon"', "A1: unknown key 'when'"),
        ('shown = "planned"', 'shown = "next"', "A2: shown must be 'test' or 'planned'"),
        ('shown = "planned"', 'shown = "test"', "A2: it is shown by a test, but none is marked with it"),
        ('shown = "test"', 'shown = "planned"', "A1: it is planned, but unit/test_it.py::test_it is marked"),
        ("[groups]", "[more]\n[groups]", "unknown table 'more'"),
    ],
)
def test_what_is_wrong_with_the_file_is_found(before: str, after: str, says: str) -> None:
    assert before in GOOD
    found = wrong(GOOD.replace(before, after, 1))
    assert any(says in problem for problem in found), found


def test_a_mark_without_a_requirement_is_found() -> None:
    (found,) = wrong(GOOD, {**MARKED, "test_more.py": '@mark.row("A1", "A9")\ndef test_more(): ...'})
    assert found == "A9: there is no such requirement, but test_more.py::test_more is marked with it"


def test_marks_on_functions_and_parameters() -> None:
    text = """
    @pytest.mark.row(
        "A1",
        "A2",
    )
    @pytest.mark.parametrize("x", [1, pytest.param(2, marks=[pytest.mark.row("A3")])])
    async def test_it(x): ...

    @mark.row("A1")
    def test_more(): ...
    """
    assert marked(text) == {
        "A1": {"test_it.py::test_it", "test_it.py::test_more"},
        "A2": {"test_it.py::test_it"},
        "A3": {"test_it.py::test_it"},
    }


def test_marks_of_modules_and_classes() -> None:
    text = """
    pytestmark = [pytest.mark.slow, pytest.mark.row("A1")]

    def helper(): ...

    def test_it(): ...

    @pytest.mark.row("A2")
    class TestStore(Contract):
        pytestmark = pytest.mark.row("A3")

        @pytest.mark.row("A4")
        def test_more(self): ...
    """
    inside = {"test_it.py::TestStore", "test_it.py::TestStore::test_more"}
    assert marked(text) == {
        "A1": {"test_it.py::test_it", *inside},
        "A2": inside,
        "A3": inside,
        "A4": {"test_it.py::TestStore::test_more"},
    }


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("conftest.py", 'pytestmark = pytest.mark.row("A1")'),
        ("helpers.py", '@pytest.mark.row("A1")\ndef test_it(): ...'),
        ("test_it.py", '@pytest.mark.row("A1")\ndef helper(): ...'),
        ("test_it.py", '@pytest.mark.row("A1")\nclass Helper:\n    def test_it(self): ...'),
        ("test_it.py", 'shows = pytest.mark.row("A1")\n@shows\ndef test_it(): ...'),
        ("test_it.py", "row = pytest.mark.row"),
        ("test_it.py", "@pytest.mark.row(NAME)\ndef test_it(): ..."),
        ("test_it.py", "@pytest.mark.row()\ndef test_it(): ..."),
        ("test_it.py", "@pytest.mark.row\ndef test_it(): ..."),
    ],
)
def test_marks_that_would_be_ignored_are_found(path: str, text: str) -> None:
    (found,) = collect({path: text}).misplaced
    assert found.startswith(f"tests/{path}:1: this mark ")


def test_the_page_of_a_small_set() -> None:
    lines = page(tomllib.loads(GOOD), collect(MARKED)).splitlines()
    assert "2 requirements: 1 shown by tests, 1 planned." in lines
    assert lines[-6:] == [
        "## A: Server",
        "",
        "| id | requirement | source | shown by |",
        "|---|---|---|---|",
        "| A1 | It answers. | product | 1 test |",
        "| A2 | It sings. | [some/project#12](https://github.com/some/project/issues/12) | planned |",
    ]
