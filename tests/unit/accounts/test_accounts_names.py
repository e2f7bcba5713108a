"""Names for logins have one spelling, and nothing in them that is not seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.accounts.names import checked, normalised
from backchannel.errors import InvalidInputError

pytestmark = pytest.mark.row("F2")


@pytest.mark.parametrize(
    ("given_name", "found"),
    [
        ("alice", "alice"),
        ("Alice", "alice"),
        (" alice\t", "alice"),
        ("\uff21\uff2c\uff29\uff23\uff25", "alice"),  # full width
        ("stra\u00dfe", "strasse"),
        ("\u212bngstr\u00f6m", "\u00e5ngstr\u00f6m"),  # the sign of the unit
        ("e\u0301ric", "\u00e9ric"),
        ("\u00c9RIC", "\u00e9ric"),
        ("\ufb01nn", "finn"),  # a ligature
        ("alice@example.com", "alice@example.com"),
        ("o'brien_2.x-y+z", "o'brien_2.x-y+z"),
        ("\u674e\u5c0f\u9f8d", "\u674e\u5c0f\u9f8d"),
        ("\u0645\u062d\u0645\u062f", "\u0645\u062d\u0645\u062f"),
    ],
)
def test_one_name_has_one_spelling(given_name: str, found: str):
    assert normalised(given_name) == found
    assert checked(given_name) == found


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "a b", "a\x00b", "a\nb", "a\u202eb", "a\u2066b", "a\u200bb", "a\u200db", "\ufeffa", "a\u00adb", "a\ud800",
        "a\ue000", "a%b", "a*b", "a/b", "a\\b", "a<b>", "x" * 101, "\U0001f600", "a\u2028b", "a\u3164b", "a\u115fb", "a\ufe0fb",
    ],
)  # fmt: skip
def test_names_that_nobody_can_have(name: str):
    assert normalised(name) is None
    with pytest.raises(InvalidInputError):
        checked(name)


@pytest.mark.parametrize(
    "name", ["\u0430lice", "alic\u0435", "\u0391lice", "p\u0430ypal", "\u13aalice", "\u0561lice"]
)
def test_alphabets_that_look_the_same_are_not_mixed(name: str):
    # At a login it is simply an unknown name.
    assert normalised(name) is not None
    with pytest.raises(InvalidInputError, match="mixes"):
        checked(name)


@pytest.mark.parametrize("name", ["@alice", ".", "-x", "+1", "__", "'a"])
def test_names_begin_with_something_to_read(name: str):
    with pytest.raises(InvalidInputError):
        checked(name)


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str):
    once = normalised(text)
    if once is not None:
        assert normalised(once) == once
