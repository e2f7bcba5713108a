"""The event log: what a run has said so far, readable from any point while it goes on, from any process.

A run has one writer at a time and any number of readers, each with a cursor of its own. The log never waits for a
reader, and a reader never costs more than its cursor.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from backchannel.context import Identity

JUMP = 1_000_000
"""After a crash, numbering goes on at the next multiple of this, plus 1. What the dead writer had shown and could not
keep any more has numbers below it, so that no number ever means two events."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a run as JSON: either whole, or as a text delta that can be joined with its neighbours.

    Attributes:
        head: The event's JSON; for a text delta all of it up to the delta's value.
        text: The delta, or `None` for an event that is whole in `head`.
        plain: Whether it is for readers of the plain API only. ChatKit clients never see it.
    """

    head: bytes
    text: str | None = None
    plain: bool = False

    def body(self) -> bytes:
        """The event's JSON, the same bytes that the SDK would send."""
        if self.text is None:
            return self.head
        # Half a surrogate pair, cut by a tokenizer, has no UTF-8: it becomes "?" instead of ending the stream.
        return self.head + json.dumps(self.text, ensure_ascii=False).encode(errors="replace") + b"}}"


@dataclass(frozen=True, slots=True)
class Frame:
    """An event in its place. Joined text deltas have the number of the last one."""

    seq: int
    event: Event


@dataclass(frozen=True, slots=True)
class Batch:
    """What a reader got: the frames after its cursor, in order, and whether the run has ended.

    No frames and not ended means that nothing happened within the time the reader was willing to wait.

    Attributes:
        ended: Whether these are the last ones there will ever be.
        released: Whether this process will tell no more of the run, though it has not ended: reading goes on in
            another one. Only while this process shuts down.
    """

    frames: Sequence[Frame]
    ended: bool
    released: bool = False


class FencedError(Exception):
    """Another process writes this run now. What this one appended since is not kept."""


class EventLog(ABC):
    """Keeps runs' events. Contract, for every implementation:

    - A writer calls `begin`, then `append` any number of times, then `end`, or `release` if another process is to go
      on. `begin` names its fence. From then on nothing that a writer with a smaller fence appends is ever seen. (Only
      readers in the process of such a writer may see text of it until its next write is refused, a tenth of a second
      later.)
    - Events are numbered 1, 2, 3 … per run, across writers; only after a crash numbering jumps (`JUMP`).
    - A reader gets each event exactly once and in order, wherever it starts, also while the run goes on and while
      the writer changes. Neighbouring text deltas of the same message part (same `head`) may come joined to one,
      under the last one's number; a reader that starts between them gets exactly the text after its cursor.
    - A reader sees nothing that a crash could make unseen, except text deltas: whole events are shown once they
      are kept, and text deltas at once. After a crash the next writer therefore knows of every item that any
      reader knows of.
    - After `end` the events stay readable for the log's retention, then the run is unknown.
    - Reading an unknown run raises `LookupError`.

    A log in one process's memory keeps nothing across a crash, and shows everything at once.
    """

    @abstractmethod
    async def begin(self, run_id: str, identity: Identity, *, fence: int, after_crash: bool = False) -> int:
        """Become the writer of a run's log, which is made if there is none; gives the last number so far (0 if none).

        Args:
            identity: Whose run it is.
            fence: Larger than every earlier writer's. With the same fence again, it goes on as if nothing had been.
            after_crash: Whether the writer before may have shown text that it did not keep.

        Raises:
            FencedError: A writer with a larger fence has begun.
            UnavailableError: The log cannot be reached.
        """

    @abstractmethod
    def append(self, run_id: str, event: Event) -> None:
        """Add an event at the end. Never waits. Does nothing for a run that this process does not write."""

    @abstractmethod
    async def flush(self, run_id: str) -> None:
        """Wait until everything appended so far is kept, for a bounded time.

        Raises:
            FencedError: Another writer has begun.
            UnavailableError: The log cannot be reached; what was appended is tried again.
        """

    @abstractmethod
    async def end(self, run_id: str) -> None:
        """The run has ended: readers that reach the end are told so, whatever the log can keep. Waits as `flush` does.

        Raises:
            FencedError: Another writer has begun, which will end it.
        """

    @abstractmethod
    async def release(self, run_id: str) -> bool:
        """Keep what was appended, for a bounded time, and stop being the writer, without ending the run.

        Readers in this process go on reading what the next writer appends. Does nothing for a run that this process
        does not write.

        Gives whether everything was kept. If not, the next writer must begin as after a crash: readers here may have
        seen text that is lost.
        """

    @abstractmethod
    def disconnect_readers(self) -> None:
        """This process shuts down: every reader that waits, or comes to wait, gets a batch that is `released`."""

    @abstractmethod
    async def read(self, run_id: str, after: int, *, wait: float) -> Batch:
        """The frames after number `after` (0 for all).

        Returns at once if there are any or the run has ended, else waits for up to `wait` seconds.

        Raises:
            LookupError: The run is unknown or its events have expired.
            UnavailableError: The log cannot be reached.
        """

    @abstractmethod
    async def check(self) -> None:
        """Ask the log's server for a sign of life.

        Raises:
            UnavailableError: It does not answer.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Keep what was appended, for a bounded time, wake every reader with an ended batch, and release everything."""
