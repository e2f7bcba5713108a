"""Smaller inputs for small contexts, and estimates by script."""

from typing import Any

import pytest

from backchannel.model_calls.context_window import ContextWindow, shorten, shrink
from backchannel.model_calls.tokens import estimate_item_tokens, estimate_tokens

pytestmark = pytest.mark.row("M7")


def user(text: str) -> Any:
    return {"role": "user", "content": text}


def answer(text: str) -> Any:
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("word " * 1000, 1100, 1300),
        ("你好世界" * 250, 900, 1300),
        ("Привет мир " * 100, 400, 700),
        ("สวัสดี" * 100, 500, 800),
        ("🙂" * 100, 200, 300),
        ("", 0, 1),
    ],
)
def test_estimates_are_near_those_of_tokenizers(text: str, low: int, high: int) -> None:
    assert low <= estimate_tokens(text) <= high


def test_a_picture_counts_by_itself_and_not_by_its_data() -> None:
    small = estimate_item_tokens({"image_url": "data:image/png;base64,AAAA"})
    large = estimate_item_tokens({"image_url": "data:image/png;base64," + "A" * 1_000_000})
    assert small == large
    assert 1000 < small < 1100


def test_half_of_the_earlier_turns_go_first_then_outputs_are_shortened() -> None:
    output = {"type": "function_call_output", "call_id": "c", "output": "x" * 50_000}
    items = [
        {"role": "system", "content": "s"},
        *[each for n in range(4) for each in (user(f"q{n}"), answer(f"a{n}"))],
    ]
    smaller: Any = shrink([*items, user("now"), output])
    assert [each.get("content") for each in smaller[:-1]] == ["s", "q2", "a2", "q3", "a3", "now"]
    last: Any = shrink([user("now"), output])
    assert len(last[1]["output"]) < 30_000
    assert shrink([user("x" * 100_000)]) is None


def test_a_refused_size_is_remembered_for_a_while() -> None:
    window = ContextWindow()
    items = [each for n in range(8) for each in (user("q" * 400), answer("a" * 400))]
    assert window.fit(items) is items
    window.refused(items)
    fitted = window.fit(items)
    assert 0 < len(fitted) < len(items)
    for _ in range(60):
        window.fit(items)
    assert window.fit(items) is items


def test_shortened_text_has_both_ends_and_a_note() -> None:
    text = "begin" + "x" * 10_000 + "end"
    short = shorten(text, 1000)
    assert short.startswith("begin")
    assert short.endswith("end")
    assert "10,008 characters" in short
    assert len(short) < 1300
    assert shorten("short", 1000) == "short"


def test_a_refusal_of_a_small_input_takes_nothing_from_others() -> None:
    """An endpoint may call its limit of output a limit of context, and the size is learned for everyone's threads."""
    window = ContextWindow()
    window.refused([user("hello")])
    items = [each for n in range(8) for each in (user(f"question {n}"), answer(f"answer {n}"))]
    assert window.fit(items) is items
    assert len(window.fit([each for _ in range(40) for each in (user("q" * 400), answer("a" * 400))])) < 80
