"""How a run's log ends and is forgotten."""

import asyncio

import pytest

from backchannel.event_logs.base import EventLog
from backchannel.ids import new_id
from backchannel.testing.contracts.event_log_base import (
    PATIENCE,
    EventLogSuite,
    begun,
    in_place,
    read,
    read_past,
    said,
    say,
    told,
    waiting,
)


class EndsSuite(EventLogSuite):
    """The end, and what comes after it."""

    async def test_an_unknown_run_is_a_lookup_error(self, event_log: EventLog):
        for _ in range(2):
            with pytest.raises(LookupError):
                await event_log.read(new_id("run"), 0, wait=PATIENCE)

    async def test_an_ended_run_can_be_read_repeatedly(self, event_log: EventLog, another_log: EventLog):
        run_id = await begun(event_log)
        event_log.append(run_id, said(1))
        await event_log.end(run_id)
        for log in (event_log, another_log) * 3:
            batch = await read(log, run_id)
            assert (in_place(batch.frames), batch.ended) == ([1], True)
            batch = await read(log, run_id, 1)
            assert (in_place(batch.frames), batch.ended) == ([], True)

    async def test_the_end_is_delivered_after_all_events(self, event_log: EventLog, another_log: EventLog):
        run_id = await begun(event_log)
        readers = [*await waiting(event_log, run_id, 1), *await waiting(another_log, run_id, 1)]
        for number in range(1, 6):
            event_log.append(run_id, said(number))
        await event_log.end(run_id)
        for log, reader in zip((event_log, another_log), readers, strict=True):
            batch = await told(reader)
            found = in_place(batch.frames)
            while not batch.ended:
                batch = await read(log, run_id, found[-1])
                found += in_place(batch.frames)
            assert found == [1, 2, 3, 4, 5]

    async def test_nothing_comes_after_the_end(self, event_log: EventLog, another_log: EventLog):
        run_id = await begun(event_log)
        await say(event_log, run_id, [1])
        await event_log.end(run_id)
        event_log.append(run_id, said(2))
        await event_log.flush(run_id)
        await event_log.end(run_id)
        for log in (event_log, another_log):
            batch = await read(log, run_id)
            assert (in_place(batch.frames), batch.ended) == ([1], True)

    async def test_an_ended_run_expires_and_a_running_one_does_not(self, forgetful_log: EventLog):
        ended, running = await begun(forgetful_log), await begun(forgetful_log)
        for run_id in (ended, running):
            await say(forgetful_log, run_id, [1])
        await forgetful_log.end(ended)
        with pytest.raises(LookupError):
            await _read_until_gone(forgetful_log, ended)
        batch = await read_past(forgetful_log, running)
        assert in_place(batch.frames) == [1]

    async def test_a_waiting_reader_receives_the_end_before_expiry(self, forgetful_log: EventLog):
        run_id = await begun(forgetful_log)
        (reader,) = await waiting(forgetful_log, run_id, 1)
        forgetful_log.append(run_id, said(1))
        await forgetful_log.end(run_id)
        batch = await told(reader)
        assert in_place(batch.frames) == [1]
        while not batch.ended:
            batch = await read(forgetful_log, run_id, 1)
            assert not batch.frames


async def _read_until_gone(log: EventLog, run_id: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            await log.read(run_id, 0, wait=0)
            await asyncio.sleep(0.01)
