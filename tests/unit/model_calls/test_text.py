"""Text that can be encoded, however it arrives."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from backchannel.model_calls.text import SurrogateJoiner, valid_text

pytestmark = pytest.mark.row("M28")

ANY_TEXT = some.text(some.characters(), max_size=20)


@given(some.lists(ANY_TEXT, max_size=5))
def test_deltas_give_what_the_whole_gives(deltas: list[str]) -> None:
    joiner = SurrogateJoiner()
    assert "".join([*map(joiner.feed, deltas), joiner.end()]) == valid_text("".join(deltas))


@pytest.mark.parametrize(
    ("deltas", "text"),
    [
        (["\ud83d", "\ude42"], "🙂"),
        (["a\ud83d", "b"], "a\ufffdb"),
        (["\ude42"], "\ufffd"),
        (["🙂"], "🙂"),
        (["a\0b"], "a\ufffdb"),
    ],
)
def test_halves(deltas: list[str], text: str) -> None:
    joiner = SurrogateJoiner()
    assert "".join([*map(joiner.feed, deltas), joiner.end()]) == text


@given(some.text(some.characters(codec=None), max_size=50))
def test_every_text_can_be_encoded(text: str) -> None:
    valid_text(text).encode()
