"""Whatever a model or a tool makes can be kept and sent."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from backchannel.stores.text import json_of, storable, storable_data

pytestmark = pytest.mark.row("D1", "P18")


class Model(BaseModel):
    text: str
    more: dict[str, object] = {}
    nothing: str | None = None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("plain", "plain"),
        ("a\x00b", "a\ufffdb"),
        ("half \ud83d.", "half \ufffd."),
        ("two halves \ud83d\ude00", "two halves \U0001f600"),
        ("whole \U0001f600", "whole \U0001f600"),
    ],
)
def test_what_no_database_keeps_is_replaced(given: str, kept: str) -> None:
    assert storable(given) == kept


@given(st.text(alphabet=st.characters()))
def test_anything_is_valid_afterwards_and_stays_so(text: str) -> None:
    kept = storable(text)
    assert "\x00" not in kept
    assert kept.encode().decode() == kept
    assert storable(kept) == kept


def test_a_model_with_half_a_surrogate_pair_is_still_json() -> None:
    model = Model(text="x", more={"k\ud800": ["\ud800", 1, None]})
    model.text = "half \ud83d"
    assert json.loads(json_of(model)) == {"text": "half \ufffd", "more": {"k\ufffd": ["\ufffd", 1, None]}}
    assert json.loads(json_of(Model(text="x"), exclude_none=False)) == {
        "text": "x",
        "more": {},
        "nothing": None,
    }


def test_data_is_cleaned_all_the_way_down() -> None:
    assert storable_data({"a\x00": [{"b": ("\x00", 2.5, True)}]}) == {
        "a\ufffd": [{"b": ["\ufffd", 2.5, True]}]
    }
