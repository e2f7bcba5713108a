"""Processes that share a log: one writes, all read, and another one takes over."""

import asyncio

import pytest
from anyio.lowlevel import checkpoint

from backchannel.event_logs.base import JUMP, Event, EventLog, FencedError, Frame
from backchannel.testing.contracts.event_log_base import (
    ADA,
    LONGER,
    EventLogSuite,
    begun,
    follow,
    in_place,
    numbers,
    read,
    read_past,
    said,
    say,
    told,
    waiting,
    whole,
    word,
)

TURNS = 12


class SharingSuite(EventLogSuite):
    """For logs that are `shared`."""

    async def test_a_run_in_progress_is_readable_by_another_process(
        self, event_log: EventLog, another_log: EventLog
    ):
        self.need_sharing()
        run_id, count = await begun(event_log), 400
        following = [
            asyncio.create_task(follow(log, run_id, after, pause=pause))
            for log in (event_log, another_log)
            for after in (0, 7)
            for pause in (0, 3)
        ]
        for number in range(1, count + 1):
            event_log.append(run_id, said(number) if number % 50 < 10 else word(number))
            if number % 3 == 0:
                await checkpoint()
            if number % 40 == 0:
                await event_log.flush(run_id)
        await event_log.end(run_id)
        for index, frames in enumerate(await asyncio.gather(*following)):
            start = (0, 7)[index // 2 % 2]
            assert in_place(frames) == list(range(start + 1, count + 1))

    async def test_stored_events_are_readable_by_another_process(
        self, event_log: EventLog, another_log: EventLog
    ):
        self.need_sharing()
        for count in range(1, 20):
            run_id = await begun(event_log)
            await say(event_log, run_id, range(1, count + 1))
            assert in_place((await read_past(another_log, run_id)).frames) == list(range(1, count + 1))

    async def test_whole_events_are_readable_only_once_stored(
        self, event_log: EventLog, another_log: EventLog
    ):
        self.need_sharing()

        async def see(run_id: str, text: int) -> None:
            frames: list[Frame] = []
            while len(numbers(frames)) <= text:
                batch = await read(event_log, run_id, frames[-1].seq if frames else 0)
                frames += batch.frames
                for frame in batch.frames:
                    if frame.event.text is None:
                        # Whoever goes on after a crash in this moment finds it.
                        kept = await read_past(another_log, run_id, frame.seq - 1)
                        assert in_place(kept.frames)[:1] == [frame.seq]
            assert in_place(frames)[: text + 1] == list(range(1, text + 2))

        runs = [await begun(event_log) for _ in range(40)]
        seeing = [asyncio.create_task(see(run_id, index % 4)) for index, run_id in enumerate(runs)]
        await checkpoint()
        for index, run_id in enumerate(runs):
            for number in range(1, index % 4 + 1):
                event_log.append(run_id, word(number))
            event_log.append(run_id, whole(index % 4 + 1))
            event_log.append(run_id, word(index % 4 + 2))
        await asyncio.gather(*seeing)

    async def test_a_stale_writer_is_fenced(self, event_log: EventLog, another_log: EventLog):
        self.need_sharing()
        run_id = await begun(event_log)
        await say(event_log, run_id, [1])
        await another_log.begin(run_id, ADA, fence=2)
        event_log.append(run_id, whole(98))
        with pytest.raises(FencedError):
            await event_log.flush(run_id)
        event_log.append(run_id, whole(99))
        for _ in range(2):
            with pytest.raises(FencedError):
                await event_log.flush(run_id)
        with pytest.raises(FencedError):
            await event_log.end(run_id)
        await say(another_log, run_id, [2])
        for log in (event_log, another_log):
            batch = await read(log, run_id)
            assert (in_place(batch.frames), batch.ended) == ([1, 2], False)

    async def test_a_fenced_writer_can_take_over_again(self, event_log: EventLog, another_log: EventLog):
        self.need_sharing()
        run_id = await begun(event_log)
        await another_log.begin(run_id, ADA, fence=2)
        await say(another_log, run_id, [1, 2])
        event_log.append(run_id, whole(99))
        with pytest.raises(FencedError):
            await event_log.flush(run_id)
        assert await event_log.begin(run_id, ADA, fence=3) == 2
        await say(event_log, run_id, [3])
        await event_log.end(run_id)
        for log in (event_log, another_log):
            if log is another_log:
                with pytest.raises(FencedError):
                    await say(log, run_id, [98], whole)
            assert in_place(await follow(log, run_id)) == [1, 2, 3]

    async def test_a_stale_writer_cannot_end_a_run(self, event_log: EventLog, another_log: EventLog):
        self.need_sharing()
        run_id = await begun(event_log)
        await say(event_log, run_id, [1])
        await another_log.begin(run_id, ADA, fence=2)
        with pytest.raises(FencedError):
            await event_log.end(run_id)
        await say(another_log, run_id, [2])
        for log in (event_log, another_log):
            batch = await read(log, run_id)
            assert (in_place(batch.frames), batch.ended) == ([1, 2], False)

    async def test_a_release_by_a_stale_writer_changes_nothing(
        self, event_log: EventLog, another_log: EventLog
    ):
        self.need_sharing()
        run_id = await begun(event_log)
        await another_log.begin(run_id, ADA, fence=2)
        event_log.append(run_id, whole(99))
        assert not await event_log.release(run_id)
        await say(another_log, run_id, [1])
        assert in_place((await read(event_log, run_id)).frames) == [1]

    async def test_events_of_a_stale_writer_are_never_delivered(
        self, event_log: EventLog, another_log: EventLog
    ):
        self.need_sharing()
        run_id = await begun(event_log)
        await say(event_log, run_id, [1])
        # It has something to write that is not on its way yet when the other one begins, and wakes up late.
        event_log.append(run_id, word(2))
        await another_log.begin(run_id, ADA, fence=2, after_crash=True)
        following = [asyncio.create_task(follow(log, run_id)) for log in (event_log, another_log)]
        for turn in range(TURNS):
            for log, first in ((event_log, 1000), (another_log, 100)):
                log.append(run_id, whole(first + 2 * turn))
                log.append(run_id, word(first + 2 * turn + 1))
                await checkpoint()
            if turn % 3 == 0:
                await another_log.flush(run_id)
        await another_log.end(run_id)
        with pytest.raises(FencedError):
            await event_log.end(run_id)
        here, there = [numbers(frames) for frames in await asyncio.gather(*following)]
        expected = [1, *range(100, 100 + 2 * TURNS)]
        # Its last word may have been kept before the other one began, or only been seen where it was said.
        assert [number for number in there if number != 2] == expected
        assert [number for number in here if number != 2] == expected

    async def test_readers_follow_a_run_across_a_crash(self, event_log: EventLog, another_log: EventLog):
        self.need_sharing()
        run_id = await begun(event_log)
        following = [
            asyncio.create_task(follow(log, run_id, wait=wait))
            for log in (event_log, another_log)
            for wait in (LONGER, 0.01)
        ]
        await say(event_log, run_id, range(1, 11))
        for number in range(11, 14):
            event_log.append(run_id, word(number))
        shown = await read_past(event_log, run_id, 10)
        assert await another_log.begin(run_id, ADA, fence=2, after_crash=True) in {10, 13}
        await say(another_log, run_id, range(20, 30))
        await another_log.end(run_id)
        read_by = await asyncio.gather(*following)
        for frames in read_by:
            kept = [number for number in numbers(frames) if number not in {11, 12, 13}]
            assert kept == [*range(1, 11), *range(20, 30)]
            _one_meaning([*shown.frames, *frames])
        _one_meaning([frame for frames in read_by for frame in frames])
        assert numbers(shown.frames) == [11, 12, 13]
        # Who had seen what is lost goes on with what came after it.
        for log in (event_log, another_log):
            assert numbers(await follow(log, run_id, after=13)) == list(range(20, 30))
            assert (await follow(log, run_id, after=JUMP))[0].seq > JUMP

    async def test_a_run_is_handed_over_repeatedly(self, event_log: EventLog, another_log: EventLog):
        self.need_sharing()
        run_id, count = await begun(event_log, fence=0), 0
        following = [
            asyncio.create_task(follow(log, run_id, pause=pause))
            for log in (event_log, another_log)
            for pause in (0, 5)
        ]
        for turn in range(TURNS):
            here, there = (event_log, another_log) if turn % 2 == 0 else (another_log, event_log)
            for _ in range(turn % 5):
                count += 1
                here.append(run_id, said(count))
                if turn % 3 == 0:
                    await checkpoint()
            assert await here.release(run_id)
            assert await there.begin(run_id, ADA, fence=turn + 1) == count
        await event_log.end(run_id)
        for frames in await asyncio.gather(*following):
            assert in_place(frames) == list(range(1, count + 1))

    async def test_of_concurrent_writers_only_one_writes(self, event_log: EventLog, another_log: EventLog):
        self.need_sharing()
        run_id = await begun(event_log, fence=0)

        async def begin(log: EventLog, fence: int) -> bool:
            try:
                await log.begin(run_id, ADA, fence=fence)
            except FencedError:
                return False
            return True

        fences = [3, 8, 1, 6, 2, 7, 5, 4]
        logs = [event_log, another_log] * 4
        took = await asyncio.gather(*(begin(log, fence) for log, fence in zip(logs, fences, strict=True)))
        assert took[1]
        event_log.append(run_id, Event(b'{"stale":"<99>"}'))
        another_log.append(run_id, whole(1))
        with pytest.raises(FencedError):
            await event_log.end(run_id)
        await another_log.end(run_id)
        for log in (event_log, another_log):
            assert in_place(await follow(log, run_id)) == [1]

    async def test_waiting_readers_receive_the_end_after_a_takeover(
        self, event_log: EventLog, another_log: EventLog
    ):
        self.need_sharing()
        run_id = await begun(event_log)
        await say(event_log, run_id, [1])
        (reader,) = await waiting(event_log, run_id, 1, after=1)
        await another_log.begin(run_id, ADA, fence=2)
        await another_log.end(run_id)
        with pytest.raises(FencedError):
            await event_log.end(run_id)
        batch = await told(reader)
        assert (list(batch.frames), batch.ended) == ([], True)


def _one_meaning(frames: list[Frame]) -> None:
    """No number means two events."""
    meant: dict[int, int] = {}
    for frame in frames:
        found = numbers([frame])
        for seq, number in zip(range(frame.seq - len(found) + 1, frame.seq + 1), found, strict=True):
            assert meant.setdefault(seq, number) == number, f"{seq} means {meant[seq]} and {number}"
