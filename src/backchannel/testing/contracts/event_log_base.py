"""What the tests of event logs share: what runs say, readers, and the moment between replay and live."""

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

PATIENCE = 20.0
"""Seconds after which a reader that should have been woken counts as forgotten."""

LONGER = 100 * PATIENCE
"""Seconds that readers are willing to wait: one that is forgotten does not come back by itself before that."""

_WORD = re.compile(r"<\d+>")
_IDLE_STEPS = 20


class EventLogSuite:
    """The fixtures of every part of the contract; see `EventLogContract`."""

    shared = True

    @abstractmethod
    @pytest.fixture
    def event_log(self) -> Any:
        """A log, empty, that keeps the events of ended runs for at least a minute."""

    @abstractmethod
    @pytest.fixture
    def another_log(self) -> Any:
        """The same log as another process has it: what one appends, readers of the other see. For a log in one
        process's memory, the same object as `event_log`."""

    @abstractmethod
    @pytest.fixture
    def forgetful_log(self) -> Any:
        """A log, empty, that keeps the events of ended runs for a tenth of a second or less."""

    def need_sharing(self) -> None:
        """Skip what only processes that share a log can do."""
        if not self.shared:
            pytest.skip("a log of one process")


def word(number: int) -> Event:
    """What a run says as its event `number`, as a text delta that tells its number."""
    return Event(b'{"update":{"delta":', f"<{number}>")


def said(number: int) -> Event:
    """What a run says as its event `number`: mostly words, and a whole event for each third one."""
    return word(number) if number % 3 else whole(number)


def whole(number: int) -> Event:
    """What a run says as its event `number`, as a whole event."""
    return Event(f'{{"n":"<{number}>"}}'.encode())


def numbers(frames: Iterable[Frame]) -> list[int]:
    """The numbers that events told, in order; joined ones taken apart."""
    return [
        int(found[1:-1])
        for frame in frames
        for found in _WORD.findall(frame.event.text or frame.event.head.decode())
    ]


def in_place(frames: Iterable[Frame]) -> list[int]:
    """The numbers that events told, in order, where each event must have the sequence number that it tells."""
    found: list[int] = []
    for frame in frames:
        told = numbers([frame])
        assert told, f"an event without a number: {frame}"
        assert told == list(range(frame.seq - len(told) + 1, frame.seq + 1)), f"out of place: {frame}"
        found += told
    return found


async def begun(log: EventLog, *, fence: int = 1) -> str:
    """A new run, written by `log`."""
    run_id = new_id("run")
    assert await log.begin(run_id, ADA, fence=fence) == 0
    return run_id


async def say(log: EventLog, run_id: str, told: Iterable[int], event: Callable[[int], Event] = said) -> None:
    """Append events and wait until they are kept."""
    for number in told:
        log.append(run_id, event(number))
    async with asyncio.timeout(PATIENCE):
        await log.flush(run_id)


async def read(log: EventLog, run_id: str, after: int = 0) -> Batch:
    """What there is, or the next thing that comes."""
    async with asyncio.timeout(PATIENCE):
        return await log.read(run_id, after, wait=LONGER)


async def read_past(log: EventLog, run_id: str, after: int = 0) -> Batch:
    """What there is, without waiting for more."""
    async with asyncio.timeout(PATIENCE):
        return await log.read(run_id, after, wait=0)


async def read_until(log: EventLog, run_id: str, seq: int, after: int = 0) -> list[Frame]:
    """Everything up to a number."""
    frames: list[Frame] = []
    while after < seq:
        batch = await read(log, run_id, after)
        assert batch.frames, f"nothing more after {after}: {batch}"
        frames += batch.frames
        after = batch.frames[-1].seq
    return frames


async def follow(
    log: EventLog, run_id: str, after: int = 0, *, wait: float = LONGER, pause: int = 0
) -> list[Frame]:
    """Everything until the run ends, as a reader gets it who pauses for some turns of the event loop in between."""
    frames: list[Frame] = []
    async with asyncio.timeout(2 * PATIENCE):
        while True:
            batch = await log.read(run_id, after, wait=wait)
            frames += batch.frames
            if batch.frames:
                assert batch.frames[0].seq > after, "a reader got an event again"
                after = batch.frames[-1].seq
            if batch.ended:
                return frames
            for _ in range(pause):
                await checkpoint()


async def idle() -> None:
    """Let everything happen that can happen at once."""
    for _ in range(_IDLE_STEPS):
        await checkpoint()


async def waiting(log: EventLog, run_id: str, count: int, after: int = 0) -> Sequence[asyncio.Task[Batch]]:
    """Readers that have nothing to read yet, and wait."""
    readers = [asyncio.create_task(log.read(run_id, after, wait=LONGER)) for _ in range(count)]
    await idle()
    assert not any(reader.done() for reader in readers)
    return readers


async def told(reader: asyncio.Task[Batch]) -> Batch:
    """What a reader who waited got."""
    async with asyncio.timeout(PATIENCE):
        return await reader


class Window:
    """The moment in which a reader has read the past and does not wait yet.

    This one does not know when it is: it tries one moment after the other. Where a log's own code has one, override
    `read` and call `publish` there.

    Attributes:
        log: The reader's.
        hits: How often something was published in that moment.
    """

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.hits = 0

    async def read(self, run_id: str, after: int, publish: Callable[[], None]) -> Batch:
        """Read, while something is published in the moment between the past and waiting."""
        reading = asyncio.create_task(read(self.log, run_id, after))
        for _ in range(self.hits % 8):
            await checkpoint()
        publish()
        self.hits += 1
        return await reading
