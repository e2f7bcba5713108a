"""Shared by the event log suites: fixtures, sample events, readers, and the window between replay and live."""

import asyncio
import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from backchannel.context import Identity
from backchannel.event_logs.base import Batch, Event, EventLog, Frame
from backchannel.ids import new_id

ADA = Identity("ada")

TIMEOUT_SECONDS = 20.0
"""Seconds after which an operation, such as a read that should have been woken, counts as failed."""

LONG_WAIT_SECONDS = 100 * TIMEOUT_SECONDS
"""The `wait` of readers in seconds, so long that a reader that is not woken fails the test."""

_WORD = re.compile(r"<\d+>")
_IDLE_STEPS = 20


class EventLogSuite:
    """The fixtures of all event log suites; see `EventLogContract`."""

    shared = True

    @abstractmethod
    @pytest.fixture
    def event_log(self) -> Any:
        """An empty log that retains the events of ended runs for at least a minute."""

    @abstractmethod
    @pytest.fixture
    def another_log(self) -> Any:
        """A second object for the same log, as in another process: events appended to one are readable from the other.
        For an in-memory log, the same object as `event_log`."""

    @abstractmethod
    @pytest.fixture
    def expiring_log(self) -> Any:
        """An empty log that retains the events of ended runs for at most 0.1 seconds."""

    def skip_unless_shared(self) -> None:
        """Skip the test if the log is not shared between processes."""
        if not self.shared:
            pytest.skip("a log of one process")


def text_delta(number: int) -> Event:
    """A text delta as event `number`, with the number as its text."""
    return Event(b'{"update":{"delta":', f"<{number}>")


def sample_event(number: int) -> Event:
    """A sample event `number`: a whole event for every third number, else a text delta."""
    return text_delta(number) if number % 3 else whole_event(number)


def whole_event(number: int) -> Event:
    """A whole event as event `number`, with the number in its JSON."""
    return Event(f'{{"n":"<{number}>"}}'.encode())


def event_numbers(frames: Iterable[Frame]) -> list[int]:
    """The numbers in the contents of events, in order. Joined text deltas have several."""
    return [
        int(found[1:-1])
        for frame in frames
        for found in _WORD.findall(frame.event.text or frame.event.head.decode())
    ]


def checked_numbers(frames: Iterable[Frame]) -> list[int]:
    """The numbers in the contents of events, in order. Asserts that they equal the sequence numbers."""
    result: list[int] = []
    for frame in frames:
        contained = event_numbers([frame])
        assert contained, f"an event without a number: {frame}"
        expected = list(range(frame.seq - len(contained) + 1, frame.seq + 1))
        assert contained == expected, f"wrong sequence number: {frame}"
        result += contained
    return result


async def begin_run(log: EventLog, *, fence: int = 1) -> str:
    """Begin a new run with `log` as its writer; returns its id."""
    run_id = new_id("run")
    assert await log.begin(run_id, ADA, fence=fence) == 0
    return run_id


async def append_events(
    log: EventLog, run_id: str, sequence: Iterable[int], event: Callable[[int], Event] = sample_event
) -> None:
    """Append events and wait until they are stored."""
    for number in sequence:
        log.append(run_id, event(number))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await log.flush(run_id)


async def read_next(log: EventLog, run_id: str, after: int = 0) -> Batch:
    """The next batch after a number; waits for it if necessary."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        return await log.read(run_id, after, wait=LONG_WAIT_SECONDS)


async def read_available(log: EventLog, run_id: str, after: int = 0) -> Batch:
    """The available events after a number, without waiting."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        return await log.read(run_id, after, wait=0)


async def read_until(log: EventLog, run_id: str, seq: int, after: int = 0) -> list[Frame]:
    """The events after `after` up to the number `seq`."""
    frames: list[Frame] = []
    while after < seq:
        batch = await read_next(log, run_id, after)
        assert batch.frames, f"no events after {after}: {batch}"
        frames += batch.frames
        after = batch.frames[-1].seq
    return frames


async def read_to_end(
    log: EventLog, run_id: str, after: int = 0, *, wait: float = LONG_WAIT_SECONDS, pause: int = 0
) -> list[Frame]:
    """All events until the run ends, read by a reader that yields `pause` times to the event loop between reads."""
    frames: list[Frame] = []
    async with asyncio.timeout(2 * TIMEOUT_SECONDS):
        while True:
            batch = await log.read(run_id, after, wait=wait)
            frames += batch.frames
            if batch.frames:
                assert batch.frames[0].seq > after, "an event was delivered twice"
                after = batch.frames[-1].seq
            if batch.ended:
                return frames
            for _ in range(pause):
                await checkpoint()


async def run_ready_tasks() -> None:
    """Run all tasks that are ready."""
    for _ in range(_IDLE_STEPS):
        await checkpoint()


async def start_readers(
    log: EventLog, run_id: str, count: int, after: int = 0
) -> Sequence[asyncio.Task[Batch]]:
    """Start readers that have no event to read, and wait until they block."""
    readers = [asyncio.create_task(log.read(run_id, after, wait=LONG_WAIT_SECONDS)) for _ in range(count)]
    await run_ready_tasks()
    assert not any(reader.done() for reader in readers)
    return readers


async def batch_of(reader: asyncio.Task[Batch]) -> Batch:
    """The batch that a waiting reader received."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        return await reader


class Window:
    """The window between replay and live: a reader has read the stored events and does not wait yet.

    This class publishes after a varying number of event loop iterations. If the log's code allows to hit the window
    exactly, override `read` and call `publish` there.

    Attributes:
        log: The reader's log.
        hits: How many events were published in the window.
    """

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.hits = 0

    async def read(self, run_id: str, after: int, publish: Callable[[], None]) -> Batch:
        """Read, and call `publish` in the window."""
        reading = asyncio.create_task(read_next(self.log, run_id, after))
        for _ in range(self.hits % 8):
            await checkpoint()
        publish()
        self.hits += 1
        return await reading
