"""The change from replay to live events: a reader that starts during a run receives each event once."""

import asyncio

import pytest
from anyio.lowlevel import checkpoint

from backchannel.event_logs.base import EventLog
from backchannel.testing.contracts.event_log_base import (
    LONG_WAIT_SECONDS,
    TIMEOUT_SECONDS,
    EventLogSuite,
    Window,
    append_events,
    begin_run,
    checked_numbers,
    read_next,
    sample_event,
    text_delta,
)

EVENTS = 8
CONCURRENT = 256


class CatchUpSuite(EventLogSuite):
    """Part of `EventLogContract`: many concurrent runs, each interleaved differently.

    Attributes:
        rounds: The number of runs, each read by three readers while it is written.
        windows: The number of events that are published between replay and live.
    """

    rounds = 2048
    windows = 10_000

    @pytest.fixture
    def window(self, another_log: EventLog) -> Window:
        """The window between replay and live of a reader; see `Window`."""
        return Window(another_log)

    async def test_replay_and_live_have_no_gap_and_no_repetition(
        self, event_log: EventLog, another_log: EventLog
    ):
        logs, poll_seconds = (event_log, another_log, event_log), 0.005 if self.shared else 0
        for first in range(0, self.rounds, CONCURRENT):
            async with asyncio.timeout(2 * TIMEOUT_SECONDS), asyncio.TaskGroup() as group:
                for number in range(first, min(first + CONCURRENT, self.rounds)):
                    run_id = await begin_run(event_log)
                    group.create_task(_write(event_log, run_id, number))
                    for reader, log in enumerate(logs):
                        group.create_task(_follow(log, run_id, number, reader, poll_seconds))

    async def test_no_event_is_lost_between_replay_and_live(self, event_log: EventLog, window: Window):
        runs = [await begin_run(event_log) for _ in range(CONCURRENT)]
        for run_id in runs:
            event_log.append(run_id, sample_event(1))
        await asyncio.gather(*(append_events(event_log, run_id, ()) for run_id in runs))
        turns = -(-self.windows // CONCURRENT)

        async def turn(run_id: str, last: int) -> None:
            batch = await window.read(run_id, last, lambda: event_log.append(run_id, sample_event(last + 1)))
            assert checked_numbers(batch.frames) == [last + 1]

        for last in range(1, turns + 1):
            async with asyncio.timeout(3 * TIMEOUT_SECONDS):
                await asyncio.gather(*(turn(run_id, last) for run_id in runs))
        assert window.hits >= self.windows
        assert checked_numbers((await read_next(event_log, runs[0])).frames) == list(range(1, turns + 2))


async def _write(log: EventLog, run_id: str, number: int) -> None:
    # The bits of the round's number determine after which events the writer yields to the readers.
    for seq in range(1, EVENTS + 1):
        log.append(run_id, sample_event(seq) if number % 5 else text_delta(seq))
        if number >> (seq - 1) & 1:
            await checkpoint()
    await log.end(run_id)


async def _follow(log: EventLog, run_id: str, number: int, reader: int, poll_seconds: float) -> None:
    for _ in range((number >> EVENTS & 7) * reader):
        await checkpoint()
    start = after = reader * 2
    seen: list[int] = []
    while True:
        batch = await log.read(run_id, after, wait=0 if reader == number % 4 else LONG_WAIT_SECONDS)
        seen += checked_numbers(batch.frames)
        if batch.frames:
            after = batch.frames[-1].seq
        if batch.ended:
            break
        # A reader with `wait=0` polls: do not let it starve the writer.
        await asyncio.sleep(0 if batch.frames or not poll_seconds else poll_seconds)
    assert seen == list(range(start + 1, EVENTS + 1)), f"round {number}, reader from {start}"
