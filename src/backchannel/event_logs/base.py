"""The event log: an append-only log of each run's events, readable from any cursor while the run is in progress.

A run has one writer at a time and any number of readers, in any process. The log never waits for a reader; a reader
costs no more than its cursor.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from backchannel.context import Identity

JUMP = 1_000_000
"""After a crash, numbering continues after the next multiple of this. Text that the dead writer had shown but not
persisted has smaller numbers, so that a number never stands for two events."""

MAX_SEQ = 2**53 - 1
"""The largest sequence number; larger ones count as this one. Exact in JSON and in Redis's scripts."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a run as JSON: a whole event, or a text delta that can be joined with neighbouring ones.

    Attributes:
        head: The event's JSON; for a text delta, the part before the delta's value.
        text: The delta; `None` for a whole event.
        plain: Whether only readers of the plain API get it; ChatKit clients do not.
    """

    head: bytes
    text: str | None = None
    plain: bool = False

    def body(self) -> bytes:
        """The event's JSON, byte for byte what the SDK would send. See also `sse.escape_line_ends`."""
        if self.text is None:
            return self.head
        # A lone surrogate, left by a tokenizer that split a character, has no UTF-8: it becomes "?".
        return self.head + json.dumps(self.text, ensure_ascii=False).encode(errors="replace") + b"}}"


@dataclass(frozen=True, slots=True)
class Frame:
    """An event with its number. Joined text deltas have the number of the last one."""

    seq: int
    event: Event


@dataclass(frozen=True, slots=True)
class Batch:
    """The result of one read: the frames after the reader's cursor, in order.

    Attributes:
        frames: Empty if nothing was appended within the time the reader waited.
        ended: Whether the run has ended and these are its last frames.
        released: Whether this process serves no more of the run although it has not ended; the reader continues in
            another process. Only while this process shuts down.
    """

    frames: Sequence[Frame]
    ended: bool
    released: bool = False


class FencedError(Exception):
    """A writer with a larger fence has begun. Events that were not persisted before that are discarded."""


class EventLog(ABC):
    """Stores the events of runs. Contract, for every implementation:

    - A writer calls `begin`, `append` any number of times, then `end`, or `release` for another process to continue.
      After `begin` with a fence, events appended with a smaller fence are never read. (Readers in the process of the
      old writer may see its text until its next write is refused, 0.1 seconds later.)
    - Events are numbered 1, 2, 3 … per run, across writers. Only after a crash numbers are skipped (`JUMP`).
    - A reader gets each event exactly once and in order, from any cursor, also while events are appended and while the
      writer changes. Neighbouring text deltas of the same message part (same `head`) may be joined under the number of
      the last one; a reader whose cursor is between them gets exactly the text after it.
    - Whole events are read only once they are persisted, text deltas at once. After a crash, the next writer
      therefore has every item that a reader has seen, and only text may be missing.
    - After `end` the events stay readable for the log's retention; then the run is unknown.
    - Reading an unknown run raises `LookupError`.

    A log in memory persists nothing, and its events are read at once.
    """

    @abstractmethod
    async def begin(self, run_id: str, identity: Identity, *, fence: int, after_crash: bool = False) -> int:
        """Become the writer of a run's log, which is created if necessary.

        Args:
            identity: The owner of the run.
            fence: Larger than that of every earlier writer. Calling again with the same fence changes nothing.
            after_crash: Whether the previous writer may have shown text that it did not persist.

        Returns:
            The number of the last event; 0 if there is none.

        Raises:
            FencedError: A writer with a larger fence has begun.
            UnavailableError: The log cannot be reached.
        """

    @abstractmethod
    def append(self, run_id: str, event: Event) -> None:
        """Append an event. Never waits. Does nothing for a run that this process does not write."""

    @abstractmethod
    async def flush(self, run_id: str) -> None:
        """Wait, for a bounded time, until all appended events are persisted.

        Raises:
            FencedError: Another writer has begun.
            UnavailableError: The log cannot be reached. Writing is retried in the background.
        """

    @abstractmethod
    async def end(self, run_id: str) -> None:
        """Mark the run as ended, also for readers if that cannot be persisted. Waits like `flush`.

        Raises:
            FencedError: Another writer has begun, which will end it.
            UnavailableError: As for `flush`.
        """

    @abstractmethod
    async def release(self, run_id: str) -> bool:
        """Persist appended events, waiting for a bounded time, and stop writing without ending the run.

        Readers in this process continue with the events of the next writer. Does nothing for a run that this process
        does not write.

        Returns:
            Whether all events are persisted. If not, the next writer must begin with `after_crash`: readers in this
            process may have seen text that is lost.
        """

    @abstractmethod
    def disconnect_readers(self) -> None:
        """Return a `released` batch to all readers that are waiting or will wait: this process is shutting down."""

    @abstractmethod
    async def read(self, run_id: str, after: int, *, wait: float) -> Batch:
        """The frames after number `after` (0 for all).

        Returns at once if there are any or the run has ended; otherwise waits for up to `wait` seconds.

        Raises:
            LookupError: The run is unknown or its events have expired.
            UnavailableError: The log cannot be reached.
        """

    @abstractmethod
    async def check(self) -> None:
        """Check that the log's server responds.

        Raises:
            UnavailableError: It does not.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Persist appended events, for a bounded time, return an ended batch to all readers, and close connections."""
