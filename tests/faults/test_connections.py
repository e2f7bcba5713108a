"""Clients that read slowly or not at all, and networks that lose connections without telling anybody.

What must hold: neither costs the replica memory, delays anybody else or changes the answer; in the end, the client has
the same text.
"""

import asyncio
import itertools
import secrets
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from faults.cluster import Cluster, running
from faults.model_server import ModelServer, whole
from faults.network import Network
from faults.talker import Person
from processes import within

pytestmark = pytest.mark.alone

TOKENS = 20_000
PACE = 4_000
BUFFER = 128 * 1024
"""What a reader's machine takes in before anybody reads it: more than one segment on the loopback, whose windows would
open in steps of a fifth of a second otherwise."""
UNREAD = 4
"""How many readers read nothing. A copy of the answer for each would be 5 MiB each."""
GROWTH = 8 * 1024 * 1024
"""How much memory they may cost together, measured from outside: the allocator's pages, not objects."""
GAP_SECONDS = 0.5
FLOOD_SECONDS = 1
"""How long anybody may wait while a model says all it has to say at once: that takes several seconds."""


@pytest.fixture(scope="module")
async def cluster(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Cluster]:
    """One replica."""
    async with running("sqlite", tmp_path_factory.mktemp("one"), model, 1) as cluster:
        yield cluster


@pytest.fixture
def label() -> str:
    """Names the messages of one test."""
    return f"m{secrets.token_hex(4)}"


async def peak_until(cluster: Cluster, task: asyncio.Task[object]) -> int:
    """The most memory that the replica uses until something is done."""
    peak = 0
    while not task.done():
        peak = max(peak, cluster.replicas[0].process.rss)
        await asyncio.wait((task,), timeout=0.1)
    await task
    return peak


@pytest.mark.row("C3")
@within(120)
async def test_a_client_that_reads_nothing_costs_nothing(cluster: Cluster, label: str):
    async with Person(cluster.urls) as ada, Person(cluster.urls, buffer=BUFFER, silence=60) as slow:
        # What the allocator keeps of an answer of this length is there before anything is measured.
        await ada.say(f"{label}first: tokens {TOKENS}")
        fast = await ada.ask(f"{label}fast: tokens {TOKENS} pace {PACE}")
        usual = await peak_until(cluster, asyncio.create_task(fast.finish()))

        unread = await slow.ask(f"{label}slow: tokens {TOKENS} pace {PACE}")
        others = [slow.resume(unread.run_id) for _ in range(UNREAD - 1)]
        for reader in others:
            await reader.until_said(":9 ")
        beside = await ada.ask(f"{label}beside: tokens 60 pace 20")
        ended = asyncio.create_task(slow.run_is(unread.run_id, "completed"))
        peak = await peak_until(cluster, ended)
        assert peak - usual < GROWTH

        await beside.finish()
        gaps = [later - earlier for earlier, later in itertools.pairwise(beside.times)]
        assert max(gaps) < GAP_SECONDS

        await unread.finish()
        assert whole(fast.text, f"{label}fast", TOKENS)
        assert whole(unread.text, f"{label}slow", TOKENS)
        for reader in others:
            await reader.finish()
            assert reader.view.items == unread.view.items
        assert unread.connections == 1
        # It catches up with less, not with more.
        assert len(unread.events) < TOKENS
        await slow.sees_what_is_kept(unread)


@pytest.mark.row("C3")
@within(60)
async def test_a_model_that_says_everything_at_once_delays_nobody(cluster: Cluster, label: str):
    async with Person(cluster.urls) as ada:
        beside = await ada.ask(f"{label}beside: tokens 80 pace 20")
        await beside.until_said(":4 ")
        flood = await ada.ask(f"{label}flood: tokens {TOKENS}")
        await asyncio.gather(beside.finish(), flood.finish())
        gaps = [later - earlier for earlier, later in itertools.pairwise(beside.times)]
        assert max(gaps) < FLOOD_SECONDS
        assert whole(beside.text, f"{label}beside", 80)
        assert whole(flood.text, f"{label}flood", TOKENS)


@pytest.mark.row("C3", "C4")
@within(60)
async def test_many_readers_that_read_nothing_cost_next_to_nothing(cluster: Cluster, label: str):
    async with (
        Person(cluster.urls) as ada,
        Person(cluster.urls, user=ada.user, buffer=BUFFER, silence=60) as slow,
    ):
        answer = await ada.ask(f"{label}: tokens 4000 pace {PACE} hold {label} at 10")
        await answer.until_said(":9 ")
        before = cluster.replicas[0].process.rss
        readers = []
        for _ in range(40):
            reader = slow.resume(answer.run_id)
            await reader.until_said(":9 ")
            readers.append(reader)
        cluster.model.gate(label).set()
        await answer.finish()
        assert cluster.replicas[0].process.rss - before < 1.5 * GROWTH
        for reader in readers:
            await reader.finish()
            assert reader.view.items == answer.view.items


@pytest.mark.row("C4")
@within(30)
async def test_a_connection_that_falls_silent_is_replaced(cluster: Cluster, label: str):
    async with Network(cluster.replicas[0].port) as network, Person([network.url], silence=1.5) as ada:
        answer = await ada.ask(f"{label}: tokens 40 hold {label} at 20")
        await answer.until_said(":19 ")
        network.lose()
        cluster.model.gate(label).set()
        await answer.finish()
        assert whole(answer.text, label, 40)
        assert answer.connections == 2
        await ada.sees_what_is_kept(answer)


@pytest.mark.row("A4", "C4")
@within(30)
async def test_an_answer_to_a_request_that_is_lost_is_asked_for_again(
    cluster: Cluster, label: str, tmp_path: Path
):
    """The request arrives, its answer never does: the client sends it again, with the same name."""
    async with Network(cluster.replicas[0].port) as network, Person([network.url], silence=1.5) as ada:
        first = await ada.say(f"{label}: say hello")
        network.lose_answers = True
        asking = asyncio.create_task(ada.ask(f"{label}more: tokens 20", first))
        await cluster.model.reached(f"{label}more", 20)
        network.lose_answers = False
        answer = await asking
        assert answer.retries > 0
        await answer.finish()
        assert len(await ada.sees_what_is_kept(answer)) == 4
        assert len(cluster.model.of(f"{label}more")) == 1
