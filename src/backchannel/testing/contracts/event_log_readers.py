"""Readers wait, are woken, and cost nothing but their cursor."""

import asyncio
import gc
import tracemalloc

from anyio.lowlevel import checkpoint

from backchannel.event_logs.base import EventLog, Frame
from backchannel.testing.contracts.event_log_base import (
    ADA,
    PATIENCE,
    EventLogSuite,
    begun,
    in_place,
    read,
    read_past,
    read_until,
    say,
    told,
    waiting,
    whole,
    word,
)

STALLED_DELTAS, STALLED_BYTES, FEW_FRAMES = 20_000, 1_048_576, 100


class ReadersSuite(EventLogSuite):
    """Waiting and waking."""

    async def test_a_reader_waits_at_most_for_its_timeout(self, event_log: EventLog, another_log: EventLog):
        run_id = await begun(event_log)
        await say(event_log, run_id, [1])
        for log in (event_log, another_log):
            for wait in (0, 0.01):
                async with asyncio.timeout(PATIENCE):
                    batch = await log.read(run_id, 1, wait=wait)
                assert (list(batch.frames), batch.ended, batch.released) == ([], False, False)

    async def test_a_reader_with_nothing_to_read_waits(self, event_log: EventLog, another_log: EventLog):
        # Also when numbers have jumped since its last event: it must not be answered at once, again and again.
        run_id = await begun(event_log)
        await say(event_log, run_id, [1])
        await event_log.begin(run_id, ADA, fence=2, after_crash=True)
        for log in (event_log, another_log):
            began = asyncio.get_running_loop().time()
            batch = await log.read(run_id, 1, wait=0.05)
            assert (list(batch.frames), batch.ended) == ([], False)
            assert asyncio.get_running_loop().time() - began > 0.04

    async def test_text_wakes_every_reader(self, event_log: EventLog, another_log: EventLog):
        run_id = await begun(event_log)
        readers = [*await waiting(event_log, run_id, 3), *await waiting(another_log, run_id, 3)]
        event_log.append(run_id, word(1))
        for reader in readers:
            batch = await told(reader)
            assert (list(batch.frames), batch.ended) == ([Frame(1, word(1))], False)

    async def test_a_whole_event_wakes_every_reader(self, event_log: EventLog, another_log: EventLog):
        run_id = await begun(event_log)
        readers = [*await waiting(event_log, run_id, 3), *await waiting(another_log, run_id, 3)]
        event_log.append(run_id, whole(1))
        for reader in readers:
            batch = await told(reader)
            assert (list(batch.frames), batch.ended) == ([Frame(1, whole(1))], False)

    async def test_the_end_wakes_every_reader(self, event_log: EventLog, another_log: EventLog):
        run_id = await begun(event_log)
        readers = [*await waiting(event_log, run_id, 3), *await waiting(another_log, run_id, 3)]
        await event_log.end(run_id)
        for reader in readers:
            batch = await told(reader)
            assert (list(batch.frames), batch.ended) == ([], True)

    async def test_readers_at_different_positions_are_woken(self, event_log: EventLog, another_log: EventLog):
        run_id = await begun(event_log)
        await say(event_log, run_id, [1, 2, 3])
        # One is ahead of what is kept, as if it had read from a process that has told it more.
        readers = [
            reader
            for log in (event_log, another_log)
            for after in (4, 3)
            for reader in await waiting(log, run_id, 1, after)
        ]
        event_log.append(run_id, word(4))
        event_log.append(run_id, word(5))
        for reader, first in zip(readers, (5, 4, 5, 4), strict=True):
            assert in_place((await told(reader)).frames)[0] == first

    async def test_a_cancelled_reader_does_not_affect_others(
        self, event_log: EventLog, another_log: EventLog
    ):
        run_id = await begun(event_log)
        logs = (event_log, another_log)
        readers = [await waiting(log, run_id, 3) for log in logs]
        for leaving, _, late in readers:
            leaving.cancel()
            await asyncio.wait([leaving])
            late.cancel()
        event_log.append(run_id, word(1))
        for _, staying, late in readers:
            assert in_place((await told(staying)).frames) == [1]
            assert (await asyncio.wait([late]))[0]

    async def test_disconnected_readers_are_released(self, event_log: EventLog, another_log: EventLog):
        run_id = await begun(event_log)
        readers = await waiting(event_log, run_id, 3)
        event_log.disconnect_readers()
        for reader in readers:
            batch = await told(reader)
            assert (list(batch.frames), batch.ended, batch.released) == ([], False, True)
        # What there is, is told all the same, and so is the end.
        await say(event_log, run_id, [1])
        batch = await read(event_log, run_id)
        assert (in_place(batch.frames), batch.released) == ([1], False)
        assert (await read(event_log, run_id, 1)).released
        if another_log is not event_log:
            assert in_place((await read(another_log, run_id)).frames) == [1]
        await event_log.end(run_id)
        batch = await read(event_log, run_id, 1)
        assert (batch.ended, batch.released) == (True, False)

    async def test_disconnecting_affects_readers_of_one_process(
        self, event_log: EventLog, another_log: EventLog
    ):
        self.need_sharing()
        run_id = await begun(event_log)
        (here,), (there,) = await waiting(event_log, run_id, 1), await waiting(another_log, run_id, 1)
        another_log.disconnect_readers()
        assert (await told(there)).released
        assert (await read(another_log, run_id)).released
        assert not here.done()
        event_log.append(run_id, word(1))
        assert in_place((await told(here)).frames) == [1]

    async def test_closing_the_log_wakes_every_reader(self, event_log: EventLog):
        runs = [await begun(event_log) for _ in range(2)]
        readers = [reader for run_id in runs for reader in await waiting(event_log, run_id, 2)]
        await event_log.aclose()
        for reader in readers:
            assert (await told(reader)).ended

    async def test_closing_the_log_stores_appended_events(self, event_log: EventLog, another_log: EventLog):
        self.need_sharing()
        run_id = await begun(event_log)
        for number in (1, 2):
            event_log.append(run_id, word(number))
        await event_log.aclose()
        assert in_place((await read_past(another_log, run_id)).frames) == [1, 2]

    async def test_a_working_log_passes_its_health_check(self, event_log: EventLog):
        async with asyncio.timeout(PATIENCE):
            await event_log.check()

    async def test_a_stalled_reader_uses_little_memory_and_catches_up(
        self, event_log: EventLog, another_log: EventLog
    ):
        run_id = await begun(event_log)
        await say(event_log, run_id, [1], word)
        for log in (event_log, another_log):
            await read_until(log, run_id, 1)
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for number in range(2, STALLED_DELTAS + 2):
                event_log.append(run_id, word(number))
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
            assert in_place(frames) == list(range(2, STALLED_DELTAS + 2))
            assert len(frames) < FEW_FRAMES
