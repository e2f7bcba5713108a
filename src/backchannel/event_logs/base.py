"""The event log: what a run has said so far, readable from any point while it goes on.

A run appends; any number of readers follow, each with a cursor of its own. The log never waits for a reader
and a reader never costs more than its cursor.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a run as JSON: either whole, or as a text delta that can be joined with its neighbours.

    Attributes:
        head: The event's JSON; for a text delta all of it up to the delta's value.
        text: The delta, or `None` for an event that is whole in `head`.
    """

    head: bytes
    text: str | None = None

    def body(self) -> bytes:
        """The event's JSON, the same bytes that the SDK would send."""
        if self.text is None:
            return self.head
        # Half a surrogate pair, cut by a tokenizer, has no UTF-8: it becomes "?" instead of ending the stream.
        return self.head + json.dumps(self.text, ensure_ascii=False).encode(errors="replace") + b"}}"


@dataclass(frozen=True, slots=True)
class Frame:
    """An event in its place: `seq` counts a run's events from 1 without gaps."""

    seq: int
    event: Event


@dataclass(frozen=True, slots=True)
class Batch:
    """What a reader got: the frames after its cursor, in order, and whether the run has ended.

    No frames and not ended means that nothing happened within the time the reader was willing to wait.
    """

    frames: Sequence[Frame]
    ended: bool


class EventLog(ABC):
    """Keeps runs' events. Contract, for every implementation:

    - `open` comes first and once, then any number of `append`, then `close` once.
    - Sequence numbers are 1, 2, 3 … per run. A reader sees each exactly once and in order, wherever it
      starts, also while the run goes on.
    - After `close` the events stay readable for the log's retention, then the run is unknown.
    - Reading an unknown run raises `LookupError`.
    """

    @abstractmethod
    def open(self, run_id: str) -> None:
        """Begin a run's log."""

    @abstractmethod
    def append(self, run_id: str, event: Event) -> None:
        """Add an event at the end. Never waits."""

    @abstractmethod
    def close(self, run_id: str) -> None:
        """The run has ended: readers that reach the end are told so."""

    @abstractmethod
    async def read(self, run_id: str, after: int, *, wait: float) -> Batch:
        """The frames after sequence number `after` (0 for all).

        Returns at once if there are any or the run has ended, else waits for up to `wait` seconds.

        Raises:
            LookupError: The run is unknown or its events have expired.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Release everything and wake every reader with an ended batch."""
