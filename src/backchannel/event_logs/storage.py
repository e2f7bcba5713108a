"""What a durable event log is built on: a place outside of the process that keeps what runs have said."""

import asyncio
from abc import ABC, abstractmethod
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backchannel.context import Identity
from backchannel.event_logs.event_buffer import Segment


@dataclass(frozen=True, slots=True)
class WriterPosition:
    """Where a new writer of a run begins.

    Attributes:
        last: The number of the last event that is kept; 0 if there is none.
        start: Its own numbers come after this one.
        ended: Whether the run had ended already, so that nothing can be added.
    """

    last: int
    start: int
    ended: bool


@dataclass(frozen=True, slots=True)
class WriteBatch:
    """What a writer has for the storage: a piece of one run. Tried again, it is the same piece.

    Attributes:
        fence: The writer's.
        start: Where the writer began; see `WriterPosition`.
        base: The number up to which everything of this writer's was kept before.
        segments: What comes after `base`, in order.
        last: The number of the last event in it.
        ends: Whether the run ends with it.
    """

    run_id: str
    identity: Identity
    fence: int
    start: int
    base: int
    segments: Sequence[Segment]
    last: int
    ends: bool


@dataclass(frozen=True, slots=True)
class Page:
    """What the storage knows of a run after some number.

    Attributes:
        segments: In order. The first one may begin at or before that number.
        last: The number up to which this is everything.
        ended: Whether nothing will ever come after `last`.
    """

    segments: Sequence[Segment]
    last: int
    ended: bool


def written_ends(segment: Segment) -> str:
    """Where the deltas of a strip of text end, as it is kept: decimal numbers with commas."""
    return ",".join(map(str, segment.ends))


def read_ends(text: str) -> array[int]:
    """What `written_ends` wrote."""
    return array("Q", map(int, text.split(",")))


class Storage(ABC):
    """Keeps runs' events outside of the process. Every method that is not told otherwise may raise
    `UnavailableError`, takes a bounded time, and leaves the same when it is done twice."""

    @abstractmethod
    async def begin(
        self, run_id: str, identity: Identity, *, fence: int, after_crash: bool
    ) -> WriterPosition:
        """Make `fence` the one that may write, and the log if there is none. Done twice, numbering may jump twice.

        Args:
            after_crash: Whether numbering jumps, so that no later writer begins below where this one does.

        Raises:
            FencedError: There was a larger one.
        """

    @abstractmethod
    async def append(self, batches: Sequence[WriteBatch]) -> Mapping[str, int | None]:
        """Keep what several runs have said, each portion whole or not at all, and none twice.

        Gives for each run the number up to which everything of its writer is kept now: less than the portion's
        `last` if the storage has lost what it kept before, so that it must be told again; `None` if another writer
        has begun. A run that is missing in the answer was not kept.
        """

    @abstractmethod
    async def page(self, run_id: str, after: int) -> Page:
        """What is kept of a run after a number, or the first part of it: at least one event if there is any.

        Raises:
            LookupError: The run is unknown or its events have expired.
        """

    @abstractmethod
    async def news(self, after: Mapping[str, int], changed: asyncio.Event) -> Mapping[str, Page | None]:
        """Wait for a while until one of several runs has something after its number, or has ended; gives those that
        have, and `None` for those that have become unknown. Asked again at once, it takes care not to be too eager.

        Args:
            changed: When it is set, other runs are of interest too, and waiting should end soon.
        """

    async def sweep(self) -> None:  # noqa: B027
        """Delete what has expired, some at a time. Nothing where the storage does so itself."""

    @abstractmethod
    async def check(self) -> None:
        """Ask for a sign of life."""

    async def aclose(self) -> None:  # noqa: B027
        """Release what it holds. Never raises."""
