"""Titles of threads that nobody has named."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.chat.agent.titles import MAX_CHARS, title_from

pytestmark = pytest.mark.row("H8")


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("hello", "Hello"),
        ("  add   milk \t to the list ", "Add milk to the list"),
        ("\n\n  first line\nsecond line", "First line"),
        ("first\r\nsecond", "First"),
        ("Émile", "Émile"),
        ("übermorgen", "Übermorgen"),
        ("明日の予定", "明日の予定"),
        ("42", "42"),
        ("", None),
        ("   \n\t", None),
        ("?!…", None),
        ("👍", None),
        ("x" * 60, "X" + "x" * 59),
        ("x" * 61, "X" + "x" * 58 + "…"),
        (
            "remind me to call the plumber, the electrician, and also the gardener",
            "Remind me to call the plumber, the electrician, and also…",
        ),
    ],
)
def test_titles(message: str, title: str | None):
    assert title_from(message) == title


def test_a_cut_title_does_not_end_in_punctuation():
    title = title_from("one two three four five six seven eight nine ten eleven, - twelve thirteen")
    assert title == "One two three four five six seven eight nine ten eleven…"


@given(st.text(max_size=200))
@example("- " * 40 + "word")
def test_a_title_has_words_and_one_short_line(message: str):
    title = title_from(message)
    if title is None:
        return
    assert any(character.isalnum() for character in title)
    assert len(title.splitlines()) == 1
    assert title == " ".join(title.split())
    # Some letters have two capitals, such as ß.
    assert len(title) <= MAX_CHARS + 2
