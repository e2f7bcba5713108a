"""The events of one run in memory: compact also with many text deltas, and readable from any number."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backchannel.event_logs.base import Event, Frame

MAX_DELTAS = 256
"""The most text deltas in one segment. Deltas are joined to segments because a string object costs more than its text;
the newest ones are not yet."""


MAX_CHARS = 65_536
"""The most characters of text in one segment. A longer delta becomes several: databases limit the size of a row."""


@dataclass(slots=True)
class Segment:
    """One whole event, or consecutive text deltas of the same message part.

    Attributes:
        first: The number of the first event.
        delta_ends: For text, the offset in `text`, in characters, at which each delta ends.
    """

    first: int
    head: bytes
    plain: bool
    text: str | None = None
    delta_ends: Sequence[int] = ()

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self.first + max(len(self.delta_ends) - 1, 0)

    def text_after(self, seq: int) -> str:
        """The text of the deltas after number `seq`."""
        assert self.text is not None
        return self.text if seq < self.first else self.text[self.delta_ends[seq - self.first] :]


class EventBuffer:
    """Consecutive events of one run.

    Args:
        start: The number before the first event's.

    Attributes:
        last: The number after which numbering continues: the last event's, or the one given to `jump`.
    """

    def __init__(self, start: int = 0) -> None:
        self._segments: list[Segment] = []
        self._firsts: list[int] = []
        self._open_deltas: list[str] = []
        self._open_ends: array[int] = array("Q")
        self._open_head = b""
        self._open_plain = False
        self._open_first = start + 1
        self.start = start
        self.last = start

    @property
    def last_event(self) -> int:
        """The number of the last event; `start` if there is none."""
        if self._open_deltas:
            return self.last
        return self._segments[-1].last if self._segments else self.start

    def jump(self, last: int) -> None:
        """Continue numbering after `last`."""
        self._seal()
        self.last = last

    def append(self, event: Event) -> int:
        """Append an event; returns its number, of a delta that is longer than `MAX_CHARS` that of its last part."""
        if event.text is not None and len(event.text) > MAX_CHARS:
            for start in range(0, len(event.text), MAX_CHARS):
                self.append(Event(event.head, event.text[start : start + MAX_CHARS], event.plain))
            return self.last
        self.last += 1
        if event.text is None:
            self._seal()
            self._add(Segment(self.last, event.head, event.plain))
            return self.last
        if self._open_deltas and (
            event.head != self._open_head
            or event.plain is not self._open_plain
            or len(self._open_deltas) == MAX_DELTAS
            or self._open_ends[-1] + len(event.text) > MAX_CHARS
        ):
            self._seal()
        if not self._open_deltas:
            self._open_head, self._open_plain, self._open_first = event.head, event.plain, self.last
        self._open_deltas.append(event.text)
        self._open_ends.append((self._open_ends[-1] if self._open_ends else 0) + len(event.text))
        return self.last

    def extend(self, segment: Segment) -> None:
        """Append a segment of another buffer of the same run. Events that this buffer has already are skipped."""
        if segment.last <= self.last:
            return
        self._seal()
        if segment.first <= self.last:
            segment = _cut(segment, self.last)
        self._join(segment)
        self.last = segment.last

    def segments(self, after: int) -> list[Segment]:
        """All events after number `after`. The first segment is cut if it begins at or before that number."""
        self._seal()
        index = self._index(after)
        if index < len(self._segments) and self._segments[index].last <= after:
            index += 1
        found = self._segments[index:]
        if found and found[0].first <= after:
            found[0] = _cut(found[0], after)
        return found

    def frames(self, after: int, upto: int | None = None) -> list[Frame]:
        """The frames after number `after` up to and including `upto`; neighbouring text deltas are joined.

        Args:
            upto: The number of a whole event, or of the last event before one. Default: all frames.
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
            texts.append(segment.text_after(after))
        if texts:
            yield Frame(last, Event(head, "".join(texts), plain))

    def _between(self, after: int, upto: int) -> Iterator[Segment]:
        for index in range(self._index(after), len(self._segments)):
            segment = self._segments[index]
            if segment.first > upto:
                return
            if segment.last > after:
                yield segment
        if self._open_deltas and self._open_first <= upto and self.last > after:
            # Only the deltas after the cursor, so that a reader that keeps up costs one delta and not 256.
            start = max(after + 1 - self._open_first, 0)
            yield Segment(
                self._open_first + start,
                self._open_head,
                self._open_plain,
                "".join(self._open_deltas[start:]),
                self._open_ends[start:],
            )

    def _index(self, after: int) -> int:
        """The index of the first segment that may have events after number `after`."""
        return max(bisect_right(self._firsts, after + 1) - 1, 0)

    def _add(self, segment: Segment) -> None:
        self._segments.append(segment)
        self._firsts.append(segment.first)

    def _seal(self) -> None:
        """Turn the open deltas into a segment."""
        if not self._open_deltas:
            return
        segment = Segment(
            self._open_first, self._open_head, self._open_plain, "".join(self._open_deltas), self._open_ends
        )
        self._open_deltas, self._open_ends = [], array("Q")
        self._join(segment)

    def _join(self, segment: Segment) -> None:
        if self._segments and (joined := _joined_segments(self._segments[-1], segment)) is not None:
            self._segments[-1] = joined
        else:
            self._add(segment)


def _joined_segments(first: Segment, second: Segment) -> Segment | None:
    """Two text segments of the same message part as one; `None` if they cannot be joined."""
    if first.text is None or second.text is None or first.last + 1 != second.first:
        return None
    if first.head != second.head or first.plain is not second.plain:
        return None
    if len(first.delta_ends) + len(second.delta_ends) > MAX_DELTAS:
        return None
    if len(first.text) + len(second.text) > MAX_CHARS:
        return None
    ends = array("Q", [*first.delta_ends, *(len(first.text) + end for end in second.delta_ends)])
    return Segment(first.first, first.head, first.plain, first.text + second.text, ends)


def _cut(segment: Segment, after: int) -> Segment:
    """The part of a text segment after number `after`, which is inside it."""
    assert segment.text is not None
    start = after + 1 - segment.first
    offset = segment.delta_ends[start - 1]
    return Segment(
        after + 1,
        segment.head,
        segment.plain,
        segment.text[offset:],
        [end - offset for end in segment.delta_ends[start:]],
    )
