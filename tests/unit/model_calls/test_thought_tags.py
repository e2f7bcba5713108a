"""Thoughts in tags, however their text is cut into deltas."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from backchannel.model_calls.thought_tags import ThoughtTags, split_thoughts

pytestmark = pytest.mark.row("M15")

TEXTS = {
    "<think>one</think>two": ("one", "two"),
    "\n<think>\none\n</think>\n\ntwo": ("\none\n", "two"),
    "<thinking>one</thinking>two": ("one", "two"),
    "[THINK]one[/THINK]two": ("one", "two"),
    "◁think▷one◁/think▷two": ("one", "two"),
    "<think>one</think>\n<think>and</think>two": ("oneand", "two"),
    "<think>one": ("one", ""),
    "one\n</think>\n\ntwo": ("one\n", "two"),
    "one</think>two": ("one", "two"),
    "Write `<think>` and `</think>` around it.": ("", "Write `<think>` and `</think>` around it."),
    "The tag `</think>` ends it.": ("", "The tag `</think>` ends it."),
    "<b>bold</b> <thin": ("", "<b>bold</b> <thin"),
    "a <think>b</think> c": ("", "a <think>b</think> c"),
    "<thinly sliced>": ("", "<thinly sliced>"),
    "  code": ("", "  code"),
    "<think></think>two": ("", "two"),
    "": ("", ""),
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_whole_text(text: str) -> None:
    assert split_thoughts(text) == TEXTS[text]


@given(some.sampled_from(sorted(TEXTS)), some.lists(some.integers(0, 60), max_size=12))
def test_any_cuts_give_the_same(text: str, cuts: list[int]) -> None:
    tags = ThoughtTags()
    places = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    thought, visible = "", ""
    deltas = [text[start:end] for start, end in pairwise(places)]
    for kind, piece in [*(piece for delta in deltas for piece in tags.feed(delta)), *tags.end()]:
        if kind == "text_was_thought":
            thought, visible = visible, ""
        elif kind == "thought":
            thought += piece
        else:
            visible += piece
    assert (thought, visible) == TEXTS[text]
