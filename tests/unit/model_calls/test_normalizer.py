"""The events of one call, with any of them missing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from backchannel.model_calls.normalizer import ResponseNormalizer
from backchannel.models.response_events import ResponseEvents, message, usage

pytestmark = pytest.mark.row("M10", "M9")

WORDS = ["Rain ", "is ", "wet."]


def events_of(words: list[str]) -> list[Any]:
    events = ResponseEvents("m")
    item = message("".join(words))
    made = [*events.started(), *events.message_started(0, item)]
    made += [events.text_delta(0, item, word) for word in words]
    made += [events.text_done(0, item, "".join(words)), events.part_done(0, item, "".join(words))]
    return [*made, events.item_done(0, item), events.completed([item], usage(1, 1))]


def shown(events: list[Any]) -> tuple[str, list[str]]:
    """The text that a reader has at the end, and the kinds of events around it."""
    text, kinds = "", list[str]()
    for event in events:
        match event.type:
            case "response.output_text.delta":
                text += event.delta
            case "response.output_text.done":
                text = event.text
            case "response.output_item.added" | "response.output_item.done":
                kinds.append(event.type.rpartition(".")[2])
            case _:
                pass
    return text, kinds


@given(some.sets(some.integers(0, 9)), some.booleans())
def test_any_event_may_be_missing(missing: set[int], empty_output: bool) -> None:
    given_events = events_of(WORDS)
    if empty_output and not missing:
        given_events[-1].response.output = []
    normalizer = ResponseNormalizer(set(), set())
    kept = [
        event
        for place, event in enumerate(given_events)
        if place not in missing or place == len(given_events) - 1
    ]
    out = [each for event in kept for each in normalizer.feed(event)]
    out += normalizer.close()
    text, kinds = shown(out)
    assert text == "".join(WORDS)
    assert kinds == ["added", "done"]
    assert normalizer.completed
    deltas = "".join(event.delta for event in out if event.type == "response.output_text.delta")
    if not missing & {4, 5}:
        assert deltas == text, "what is missing at the end comes as a delta"
    (item,) = out[-1].response.output
    assert item.content[0].text == "".join(WORDS)


@given(some.integers(0, 9))
def test_a_stream_that_ends_anywhere_is_closed(end: int) -> None:
    normalizer = ResponseNormalizer(set(), set())
    out = [each for event in events_of(WORDS)[:end] for each in normalizer.feed(event)]
    out += normalizer.close()
    text, kinds = shown(out)
    assert "".join(WORDS).startswith(text)
    assert kinds == (["added", "done"] if text else [])
    assert not normalizer.completed
