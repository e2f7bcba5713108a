"""The text of inner agents in steps: their number and size do not depend on how fast a model is."""

import asyncio
from typing import Any

import pytest
from agents import Agent, AgentOutputSchema
from pydantic import BaseModel

from backchannel.chat.agent.inner_text import LIVE_CHARS, InnerText, Pace, end_of, rendered_part

pytestmark = pytest.mark.row("B5")


class Movie(BaseModel):
    title: str
    actors: list[str]


class Clock:
    """The time and the timers of an event loop, moved by the test."""

    def __init__(self) -> None:
        self.now = 100.0
        self._due: list[tuple[float, Any]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Any) -> Any:
        self._due.append((when, call))
        return self

    def cancel(self) -> None:
        self._due.clear()

    def move(self, seconds: float) -> None:
        self.now += seconds
        due = [call for when, call in self._due if when <= self.now]
        self._due = [(when, call) for when, call in self._due if when > self.now]
        for call in due:
            call()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    return clock


@pytest.mark.parametrize("tokens_a_second", [10, 100, 1000])
def test_a_text_of_3000_tokens_costs_a_bounded_number_of_characters(
    clock: Clock, tokens_a_second: int
) -> None:
    text, sent = InnerText(None), list[str]()

    def send() -> int:
        sent.append(text.end(LIVE_CHARS))
        return len(sent[-1])

    pace = Pace(send)
    for number in range(3_000):
        text.add("m", f"tok{number} ")
        pace.changed()
        clock.move(1 / tokens_a_second)
    seconds = 3_000 / tokens_a_second
    assert sum(map(len, sent)) <= 1_000 * seconds + 2_000
    assert len(sent) <= seconds + 10
    # The last token is shown after a pause, although nothing follows it.
    clock.move(5)
    assert sent[-1].endswith("tok2999")


def test_nothing_is_sent_after_the_end(clock: Clock) -> None:
    sent: list[int] = []
    pace = Pace(lambda: sent.append(1) or 1)
    pace.changed()
    pace.changed()
    pace.stop()
    clock.move(10)
    assert sent == [1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("{", ""),
        ('{"ti', ""),
        ('{"title": "Ali', "Ali"),
        ('{"title": "Alien", "actors": ["Sigourney W', "- **Title:** Alien\n- **Actors:**\n  - Sigourney W"),
        ("no JSON", ""),
    ],
)
def test_incomplete_structured_output_as_far_as_it_can_be_read(text: str, shown: str) -> None:
    assert rendered_part(text, AgentOutputSchema(Movie)) == shown


def test_a_renderer_of_the_application_gets_complete_output_only() -> None:
    text = InnerText(lambda value: f"Film {value.title}")
    text.use(Agent(name="A", output_type=Movie))
    text.add("m", '{"title": "Alien"')
    assert text.end(100) == ""


def test_the_end_of_a_long_text_begins_with_a_word() -> None:
    assert end_of("one two three four", 9) == "… four"
    assert end_of("short", 9) == "short"
    assert end_of("x" * 500, 100) == "… " + "x" * 100
