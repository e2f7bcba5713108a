"""Event logs with one fault each, as careless authors make them, and the tests that must find it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from backchannel.event_logs.base import Batch, Event, Frame
from backchannel.event_logs.durable import DurableEventLog
from backchannel.event_logs.event_buffer import Segment
from backchannel.event_logs.storage import Page, WriterPosition
from backchannel.stores.text import storable
from contracts.event_log_storage import Kept, Server, SharedStorage

BROKEN: list[tuple[type["Sound"], str]] = []
"""Every broken log with each test that must fail with it."""


class Sound:
    """Not broken: makes the logs of processes that share a server."""

    storage: type[SharedStorage] = SharedStorage
    log: type[DurableEventLog] = DurableEventLog

    def make(self, server: Server, *, retention: float = 60, cache_seconds: float = 5) -> DurableEventLog:
        return self.log(
            self.storage(server, retention=retention), cache_seconds=min(cache_seconds, retention)
        )


def breaks[T: type](*tests: str) -> Callable[[T], T]:
    """Enter a log, or the storage of one, in the table with the tests that must fail with it."""

    def enter(broken: T) -> T:
        part = "storage" if issubclass(broken, SharedStorage) else "log"
        maker = type(broken.__name__, (Sound,), {part: broken})
        BROKEN.extend((maker, f"test_{test}") for test in tests)
        return broken

    return enter


class Retold(DurableEventLog):
    """Not broken: lets subclasses change whatever readers are told."""

    def retold(self, batch: Batch, after: int) -> Batch:
        return batch

    async def read(self, run_id, after, *, wait):
        return self.retold(await super().read(run_id, after, wait=wait), after)


# What readers are told


@breaks("events_are_numbered_from_1", "a_reader_starts_anywhere")
class CountsFromZero(Retold):
    def retold(self, batch, after):
        return replace(batch, frames=[Frame(frame.seq - 1, frame.event) for frame in batch.frames])


@breaks("events_come_back_as_they_were_appended", "only_text_of_the_same_part_is_joined")
class ForgetsWhatIsPlain(Retold):
    def retold(self, batch, after):
        frames = [Frame(frame.seq, replace(frame.event, plain=False)) for frame in batch.frames]
        return replace(batch, frames=frames)


@breaks("events_come_back_as_they_were_appended")
class CutsNul(SharedStorage):
    def written(self, batch):
        segments = [
            replace(segment, text=segment.text and segment.text.replace("\0", ""))
            for segment in batch.segments
        ]
        return super().written(replace(batch, segments=segments))


@breaks("half_characters_come_back_as_the_same_bytes", "a_character_cut_in_two_is_two_deltas")
class MakesTextValid(SharedStorage):
    """Replaces half characters, and two halves by what they are together."""

    def written(self, batch):
        segments = [
            segment if segment.text is None else replace(segment, text=storable(segment.text))
            for segment in batch.segments
        ]
        return super().written(replace(batch, segments=segments))


@breaks("a_reader_starts_anywhere", "a_reader_waits_at_most_for_its_timeout")
class TellsTheLastOneAgain(DurableEventLog):
    async def read(self, run_id, after, *, wait):
        return await super().read(run_id, after - 1, wait=wait)


@breaks("a_reader_starts_between_joined_deltas")
class SkipsJoinedDeltas(SharedStorage):
    """Takes the number of a row for that of everything in it."""

    def after(self, log: Kept, seq: int) -> Page:
        return Page([segment for segment in log.segments if segment.first > seq], log.last, log.ended)


@breaks("only_text_of_the_same_part_is_joined")
class JoinsEverything(SharedStorage):
    def after(self, log: Kept, seq: int) -> Page:
        page = super().after(log, seq)
        return Page(
            [replace(segment, head=log.segments[0].head) for segment in page.segments], page.last, page.ended
        )


@breaks("runs_do_not_mix")
class TakesOneRunForAnother(DurableEventLog):
    async def read(self, run_id, after, *, wait):
        return await super().read(next(iter(self._cached), run_id), after, wait=wait)


@breaks("a_batch_does_not_change_afterwards")
class HandsOutItsOwnList(DurableEventLog):
    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.frames: list[Frame] = []

    def append(self, run_id: str, event: Event) -> None:
        super().append(run_id, event)
        self.frames.append(Frame(len(self.frames) + 1, event))

    async def read(self, run_id, after, *, wait):
        return Batch(self.frames, (await super().read(run_id, after, wait=wait)).ended)


@breaks("text_is_readable_immediately")
class ShowsTextLater(DurableEventLog):
    def append(self, run_id: str, event: Event) -> None:
        asyncio.get_running_loop().call_later(0.05, super().append, run_id, event)


@breaks("a_long_run_is_read_in_full")
class ReadsOnePage(SharedStorage):
    def after(self, log: Kept, seq: int) -> Page:
        page = super().after(log, seq)
        return Page(page.segments[:500], page.last, page.ended)


@breaks("events_appended_together_keep_their_order", "a_long_run_is_read_in_full")
class WritesFromTheEnd(SharedStorage):
    def written(self, batch):
        return super().written(replace(batch, segments=batch.segments[::-1]))


# Waiting


@breaks(
    "text_wakes_every_reader",
    "a_whole_event_wakes_every_reader",
    "the_end_wakes_every_reader",
    "waiting_readers_receive_the_end_after_a_takeover",
    "disconnecting_affects_readers_of_one_process",
)
class WakesNobody(DurableEventLog):
    async def read(self, run_id, after, *, wait):
        batch = await super().read(run_id, after, wait=0)
        if batch.frames or batch.ended or batch.released or not wait:
            return batch
        await asyncio.sleep(wait)
        return await super().read(run_id, after, wait=0)


@breaks("a_reader_waits_at_most_for_its_timeout")
class WaitsForSomething(DurableEventLog):
    async def read(self, run_id, after, *, wait):
        return await super().read(run_id, after, wait=60)


@breaks("a_reader_with_nothing_to_read_waits")
class NeverWaits(DurableEventLog):
    async def read(self, run_id, after, *, wait):
        return await super().read(run_id, after, wait=0)


@breaks("readers_at_different_positions_are_woken")
class FollowsFromTheFirstReader(SharedStorage):
    """What is followed begins where its first reader is, though another one is behind."""

    async def page(self, run_id: str, after: int) -> Page:
        page = await super().page(run_id, after)
        return page if page.segments else Page((), after, page.ended)


@breaks("a_cancelled_reader_does_not_affect_others")
class EndsWithItsReader(DurableEventLog):
    async def read(self, run_id, after, *, wait):
        try:
            return await super().read(run_id, after, wait=wait)
        except asyncio.CancelledError:
            run_log = self._cached[run_id]
            run_log.ended = True
            run_log.wake()
            raise


@breaks(
    "disconnected_readers_are_released",
    "disconnecting_affects_readers_of_one_process",
    "closing_the_log_wakes_every_reader",
)
class LeavesReadersWaiting(DurableEventLog):
    def _wake_all(self) -> None:
        pass


@breaks("disconnected_readers_are_released")
class SendsEverybodyAway(Retold):
    def retold(self, batch, after):
        return replace(batch, released=self._disconnecting)


@breaks("closing_the_log_stores_appended_events")
class ClosesCarelessly(DurableEventLog):
    async def aclose(self) -> None:
        self._flusher._unpersisted.clear()
        await super().aclose()


@breaks("a_working_log_passes_its_health_check")
class IsNotWell(SharedStorage):
    async def check(self) -> None:
        raise ConnectionError


@breaks("a_stalled_reader_uses_little_memory_and_catches_up")
class KeepsQueues(DurableEventLog):
    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.queue: list[Frame] = []

    def append(self, run_id: str, event: Event) -> None:
        super().append(run_id, event)
        self.queue.append(Frame(len(self.queue), Event(event.head, event.text)))


# The end


@breaks("an_unknown_run_is_a_lookup_error", "a_log_that_has_not_begun_a_run_cannot_write_it")
class KnowsEveryRun(SharedStorage):
    async def page(self, run_id: str, after: int) -> Page:
        self.server.logs.setdefault(run_id, Kept(0))
        return await super().page(run_id, after)


@breaks("an_ended_run_can_be_read_repeatedly")
class ForgetsWhatWasRead(DurableEventLog):
    async def read(self, run_id, after, *, wait):
        batch = await super().read(run_id, after, wait=wait)
        if batch.ended:
            self._storage.server.logs.pop(run_id, None)
            self._cached.pop(run_id, None)
        return batch


@breaks("the_end_is_delivered_after_all_events")
class CutsTheEnd(Retold):
    def retold(self, batch, after):
        return replace(batch, frames=batch.frames[:1])


@breaks("nothing_comes_after_the_end")
class AppendsAfterTheEnd(DurableEventLog):
    def append(self, run_id: str, event: Event) -> None:
        super().append(run_id, event)
        if self._cached[run_id].ended:
            self._cached[run_id].buffer.append(event)


@breaks("an_ended_run_expires_and_a_running_one_does_not")
class ForgetsNothing(SharedStorage):
    def expired(self, log: Kept) -> bool:
        return False


@breaks("a_waiting_reader_receives_the_end_before_expiry")
class ForgetsAtOnce(DurableEventLog):
    async def end(self, run_id: str) -> None:
        await super().end(run_id)
        self._storage.server.logs.pop(run_id)
        self._cached.pop(run_id)


# Writers


@breaks("beginning_again_with_the_same_fence_continues")
class BeginsAnew(DurableEventLog):
    def _has_appended(self, run_id: str, fence: int) -> bool:
        return False


@breaks("beginning_again_after_a_crash_jumps_once")
class JumpsAndGoesOn(DurableEventLog):
    """The storage jumps again, and the writer does not."""

    async def begin(self, run_id, identity, *, fence, after_crash=False) -> int:
        if run_id in self._writable:
            return (await self._storage.begin(run_id, identity, fence=fence, after_crash=after_crash)).last
        return await super().begin(run_id, identity, fence=fence, after_crash=after_crash)


@breaks("a_fenced_writer_can_take_over_again")
class NeverForgives(DurableEventLog):
    async def begin(self, run_id, identity, *, fence, after_crash=False) -> int:
        refused = dict(self._fenced)
        last = await super().begin(run_id, identity, fence=fence, after_crash=after_crash)
        self._fenced = refused
        return last


@breaks("a_smaller_fence_is_rejected", "of_concurrent_writers_only_one_writes")
class LetsTheLastOneWrite(SharedStorage):
    def begun(self, run_id: str, fence: int, after_crash: bool) -> WriterPosition:
        self.server.logs.setdefault(run_id, Kept(fence)).fence = 0
        return super().begun(run_id, fence, after_crash)


@breaks("after_a_release_the_next_writer_continues", "a_run_is_handed_over_repeatedly")
class ReleasesWithoutKeeping(DurableEventLog):
    async def release(self, run_id: str) -> bool:
        if (run_log := self._writable.get(run_id)) is not None:
            self._stop_writing(run_log)
            self._evict(run_log)
        return True


@breaks("a_writer_cannot_write_after_its_release")
class NeverLetsGo(DurableEventLog):
    async def release(self, run_id: str) -> bool:
        await self.flush(run_id)
        return True


@breaks(
    "numbers_jump_after_a_crash",
    "an_unknown_run_can_begin_after_a_crash",
    "readers_follow_a_run_across_a_crash",
)
class NeverJumps(SharedStorage):
    def begun(self, run_id: str, fence: int, after_crash: bool) -> WriterPosition:
        return super().begun(run_id, fence, after_crash=False)


@breaks("a_larger_fence_takes_over_in_the_same_process", "after_a_release_the_next_writer_continues")
class TellsOnlyWhatItWrote(DurableEventLog):
    async def read(self, run_id, after, *, wait):
        run_log = self._cached.get(run_id)
        return await super().read(run_id, max(after, run_log.buffer.start) if run_log else after, wait=wait)


# Sharing


@breaks("a_run_in_progress_is_readable_by_another_process")
class TellsTheNewestOnly(SharedStorage):
    def found(self, after):
        return {
            run_id: page and Page(page.segments[-1:], page.last, page.ended)
            for run_id, page in super().found(after).items()
        }


@breaks("stored_events_are_readable_by_another_process")
class FlushesNothing(DurableEventLog):
    async def flush(self, run_id: str) -> None:
        pass


@breaks("whole_events_are_readable_only_once_stored")
class ShowsEverythingAtOnce(DurableEventLog):
    async def begin(self, run_id, identity, *, fence, after_crash=False) -> int:
        last = await super().begin(run_id, identity, fence=fence, after_crash=after_crash)
        self._writable[run_id].exposes_unpersisted = True
        return last


@breaks(
    "a_stale_writer_is_fenced",
    "a_stale_writer_cannot_end_a_run",
    "a_release_by_a_stale_writer_changes_nothing",
    "events_of_a_stale_writer_are_never_delivered",
)
class LetsEverybodyWrite(SharedStorage):
    def written(self, batch):
        log = self.server.logs[batch.run_id]
        mine = replace(batch, fence=log.fence, base=batch.start)
        segments: list[Segment] = list(batch.segments)
        log.last = min(log.last, batch.base)
        return super().written(replace(mine, segments=segments))


# Replay and live


@breaks("replay_and_live_have_no_gap_and_no_repetition")
class LooksAndThenWaits(DurableEventLog):
    async def _wait_for_events(self, run_log, seconds):
        await asyncio.sleep(0.01)
        return await super()._wait_for_events(run_log, seconds)


@breaks("no_event_is_lost_between_replay_and_live")
class FollowsFromNowOn(DurableEventLog):
    """What is followed begins with what comes next, not with what comes after the past that was read."""

    async def _wait_for_events(self, run_log, seconds):
        log = self._storage.server.logs[run_log.run_id]
        for _ in range(60):
            if log.last > run_log.buffer.last:
                break
            await asyncio.sleep(0.005)
        run_log.buffer.jump(max(run_log.buffer.last, log.last))
        return await super()._wait_for_events(run_log, seconds)
