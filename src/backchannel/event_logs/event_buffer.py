"""Events of one run in memory, compact however many text deltas there are, and readable from between any two."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backchannel.event_logs.base import Event, Frame

PIECE = 256
"""How many deltas are kept as strings of their own before they are joined: an object each costs more than its text."""


@dataclass(slots=True)
class Segment:
    """Neighbouring events: one that is whole, or text deltas of the same message part.

    Attributes:
        first: The number of the first event.
        ends: For text, where each delta ends in `text`, in characters; the event after `first` ends at `ends[1]`.
    """

    first: int
    head: bytes
    plain: bool
    text: str | None = None
    ends: Sequence[int] = ()

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self.first + max(len(self.ends) - 1, 0)

    def after(self, seq: int) -> str:
        """The text of the deltas after number `seq`."""
        assert self.text is not None
        return self.text if seq < self.first else self.text[self.ends[seq - self.first] :]


class EventBuffer:
    """What one run has said, or what is known of it here.

    Args:
        start: The number before the first event's.

    Attributes:
        last: The number of the last event, or the one that `jump` named.
    """

    def __init__(self, start: int = 0) -> None:
        self._segments: list[Segment] = []
        self._firsts: list[int] = []
        self._open: list[str] = []
        self._ends: array[int] = array("Q")
        self._head = b""
        self._plain = False
        self._first = start + 1
        self.start = start
        self.last = start

    @property
    def newest(self) -> int:
        """The number of the last event; `start` if there is none."""
        if self._open:
            return self.last
        return self._segments[-1].last if self._segments else self.start

    def jump(self, last: int) -> None:
        """Go on numbering after `last`."""
        self._seal()
        self.last = last

    def append(self, event: Event) -> int:
        """Add an event; gives its number."""
        self.last += 1
        if event.text is None:
            self._seal()
            self._add(Segment(self.last, event.head, event.plain))
            return self.last
        if self._open and (
            event.head != self._head or event.plain is not self._plain or len(self._open) == PIECE
        ):
            self._seal()
        if not self._open:
            self._head, self._plain, self._first = event.head, event.plain, self.last
        self._open.append(event.text)
        self._ends.append((self._ends[-1] if self._ends else 0) + len(event.text))
        return self.last

    def extend(self, segment: Segment) -> None:
        """Add what comes next, as another tape has it. What is here already is left alone."""
        if segment.last <= self.last:
            return
        self._seal()
        if segment.first <= self.last:
            segment = _cut(segment, self.last)
        self._join(segment)
        self.last = segment.last

    def segments(self, after: int) -> list[Segment]:
        """Everything after number `after`, in pieces that never begin at or before it."""
        self._seal()
        index = self._index(after)
        if index < len(self._segments) and self._segments[index].last <= after:
            index += 1
        found = self._segments[index:]
        if found and found[0].first <= after:
            found[0] = _cut(found[0], after)
        return found

    def frames(self, after: int, upto: int | None = None) -> list[Frame]:
        """The frames after number `after` and, if given, up to `upto`; text deltas that are neighbours are joined.

        Args:
            upto: The number of a whole event, or of the last event before one.
        """
        return list(self._joined(after, self.last if upto is None else upto))

    def _joined(self, after: int, upto: int) -> Iterator[Frame]:
        head, plain, texts, last = b"", False, list[str](), 0
        for segment in self._between(after, upto):
            if texts and (segment.text is None or segment.head != head or segment.plain is not plain):
                yield Frame(last, Event(head, "".join(texts), plain))
                texts = []
            if segment.text is None:
                yield Frame(segment.first, Event(segment.head, None, segment.plain))
                continue
            head, plain, last = segment.head, segment.plain, segment.last
            texts.append(segment.after(after))
        if texts:
            yield Frame(last, Event(head, "".join(texts), plain))

    def _between(self, after: int, upto: int) -> Iterator[Segment]:
        for index in range(self._index(after), len(self._segments)):
            segment = self._segments[index]
            if segment.first > upto:
                return
            if segment.last > after:
                yield segment
        if self._open and self._first <= upto and self.last > after:
            # Only what is new of the open strip: a reader that keeps up gets one delta, not a copy of all before it.
            start = max(after + 1 - self._first, 0)
            yield Segment(
                self._first + start, self._head, self._plain, "".join(self._open[start:]), self._ends[start:]
            )

    def _index(self, after: int) -> int:
        """Of the first strip that may have something after number `after`."""
        return max(bisect_right(self._firsts, after + 1) - 1, 0)

    def _add(self, segment: Segment) -> None:
        self._segments.append(segment)
        self._firsts.append(segment.first)

    def _seal(self) -> None:
        if not self._open:
            return
        segment = Segment(self._first, self._head, self._plain, "".join(self._open), self._ends)
        self._open, self._ends = [], array("Q")
        self._join(segment)

    def _join(self, segment: Segment) -> None:
        if self._segments and (longer := _together(self._segments[-1], segment)) is not None:
            self._segments[-1] = longer
        else:
            self._add(segment)


def _together(one: Segment, next_: Segment) -> Segment | None:
    """Two short segments of the same text as one, or `None` where that cannot be."""
    if one.text is None or next_.text is None or one.last + 1 != next_.first:
        return None
    if one.head != next_.head or one.plain is not next_.plain:
        return None
    if len(one.ends) + len(next_.ends) > PIECE:
        return None
    ends = array("Q", [*one.ends, *(len(one.text) + end for end in next_.ends)])
    return Segment(one.first, one.head, one.plain, one.text + next_.text, ends)


def _cut(segment: Segment, after: int) -> Segment:
    """The part of a strip of text after number `after`, which is inside it."""
    assert segment.text is not None
    start = after + 1 - segment.first
    gone = segment.ends[start - 1]
    return Segment(
        after + 1,
        segment.head,
        segment.plain,
        segment.text[gone:],
        [end - gone for end in segment.ends[start:]],
    )
