"""Orphaned runs that are delivered to a replica, by a real Redis: no housekeeping finds them first here."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from backchannel.chat.agent.server import ChatServer
from backchannel.context import RequestContext
from backchannel.errors import UnavailableError
from backchannel.event_logs.memory import MemoryEventLog
from backchannel.handovers.base import Handover
from backchannel.handovers.redis import RedisHandovers
from backchannel.runs import rescuer as rescuer_module
from backchannel.runs.rescuer import Rescuer
from backchannel.runs.runs import Runs
from backchannel.runs.stores import RunStores
from backchannel.stores.run_store import ReplicaRecord
from backchannel.testing import Say, ScriptedModel
from redis_server import key_prefix, shared_server
from unit.runs.requests import Hear, ReaderState, say

pytestmark = pytest.mark.row("H1", "H2")


@pytest.fixture
async def handovers() -> AsyncGenerator[RedisHandovers]:
    server = shared_server()
    with key_prefix(server) as prefix:
        handovers = RedisHandovers(server, prefix=prefix)
        yield handovers
        await handovers.aclose()


@pytest.fixture
def stores(stores: RunStores, handovers: RedisHandovers) -> RunStores:
    return replace(stores, handovers=handovers)


@pytest.fixture
async def other(
    chat_server: ChatServer, stores: RunStores, events: MemoryEventLog, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Runs]:
    """Another process. It looks for orphans once, when it starts."""
    monkeypatch.setattr(events, "disconnect_readers", lambda: None)
    monkeypatch.setattr(rescuer_module, "RESCUE_SECONDS", 3600)
    other = Runs(chat_server, stores)
    replica = Rescuer(other.worker, lease=3600)
    swept = asyncio.Event()
    sweep = replica._rescue

    async def sweep_once() -> None:
        await sweep()
        swept.set()

    monkeypatch.setattr(replica, "_rescue", sweep_once)
    async with replica.running():
        await swept.wait()
        yield other
        await other.drain(0)


@pytest.fixture
async def started(runs: Runs, model: ScriptedModel, ann: RequestContext, hear: Hear) -> str:
    """A run whose answer waits in the middle."""
    model.add(Say(["one ", "two"], until=asyncio.Event()))
    run_id = await runs.start(say("count"), ann)
    await hear(run_id, "one ")
    return run_id


async def is_whole(run_id: str, replay: ReaderState, other: Runs, ann: RequestContext) -> None:
    events = await replay(run_id)
    assert events[-1]["item"]["content"][0]["text"] == "one two"
    record = await other.load(run_id, ann.identity)
    assert (record.status, record.fence) == ("completed", 2)


async def test_a_run_that_is_let_go_of_goes_on_at_another_replica(
    runs: Runs, other: Runs, started: str, model: ScriptedModel, replay: ReaderState, ann: RequestContext
):
    model.add(Say("one two"))
    await runs.drain(0)
    await is_whole(started, replay, other, ann)


@dataclass
class Remover:
    """A third process, which has not noticed yet that the replica `dead` gives no sign of life."""

    runs: Runs
    house: Rescuer
    stores: RunStores
    dead: str

    async def remove(self) -> None:
        """Look until it is noticed."""
        async with asyncio.timeout(10):
            while self.dead in {each.id for each in await self.stores.replicas.all()}:
                await self.house._rescue()


@pytest.fixture
async def remover(
    runs: Runs, chat_server: ChatServer, started: str, stores: RunStores
) -> AsyncGenerator[Remover]:
    dead = runs.worker.replica
    await stores.replicas.join(ReplicaRecord(dead, "elsewhere", 1, 0))
    noticing = Runs(chat_server, stores)
    house = Rescuer(noticing.worker, lease=0.01)
    await house._join()
    yield Remover(noticing, house, stores, dead)
    await house._leave()


async def test_the_runs_of_a_dead_replica_are_shared_by_delivery(
    remover: Remover,
    started: str,
    model: ScriptedModel,
    replay: ReaderState,
    ann: RequestContext,
    handovers: RedisHandovers,
):
    await remover.remove()
    assert started not in remover.runs.worker
    (delivery,) = await handovers.receive(remover.runs.worker.replica)
    assert delivery.handover == Handover(started, remover.dead)
    await handovers.acknowledge([delivery])
    # It was not taken over by then: the next look does that.
    model.add(Say("one two"))
    await remover.house._rescue()
    await is_whole(started, replay, remover.runs, ann)


async def test_without_delivery_who_noticed_takes_over_itself(
    remover: Remover,
    started: str,
    model: ScriptedModel,
    replay: ReaderState,
    ann: RequestContext,
    handovers: RedisHandovers,
    monkeypatch: pytest.MonkeyPatch,
):
    async def out_of_reach(*_: Any) -> None:
        raise UnavailableError("Redis is away.")

    monkeypatch.setattr(handovers, "offer", out_of_reach)
    model.add(Say("one two"))
    await remover.remove()
    await is_whole(started, replay, remover.runs, ann)


async def test_what_somebody_else_makes_by_now_is_left_alone(
    runs: Runs, other: Runs, started: str, stores: RunStores, handovers: RedisHandovers, ann: RequestContext
):
    await handovers.offer(
        [Handover(started, None), Handover(started, "rep_gone"), Handover("run_unknown", None)]
    )

    async with asyncio.timeout(10):
        while await handovers._redis.xlen(handovers._stream):  # noqa: ASYNC110 - Redis tells nobody of it
            await asyncio.sleep(0.02)
    record = await runs.load(started, ann.identity)
    assert (record.replica, record.fence, record.status) == (runs.worker.replica, 1, "running")
    assert not len(other.worker)
