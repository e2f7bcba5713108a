"""Replay and live meet: a reader that comes while a run goes on gets each event once, whatever the moment."""

import asyncio

import pytest
from anyio.lowlevel import checkpoint

from backchannel.event_logs.base import EventLog
from backchannel.testing.contracts.event_log_base import (
    LONGER,
    PATIENCE,
    EventLogSuite,
    Window,
    begun,
    in_place,
    read,
    say,
    word,
)
from backchannel.testing.contracts.event_log_base import said as spoken

EVENTS = 8
AT_ONCE = 256


class MeetingSuite(EventLogSuite):
    """Many runs at the same time, each interleaved in its own way.

    Attributes:
        rounds: How many runs are followed by three readers each while they speak.
        windows: How many events are published between replay and live.
    """

    rounds = 2048
    windows = 10_000

    @pytest.fixture
    def window(self, another_log: EventLog) -> Window:
        """The moment between replay and live of a reader; see `Window`."""
        return Window(another_log)

    async def test_replay_and_live_have_no_gap_and_no_repetition(
        self, event_log: EventLog, another_log: EventLog
    ):
        logs, idle = (event_log, another_log, event_log), 0.005 if self.shared else 0
        for first in range(0, self.rounds, AT_ONCE):
            async with asyncio.timeout(2 * PATIENCE), asyncio.TaskGroup() as group:
                for number in range(first, min(first + AT_ONCE, self.rounds)):
                    run_id = await begun(event_log)
                    group.create_task(_speak(event_log, run_id, number))
                    for reader, log in enumerate(logs):
                        group.create_task(_follow(log, run_id, number, reader, idle))

    async def test_no_event_is_lost_between_replay_and_live(self, event_log: EventLog, window: Window):
        runs = [await begun(event_log) for _ in range(AT_ONCE)]
        for run_id in runs:
            event_log.append(run_id, spoken(1))
        await asyncio.gather(*(say(event_log, run_id, ()) for run_id in runs))
        turns = -(-self.windows // AT_ONCE)

        async def turn(run_id: str, last: int) -> None:
            batch = await window.read(run_id, last, lambda: event_log.append(run_id, spoken(last + 1)))
            assert in_place(batch.frames) == [last + 1]

        for last in range(1, turns + 1):
            async with asyncio.timeout(3 * PATIENCE):
                await asyncio.gather(*(turn(run_id, last) for run_id in runs))
        assert window.hits >= self.windows
        assert in_place((await read(event_log, runs[0])).frames) == list(range(1, turns + 2))


async def _speak(log: EventLog, run_id: str, number: int) -> None:
    # The bits of the round's number say after which events the run gives way to its readers.
    for seq in range(1, EVENTS + 1):
        log.append(run_id, spoken(seq) if number % 5 else word(seq))
        if number >> (seq - 1) & 1:
            await checkpoint()
    await log.end(run_id)


async def _follow(log: EventLog, run_id: str, number: int, reader: int, idle: float) -> None:
    for _ in range((number >> EVENTS & 7) * reader):
        await checkpoint()
    start = after = reader * 2
    seen: list[int] = []
    while True:
        batch = await log.read(run_id, after, wait=0 if reader == number % 4 else LONGER)
        seen += in_place(batch.frames)
        if batch.frames:
            after = batch.frames[-1].seq
        if batch.ended:
            break
        # One that does not wait comes back all the time; between processes there is more time to fill.
        await asyncio.sleep(0 if batch.frames or not idle else idle)
    assert seen == list(range(start + 1, EVENTS + 1)), f"round {number}, reader from {start}"
