"""Replicas give signs of life, notice who gives none, and care for runs that nobody makes."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from backchannel.chat.agent.server import ChatServer
from backchannel.context import RequestContext
from backchannel.errors import UnavailableError
from backchannel.event_logs.memory import MemoryEventLog
from backchannel.runs import rescuer as rescuer_module
from backchannel.runs.processes import host_id
from backchannel.runs.rescuer import Rescuer
from backchannel.runs.runs import Runs
from backchannel.runs.stores import RunStores
from backchannel.stores.run_store import ReplicaRecord
from backchannel.testing import Say, ScriptedModel
from unit.runs.requests import Hear, ReaderState, say

pytestmark = pytest.mark.row("H1", "H2", "C5")


LEASE = 1.0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - the database has no event
            await asyncio.sleep(0.02)


@pytest.fixture
async def other(
    chat_server: ChatServer, stores: RunStores, events: MemoryEventLog, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Runs]:
    """Another process that keeps house."""
    monkeypatch.setattr(events, "disconnect_readers", lambda: None)
    monkeypatch.setattr(rescuer_module, "RESCUE_SECONDS", 0.05)
    monkeypatch.setattr(rescuer_module, "UNTRACKED_SECONDS", 0.05)
    monkeypatch.setattr(rescuer_module, "STOP_REQUESTS_SECONDS", 0.05)
    other = Runs(chat_server, stores)
    async with Rescuer(other.worker, lease=LEASE).running():
        yield other
        await other.drain(0)


@pytest.fixture
async def started(
    runs: Runs, other: Runs, model: ScriptedModel, stores: RunStores, ann: RequestContext, hear: Hear
) -> str:
    """A run of a process that gives no further sign of life: its answer waits in the middle."""
    await stores.replicas.join(ReplicaRecord(runs.worker.replica, "elsewhere", 1, 0))
    model.add(Say(["one ", "two"], until=asyncio.Event()))
    run_id = await runs.start(say("count"), ann)
    await hear(run_id, "one ")
    return run_id


async def status(runs: Runs, run_id: str, ann: RequestContext) -> str:
    return (await runs.load(run_id, ann.identity)).status


async def test_who_gives_no_sign_of_life_for_a_lease_loses_its_runs(
    runs: Runs,
    other: Runs,
    started: str,
    model: ScriptedModel,
    replay: ReaderState,
    ann: RequestContext,
    stores: RunStores,
):
    began = asyncio.get_running_loop().time()
    model.add(Say("one two"))
    events = await replay(started)
    assert asyncio.get_running_loop().time() - began >= LEASE * 0.9
    assert events[-1]["item"]["content"][0]["text"] == "one two"
    record = await other.load(started, ann.identity)
    assert (record.status, record.fence) == ("completed", 2)
    assert [each.id for each in await stores.replicas.all()] == [other.worker.replica]


async def test_who_goes_on_beating_keeps_its_runs(
    runs: Runs, other: Runs, started: str, stores: RunStores, ann: RequestContext
):
    deadline = asyncio.get_running_loop().time() + 2 * LEASE
    while asyncio.get_running_loop().time() < deadline:
        assert await stores.replicas.heartbeat(runs.worker.replica)
        await asyncio.sleep(LEASE / 10)
    record = await runs.load(started, ann.identity)
    assert (record.replica, record.fence) == (runs.worker.replica, 1)


async def test_a_process_of_this_machine_that_is_gone_is_noticed_at_once(
    other: Runs,
    stores: RunStores,
    runs: Runs,
    model: ScriptedModel,
    replay: ReaderState,
    hear: Hear,
    ann: RequestContext,
):
    process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)
    await stores.replicas.join(ReplicaRecord(runs.worker.replica, host_id(), process.pid, 0))
    model.add(Say(["one ", "two"], until=asyncio.Event()), Say("one two"))
    run_id = await runs.start(say("count"), ann)
    await hear(run_id, "one ")
    process.kill()
    await process.wait()
    began = asyncio.get_running_loop().time()
    await replay(run_id)
    assert asyncio.get_running_loop().time() - began < LEASE
    assert (await other.load(run_id, ann.identity)).fence == 2


@pytest.mark.parametrize(
    ("host", "pid", "alive"),
    [
        (host_id(), os.getppid(), True),
        ("elsewhere", 1, True),
        (host_id(), os.getpid(), False),
        (host_id(), 2**22 + 1, False),
    ],
    ids=["another process", "another machine", "our number, not us", "no such process"],
)
def test_whether_a_process_is_there(host: str, pid: int, alive: bool):
    assert rescuer_module._is_gone(ReplicaRecord("rep_x", host, pid, 0)) is not alive


async def test_who_was_removed_touches_none_of_its_runs_and_comes_back_under_another_name(
    other: Runs, stores: RunStores, model: ScriptedModel, ann: RequestContext, hear: Hear, replay: ReaderState
):
    model.add(Say(["one ", "two"], until=asyncio.Event()), Say("one two"))
    run_id = await other.start(say("count"), ann)
    await hear(run_id, "one ")
    name = other.worker.replica
    assert await stores.replicas.remove(name)
    await replay(run_id)
    assert other.worker.replica != name
    assert [each.id for each in await stores.replicas.all()] == [other.worker.replica]
    assert (await other.load(run_id, ann.identity)).fence == 2


async def test_who_is_removed_while_it_looks_for_dead_replicas_does_not_take_its_own_runs_over(
    other: Runs,
    stores: RunStores,
    model: ScriptedModel,
    ann: RequestContext,
    hear: Hear,
    replay: ReaderState,
    monkeypatch: pytest.MonkeyPatch,
):
    model.add(Say(["one ", "two"], until=asyncio.Event()), Say("one two"))
    run_id = await other.start(say("count"), ann)
    await hear(run_id, "one ")
    name, read_all, removed = other.worker.replica, stores.replicas.all, asyncio.Event()

    async def removed_after_reading() -> Sequence[ReplicaRecord]:
        members = await read_all()
        if not removed.is_set():
            removed.set()
            assert await stores.replicas.remove(name)
        return members

    monkeypatch.setattr(stores.replicas, "all", removed_after_reading)
    await replay(run_id)
    assert other.worker.replica != name
    # Both the heartbeat and the next look find it removed; it joins again once.
    assert [each.id for each in await read_all()] == [other.worker.replica]
    assert (await other.load(run_id, ann.identity)).fence == 2


async def test_a_stop_reaches_the_replica_that_makes_the_run(
    runs: Runs, other: Runs, model: ScriptedModel, ann: RequestContext, hear: Hear
):
    model.add(Say(["one ", "two"], until=asyncio.Event()))
    run_id = await other.start(say("count"), ann)
    await hear(run_id, "one ")
    began = asyncio.get_running_loop().time()
    assert (await runs.stop(run_id, ann.identity)).status == "cancelled"
    assert asyncio.get_running_loop().time() - began < 1
    assert model.streaming == 0


async def test_a_queue_that_nobody_cares_for_goes_on(
    runs: Runs,
    other: Runs,
    started: str,
    model: ScriptedModel,
    ann: RequestContext,
    stores: RunStores,
    replay: ReaderState,
):
    thread_id = (await runs.load(started, ann.identity)).thread_id
    second = await runs.start(say("second", thread_id), ann)
    model.add(Say("second answer"))
    first = await stores.runs.load(started, ann.identity)
    # As if the process had died between the end of the first run and the turn of the next.
    await stores.runs.finish(first.id, first.fence, "completed", None, first.usage or runs_usage())
    await replay(second)
    assert await status(other, second, ann) == "completed"


def runs_usage() -> Any:
    raise AssertionError("a run that is loaded has its usage")


async def test_a_run_that_is_noted_as_ours_and_that_nobody_makes_is_taken_up(
    other: Runs, stores: RunStores, model: ScriptedModel, ann: RequestContext, hear: Hear, replay: ReaderState
):
    model.add(Say(["one ", "two"], until=asyncio.Event()), Say("one two"))
    run_id = await other.start(say("count"), ann)
    await hear(run_id, "one ")
    run = other.worker.get(run_id)
    assert run is not None
    other.worker._runs.pop(run.id)
    events = await replay(run_id)
    assert events[-1]["item"]["content"][0]["text"] == "one two"
    assert (await other.load(run_id, ann.identity)).fence == 2


@pytest.mark.parametrize("error", [UnavailableError("The log is away."), RuntimeError("a fault")])
async def test_a_log_that_could_not_be_ended_at_once_is_ended_later(
    other: Runs,
    events: MemoryEventLog,
    model: ScriptedModel,
    ann: RequestContext,
    hear: Hear,
    stores: RunStores,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
):
    """As when the process dies between the row's end and the log's, and the next one cannot reach its stores."""
    model.add(Say(["one ", "two"], until=asyncio.Event()))
    run_id = await other.start(say("count"), ann)
    await hear(run_id, "one ")
    run = other.worker.get(run_id)
    assert run is not None
    assert run.task is not None
    run.stop("fenced")
    await asyncio.wait([run.task])
    usage = (await stores.runs.load(run_id, ann.identity)).usage
    assert usage is not None
    tries = 0
    end = events.end

    async def away(run_id: str) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise error
        await end(run_id)

    monkeypatch.setattr(events, "end", away)
    await stores.runs.finish(run_id, run.fence, "completed", None, usage)

    async def forgotten() -> bool:
        return await stores.runs.list_by_replica(other.worker.replica) == []

    await until(forgotten)
    assert tries == (3 if isinstance(error, UnavailableError) else 1)


async def test_ended_runs_are_nobodys_after_a_while(
    other: Runs, stores: RunStores, model: ScriptedModel, ann: RequestContext, replay: ReaderState
):
    model.add(Say("hi"))
    await replay(await other.start(say("hi"), ann))

    async def forgotten() -> bool:
        return await stores.runs.list_by_replica(other.worker.replica) == []

    await until(forgotten)
