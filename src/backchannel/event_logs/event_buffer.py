"""Events of one run in memory, compact however many text deltas there are, and readable from between any two."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backchannel.event_logs.base import Event, Frame

PIECE = 256
"""How many deltas are kept as strings of their own before they are joined: an object each costs more than its text."""


@dataclass(slots=True)
class Strip:
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


class Tape:
    """What one run has said, or what is known of it here.

    Args:
        start: The number before the first event's.

    Attributes:
        last: The number of the last event, or the one that `jump` named.
    """

    def __init__(self, start: int = 0) -> None:
        self._strips: list[Strip] = []
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
        return self._strips[-1].last if self._strips else self.start

    def jump(self, last: int) -> None:
        """Go on numbering after `last`."""
        self._seal()
        self.last = last

    def append(self, event: Event) -> int:
        """Add an event; gives its number."""
        self.last += 1
        if event.text is None:
            self._seal()
            self._add(Strip(self.last, event.head, event.plain))
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

    def extend(self, strip: Strip) -> None:
        """Add what comes next, as another tape has it. What is here already is left alone."""
        if strip.last <= self.last:
            return
        self._seal()
        if strip.first <= self.last:
            strip = _cut(strip, self.last)
        self._join(strip)
        self.last = strip.last

    def strips(self, after: int) -> list[Strip]:
        """Everything after number `after`, in pieces that never begin at or before it."""
        self._seal()
        index = self._index(after)
        if index < len(self._strips) and self._strips[index].last <= after:
            index += 1
        found = self._strips[index:]
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
        for strip in self._between(after, upto):
            if texts and (strip.text is None or strip.head != head or strip.plain is not plain):
                yield Frame(last, Event(head, "".join(texts), plain))
                texts = []
            if strip.text is None:
                yield Frame(strip.first, Event(strip.head, None, strip.plain))
                continue
            head, plain, last = strip.head, strip.plain, strip.last
            texts.append(strip.after(after))
        if texts:
            yield Frame(last, Event(head, "".join(texts), plain))

    def _between(self, after: int, upto: int) -> Iterator[Strip]:
        for index in range(self._index(after), len(self._strips)):
            strip = self._strips[index]
            if strip.first > upto:
                return
            if strip.last > after:
                yield strip
        if self._open and self._first <= upto and self.last > after:
            # Only what is new of the open strip: a reader that keeps up gets one delta, not a copy of all before it.
            start = max(after + 1 - self._first, 0)
            yield Strip(
                self._first + start, self._head, self._plain, "".join(self._open[start:]), self._ends[start:]
            )

    def _index(self, after: int) -> int:
        """Of the first strip that may have something after number `after`."""
        return max(bisect_right(self._firsts, after + 1) - 1, 0)

    def _add(self, strip: Strip) -> None:
        self._strips.append(strip)
        self._firsts.append(strip.first)

    def _seal(self) -> None:
        if not self._open:
            return
        strip = Strip(self._first, self._head, self._plain, "".join(self._open), self._ends)
        self._open, self._ends = [], array("Q")
        self._join(strip)

    def _join(self, strip: Strip) -> None:
        if self._strips and (longer := _together(self._strips[-1], strip)) is not None:
            self._strips[-1] = longer
        else:
            self._add(strip)


def _together(one: Strip, next_: Strip) -> Strip | None:
    """Two short strips of the same text as one, or `None` where that cannot be."""
    if one.text is None or next_.text is None or one.last + 1 != next_.first:
        return None
    if one.head != next_.head or one.plain is not next_.plain:
        return None
    if len(one.ends) + len(next_.ends) > PIECE:
        return None
    ends = array("Q", [*one.ends, *(len(one.text) + end for end in next_.ends)])
    return Strip(one.first, one.head, one.plain, one.text + next_.text, ends)


def _cut(strip: Strip, after: int) -> Strip:
    """The part of a strip of text after number `after`, which is inside it."""
    assert strip.text is not None
    start = after + 1 - strip.first
    gone = strip.ends[start - 1]
    return Strip(
        after + 1, strip.head, strip.plain, strip.text[gone:], [end - gone for end in strip.ends[start:]]
    )
