"""Writers of a log: begin, take over, release, and the sequence numbers across them."""

import pytest

from backchannel.event_logs.base import JUMP, EventLog, FencedError, Frame
from backchannel.ids import new_id
from backchannel.testing.contracts.event_log_base import (
    ADA,
    TIMEOUT_SECONDS,
    EventLogSuite,
    append_events,
    begin_run,
    checked_numbers,
    event_numbers,
    read_available,
    read_next,
    read_to_end,
    read_until,
    sample_event,
    text_delta,
    whole_event,
)


class WritersSuite(EventLogSuite):
    """Part of `EventLogContract`: begin, take over and release."""

    async def test_a_log_that_has_not_begun_a_run_cannot_write_it(self, event_log: EventLog):
        run_id = new_id("run")
        event_log.append(run_id, sample_event(1))
        await event_log.flush(run_id)
        await event_log.end(run_id)
        await event_log.release(run_id)
        with pytest.raises(LookupError):
            await event_log.read(run_id, 0, wait=TIMEOUT_SECONDS)

    async def test_beginning_again_with_the_same_fence_continues(
        self, event_log: EventLog, another_log: EventLog
    ):
        run_id = await begin_run(event_log)
        await event_log.begin(run_id, ADA, fence=1)
        event_log.append(run_id, text_delta(1))
        event_log.append(run_id, whole_event(2))
        await event_log.begin(run_id, ADA, fence=1)
        await append_events(event_log, run_id, [3, 4])
        assert await event_log.begin(run_id, ADA, fence=1) == 4
        await append_events(event_log, run_id, [5])
        for log in (event_log, another_log):
            assert checked_numbers((await read_next(log, run_id)).frames) == [1, 2, 3, 4, 5]

    async def test_beginning_again_after_a_crash_jumps_once(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        await append_events(event_log, run_id, [1])
        await event_log.release(run_id)
        for number in (2, 3):
            await another_log.begin(run_id, ADA, fence=2, after_crash=True)
            another_log.append(run_id, whole_event(number))
        await another_log.end(run_id)
        for log in (event_log, another_log):
            frames = await read_to_end(log, run_id, 1)
            assert event_numbers(frames) == [2, 3]
            assert [frame.seq % JUMP for frame in frames] in ([1, 2], [1, 1])

    async def test_a_smaller_fence_is_rejected(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log, fence=5)
        await append_events(event_log, run_id, [1])
        for log in (another_log, event_log):
            with pytest.raises(FencedError):
                await log.begin(run_id, ADA, fence=4)
        await append_events(event_log, run_id, [2])
        assert checked_numbers((await read_next(another_log, run_id)).frames) == [1, 2]

    @pytest.mark.parametrize("fence", [0, 1])
    async def test_after_a_release_the_next_writer_continues(
        self, event_log: EventLog, another_log: EventLog, fence: int
    ):
        run_id = await begin_run(event_log, fence=fence)
        for number in (1, 2, 3, 4):
            event_log.append(run_id, sample_event(number))
        assert await event_log.release(run_id)
        assert await another_log.begin(run_id, ADA, fence=fence + 1) == 4
        await append_events(another_log, run_id, [5, 6])
        assert await another_log.release(run_id)
        assert await event_log.begin(run_id, ADA, fence=fence + 2) == 6
        await append_events(event_log, run_id, [7])
        await event_log.end(run_id)
        for log in (event_log, another_log):
            for after in range(8):
                frames = await read_until(log, run_id, 7, after) if after < 7 else []
                assert checked_numbers(frames) == list(range(after + 1, 8))

    async def test_a_writer_cannot_write_after_its_release(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        await append_events(event_log, run_id, [1])
        await event_log.release(run_id)
        event_log.append(run_id, text_delta(98))
        event_log.append(run_id, whole_event(99))
        await event_log.flush(run_id)
        await event_log.end(run_id)
        await event_log.release(run_id)
        for log in (event_log, another_log):
            batch = await read_available(log, run_id)
            assert (checked_numbers(batch.frames), batch.ended) == ([1], False)

    async def test_numbers_jump_after_a_crash(self, event_log: EventLog, another_log: EventLog):
        run_id = await begin_run(event_log)
        await append_events(event_log, run_id, [1, 2, 3])
        assert await another_log.begin(run_id, ADA, fence=2, after_crash=True) == 3
        await append_events(another_log, run_id, [4, 5])
        # This writer dies before it has stored an event. The numbers that it may have delivered must not be reused.
        assert await event_log.begin(run_id, ADA, fence=3, after_crash=True) == JUMP + 2
        assert await another_log.begin(run_id, ADA, fence=4, after_crash=True) == JUMP + 2
        await append_events(another_log, run_id, [7], whole_event)
        frames: list[Frame] = []
        while event_numbers(frames)[-1:] != [7]:
            batch = await read_next(event_log, run_id, frames[-1].seq if frames else 0)
            frames += batch.frames
        assert event_numbers(frames) == [1, 2, 3, 4, 5, 7]
        assert frames[-2].seq == JUMP + 2
        assert frames[-1].seq == 3 * JUMP + 1

    async def test_an_unknown_run_can_begin_after_a_crash(self, event_log: EventLog):
        run_id = new_id("run")
        assert await event_log.begin(run_id, ADA, fence=3, after_crash=True) == 0
        await append_events(event_log, run_id, [1], whole_event)
        assert list((await read_next(event_log, run_id)).frames) == [Frame(JUMP + 1, whole_event(1))]
        assert list((await read_next(event_log, run_id, 40)).frames) == [Frame(JUMP + 1, whole_event(1))]

    async def test_a_larger_fence_takes_over_in_the_same_process(
        self, event_log: EventLog, another_log: EventLog
    ):
        run_id = await begin_run(event_log)
        await append_events(event_log, run_id, [1, 2, 3])
        assert await event_log.begin(run_id, ADA, fence=2) == 3
        await append_events(event_log, run_id, [4, 5])
        await event_log.end(run_id)
        for log in (event_log, another_log):
            assert checked_numbers(await read_until(log, run_id, 5)) == [1, 2, 3, 4, 5]
