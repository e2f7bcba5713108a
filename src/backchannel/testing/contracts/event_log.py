"""What every event log must do."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from backchannel.event_logs.base import Event, EventLog, Frame
from backchannel.ids import new_id

PATIENCE = 10.0
"""Seconds after which a reader that should have been woken counts as forgotten."""


class EventLogContract(ABC):
    """Inherit as `class TestMine(EventLogContract)` and override the two fixtures.

    Attributes:
        rounds: How many runs are appended to and read at the same time, each interleaved differently.
    """

    rounds = 2048

    @abstractmethod
    @pytest.fixture
    def event_log(self) -> Any:
        """A log, empty, that keeps the events of ended runs for at least a minute."""

    @abstractmethod
    @pytest.fixture
    def forgetful_log(self) -> Any:
        """A log, empty, that keeps the events of ended runs for a tenth of a second or less."""

    async def test_events_are_numbered_from_1(self, event_log: EventLog):
        run_id = _opened(event_log)
        for number in range(3):
            event_log.append(run_id, _event(number))
        batch = await event_log.read(run_id, 0, wait=PATIENCE)
        assert list(batch.frames) == [Frame(number + 1, _event(number)) for number in range(3)]
        assert not batch.ended

    async def test_events_come_back_as_they_were_appended(self, event_log: EventLog):
        run_id = _opened(event_log)
        events = [Event(b'{"type":"x"}'), Event(b'{"d":{"delta":', "\x00 \r\n\u2028 😀"), Event(b"{}", "")]
        for event in events:
            event_log.append(run_id, event)
        batch = await event_log.read(run_id, 0, wait=PATIENCE)
        assert [frame.event for frame in batch.frames] == events

    @pytest.mark.parametrize("after", [0, 1, 4, 5])
    @pytest.mark.parametrize("ended", [False, True])
    async def test_a_reader_starts_anywhere(self, event_log: EventLog, after: int, ended: bool):
        run_id = _opened(event_log)
        for number in range(5):
            event_log.append(run_id, _event(number))
        if ended:
            event_log.close(run_id)
        batch = await event_log.read(run_id, after, wait=0)
        assert [frame.seq for frame in batch.frames] == list(range(after + 1, 6))
        assert batch.ended == ended

    async def test_runs_do_not_mix(self, event_log: EventLog):
        one, two = _opened(event_log), _opened(event_log)
        event_log.append(one, _event(1))
        event_log.append(two, _event(2))
        event_log.close(one)
        first = await event_log.read(one, 0, wait=PATIENCE)
        second = await event_log.read(two, 0, wait=PATIENCE)
        assert (list(first.frames), first.ended) == ([Frame(1, _event(1))], True)
        assert (list(second.frames), second.ended) == ([Frame(1, _event(2))], False)

    async def test_a_batch_does_not_change_afterwards(self, event_log: EventLog):
        run_id = _opened(event_log)
        event_log.append(run_id, _event(0))
        batch = await event_log.read(run_id, 0, wait=PATIENCE)
        event_log.append(run_id, _event(1))
        event_log.close(run_id)
        assert (len(batch.frames), batch.ended) == (1, False)

    async def test_a_reader_waits_no_longer_than_it_is_willing_to(self, event_log: EventLog):
        run_id = _opened(event_log)
        event_log.append(run_id, _event(0))
        for wait in (0, 0.01):
            async with asyncio.timeout(PATIENCE):
                batch = await event_log.read(run_id, 1, wait=wait)
            assert (list(batch.frames), batch.ended) == ([], False)

    async def test_an_event_wakes_every_reader(self, event_log: EventLog):
        run_id = _opened(event_log)
        readers = await _waiting(event_log, run_id, 3)
        event_log.append(run_id, _event(0))
        for reader in readers:
            batch = await asyncio.wait_for(reader, PATIENCE)
            assert (list(batch.frames), batch.ended) == ([Frame(1, _event(0))], False)

    async def test_the_end_wakes_every_reader(self, event_log: EventLog):
        run_id = _opened(event_log)
        readers = await _waiting(event_log, run_id, 3)
        event_log.close(run_id)
        for reader in readers:
            batch = await asyncio.wait_for(reader, PATIENCE)
            assert (list(batch.frames), batch.ended) == ([], True)

    async def test_closing_the_log_wakes_every_reader(self, event_log: EventLog):
        runs = [_opened(event_log) for _ in range(2)]
        readers = [reader for run_id in runs for reader in await _waiting(event_log, run_id, 2)]
        await event_log.aclose()
        for reader in readers:
            batch = await asyncio.wait_for(reader, PATIENCE)
            assert (list(batch.frames), batch.ended) == ([], True)

    async def test_a_reader_that_goes_away_disturbs_nobody(self, event_log: EventLog):
        run_id = _opened(event_log)
        leaving, staying = await _waiting(event_log, run_id, 2)
        leaving.cancel()
        await asyncio.wait([leaving])
        event_log.append(run_id, _event(0))
        batch = await asyncio.wait_for(staying, PATIENCE)
        assert [frame.seq for frame in batch.frames] == [1]

    async def test_an_unknown_run_is_a_lookup_error(self, event_log: EventLog):
        with pytest.raises(LookupError):
            await event_log.read(new_id("run"), 0, wait=PATIENCE)

    async def test_an_ended_run_can_be_read_again_and_again(self, event_log: EventLog):
        run_id = _opened(event_log)
        event_log.append(run_id, _event(0))
        event_log.close(run_id)
        for _ in range(3):
            batch = await event_log.read(run_id, 0, wait=PATIENCE)
            assert ([frame.seq for frame in batch.frames], batch.ended) == ([1], True)

    async def test_an_ended_run_expires_and_a_running_one_does_not(self, forgetful_log: EventLog):
        ended, running = _opened(forgetful_log), _opened(forgetful_log)
        for run_id in (ended, running):
            forgetful_log.append(run_id, _event(0))
        forgetful_log.close(ended)
        with pytest.raises(LookupError):
            await _read_until_gone(forgetful_log, ended)
        batch = await forgetful_log.read(running, 0, wait=0)
        assert [frame.seq for frame in batch.frames] == [1]

    async def test_a_reader_that_waits_at_the_end_is_told_before_it_expires(self, forgetful_log: EventLog):
        run_id = _opened(forgetful_log)
        (reader,) = await _waiting(forgetful_log, run_id, 1)
        forgetful_log.append(run_id, _event(0))
        forgetful_log.close(run_id)
        batch = await asyncio.wait_for(reader, PATIENCE)
        assert ([frame.seq for frame in batch.frames], batch.ended) == ([1], True)

    async def test_replay_and_live_meet_without_gap_or_repetition(self, event_log: EventLog):
        for number in range(self.rounds):
            run_id = _opened(event_log)
            async with asyncio.timeout(PATIENCE):
                read, *_ = await asyncio.gather(
                    asyncio.gather(*(_follow(event_log, run_id, number, reader) for reader in range(3))),
                    _speak(event_log, run_id, number),
                )
            for start, seen in read:
                expected = [Frame(seq, _event(seq)) for seq in range(start + 1, _EVENTS + 1)]
                assert seen == expected, f"round {number}, reader from {start}"


_EVENTS = 8
_IDLE_STEPS = 20


def _opened(log: EventLog) -> str:
    run_id = new_id("run")
    log.open(run_id)
    return run_id


def _event(number: int) -> Event:
    return Event(b'{"update":{"delta":', str(number)) if number % 3 else Event(f'{{"n":{number}}}'.encode())


async def _read_until_gone(log: EventLog, run_id: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            await log.read(run_id, 0, wait=0)
            await asyncio.sleep(0.01)


async def _waiting(log: EventLog, run_id: str, count: int) -> Sequence[asyncio.Task[Any]]:
    """Readers that have nothing to read yet."""
    readers = [asyncio.create_task(log.read(run_id, 0, wait=10 * PATIENCE)) for _ in range(count)]
    for _ in range(_IDLE_STEPS):
        await checkpoint()
    assert not any(reader.done() for reader in readers)
    return readers


async def _speak(log: EventLog, run_id: str, number: int) -> None:
    # The bits of the round's number say after which events the run gives way to its readers.
    for seq in range(1, _EVENTS + 1):
        log.append(run_id, _event(seq))
        if number >> (seq - 1) & 1:
            await checkpoint()
    log.close(run_id)


async def _follow(log: EventLog, run_id: str, number: int, reader: int) -> tuple[int, list[Frame]]:
    for _ in range((number >> _EVENTS & 7) * reader):
        await checkpoint()
    start = after = reader * 2
    seen: list[Frame] = []
    while True:
        batch = await log.read(run_id, after, wait=0 if reader == number % 4 else PATIENCE)
        seen.extend(batch.frames)
        if batch.frames:
            after = batch.frames[-1].seq
        if batch.ended:
            return start, seen
        await checkpoint()
