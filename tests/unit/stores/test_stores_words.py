"""Words and excerpts: the same whatever the database thinks a word is (D4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.stores.words import (
    MAX_INDEXED_CHARS,
    MAX_QUERY_WORDS,
    MAX_WORD_CHARS,
    Part,
    excerpt,
    query_words,
    words_in,
)

pytestmark = pytest.mark.row("D4")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  \n!?…—", []),
        ("Oat-Milk, 2 l.", ["oat", "milk", "2", "l"]),
        ("CRÈME brûlée", ["creme", "brulee"]),
        ("cafe\u0301s", ["cafes"]),
        ("\u0301x", ["x"]),
        ("Straße ﬁn ＦＵＬＬ", ["strasse", "fin", "full"]),
        ("snake_case don't", ["snake", "case", "don", "t"]),
        ("買牛奶 tofu豆腐", ["買", "牛", "奶", "tofu", "豆", "腐"]),
        ("молоко ΣΊΣΥΦΟΣ", ["молоко", "σισυφοσ"]),
        ("3½", ["312"]),
        ("\U0001f600milk\U0001f600", ["milk"]),
        ("a\x00b\ud800c", ["a", "b", "c"]),
    ],
)
def test_words_are_letters_and_digits_without_case_and_accents(text: str, words: list[str]) -> None:
    assert [each.word for each in words_in(text)] == words


@given(st.text())
def test_words_stand_where_they_say_and_have_nothing_but_letters_and_digits(text: str) -> None:
    end = 0
    for each in words_in(text):
        assert end <= each.start < each.end <= len(text)
        end = each.end
        assert each.word.isalnum()
        assert len(each.word) <= MAX_WORD_CHARS


def test_limits() -> None:
    assert [each.word for each in words_in("x" * 100)] == ["x" * MAX_WORD_CHARS]
    assert len(list(words_in("a " * MAX_INDEXED_CHARS))) == MAX_INDEXED_CHARS // 2
    assert query_words("b a B " + " ".join(f"w{n}" for n in range(100)))[:3] == ["b", "a", "w0"]
    assert len(query_words(" ".join(f"w{n}" for n in range(100)))) == MAX_QUERY_WORDS


def test_an_excerpt_marks_what_begins_with_what_was_asked() -> None:
    assert excerpt("Buy Oat-Milk\n\nand  milkshakes", ["oat", "milk"]) == [
        Part("Buy ", match=False),
        Part("Oat", match=True),
        Part("-", match=False),
        Part("Milk", match=True),
        Part(" and ", match=False),
        Part("milkshakes", match=True),
    ]
    assert excerpt("nothing", ["milk"]) == []


def test_an_excerpt_is_plain_text() -> None:
    text = "# List\nAdded **Buy oat milk** and `bread_2 * 3`."
    assert (
        "".join(part.text for part in excerpt(text, ["milk"])) == "List Added Buy oat milk and bread_2 * 3."
    )


def test_an_excerpt_is_cut_at_words_and_says_so() -> None:
    text = "alpha beta " * 40 + "NEEDLE " + "gamma delta " * 40
    parts = excerpt(text, ["needle"])
    whole = "".join(part.text for part in parts)
    assert whole.startswith("…")
    assert whole.endswith("…")
    assert 100 < len(whole) < 180
    assert set(whole.strip("…").split()) <= {"alpha", "beta", "NEEDLE", "gamma", "delta"}
    assert [part.text for part in parts if part.match] == ["NEEDLE"]


@given(st.text(min_size=1), st.data())
def test_an_excerpt_is_a_piece_of_the_text(text: str, data: st.DataObject) -> None:
    words = query_words(text)
    if not words:
        return
    asked = data.draw(st.sampled_from(words))
    parts = excerpt(text, [asked])
    assert any(part.match for part in parts)
    for part in parts:
        if part.match:
            assert part.text in " ".join(text.split()) or part.text in text
            (found,) = [each.word for each in words_in(part.text)] or [""]
            assert found.startswith(asked)
