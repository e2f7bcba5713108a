"""What all durable event logs share: writing in batches, outages of the storage, and what stays in memory."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

import pytest
from anyio.lowlevel import checkpoint

from backchannel.context import Identity
from backchannel.errors import UnavailableError
from backchannel.event_logs import durable, flusher, tailer
from backchannel.event_logs.base import EventLog, FencedError
from backchannel.event_logs.durable import DurableEventLog
from backchannel.event_logs.storage import Page, WriteBatch, WriterPosition
from backchannel.retry import Backoff
from backchannel.testing.contracts.event_log_base import (
    ADA,
    append_events,
    batch_of,
    begin_run,
    checked_numbers,
    event_numbers,
    read_available,
    read_next,
    read_to_end,
    read_until,
    run_ready_tasks,
    sample_event,
    start_readers,
    text_delta,
    whole_event,
)
from contracts.event_log_storage import Server, SharedStorage, shared_log

pytestmark = pytest.mark.row("C4", "H2")

BOUND = 20


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND):
        while not condition():  # noqa: ASYNC110 - any condition, not only an event
            await asyncio.sleep(0.005)


async def within[R](work: Awaitable[R]) -> R:
    async with asyncio.timeout(BOUND):
        return await work


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def log(server: Server) -> AsyncGenerator[DurableEventLog]:
    log = shared_log(server)
    yield log
    server.out_of_reach = False
    server.hangs.set()
    await log.aclose()


@pytest.fixture
async def another(server: Server) -> AsyncGenerator[DurableEventLog]:
    log = shared_log(server)
    yield log
    await log.aclose()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes ten seconds takes a fifth of one."""
    monkeypatch.setattr(flusher, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(flusher, "OUTAGE_TIMEOUT_SECONDS", 0.05)
    for module in (flusher, tailer):
        monkeypatch.setattr(module, "OUTAGE", Backoff(initial=0.01, maximum=0.02))
    monkeypatch.setattr(durable, "CLOSE_SECONDS", 0.2)


# Batches


async def test_what_all_runs_have_said_is_kept_in_one_write(server: Server, log: DurableEventLog) -> None:
    runs = [await begin_run(log) for _ in range(50)]
    for number in (1, 2, 3, 4):
        for run_id in runs:
            log.append(run_id, sample_event(number))
    await asyncio.gather(*(log.flush(run_id) for run_id in runs))
    (batches,) = server.writes
    assert {batch.run_id for batch in batches} == set(runs)
    # Two words, a whole event, a word.
    assert {len(batch.segments) for batch in batches} == {3}


async def test_text_is_kept_soon_and_joined(server: Server, log: DurableEventLog, another: EventLog) -> None:
    run_id = await begin_run(log)
    for number in range(1, 31):
        log.append(run_id, text_delta(number))
        await checkpoint()
    await until(lambda: bool(server.writes))
    ((batch,),) = server.writes
    assert [segment.last for segment in batch.segments] == [30]
    assert checked_numbers((await read_next(another, run_id)).frames) == list(range(1, 31))


async def test_a_whole_event_waits_for_nothing(
    server: Server, log: DurableEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flusher, "FLUSH_SECONDS", 10 * BOUND)
    run_id, other = await begin_run(log), await begin_run(log)
    log.append(run_id, text_delta(1))
    log.append(other, text_delta(1))
    await run_ready_tasks()
    assert not server.writes
    log.append(run_id, whole_event(2))
    assert checked_numbers(await within(read_until(log, run_id, 2))) == [1, 2]
    # What others have said goes with it.
    assert {batch.run_id for batch in server.writes[0]} == {run_id, other}


async def test_one_write_takes_only_so_much(server: Server, log: DurableEventLog, another: EventLog) -> None:
    runs = [await begin_run(log) for _ in range(3)]
    for run_id in runs:
        for number in range(1, 3001):
            log.append(run_id, whole_event(number))
    await within(asyncio.gather(*(log.end(run_id) for run_id in runs)))
    assert (
        max(sum(len(batch.segments) for batch in batches) for batches in server.writes)
        <= flusher.MAX_SEGMENTS
    )
    for run_id in runs:
        assert checked_numbers(await read_to_end(another, run_id)) == list(range(1, 3001))


# Outages


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("hangs", [False, True])
async def test_an_outage_is_waited_for_and_then_shown(
    server: Server, log: DurableEventLog, another: EventLog, hangs: bool
) -> None:
    run_id = await begin_run(log)
    await append_events(log, run_id, [1])
    if hangs:
        server.hangs.clear()
    else:
        server.out_of_reach = True
    log.append(run_id, whole_event(2))
    log.append(run_id, text_delta(3))
    assert not (await read_available(log, run_id, 1)).frames
    with pytest.raises(UnavailableError):
        await within(log.flush(run_id))
    # Better told than hung; and so is what comes now, at once.
    assert checked_numbers(await within(read_until(log, run_id, 3, 1))) == [2, 3]
    for number in (4, 5):
        log.append(run_id, sample_event(number))
    log.append(run_id, whole_event(6))
    assert checked_numbers((await read_available(log, run_id, 3)).frames) == [4, 5, 6]
    with pytest.raises(UnavailableError):
        await within(log.flush(run_id))
    server.out_of_reach = False
    server.hangs.set()
    assert checked_numbers(await within(read_until(another, run_id, 6))) == [1, 2, 3, 4, 5, 6]
    await within(log.flush(run_id))
    # From now on whole events are shown once they are kept, as before.
    server.hangs.clear()
    log.append(run_id, whole_event(7))
    await run_ready_tasks()
    assert not (await read_available(log, run_id, 6)).frames
    server.hangs.set()
    await within(log.end(run_id))
    assert checked_numbers(await read_to_end(another, run_id)) == list(range(1, 8))


@pytest.mark.usefixtures("impatient")
async def test_an_end_in_an_outage_is_told_here_at_once_and_elsewhere_later(
    server: Server, log: DurableEventLog, another: EventLog
) -> None:
    run_id = await begin_run(log)
    await append_events(log, run_id, [1, 2])
    (here,), (there,) = await start_readers(log, run_id, 1, 2), await start_readers(another, run_id, 1, 2)
    server.out_of_reach = True
    for number in (3, 4):
        log.append(run_id, sample_event(number))
    with pytest.raises(UnavailableError):
        await within(log.end(run_id))
    assert checked_numbers((await batch_of(here)).frames)[:1] == [3]
    assert checked_numbers(await within(read_to_end(log, run_id))) == [1, 2, 3, 4]
    with pytest.raises(UnavailableError):
        await within(log.end(run_id))
    assert not there.done()
    server.out_of_reach = False
    assert checked_numbers((await batch_of(there)).frames)[:1] == [3]
    assert checked_numbers(await within(read_to_end(another, run_id))) == [1, 2, 3, 4]
    await within(log.end(run_id))


@pytest.mark.usefixtures("impatient")
async def test_a_release_in_an_outage_says_that_something_is_lost(
    server: Server, log: DurableEventLog, another: EventLog
) -> None:
    run_id = await begin_run(log)
    await append_events(log, run_id, [1])
    server.out_of_reach = True
    log.append(run_id, text_delta(2))
    assert checked_numbers((await read_available(log, run_id, 1)).frames) == [2]
    assert not await within(log.release(run_id))
    server.out_of_reach = False
    assert await another.begin(run_id, ADA, fence=2, after_crash=True) in {1, 2}
    await append_events(another, run_id, [3])
    for after in (0, 1, 2):
        frames = await within(_read_until_said(log, run_id, 3, after))
        assert [number for number in event_numbers(frames) if number != 2] == ([1, 3] if after == 0 else [3])


@pytest.mark.usefixtures("impatient")
async def test_closing_in_an_outage_takes_a_bounded_time(server: Server, log: DurableEventLog) -> None:
    run_id = await begin_run(log)
    (reader,) = await start_readers(log, run_id, 1, 1)
    server.out_of_reach = True
    log.append(run_id, text_delta(1))
    await within(log.aclose())
    assert (await batch_of(reader)).ended
    with pytest.raises(UnavailableError):
        await log.read(run_id, 0, wait=BOUND)


@pytest.mark.usefixtures("impatient")
async def test_followers_wait_while_the_storage_is_away(
    server: Server, log: DurableEventLog, another: EventLog
) -> None:
    run_id = await begin_run(log)
    await append_events(log, run_id, [1])
    (reader,) = await start_readers(another, run_id, 1, 1)
    server.out_of_reach = True
    await asyncio.sleep(0.1)
    assert not reader.done()
    batch = await another.read(run_id, 1, wait=0.01)
    assert (list(batch.frames), batch.ended) == ([], False)
    server.out_of_reach = False
    await append_events(log, run_id, [2])
    assert checked_numbers((await batch_of(reader)).frames) == [2]


class Unsure(SharedStorage):
    """Writes, and then says that it could not: the connection ended in the commit."""

    failures = 3

    async def append(self, batches: Sequence[WriteBatch]) -> Mapping[str, int | None]:
        persisted = await super().append(batches)
        if self.failures:
            self.failures -= 1
            raise UnavailableError("unsure", retry_after=1)
        return persisted


@pytest.mark.usefixtures("impatient")
async def test_what_was_written_all_the_same_is_not_written_twice(server: Server, another: EventLog) -> None:
    log = DurableEventLog(Unsure(server))
    run_id = await begin_run(log)
    following = asyncio.create_task(read_to_end(another, run_id))
    for number in range(1, 200):
        # More is said between the tries, of which the first ones know nothing.
        log.append(run_id, text_delta(number) if number % 20 else whole_event(number))
        await checkpoint()
    await within(log.end(run_id))
    assert checked_numbers(await within(following)) == list(range(1, 200))
    assert checked_numbers(await read_to_end(another, run_id)) == list(range(1, 200))
    tries = [batch for batches in server.writes[:4] for batch in batches]
    assert [batch.base for batch in tries] == [0] * 4
    assert tries[0] == tries[1] == tries[2] == tries[3]
    await log.aclose()


@pytest.mark.usefixtures("impatient")
async def test_what_the_storage_has_lost_is_told_again(
    server: Server, log: DurableEventLog, another: EventLog
) -> None:
    run_id = await begin_run(log)
    for number in range(1, 10):
        await append_events(log, run_id, [number])
    (reader,) = await start_readers(another, run_id, 1, 9)
    persisted = server.logs[run_id]
    # A standby took over that had not heard of the newest rows.
    persisted.segments, persisted.last = persisted.segments[:4], 4
    await append_events(log, run_id, [10])
    assert checked_numbers((await batch_of(reader)).frames) == [10]
    assert checked_numbers(await within(read_until(another, run_id, 10))) == list(range(1, 11))
    fresh = shared_log(server)
    assert checked_numbers(await within(read_until(fresh, run_id, 10, 2))) == list(range(3, 11))
    await fresh.aclose()


class Picky(SharedStorage):
    """Cannot keep one of the runs, whatever is tried."""

    bad = ""

    async def append(self, batches: Sequence[WriteBatch]) -> Mapping[str, int | None]:
        if any(batch.run_id == self.bad for batch in batches):
            raise ValueError("cannot be written")
        return await super().append(batches)


@pytest.mark.usefixtures("impatient")
async def test_a_run_that_cannot_be_kept_is_the_only_one_to_suffer(server: Server, another: EventLog) -> None:
    storage = Picky(server)
    log = DurableEventLog(storage)
    runs = [await begin_run(log) for _ in range(4)]
    storage.bad = runs[1]
    for run_id in runs:
        log.append(run_id, whole_event(1))
    good = [run_id for run_id in runs if run_id != storage.bad]
    await within(asyncio.gather(*(log.flush(run_id) for run_id in good)))
    for run_id in good:
        assert checked_numbers((await read_available(another, run_id)).frames) == [1]
    with pytest.raises(UnavailableError):
        await within(log.flush(storage.bad))
    # Who reads it here is told all of it, and its end.
    log.append(storage.bad, whole_event(2))
    log.append(storage.bad, text_delta(3))
    with pytest.raises(UnavailableError):
        await within(log.end(storage.bad))
    assert checked_numbers(await within(read_to_end(log, storage.bad))) == [1, 2, 3]
    await within(log.aclose())


# Taking over


async def test_a_run_taken_over_between_replay_and_live_is_read_in_full(
    server: Server, another: EventLog
) -> None:
    runs = [await begin_run(another) for _ in range(100)]
    for run_id in runs:
        another.append(run_id, text_delta(1))
    taken: set[str] = set()

    class Takes(SharedStorage):
        async def page(self, run_id: str, after: int) -> Page:
            page = await super().page(run_id, after)
            if run_id not in taken:
                # The other process says something more and lets go; then the run goes on here.
                taken.add(run_id)
                another.append(run_id, whole_event(2))
                await another.release(run_id)
                await log.begin(run_id, ADA, fence=2)
                log.append(run_id, text_delta(3))
            return page

    log = DurableEventLog(Takes(server))
    await asyncio.gather(*(another.flush(run_id) for run_id in runs))
    frames = await within(asyncio.gather(*(read_until(log, run_id, 3, 1) for run_id in runs)))
    assert [checked_numbers(each) for each in frames] == [[2, 3]] * len(runs)
    assert len(taken) == len(runs)
    await log.aclose()


async def test_an_answer_that_comes_late_makes_nobody_the_writer(server: Server, another: EventLog) -> None:
    late = asyncio.Event()

    class Slow(SharedStorage):
        async def begin(
            self, run_id: str, identity: Identity, *, fence: int, after_crash: bool
        ) -> WriterPosition:
            position = await super().begin(run_id, identity, fence=fence, after_crash=after_crash)
            if fence == 2:
                await late.wait()
            return position

    log = DurableEventLog(Slow(server))
    run_id = await begin_run(log)
    second = asyncio.create_task(log.begin(run_id, ADA, fence=2))
    await run_ready_tasks()
    await log.begin(run_id, ADA, fence=3)
    late.set()
    with pytest.raises(FencedError):
        await within(second)
    await append_events(log, run_id, [1])
    assert checked_numbers((await read_next(another, run_id)).frames) == [1]
    await log.aclose()


async def test_a_beginning_that_was_rolled_back_can_be_repeated(
    server: Server, log: DurableEventLog, another: EventLog
) -> None:
    run_id = await begin_run(log)
    # It was part of a transaction that is done again.
    del server.logs[run_id]
    assert await log.begin(run_id, ADA, fence=1) == 0
    await append_events(log, run_id, [1])
    assert checked_numbers((await read_next(another, run_id)).frames) == [1]


async def test_readers_of_a_run_that_is_written_here_need_no_storage_for_what_is_here(
    server: Server, log: DurableEventLog, another: EventLog
) -> None:
    run_id = await begin_run(another)
    await append_events(another, run_id, [1, 2])
    await another.release(run_id)
    assert await log.begin(run_id, ADA, fence=2) == 2
    # The storage has forgotten all of it.
    server.logs.clear()
    log.append(run_id, text_delta(3))
    assert checked_numbers((await read_available(log, run_id, 2)).frames) == [3]
    assert checked_numbers((await read_available(log, run_id, 0)).frames) == [3]


class Late(SharedStorage):
    """Its writes arrive when they are let go."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.go = asyncio.Event()

    async def append(self, batches: Sequence[WriteBatch]) -> Mapping[str, int | None]:
        await self.go.wait()
        return await super().append(batches)


async def test_a_stale_write_does_not_disturb_the_next_writer_in_the_same_process(
    server: Server, another: EventLog
) -> None:
    storage = Late(server)
    log = DurableEventLog(storage)
    run_id = await begin_run(log)
    log.append(run_id, whole_event(99))
    flushing = asyncio.create_task(log.flush(run_id))
    await run_ready_tasks()
    assert await log.begin(run_id, ADA, fence=2) == 0
    with pytest.raises(FencedError):
        await within(flushing)
    log.append(run_id, whole_event(1))
    log.append(run_id, text_delta(2))
    storage.go.set()
    await within(log.end(run_id))
    for each in (log, another):
        assert checked_numbers(await read_to_end(each, run_id)) == [1, 2]
    await log.aclose()


# What stays in memory


async def test_a_run_leaves_memory_soon_after_its_end(server: Server) -> None:
    log = shared_log(server, cache_seconds=0.02)
    run_id = await begin_run(log)
    await append_events(log, run_id, [1, 2])
    await asyncio.sleep(0.06)
    assert run_id in log.cached_runs
    await log.end(run_id)
    await until(lambda: not log.cached_runs)
    assert checked_numbers(await read_to_end(log, run_id)) == [1, 2]
    await log.aclose()


async def test_a_run_that_is_read_all_the_time_leaves_memory_too(server: Server) -> None:
    log = shared_log(server, cache_seconds=0.05)
    run_id = await begin_run(log)
    await log.end(run_id)
    async with asyncio.timeout(BOUND):
        # From then on it is read from the storage.
        while run_id in log.cached_runs:
            assert (await log.read(run_id, 0, wait=0)).ended
            await asyncio.sleep(0.005)
    await log.aclose()


class Counting(SharedStorage):
    """Counts how often it is asked for news, and of how many runs."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.asked: list[int] = []

    async def poll(self, after: Mapping[str, int], changed: asyncio.Event) -> Mapping[str, Page | None]:
        self.asked.append(len(after))
        return await super().poll(after, changed)


async def test_nobody_asks_for_news_that_nobody_reads(server: Server, another: EventLog) -> None:
    storage = Counting(server)
    log = DurableEventLog(storage, cache_seconds=0.02)
    runs = [await begin_run(another) for _ in range(30)]
    assert not (await read_available(log, await begin_run(log))).frames
    assert storage.asked == []
    readers = [reader for run_id in runs for reader in await start_readers(log, run_id, 1)]
    await until(lambda: bool(storage.asked) and storage.asked[-1] == len(runs))
    for run_id in runs:
        another.append(run_id, text_delta(1))
    for reader in readers:
        assert checked_numbers((await batch_of(reader)).frames) == [1]
    await until(lambda: not log.tailed_runs)
    # The last call that is still under way.
    await asyncio.sleep(0.05)
    asked = len(storage.asked)
    await asyncio.sleep(0.1)
    assert len(storage.asked) == asked
    assert max(storage.asked) == len(runs)
    await log.aclose()


async def test_a_run_that_is_erased_while_it_is_followed_is_unknown(
    server: Server, log: DurableEventLog, another: EventLog
) -> None:
    run_id = await begin_run(log)
    (reader,) = await start_readers(another, run_id, 1)
    del server.logs[run_id]
    with pytest.raises(LookupError):
        await batch_of(reader)
    log.append(run_id, text_delta(1))
    with pytest.raises(FencedError):
        await log.flush(run_id)


async def _read_until_said(log: EventLog, run_id: str, number: int, after: int) -> list:
    frames: list = []
    while number not in event_numbers(frames):
        frames += (await read_next(log, run_id, frames[-1].seq if frames else after)).frames
    return frames
