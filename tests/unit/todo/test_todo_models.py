"""The limits of every field, and what is said beyond them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from backchannel.errors import InvalidInputError
from backchannel.todo.models import NewTodo, TodoChanges, TodoFilter, TodoQuery
from backchannel.todo.validation import validate

DUE_FORMS = "due_date must be a date such as 2026-11-23 or a local date-time such as 2026-11-23T17:00:00, from 1900 on"

pytestmark = pytest.mark.row("B1", "B2", "B3", "B4")


def problem(model: type[BaseModel], value: dict[str, Any]) -> dict[str, str]:
    """The one problem that `value` has."""
    with pytest.raises(InvalidInputError) as caught:
        validate(model, value)
    details = caught.value.details
    assert isinstance(details, list)
    assert len(details) == 1
    assert caught.value.message == details[0]["message"]
    return details[0]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"title": "x"}, "x"),
        ({"title": "  buy milk\n"}, "buy milk"),
        ({"title": "x" * 200}, "x" * 200),
        ({"title": " " * 50 + "x" * 200}, "x" * 200),
        ({"title": "👩‍👩‍👧"}, "👩‍👩‍👧"),
        ({"title": "100% {done} \\ '; DROP TABLE todos; --"}, "100% {done} \\ '; DROP TABLE todos; --"),
    ],
)
def test_titles_that_are_kept(value: dict[str, Any], kept: str) -> None:
    assert validate(NewTodo, value).title == kept


@pytest.mark.parametrize(
    ("value", "field", "message"),
    [
        ({}, "title", "title is required."),
        ({"title": ""}, "title", "title must have 1 to 200 characters; you gave 0."),
        ({"title": " \n "}, "title", "title must have 1 to 200 characters; you gave 0."),
        ({"title": "x" * 201}, "title", "title must have 1 to 200 characters; you gave 201."),
        ({"title": "a\x00b"}, "title", "title must not contain the NUL character."),
        ({"title": "a\ud800b"}, "title", "title must be valid Unicode; it has half of a surrogate pair."),
        ({"title": "\u200b"}, "title", "title must have at least one visible character."),
        ({"title": 5}, "title", "title must be text; you gave 5."),
        ({"title": None}, "title", "title must be text; you gave null."),
        ({"title": ["{a}"]}, "title", 'title must be text; you gave ["{a}"].'),
        (
            {"title": "x", "description": "x" * 1001},
            "description",
            "description must have 0 to 1000 characters; you gave 1001.",
        ),
        (
            {"title": "x", "description": "\x00"},
            "description",
            "description must not contain the NUL character.",
        ),
        ({"title": "x", "priority": 9}, "priority", "priority must be 0 to 5; you gave 9."),
        ({"title": "x", "priority": -1}, "priority", "priority must be 0 to 5; you gave -1."),
        (
            {"title": "x", "priority": "high"},
            "priority",
            'priority must be a whole number from 0 to 5; you gave "high".',
        ),
        (
            {"title": "x", "priority": 2.0},
            "priority",
            "priority must be a whole number from 0 to 5; you gave 2.0.",
        ),
        (
            {"title": "x", "priority": True},
            "priority",
            "priority must be a whole number from 0 to 5; you gave true.",
        ),
        (
            {"title": "x", "priority": 10**5000},
            "priority",
            "priority must be 0 to 5; you gave a number that is far too long.",
        ),
        (
            {"title": "x", "due_date": "tomorrow"},
            "due_date",
            f'{DUE_FORMS}; you gave "tomorrow".',
        ),
        (
            {"title": "x", "prio": 3},
            "prio",
            'There is no field "prio". The fields are: title, description, priority, due_date.',
        ),
    ],
)
def test_a_new_todo_that_is_refused(value: dict[str, Any], field: str, message: str) -> None:
    assert problem(NewTodo, value) == {"field": field, "message": message}


def test_every_problem_is_named() -> None:
    with pytest.raises(InvalidInputError) as caught:
        validate(NewTodo, {"title": "", "priority": 9})
    assert caught.value.message == (
        "title must have 1 to 200 characters; you gave 0. priority must be 0 to 5; you gave 9."
    )


def test_a_message_stays_short_whatever_was_given() -> None:
    assert len(problem(NewTodo, {"title": ["x" * 100_000]})["message"]) < 200
    many = {"title": "x", **{f"unknown{number}" * 50: 1 for number in range(1000)}}
    with pytest.raises(InvalidInputError) as caught:
        validate(NewTodo, many)
    assert len(caught.value.message) < 5000


def test_what_is_not_valid_unicode_is_not_sent_back() -> None:
    given = {"title": ["\ud800"], "\ud801": 1}
    with pytest.raises(InvalidInputError) as caught:
        validate(NewTodo, given)
    assert isinstance(caught.value.details, list)
    (caught.value.message + "".join(detail["field"] for detail in caught.value.details)).encode()


def test_the_defaults_of_a_new_todo() -> None:
    assert validate(NewTodo, {"title": "x"}).model_dump() == {
        "title": "x",
        "description": "",
        "priority": 0,
        "due_date": None,
    }


@pytest.mark.parametrize("name", ["title", "description", "priority", "status"])
def test_only_a_due_date_can_be_removed(name: str) -> None:
    assert problem(TodoChanges, {name: None}) == {
        "field": name,
        "message": f"{name} cannot be null; leave it out to keep it.",
    }
    assert validate(TodoChanges, {"due_date": None}).model_fields_set == {"due_date"}


@pytest.mark.parametrize("status", ["done", "", "PENDING", 1, ["pending"], {}])
def test_a_status_that_is_refused(status: object) -> None:
    for model in (TodoChanges, TodoFilter):
        found = problem(model, {"status": status})
        assert found["message"].startswith("status must be pending, in_progress or completed; you gave ")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"limit": 0}, "limit must be 1 to 100; you gave 0."),
        ({"limit": 101}, "limit must be 1 to 100; you gave 101."),
        ({"offset": -1}, "offset must be 0 to 1000000; you gave -1."),
        ({"offset": 1_000_001}, "offset must be 0 to 1000000; you gave 1000001."),
        ({"query": "x" * 201}, "query must have 0 to 200 characters; you gave 201."),
        ({"query": "\x00"}, "query must not contain the NUL character."),
        (
            {"due_after": "2026-11-24", "due_before": "2026-11-23"},
            "due_before (2026-11-23) must not be earlier than due_after (2026-11-24).",
        ),
    ],
)
def test_a_query_that_is_refused(value: dict[str, Any], message: str) -> None:
    assert problem(TodoQuery, value)["message"] == message


@pytest.mark.parametrize(
    "value",
    [
        {"limit": 1},
        {"limit": 100},
        {"offset": 1_000_000},
        {"priority": 0},
        {"priority": 5},
        {"due_after": "2026-11-23", "due_before": "2026-11-23"},
        {"due_after": "2026-11-23T10:00", "due_before": "2026-11-23"},
    ],
)
def test_a_query_at_its_limits(value: dict[str, Any]) -> None:
    validate(TodoQuery, value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
names = (
    st.sampled_from(["title", "description", "priority", "due_date", "status", "limit", "query"]) | st.text()
)


@given(st.sampled_from([NewTodo, TodoChanges, TodoQuery]), st.dictionaries(names, json_values, max_size=5))
def test_any_input_is_read_or_refused_in_words(model: type[BaseModel], value: dict[str, Any]) -> None:
    refused: InvalidInputError | None = None
    try:
        validate(model, value)
    except InvalidInputError as error:
        refused = error
    if refused is not None:
        assert refused.message.endswith(".")
        assert isinstance(refused.details, list)
        assert refused.details
