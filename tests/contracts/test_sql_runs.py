"""The store of runs on every database: one run at a time holds a thread, and only its last owner can write for it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from chatkit.store import NotFoundError

from backchannel.context import Identity, Usage
from backchannel.ids import new_id
from backchannel.stores.run_states import ACTIVE
from backchannel.stores.run_store import (
    MAX_QUEUED,
    IdempotencyKeyInUseError,
    IdempotencyRecord,
    QueueFullError,
    ReplicaRecord,
    RunFencedError,
    RunRecord,
    ThreadBusyError,
    idempotency_id,
)
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.idempotency import SqlIdempotencyStore
from backchannel.stores.sql.replicas import SqlReplicas
from backchannel.stores.sql.runs import SqlRuns
from backchannel.stores.times import utc_now

pytestmark = pytest.mark.row("H1", "H2", "C6", "D1", "D2")

ADA, BOB = Identity("ada", tenant="acme"), Identity("bob", tenant="acme")
USED = Usage(requests=2, input_tokens=30, output_tokens=7)

type Make = Callable[..., RunRecord]


@pytest.fixture
def runs(database: Database) -> SqlRuns:
    return SqlRuns(database)


@pytest.fixture
def make() -> Make:
    def make(thread_id: str = "thr_1", identity: Identity = ADA, **values: object) -> RunRecord:
        known = {"replica": "rep_1", "fence": 1, "attempt": 1, "request": "{}", **values}
        return RunRecord(new_id("run"), identity, thread_id, "threads.x", "running", utc_now(), **known)

    return make


def queued(run: RunRecord) -> RunRecord:
    return replace(run, status="queued", replica=None, fence=0, attempt=0)


async def test_a_run_is_kept_with_its_end_and_its_usage(runs: SqlRuns, make: Make):
    run = make(context='{"locale": "de"}')
    await runs.insert_running(run)
    kept = await runs.load(run.id, ADA)
    assert (kept.status, kept.replica, kept.fence, kept.attempt) == ("running", "rep_1", 1, 1)
    assert (kept.request, kept.context, kept.started_at) == ("{}", '{"locale": "de"}', kept.created_at)
    await runs.mark_accepted(run.id, 1, "msg_1")
    await runs.mark_accepted(run.id, 1, "msg_1")
    await runs.finish(run.id, 1, "failed", "model_error", USED)
    # As when nobody knew whether the first commit took place.
    await runs.finish(run.id, 1, "failed", "model_error", USED)
    ended = await runs.load(run.id, ADA)
    assert (ended.status, ended.error_code, ended.began_after, ended.usage) == (
        "failed", "model_error", "msg_1", USED
    )  # fmt: skip
    assert ended.request is ended.context is None
    assert ended.ended_at is not None
    with pytest.raises(RunFencedError):
        await runs.finish(run.id, 1, "completed", None, USED)
    with pytest.raises(NotFoundError):
        await runs.load(run.id, BOB)


async def test_of_ten_runs_that_begin_at_once_in_a_thread_one_holds_it(runs: SqlRuns, make: Make):
    results = await asyncio.gather(*(runs.insert_running(make()) for _ in range(10)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in results) == ["NoneType"] + ["ThreadBusyError"] * 9
    # Another thread, and a thread of that name of somebody else's, are other queues.
    await runs.insert_running(make("thr_2"))
    await runs.insert_running(make(identity=BOB))


async def test_nobody_overtakes_the_queue(runs: SqlRuns, make: Make):
    first = make()
    await runs.insert_running(first)
    waiting = [queued(make()) for _ in range(3)]
    for run in waiting:
        await runs.enqueue(run)
    await runs.enqueue(waiting[0])
    assert await runs.claim_next(first.queue, "rep_2") is None
    await runs.finish(first.id, 1, "completed", None, USED)
    with pytest.raises(ThreadBusyError):
        await runs.insert_running(make())
    for run in waiting:
        claims = await asyncio.gather(*(runs.claim_next(first.queue, f"rep_{n}") for n in range(6)))
        (claimed,) = [claim for claim in claims if claim is not None]
        assert (claimed.id, claimed.status, claimed.fence, claimed.attempt) == (run.id, "running", 1, 1)
        assert claimed.replica is not None
        await runs.finish(claimed.id, claimed.fence, "completed", None, USED)
    assert await runs.claim_next(first.queue, "rep_2") is None
    assert await runs.list_by_thread("thr_1", ADA, status=ACTIVE, limit=9) == []


async def test_a_queue_has_an_end(runs: SqlRuns, make: Make):
    for _ in range(MAX_QUEUED):
        await runs.enqueue(queued(make()))
    with pytest.raises(QueueFullError):
        await runs.enqueue(queued(make()))
    await runs.enqueue(queued(make("thr_2")))


async def test_of_many_that_take_a_run_over_one_gets_it_and_the_former_owner_writes_nothing(
    runs: SqlRuns, make: Make
):
    run = make()
    await runs.insert_running(run)
    taken = await asyncio.gather(*(runs.take_over([run.id], "rep_1", f"rep_{n}") for n in range(2, 8)))
    (mine,) = [each for some in taken for each in some]
    assert (mine.fence, mine.attempt, mine.status) == (2, 2, "running")
    for attempt in (
        runs.check_fence(run.id, 1),
        runs.mark_accepted(run.id, 1, "msg_1"),
        runs.release_run(run.id, 1),
        runs.finish(run.id, 1, "completed", None, USED),
    ):
        with pytest.raises(RunFencedError):
            await attempt
    await runs.check_fence(run.id, 2)
    await runs.release_run(run.id, 2)
    assert [each.id for each in await runs.orphans(9)] == [run.id]
    (again,) = await runs.take_over([run.id], None, "rep_9")
    # What is handed over in good order is no sign of a run that kills.
    assert (again.fence, again.attempt) == (3, 2)
    await runs.finish(run.id, 3, "completed", None, USED)
    assert (await runs.load(run.id, ADA)).usage == USED


async def test_a_run_is_not_taken_over_while_its_owner_writes(database: Database, make: Make):
    """What an owner writes under its guard is kept before the next owner reads, or refused. Other runs do not wait."""
    runs, run, other = SqlRuns(database), make(), make("thr_2")
    await runs.insert_running(run)
    await runs.insert_running(other)
    taken: list[str] = []

    async def take_over() -> None:
        while len(taken) < 2:
            taken.extend(each.id for each in await runs.take_over([run.id, other.id], "rep_1", "rep_2"))

    async with database.transaction():
        await runs.check_fence(run.id, 1)
        taking = asyncio.create_task(take_over())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(taking), 0.3)
        # SQLite has one lock for everything.
        assert taken == ([] if database.dialect.name == "sqlite" else [other.id])
    await asyncio.wait_for(taking, 20)
    assert set(taken) == {run.id, other.id}


async def test_runs_are_taken_over_together(runs: SqlRuns, make: Make):
    mine, ended, theirs = make("thr_1"), make("thr_2"), make("thr_3")
    for run in (mine, ended, theirs):
        await runs.insert_running(run)
    await runs.finish(ended.id, 1, "completed", None, USED)
    assert await runs.take_over([], "rep_1", "rep_2") == []
    taken = await runs.take_over([mine.id, ended.id, "run_unknown"], "rep_1", "rep_2")
    # The log of one that has ended has not, perhaps.
    assert {(each.id, each.status, each.fence) for each in taken} == {
        (mine.id, "running", 2),
        (ended.id, "completed", 2),
    }
    assert (await runs.load(theirs.id, ADA)).fence == 1
    assert await runs.take_over([mine.id, ended.id], "rep_1", "rep_3") == []


async def test_orphans_are_what_nobody_cares_for(runs: SqlRuns, make: Make):
    held, waiting = make(), queued(make())
    await runs.insert_running(held)
    await runs.enqueue(waiting)
    assert await runs.orphans(9) == []
    await runs.finish(held.id, 1, "completed", None, USED)
    assert [each.id for each in await runs.orphans(9)] == [waiting.id]
    # The end of a run is noted before the end of its log: until then its replica answers for it.
    assert await runs.list_by_replica("rep_1") == [held.id]
    await runs.clear_replica([held.id, waiting.id], "rep_1")
    assert await runs.list_by_replica("rep_1") == []
    claimed = await runs.claim_next(held.queue, "rep_1")
    assert claimed is not None
    await runs.clear_replica([claimed.id], "rep_1")
    assert await runs.list_by_replica("rep_1") == [claimed.id]


async def test_what_waits_for_the_person_is_completed_by_what_comes_next(runs: SqlRuns, make: Make):
    asked = make()
    await runs.insert_running(asked)
    await runs.finish(asked.id, 1, "waiting", None, USED)
    assert (await runs.load(asked.id, ADA)).ended_at is None
    await runs.insert_running(make())
    ended = await runs.load(asked.id, ADA)
    assert (ended.status, ended.ended_at is not None) == ("completed", True)


async def test_what_was_queued_before_a_run_waits_for_the_person_waits_for_the_reply(
    runs: SqlRuns, make: Make
):
    asked, early = make(), queued(make())
    await runs.insert_running(asked)
    await runs.enqueue(early)
    await runs.finish(asked.id, 1, "waiting", None, USED)
    assert await runs.claim_next(asked.queue, "rep_1") is None
    assert await runs.orphans(9) == []
    with pytest.raises(ThreadBusyError):
        await runs.insert_running(make())
    assert (await runs.load(asked.id, ADA)).status == "waiting"
    reply = replace(make(), operation="threads.add_structured_input")
    await runs.insert_running(reply)
    assert (await runs.load(asked.id, ADA)).status == "completed"
    await runs.finish(reply.id, 1, "waiting", None, USED)
    late = queued(make())
    await runs.enqueue(late)
    for expected in (early, late):
        claimed = await runs.claim_next(asked.queue, "rep_1")
        assert claimed is not None
        assert claimed.id == expected.id
        await runs.finish(claimed.id, claimed.fence, "completed", None, USED)
    assert (await runs.load(reply.id, ADA)).status == "completed"


async def test_what_is_idle_can_be_cancelled_and_what_runs_be_asked_to_stop(runs: SqlRuns, make: Make):
    running, waiting = make(), queued(make())
    await runs.insert_running(running)
    await runs.enqueue(waiting)
    for run in (running, waiting):
        assert not await runs.cancel(run.id, BOB)
        await runs.request_stop(run.id, BOB, "cancelled")
    assert await runs.stop_requests("rep_1") == []
    assert not await runs.cancel(running.id, ADA)
    assert await runs.cancel(waiting.id, ADA)
    assert not await runs.cancel(waiting.id, ADA)
    await runs.request_stop(running.id, ADA, "cancelled")
    assert await runs.stop_requests("rep_1") == [(running.id, "cancelled")]
    assert await runs.stop_requests("rep_2") == []


async def test_a_run_that_is_withdrawn_was_never_there(runs: SqlRuns, make: Make):
    run = make()
    await runs.insert_running(run)
    await runs.delete(run.id, BOB)
    assert (await runs.load(run.id, ADA)).id == run.id
    await runs.delete(run.id, ADA)
    with pytest.raises(NotFoundError):
        await runs.load(run.id, ADA)
    await runs.insert_running(make())


async def test_a_key_is_taken_once_and_by_whom_it_belongs_to(database: Database):
    attempts = SqlIdempotencyStore(database)
    key = IdempotencyRecord(idempotency_id(ADA, "k"), "digest", utc_now(), run_id="run_1")
    results = await asyncio.gather(*(attempts.add(key, ADA) for _ in range(5)), return_exceptions=True)
    assert [
        each for each in results if each is not None and not isinstance(each, IdempotencyKeyInUseError)
    ] == []
    assert results.count(None) == 1
    assert await attempts.load(ADA, "k") == key
    assert await attempts.load(BOB, "k") is None
    await attempts.save_response(key.id, '{"a": 1}', BOB)
    await attempts.save_response(key.id, '{"a": 2}', ADA)
    assert (await attempts.load(ADA, "k") or key).response == '{"a": 2}'
    assert await attempts.delete_older_than(key.created_at) == 0
    assert await attempts.delete_older_than(utc_now()) == 1
    await attempts.add(key, ADA)
    await attempts.save_response(key.id, None, ADA)
    assert await attempts.load(ADA, "k") is None


async def test_replicas_live_while_they_beat(database: Database, make: Make):
    replicas, runs = SqlReplicas(database), SqlRuns(database)
    for number in (1, 2):
        await replicas.join(ReplicaRecord(f"rep_{number}", "here", number, 0))
    await replicas.join(ReplicaRecord("rep_1", "here", 1, 0))
    assert await replicas.heartbeat("rep_1")
    assert not await replicas.heartbeat("rep_3")
    assert {each.id: each.beat for each in await replicas.all()} == {"rep_1": 1, "rep_2": 0}
    await runs.insert_running(make())
    assert await replicas.unregistered(9) == []
    assert not await replicas.remove("rep_1", beat=0)
    assert await replicas.remove("rep_1", beat=1)
    assert not await replicas.heartbeat("rep_1")
    assert await replicas.unregistered(9) == ["rep_1"]
