"""Logs that are shared between processes: one process writes, all read, and another one takes over."""

import asyncio

import pytest
from anyio.lowlevel import checkpoint

from backchannel.event_logs.base import JUMP, Event, EventLog, FencedError, Frame
from backchannel.testing.contracts.event_log_base import (
    ADA,
    LONG_WAIT_SECONDS,
    EventLogSuite,
    append_events,
    batch_of,
    begin_run,
    checked_numbers,
    event_numbers,
    read_available,
    read_next,
    read_to_end,
    sample_event,
    start_readers,
    text_delta,
    whole_event,
)

TURNS = 12


class SharingSuite(EventLogSuite):
    """Part of `EventLogContract`, for logs that are `shared`."""

    async def test_a_run_in_progress_is_readable_by_another_process(
        self, event_log: EventLog, another_log: EventLog
    ):
        self.skip_unless_shared()
        run_id, count = await begin_run(event_log), 400
        following = [
            asyncio.create_task(read_to_end(log, run_id, after, pause=pause))
            for log in (event_log, another_log)
            for after in (0, 7)
            for pause in (0, 3)
        ]
        for number in range(1, count + 1):
            event_log.append(run_id, sample_event(number) if number % 50 < 10 else text_delta(number))
            if number % 3 == 0:
                await checkpoint()
            if number % 40 == 0:
                await event_log.flush(run_id)
        await event_log.end(run_id)
        for index, frames in enumerate(await asyncio.gather(*following)):
            start = (0, 7)[index // 2 % 2]
            assert checked_numbers(frames) == list(range(start + 1, count + 1))

    async def test_stored_events_are_readable_by_another_process(
        self, event_log: EventLog, another_log: EventLog
    ):
        self.skip_unless_shared()
        for count in range(1, 20):
            run_id = await begin_run(event_log)
            await append_events(event_log, run_id, range(1, count + 1))
            assert checked_numbers((await read_available(another_log, run_id)).frames) == list(
                range(1, count + 1)
            )

    async def test_whole_events_are_readable_only_once_stored(
        self, event_log: EventLog, another_log: EventLog
    ):
        self.skip_unless_shared()

        async def read_and_compare(run_id: str, text: int) -> None:
            frames: list[Frame] = []
            while len(event_numbers(frames)) <= text:
                batch = await read_next(event_log, run_id, frames[-1].seq if frames else 0)
                frames += batch.frames
                for frame in batch.frames:
                    if frame.event.text is None:
                        # It must not be lost if the writer crashes now.
                        stored = await read_available(another_log, run_id, frame.seq - 1)
                        assert checked_numbers(stored.frames)[:1] == [frame.seq]
            assert checked_numbers(frames)[: text + 1] == list(range(1, text + 2))

        runs = [await begin_run(event_log) for _ in range(40)]
        readers = [
            asyncio.create_task(read_and_compare(run_id, index % 4)) for index, run_id in enumerate(runs)
        ]
        await checkpoint()
        for index, run_id in enumerate(runs):
            for number in range(1, index % 4 + 1):
                event_log.append(run_id, text_delta(number))
            event_log.append(run_id, whole_event(index % 4 + 1))
            event_log.append(run_id, text_delta(index % 4 + 2))
        await asyncio.gather(*readers)

    async def test_a_stale_writer_is_fenced(self, event_log: EventLog, another_log: EventLog):
        self.skip_unless_shared()
        run_id = await begin_run(event_log)
        await append_events(event_log, run_id, [1])
        await another_log.begin(run_id, ADA, fence=2)
        event_log.append(run_id, whole_event(98))
        with pytest.raises(FencedError):
            await event_log.flush(run_id)
        event_log.append(run_id, whole_event(99))
        for _ in range(2):
            with pytest.raises(FencedError):
                await event_log.flush(run_id)
        with pytest.raises(FencedError):
            await event_log.end(run_id)
        await append_events(another_log, run_id, [2])
        for log in (event_log, another_log):
            batch = await read_next(log, run_id)
            assert (checked_numbers(batch.frames), batch.ended) == ([1, 2], False)

    async def test_a_fenced_writer_can_take_over_again(self, event_log: EventLog, another_log: EventLog):
        self.skip_unless_shared()
        run_id = await begin_run(event_log)
        await another_log.begin(run_id, ADA, fence=2)
        await append_events(another_log, run_id, [1, 2])
        event_log.append(run_id, whole_event(99))
        with pytest.raises(FencedError):
            await event_log.flush(run_id)
        assert await event_log.begin(run_id, ADA, fence=3) == 2
        await append_events(event_log, run_id, [3])
        await event_log.end(run_id)
        for log in (event_log, another_log):
            if log is another_log:
                with pytest.raises(FencedError):
                    await append_events(log, run_id, [98], whole_event)
            assert checked_numbers(await read_to_end(log, run_id)) == [1, 2, 3]

    async def test_a_stale_writer_cannot_end_a_run(self, event_log: EventLog, another_log: EventLog):
        self.skip_unless_shared()
        run_id = await begin_run(event_log)
        await append_events(event_log, run_id, [1])
        await another_log.begin(run_id, ADA, fence=2)
        with pytest.raises(FencedError):
            await event_log.end(run_id)
        await append_events(another_log, run_id, [2])
        for log in (event_log, another_log):
            batch = await read_next(log, run_id)
            assert (checked_numbers(batch.frames), batch.ended) == ([1, 2], False)

    async def test_a_release_by_a_stale_writer_changes_nothing(
        self, event_log: EventLog, another_log: EventLog
    ):
        self.skip_unless_shared()
        run_id = await begin_run(event_log)
        await another_log.begin(run_id, ADA, fence=2)
        event_log.append(run_id, whole_event(99))
        assert not await event_log.release(run_id)
        await append_events(another_log, run_id, [1])
        assert checked_numbers((await read_next(event_log, run_id)).frames) == [1]

    async def test_events_of_a_stale_writer_are_never_delivered(
        self, event_log: EventLog, another_log: EventLog
    ):
        self.skip_unless_shared()
        run_id = await begin_run(event_log)
        await append_events(event_log, run_id, [1])
        # The stale writer still has an unwritten event when the new one begins.
        event_log.append(run_id, text_delta(2))
        await another_log.begin(run_id, ADA, fence=2, after_crash=True)
        following = [asyncio.create_task(read_to_end(log, run_id)) for log in (event_log, another_log)]
        for turn in range(TURNS):
            for log, first in ((event_log, 1000), (another_log, 100)):
                log.append(run_id, whole_event(first + 2 * turn))
                log.append(run_id, text_delta(first + 2 * turn + 1))
                await checkpoint()
            if turn % 3 == 0:
                await another_log.flush(run_id)
        await another_log.end(run_id)
        with pytest.raises(FencedError):
            await event_log.end(run_id)
        here, there = [event_numbers(frames) for frames in await asyncio.gather(*following)]
        expected = [1, *range(100, 100 + 2 * TURNS)]
        # Its last event may have been stored before the new writer began, or been delivered by its own process only.
        assert [number for number in there if number != 2] == expected
        assert [number for number in here if number != 2] == expected

    async def test_readers_follow_a_run_across_a_crash(self, event_log: EventLog, another_log: EventLog):
        self.skip_unless_shared()
        run_id = await begin_run(event_log)
        following = [
            asyncio.create_task(read_to_end(log, run_id, wait=wait))
            for log in (event_log, another_log)
            for wait in (LONG_WAIT_SECONDS, 0.01)
        ]
        await append_events(event_log, run_id, range(1, 11))
        for number in range(11, 14):
            event_log.append(run_id, text_delta(number))
        delivered = await read_available(event_log, run_id, 10)
        assert await another_log.begin(run_id, ADA, fence=2, after_crash=True) in {10, 13}
        await append_events(another_log, run_id, range(20, 30))
        await another_log.end(run_id)
        read_by = await asyncio.gather(*following)
        for frames in read_by:
            stored = [number for number in event_numbers(frames) if number not in {11, 12, 13}]
            assert stored == [*range(1, 11), *range(20, 30)]
            _assert_unique_numbers([*delivered.frames, *frames])
        _assert_unique_numbers([frame for frames in read_by for frame in frames])
        assert event_numbers(delivered.frames) == [11, 12, 13]
        # A reader that had received the lost events continues with the events after them.
        for log in (event_log, another_log):
            assert event_numbers(await read_to_end(log, run_id, after=13)) == list(range(20, 30))
            assert (await read_to_end(log, run_id, after=JUMP))[0].seq > JUMP

    async def test_a_run_is_handed_over_repeatedly(self, event_log: EventLog, another_log: EventLog):
        self.skip_unless_shared()
        run_id, count = await begin_run(event_log, fence=0), 0
        following = [
            asyncio.create_task(read_to_end(log, run_id, pause=pause))
            for log in (event_log, another_log)
            for pause in (0, 5)
        ]
        for turn in range(TURNS):
            here, there = (event_log, another_log) if turn % 2 == 0 else (another_log, event_log)
            for _ in range(turn % 5):
                count += 1
                here.append(run_id, sample_event(count))
                if turn % 3 == 0:
                    await checkpoint()
            assert await here.release(run_id)
            assert await there.begin(run_id, ADA, fence=turn + 1) == count
        await event_log.end(run_id)
        for frames in await asyncio.gather(*following):
            assert checked_numbers(frames) == list(range(1, count + 1))

    async def test_of_concurrent_writers_only_one_writes(self, event_log: EventLog, another_log: EventLog):
        self.skip_unless_shared()
        run_id = await begin_run(event_log, fence=0)

        async def begin(log: EventLog, fence: int) -> bool:
            try:
                await log.begin(run_id, ADA, fence=fence)
            except FencedError:
                return False
            return True

        fences = [3, 8, 1, 6, 2, 7, 5, 4]
        logs = [event_log, another_log] * 4
        began = await asyncio.gather(*(begin(log, fence) for log, fence in zip(logs, fences, strict=True)))
        assert began[1]
        event_log.append(run_id, Event(b'{"stale":"<99>"}'))
        another_log.append(run_id, whole_event(1))
        with pytest.raises(FencedError):
            await event_log.end(run_id)
        await another_log.end(run_id)
        for log in (event_log, another_log):
            assert checked_numbers(await read_to_end(log, run_id)) == [1]

    async def test_waiting_readers_receive_the_end_after_a_takeover(
        self, event_log: EventLog, another_log: EventLog
    ):
        self.skip_unless_shared()
        run_id = await begin_run(event_log)
        await append_events(event_log, run_id, [1])
        (reader,) = await start_readers(event_log, run_id, 1, after=1)
        await another_log.begin(run_id, ADA, fence=2)
        await another_log.end(run_id)
        with pytest.raises(FencedError):
            await event_log.end(run_id)
        batch = await batch_of(reader)
        assert (list(batch.frames), batch.ended) == ([], True)


def _assert_unique_numbers(frames: list[Frame]) -> None:
    """Assert that no two events have the same sequence number."""
    by_seq: dict[int, int] = {}
    for frame in frames:
        contained = event_numbers([frame])
        first = frame.seq - len(contained) + 1
        for seq, number in zip(range(first, frame.seq + 1), contained, strict=True):
            assert by_seq.setdefault(seq, number) == number, f"{seq} is {by_seq[seq]} and {number}"
