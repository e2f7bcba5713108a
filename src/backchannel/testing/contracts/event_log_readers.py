"""Readers wait, are woken, and need no memory but their position."""

import asyncio
import gc
import tracemalloc

from anyio.lowlevel import checkpoint

from backchannel.event_logs.base import EventLog, Frame
from backchannel.testing.contracts.event_log_base import (
    ADA,
    TIMEOUT_SECONDS,
    EventLogSuite,
    append_events,
    batch_of,
    begin_run,
    checked_numbers,
    read_available,
    read_next,
    read_until,
    start_readers,
    text_delta,
    whole_event,
)

STALLED_DELTAS, STALLED_BYTES, FEW_FRAMES = 20_000, 1_048_576, 100


class ReadersSuite(EventLogSuite):
    """Part of `EventLogContract`: waiting and waking."""

    async def test_a_reader_waits_at_most_for_its_timeout(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        await append_events(event_log, run_id, [1])
        for log in (event_log, another_log):
            for wait in (0, 0.01):
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    batch = await log.read(run_id, 1, wait=wait)
                assert (list(batch.frames), batch.ended, batch.released) == ([], False, False)

    async def test_a_reader_with_nothing_to_read_waits(self, event_log: EventLog, another_log: EventLog):
        # Also if numbers have jumped since its last event: otherwise readers would poll without pause.
        run_id = await begin_run(event_log)
        await append_events(event_log, run_id, [1])
        await event_log.begin(run_id, ADA, fence=2, after_crash=True)
        for log in (event_log, another_log):
            began = asyncio.get_running_loop().time()
            batch = await log.read(run_id, 1, wait=0.05)
            assert (list(batch.frames), batch.ended) == ([], False)
            assert asyncio.get_running_loop().time() - began > 0.04

    async def test_text_wakes_every_reader(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        readers = [*await start_readers(event_log, run_id, 3), *await start_readers(another_log, run_id, 3)]
        event_log.append(run_id, text_delta(1))
        for reader in readers:
            batch = await batch_of(reader)
            assert (list(batch.frames), batch.ended) == ([Frame(1, text_delta(1))], False)

    async def test_a_whole_event_wakes_every_reader(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        readers = [*await start_readers(event_log, run_id, 3), *await start_readers(another_log, run_id, 3)]
        event_log.append(run_id, whole_event(1))
        for reader in readers:
            batch = await batch_of(reader)
            assert (list(batch.frames), batch.ended) == ([Frame(1, whole_event(1))], False)

    async def test_the_end_wakes_every_reader(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        readers = [*await start_readers(event_log, run_id, 3), *await start_readers(another_log, run_id, 3)]
        await event_log.end(run_id)
        for reader in readers:
            batch = await batch_of(reader)
            assert (list(batch.frames), batch.ended) == ([], True)

    async def test_readers_at_different_positions_are_woken(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        await append_events(event_log, run_id, [1, 2, 3])
        # One is ahead of the stored events, as if it had read from a process with newer ones.
        readers = [
            reader
            for log in (event_log, another_log)
            for after in (4, 3)
            for reader in await start_readers(log, run_id, 1, after)
        ]
        event_log.append(run_id, text_delta(4))
        event_log.append(run_id, text_delta(5))
        for reader, first in zip(readers, (5, 4, 5, 4), strict=True):
            assert checked_numbers((await batch_of(reader)).frames)[0] == first

    async def test_a_cancelled_reader_does_not_affect_others(
        self, event_log: EventLog, another_log: EventLog
    ):
        run_id = await begin_run(event_log)
        logs = (event_log, another_log)
        readers = [await start_readers(log, run_id, 3) for log in logs]
        for leaving, _, late in readers:
            leaving.cancel()
            await asyncio.wait([leaving])
            late.cancel()
        event_log.append(run_id, text_delta(1))
        for _, staying, late in readers:
            assert checked_numbers((await batch_of(staying)).frames) == [1]
            assert (await asyncio.wait([late]))[0]

    async def test_disconnected_readers_are_released(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        readers = await start_readers(event_log, run_id, 3)
        event_log.disconnect_readers()
        for reader in readers:
            batch = await batch_of(reader)
            assert (list(batch.frames), batch.ended, batch.released) == ([], False, True)
        # Available events and the end are still delivered.
        await append_events(event_log, run_id, [1])
        batch = await read_next(event_log, run_id)
        assert (checked_numbers(batch.frames), batch.released) == ([1], False)
        assert (await read_next(event_log, run_id, 1)).released
        if another_log is not event_log:
            assert checked_numbers((await read_next(another_log, run_id)).frames) == [1]
        await event_log.end(run_id)
        batch = await read_next(event_log, run_id, 1)
        assert (batch.ended, batch.released) == (True, False)

    async def test_disconnecting_affects_readers_of_one_process(
        self, event_log: EventLog, another_log: EventLog
    ):
        self.skip_unless_shared()
        run_id = await begin_run(event_log)
        (here,), (there,) = (
            await start_readers(event_log, run_id, 1),
            await start_readers(another_log, run_id, 1),
        )
        another_log.disconnect_readers()
        assert (await batch_of(there)).released
        assert (await read_next(another_log, run_id)).released
        assert not here.done()
        event_log.append(run_id, text_delta(1))
        assert checked_numbers((await batch_of(here)).frames) == [1]

    async def test_closing_the_log_wakes_every_reader(self, event_log: EventLog):
        runs = [await begin_run(event_log) for _ in range(2)]
        readers = [reader for run_id in runs for reader in await start_readers(event_log, run_id, 2)]
        await event_log.aclose()
        for reader in readers:
            assert (await batch_of(reader)).ended

    async def test_closing_the_log_stores_appended_events(self, event_log: EventLog, another_log: EventLog):
        self.skip_unless_shared()
        run_id = await begin_run(event_log)
        for number in (1, 2):
            event_log.append(run_id, text_delta(number))
        await event_log.aclose()
        assert checked_numbers((await read_available(another_log, run_id)).frames) == [1, 2]

    async def test_a_working_log_passes_its_health_check(self, event_log: EventLog):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await event_log.check()

    async def test_a_stalled_reader_uses_little_memory_and_catches_up(
        self, event_log: EventLog, another_log: EventLog
    ):
        run_id = await begin_run(event_log)
        await append_events(event_log, run_id, [1], text_delta)
        for log in (event_log, another_log):
            await read_until(log, run_id, 1)
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for number in range(2, STALLED_DELTAS + 2):
                event_log.append(run_id, text_delta(number))
                if number % 500 == 0:
                    await checkpoint()
            await event_log.flush(run_id)
            gc.collect()
            cost = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert cost < STALLED_BYTES
        for log in (event_log, another_log):
            frames = await read_until(log, run_id, STALLED_DELTAS + 1, 1)
            assert checked_numbers(frames) == list(range(2, STALLED_DELTAS + 2))
            assert len(frames) < FEW_FRAMES
