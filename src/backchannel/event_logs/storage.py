"""The contract between a durable event log and the service that persists its events."""

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
        last: The number of the last persisted event; 0 if there is none.
        start: The writer's events are numbered from `start + 1` on.
        ended: Whether the run has ended, so that nothing can be appended.
    """

    last: int
    start: int
    ended: bool


@dataclass(frozen=True, slots=True)
class WriteBatch:
    """Consecutive events of one run to persist. A retry has the same content.

    Attributes:
        fence: The writer's fence.
        start: Where the writer began; see `WriterPosition`.
        base: All of the writer's events up to this number were persisted before.
        segments: The events after `base`, in order.
        last: The number of the last event in the batch.
        ends_run: Whether the run ends with this batch.
    """

    run_id: str
    identity: Identity
    fence: int
    start: int
    base: int
    segments: Sequence[Segment]
    last: int
    ends_run: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Persisted events of a run after a given number.

    Attributes:
        segments: In order. The first one may begin at or before that number.
        last: The page is complete up to this number.
        ended: Whether the run has ended with `last`.
    """

    segments: Sequence[Segment]
    last: int
    ended: bool


def encode_delta_ends(segment: Segment) -> str:
    """`Segment.delta_ends` as stored: decimal numbers separated by commas."""
    return ",".join(map(str, segment.delta_ends))


def decode_delta_ends(text: str) -> array[int]:
    """The inverse of `encode_delta_ends`."""
    return array("Q", map(int, text.split(",")))


class Storage(ABC):
    """Persists the events of runs outside the process.

    Unless stated otherwise, every method may raise `UnavailableError`, takes a bounded time, and may be called twice
    with the same result.
    """

    @abstractmethod
    async def begin(
        self, run_id: str, identity: Identity, *, fence: int, after_crash: bool
    ) -> WriterPosition:
        """Set the fence of a run's log, which is created if necessary. Called twice, numbering may jump twice.

        Args:
            after_crash: Whether numbering jumps, so that no later writer begins below this one.

        Raises:
            FencedError: The log has a larger fence.
        """

    @abstractmethod
    async def append(self, batches: Sequence[WriteBatch]) -> Mapping[str, int | None]:
        """Persist batches of several runs, each completely or not at all, and no event twice.

        Raises:
            TooLargeToStoreError: An event of one of them exceeds a limit of the service; nothing is persisted.

        Returns:
            For each run, the number up to which the writer's events are now persisted: less than the batch's `last` if
            the storage has lost events, which the writer then sends again; `None` if another writer has begun. A
            run that is missing was not persisted.
        """

    @abstractmethod
    async def page(self, run_id: str, after: int) -> Page:
        """The first persisted events after a number: at least one if there are any.

        Raises:
            LookupError: The run is unknown or its events have expired.
        """

    @abstractmethod
    async def poll(self, after: Mapping[str, int], changed: asyncio.Event) -> Mapping[str, Page | None]:
        """Wait, for a few seconds at most, until one of several runs has events after its number, or has ended.

        May be called again at once: the implementation limits its own rate.

        Args:
            after: The number per run.
            changed: Set when other runs are to be polled too; waiting should then end soon.

        Returns:
            The runs that have new events or have ended; `None` for those that are unknown by now.
        """

    async def delete_expired(self) -> None:  # noqa: B027
        """Delete expired logs, in short transactions. Does nothing where the storage expires data itself."""

    @abstractmethod
    async def check(self) -> None:
        """Check that the storage responds."""

    async def aclose(self) -> None:  # noqa: B027
        """Close connections. Never raises."""
