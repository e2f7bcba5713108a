"""What a search finds, and in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.todo.relevance import Candidate, rank

pytestmark = pytest.mark.row("B1", "B2", "B3", "B4")


def found(query: str, *titles: str) -> list[str]:
    """The titles that match, in order."""
    return rank(query, [Candidate(title, title, "") for title in titles])


@pytest.mark.parametrize(
    ("query", "titles", "expected"),
    [
        ("milk", ["Buy oat milk", "Buy bread"], ["Buy oat milk"]),
        ("MILK", ["Buy oat Milk"], ["Buy oat Milk"]),
        ("cafe", ["Meet at the Café"], ["Meet at the Café"]),
        ("CAFÉ", ["meet at the cafe"], ["meet at the cafe"]),
        ("strasse", ["Straße fegen"], ["Straße fegen"]),
        ("groc", ["Groceries"], ["Groceries"]),
        ("tooth", ["Buy a bluetooth speaker"], ["Buy a bluetooth speaker"]),
        ("find the milk", ["Buy milk"], ["Buy milk"]),
        ("牛奶", ["买牛奶", "买面包"], ["买牛奶"]),
        ("молоко", ["Купить МОЛОКО"], ["Купить МОЛОКО"]),
        ("mom", ["Call mom's doctor"], ["Call mom's doctor"]),
        ("todo", ["Write a todo app", "Buy milk"], ["Write a todo app"]),
        ("c", ["Learn C", "Call Carl"], ["Learn C"]),
    ],
)
def test_words(query: str, titles: list[str], expected: list[str]) -> None:
    assert found(query, *titles) == expected


@pytest.mark.parametrize(
    ("typo", "title"),
    [
        ("mlk", "Buy milk"),
        ("mikl", "Buy milk"),
        ("grocries", "Groceries"),
        ("dentsit", "Call the dentist"),
        ("appontment", "Make an appointment"),
        ("dentists", "Call the dentist"),
    ],
)
def test_typos(typo: str, title: str) -> None:
    assert found(typo, title, "Water the plants") == [title]


@pytest.mark.parametrize(("word", "title"), [("cat", "Wash the car"), ("xy", "ax"), ("milk", "Pay the bill")])
def test_what_is_no_typo(word: str, title: str) -> None:
    assert found(word, title) == []


def test_a_typo_is_only_assumed_where_the_word_as_written_matches_nothing() -> None:
    assert found("milk", "Buy milk", "Repair the mill", "Buy silk") == ["Buy milk"]
    assert sorted(found("milk", "Repair the mill", "Buy silk")) == ["Buy silk", "Repair the mill"]


def test_the_most_relevant_comes_first() -> None:
    titles = ["Buy milkshake", "Sourmilk is milky", "Buy oat milk", "milk"]
    assert found("milk", *titles) == ["milk", "Buy oat milk", "Buy milkshake", "Sourmilk is milky"]


def test_a_match_in_the_title_counts_more_than_one_in_the_description() -> None:
    candidates = [Candidate("a", "Shopping", "milk and eggs"), Candidate("b", "Milk", "")]
    assert rank("milk", candidates) == ["b", "a"]
    candidates = [Candidate("a", "Weekly shopping", "eggs, oat milk"), Candidate("b", "Milk or oat", "")]
    assert rank("oat eggs milk", candidates[:1]) == ["a"]
    assert rank("milk bread oat", candidates) == ["b", "a"]


def test_equally_relevant_ones_keep_their_order() -> None:
    candidates = [Candidate(str(number), "Buy milk", "") for number in range(20)]
    assert rank("milk", candidates) == [str(number) for number in range(20)]


def test_all_words_count_if_they_can() -> None:
    assert found("call dentist", "Call mom", "Call the dentist", "Call Bob") == ["Call the dentist"]
    assert sorted(found("milk and eggs", "Buy milk", "Buy eggs", "Buy bread")) == ["Buy eggs", "Buy milk"]


@pytest.mark.parametrize(
    ("query", "titles", "expected"),
    [
        ("%", ["Save 10%", "Save ten"], ["Save 10%"]),
        ("_", ["snake_case", "snakecase"], ["snake_case"]),
        ("🍎", ["Buy 🍎", "Buy pears"], ["Buy 🍎"]),
        ("m%k", ["milk", "mark"], []),
        ("m_lk", ["milk"], []),
        (".*", ["milk", "what .* means"], ["what .* means"]),
        ("c++", ["Learn c", "Learn c++"], ["Learn c++", "Learn c"]),
    ],
)
def test_signs_are_data(query: str, titles: list[str], expected: list[str]) -> None:
    assert found(query, *titles) == expected


def test_nothing_to_search_in() -> None:
    assert rank("milk", []) == []


@given(st.text(min_size=1, max_size=40), st.lists(st.text(max_size=40), max_size=8))
def test_any_query_gives_each_candidate_at_most_once(query: str, titles: list[str]) -> None:
    ids = rank(query, [Candidate(str(number), title, title) for number, title in enumerate(titles)])
    assert len(ids) == len(set(ids))
    assert set(ids) <= {str(number) for number in range(len(titles))}


@given(st.text(alphabet=st.characters(categories=["L", "N"]), min_size=3, max_size=20))
def test_a_todo_is_found_by_its_own_title(title: str) -> None:
    assert rank(title, [Candidate("other", "zzz", ""), Candidate("it", title, "")])[:1] == ["it"]
