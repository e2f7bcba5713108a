"""The tape gives back exactly what was put on it, wherever a reader starts, as a plain list would."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from backchannel.event_logs.base import Event, Frame
from backchannel.event_logs.event_buffer import MAX_CHARS, MAX_DELTAS, EventBuffer, Segment

pytestmark = pytest.mark.row("C4", "H2")

HEADS = (b'{"a":', b'{"b":')

texts = st.text(st.characters(codec=None), max_size=4)
events = st.one_of(
    st.builds(Event, st.sampled_from(HEADS), texts, st.booleans()),
    st.builds(Event, st.sampled_from((b"{}", b'{"x":1}')), st.none(), st.booleans()),
)
# Mostly of one part, so that there is much to join.
runs_of_text = st.lists(st.builds(Event, st.just(HEADS[0]), texts), min_size=1, max_size=MAX_DELTAS + 60)


@dataclass
class Plain:
    """What a tape is compared with: every event with its number."""

    events: dict[int, Event] = field(default_factory=dict)
    last: int = 0

    def after(self, seq: int, upto: int | None = None) -> dict[int, Event]:
        end = self.last if upto is None else upto
        return {number: event for number, event in self.events.items() if seq < number <= end}


def alike(one: Event, other: Event) -> bool:
    return (one.head, one.plain) == (other.head, other.plain) and other.text is not None is not one.text


def check_frames(frames: list[Frame], expected: dict[int, Event]) -> None:
    """The frames say what the events do: whole ones alone, texts joined with neighbours under the last number."""
    numbers = sorted(expected)
    for frame in frames:
        said = [number for number in numbers if number <= frame.seq]
        numbers = numbers[len(said) :]
        assert said, "a frame without an event"
        assert said[-1] == frame.seq
        first = expected[said[0]]
        if first.text is None:
            assert len(said) == 1
            assert frame.event == first
            continue
        assert all(alike(first, expected[number]) for number in said)
        assert frame.event == Event(
            first.head, "".join(expected[number].text or "" for number in said), first.plain
        )
    assert not numbers, "events that no frame tells"


def check_strips(segments: list[Segment], after: int, expected: dict[int, Event]) -> None:
    """The segments say the same, with every delta apart."""
    found: dict[int, Event] = {}
    for segment in segments:
        assert segment.first > after
        if segment.text is None:
            found[segment.first] = Event(segment.head, None, segment.plain)
            continue
        assert len(segment.delta_ends) <= MAX_DELTAS
        assert segment.delta_ends[-1] == len(segment.text)
        for number in range(segment.first, segment.last + 1):
            rest, later = segment.text_after(number - 1), segment.text_after(number)
            found[number] = Event(segment.head, rest[: len(rest) - len(later)], segment.plain)
    assert found == expected
    assert list(found) == sorted(found)


class Tapes(RuleBasedStateMachine):
    """One tape that is written, and one that is told of it piece by piece, as in another process."""

    @initialize(start=st.integers(0, 3))
    def begin(self, start: int) -> None:
        self.plain = Plain(last=start)
        self.buffer, self.copy = EventBuffer(start), EventBuffer(start)
        self.start = start

    @rule(said=st.lists(events, max_size=5))
    def append(self, said: list[Event]) -> None:
        for event in said:
            self.plain.last += 1
            assert self.buffer.append(event) == self.plain.last
            self.plain.events[self.plain.last] = event

    @rule(said=runs_of_text)
    def append_text(self, said: list[Event]) -> None:
        self.append(said)

    @rule(by=st.integers(1, 1000))
    def jump(self, by: int) -> None:
        self.plain.last += by
        self.buffer.jump(self.plain.last)

    @rule(data=st.data())
    def read_from_anywhere(self, data: st.DataObject) -> None:
        after = data.draw(st.integers(0, self.plain.last + 2))
        check_frames(self.buffer.frames(after), self.plain.after(after))

    @rule(data=st.data())
    def read_up_to_a_whole_event(self, data: st.DataObject) -> None:
        whole = [number for number, event in self.plain.events.items() if event.text is None]
        bounds = sorted({*whole, *(number - 1 for number in whole)})
        if bounds:
            upto = data.draw(st.sampled_from(bounds))
            after = data.draw(st.integers(0, self.plain.last))
            check_frames(self.buffer.frames(after, upto), self.plain.after(after, upto))

    @rule(data=st.data())
    def take_strips(self, data: st.DataObject) -> None:
        after = data.draw(st.integers(self.start, self.plain.last + 2))
        check_strips(self.buffer.segments(after), after, self.plain.after(after))

    @rule(data=st.data())
    def tell_the_copy(self, data: st.DataObject) -> None:
        # Pieces may overlap what it knows already.
        after = data.draw(st.integers(self.start, self.copy.last))
        for segment in self.buffer.segments(after):
            self.copy.extend(segment)
        self.copy.jump(max(self.copy.last, self.plain.last))

    @invariant()
    def the_newest_is_known(self) -> None:
        assert self.buffer.last == self.plain.last
        assert self.buffer.last_event == max(self.plain.events, default=self.start)

    @invariant()
    def the_copy_says_the_same(self) -> None:
        known = self.plain.after(self.start, self.copy.last)
        check_frames(self.copy.frames(self.start), known)
        check_strips(self.copy.segments(self.start), self.start, known)


TestTapes = Tapes.TestCase


@given(st.lists(events, max_size=30), st.integers(0, 40))
def test_a_reader_that_keeps_up_gets_each_event_by_itself(said: list[Event], start: int) -> None:
    buffer = EventBuffer(start)
    for event in said:
        seq = buffer.append(event)
        assert buffer.frames(seq - 1) == [Frame(seq, event)]
        assert buffer.frames(seq) == []


@given(st.integers(1, 3 * MAX_DELTAS), st.integers(1, 40))
def test_small_pieces_of_text_are_joined(count: int, every: int) -> None:
    buffer = EventBuffer()
    for number in range(count):
        buffer.append(Event(HEADS[0], "x"))
        if number % every == 0:
            buffer.segments(0)
    assert len(buffer.segments(0)) <= 2 * (count // MAX_DELTAS + 1)


def test_strips_are_not_changed_afterwards() -> None:
    buffer = EventBuffer()
    buffer.append(Event(HEADS[0], "one"))
    (first,) = buffer.segments(0)
    buffer.append(Event(HEADS[0], "two"))
    buffer.segments(0)
    assert (first.text, list(first.delta_ends)) == ("one", [3])


def test_what_is_kept_is_not_told_again() -> None:
    # An empty piece would take the number of the next event.
    buffer = EventBuffer()
    for event in (Event(b"{}"), Event(HEADS[0], "a"), Event(HEADS[0], "b")):
        buffer.append(event)
        assert buffer.segments(buffer.last) == []
        assert buffer.segments(buffer.last + 1) == []


def test_text_is_stored_in_rows_of_a_limited_size():
    """meeb/tubesync#251: databases limit the size of a row."""
    buffer = EventBuffer()
    long = "".join(f"{number} " for number in range(MAX_CHARS))
    head = b'{"text":'
    for text in ("short ", long, "short again"):
        buffer.append(Event(head, text))
    segments = buffer.segments(0)
    assert max(len(segment.text or "") for segment in segments) <= MAX_CHARS
    assert [segment.last + 1 for segment in segments[:-1]] == [segment.first for segment in segments[1:]]
    [frame] = buffer.frames(0)
    assert (frame.seq, frame.event.text) == (buffer.last, f"short {long}short again")
    copy = EventBuffer()
    for segment in segments:
        copy.extend(segment)
    assert copy.segments(0) == segments
