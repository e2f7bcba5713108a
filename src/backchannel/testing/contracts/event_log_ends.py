"""The end of a run's log, and its expiry."""

import asyncio

import pytest

from backchannel.event_logs.base import EventLog
from backchannel.ids import new_id
from backchannel.testing.contracts.event_log_base import (
    TIMEOUT_SECONDS,
    EventLogSuite,
    append_events,
    batch_of,
    begin_run,
    checked_numbers,
    read_available,
    read_next,
    sample_event,
    start_readers,
)


class EndsSuite(EventLogSuite):
    """Part of `EventLogContract`: the end and the expiry of runs."""

    async def test_an_unknown_run_is_a_lookup_error(self, event_log: EventLog):
        for _ in range(2):
            with pytest.raises(LookupError):
                await event_log.read(new_id("run"), 0, wait=TIMEOUT_SECONDS)

    async def test_an_ended_run_can_be_read_repeatedly(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        event_log.append(run_id, sample_event(1))
        await event_log.end(run_id)
        for log in (event_log, another_log) * 3:
            batch = await read_next(log, run_id)
            assert (checked_numbers(batch.frames), batch.ended) == ([1], True)
            batch = await read_next(log, run_id, 1)
            assert (checked_numbers(batch.frames), batch.ended) == ([], True)

    async def test_the_end_is_delivered_after_all_events(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        readers = [*await start_readers(event_log, run_id, 1), *await start_readers(another_log, run_id, 1)]
        for number in range(1, 6):
            event_log.append(run_id, sample_event(number))
        await event_log.end(run_id)
        for log, reader in zip((event_log, another_log), readers, strict=True):
            batch = await batch_of(reader)
            received = checked_numbers(batch.frames)
            while not batch.ended:
                batch = await read_next(log, run_id, received[-1])
                received += checked_numbers(batch.frames)
            assert received == [1, 2, 3, 4, 5]

    async def test_nothing_comes_after_the_end(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        await append_events(event_log, run_id, [1])
        await event_log.end(run_id)
        event_log.append(run_id, sample_event(2))
        await event_log.flush(run_id)
        await event_log.end(run_id)
        for log in (event_log, another_log):
            batch = await read_next(log, run_id)
            assert (checked_numbers(batch.frames), batch.ended) == ([1], True)

    async def test_an_ended_run_expires_and_a_running_one_does_not(self, expiring_log: EventLog):
        ended, running = await begin_run(expiring_log), await begin_run(expiring_log)
        for run_id in (ended, running):
            await append_events(expiring_log, run_id, [1])
        await expiring_log.end(ended)
        with pytest.raises(LookupError):
            await _read_until_gone(expiring_log, ended)
        batch = await read_available(expiring_log, running)
        assert checked_numbers(batch.frames) == [1]

    async def test_a_waiting_reader_receives_the_end_before_expiry(self, expiring_log: EventLog):
        run_id = await begin_run(expiring_log)
        (reader,) = await start_readers(expiring_log, run_id, 1)
        expiring_log.append(run_id, sample_event(1))
        await expiring_log.end(run_id)
        batch = await batch_of(reader)
        assert checked_numbers(batch.frames) == [1]
        while not batch.ended:
            batch = await read_next(expiring_log, run_id, 1)
            assert not batch.frames


async def _read_until_gone(log: EventLog, run_id: str) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            await log.read(run_id, 0, wait=0)
            await asyncio.sleep(0.01)
