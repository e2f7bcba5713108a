"""Two replicas on one database, with and without Redis: what one makes, the other can show, stop and go on with.

What must hold: an answer can be followed from any replica, from any event on, without gap or duplicate. Stopping it
from the other replica reaches the model within a second. When its replica dies, the other one finishes it, and what
the client has seen by then is what is kept.
"""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis

from backchannel.testing import user_message
from faults.cluster import Cluster, Replica, running
from faults.model_server import ModelServer, whole
from faults.talker import UNKNOWN, Answer, Person, texts
from processes import until, within

STOP_SECONDS = 1
READERS = 12
SEED = 20261124


@dataclass
class Pair:
    """Two replicas that run, and somebody who knows both."""

    cluster: Cluster
    one: Replica
    other: Replica
    ada: Person
    label: str

    @property
    def model(self) -> ModelServer:
        """What answers."""
        return self.cluster.model


@pytest.fixture(scope="module", params=["postgresql+redis", "mariadb"])
async def cluster(
    request: pytest.FixtureRequest, model: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Cluster]:
    """Two replicas."""
    async with running(request.param, tmp_path_factory.mktemp("pair"), model, 2) as cluster:
        yield cluster


@pytest.fixture
async def pair(cluster: Cluster) -> AsyncGenerator[Pair]:
    """Two replicas, both alive again if a test before has killed one; and somebody new."""
    dead = [replica for replica in cluster.replicas if not replica.process.alive]
    await asyncio.gather(*(replica.start() for replica in dead))
    one, other = cluster.replicas
    async with Person(cluster.urls) as ada:
        yield Pair(cluster, one, other, ada, f"m{secrets.token_hex(4)}")


@pytest.mark.row("C4", "H2")
@within(30)
async def test_another_replica_goes_on_telling_what_the_first_one_says(pair: Pair):
    answer = await pair.ada.ask(f"{pair.label}: tokens 40 hold {pair.label} at 20")
    await answer.until_said(":19 ")
    await answer.drop()
    answer.replicas = [pair.other.url]
    pair.model.gate(pair.label).set()
    await answer.finish()
    assert whole(answer.text, pair.label, 40)
    await pair.ada.sees_what_is_kept(answer)


@pytest.mark.row("C4", "H2")
@within(40)
async def test_readers_that_come_and_go_at_both_replicas_get_every_event_once(pair: Pair):
    chance = random.Random(SEED)
    answer = await pair.ada.ask(f"{pair.label}: tokens 300 pace 150")

    async def read() -> Answer:
        reader = pair.ada.resume(answer.run_id)
        for _ in range(6):
            wanted = len(reader.text) + chance.randint(1, 600)
            chance.shuffle(reader.replicas)
            async for _event in reader.follow():
                if len(reader.text) >= wanted:
                    break
            await reader.drop()
        return await reader.finish()

    readers = await asyncio.gather(answer.finish(), *(read() for _ in range(READERS)))
    assert whole(answer.text, pair.label, 300)
    for reader in readers:
        assert reader.view.items == answer.view.items
    assert len(pair.model.of(pair.label)) == 1


@pytest.mark.row("C4", "H2")
@within(30)
async def test_after_a_refresh_another_replica_knows_how_far_the_answer_is(pair: Pair):
    answer = await pair.ada.ask(f"{pair.label}: tokens 40 hold {pair.label} at 20", at=[pair.one.url])
    await answer.until_said(":19 ")
    await answer.drop()
    async with Person([pair.other.url], user=pair.ada.user) as refreshed:
        [active] = await refreshed.runs(answer.thread_id, active=True)
        assert (active["id"], active["status"]) == (answer.run_id, "running")

        async def shows_all() -> bool:
            partial = texts(await refreshed.items(answer.thread_id))
            return len(partial) == 2 and partial[1].endswith(":19 ")

        await until(shows_all, "the other replica shows the partial answer")
        again = await refreshed.op(
            "threads.add_user_message",
            {"thread_id": answer.thread_id, "input": user_message("never taken in")},
            headers={"Last-Event-ID": f"{answer.run_id}:0"},
        )
        assert again.run_id == answer.run_id
        pair.model.gate(pair.label).set()
        await again.finish()
        assert whole(again.text, pair.label, 40)
        assert len(texts(await refreshed.sees_what_is_kept(again))) == 2


@pytest.mark.alone
@pytest.mark.row("C5", "H2")
@within(30)
async def test_stop_from_another_replica_reaches_the_model_within_a_second(pair: Pair):
    answer = await pair.ada.ask(f"{pair.label}: tokens 4000 pace 100", at=[pair.one.url])
    await answer.until_said(":20 ")
    asked = time.monotonic()
    stopped = await pair.ada.stop(answer.run_id, at=[pair.other.url])
    assert time.monotonic() - asked < STOP_SECONDS + 0.5
    assert stopped["status"] == "cancelled"
    [call] = pair.model.of(pair.label)
    await until(lambda: not call.open, "the model's stream is closed", 2)
    assert call.hung_up is not None
    assert call.hung_up - asked < STOP_SECONDS
    await answer.finish()
    assert answer.run["status"] == "cancelled"
    assert answer.errors == []
    kept = texts(await pair.ada.sees_what_is_kept(answer))
    assert len(kept) == 2
    assert "".join(f"{pair.label}.{call.number}:{number} " for number in range(21)) in kept[1]
    assert call.tokens_after <= 1
    again = await pair.ada.say(f"{pair.label}again: say fine", answer)
    assert texts(await pair.ada.sees_what_is_kept(again))[-1] == "fine "


async def deliveries(cluster: Cluster) -> int | None:
    """How many orphaned runs Redis has delivered so far, if there is a Redis; waits until all of them are done."""
    if cluster.redis is None:
        return None
    async with Redis.from_url(cluster.redis.url) as client:
        redis: Any = client

        async def group() -> dict[str, Any]:
            return (await redis.xinfo_groups("backchannel:handovers"))[0]

        async def done() -> bool:
            found = await group()
            return found["pending"] == 0 and await redis.xlen("backchannel:handovers") == 0

        await until(done, "deliveries are done", 10)
        return int((await group())["entries-read"] or 0)


@pytest.mark.row("H1", "H2", "C4")
@within(40)
async def test_an_answer_goes_on_where_its_replica_is_killed(pair: Pair):
    answer = await pair.ada.ask(
        f"{pair.label}: call record {pair.label} then tokens 40 hold {pair.label} at 20"
    )
    await answer.until_said(":19 ")
    before = await pair.ada.run(answer.run_id)
    delivered = await deliveries(pair.cluster)
    await pair.one.process.kill()
    await pair.model.reached(pair.label, 20, calls=3)
    if delivered is not None:
        # Through the consumer group, to the one that lives, and done. Perhaps with others that had just ended there.
        assert (await deliveries(pair.cluster) or 0) > delivered
    pair.model.gate(pair.label).set()
    await answer.finish()
    assert answer.errors == []
    assert answer.run["status"] == "completed"
    assert answer.run["replica"] != before["replica"]
    assert answer.run["fence"] > before["fence"]
    assert answer.run["attempt"] == before["attempt"] + 1
    assert whole(answer.text, pair.label, 40)
    kept = await pair.ada.sees_what_is_kept(answer)
    assert [item["type"] for item in kept] == ["user_message", "workflow", "assistant_message"]
    # The tool had been called, and is not called again; what the model had been saying is said anew.
    assert len(pair.cluster.ledger("record", pair.label)) == 1
    assert [call.step for call in pair.model.of(pair.label)] == [0, 1, 1]
    assert answer.run["usage"]["output_tokens"] >= 40


@pytest.mark.row("H1")
@within(40)
async def test_a_tool_that_was_running_is_called_again_only_if_it_is_idempotent(pair: Pair):
    label = pair.label
    answer = await pair.ada.ask(f"{label}: call slow {label} & call slow_once {label} then say goes on")
    ledger = pair.cluster.ledger
    await until(lambda: bool(ledger("slow", label) and ledger("slow_once", label)), "both tools run")
    await pair.one.process.kill()
    pair.cluster.open_gate(label)
    await answer.finish()
    assert (answer.errors, answer.run["status"]) == ([], "completed")
    assert texts(await pair.ada.sees_what_is_kept(answer))[-1] == "goes on "
    assert len(ledger("slow", label)) == 1
    assert len(ledger("slow_once", label)) == 2
    assert len({line["key"] for line in ledger("slow_once", label)}) == 1
    slow, once = pair.model.of(label)[-1].outputs.values()
    assert UNKNOWN in slow
    assert once == f"slowly recorded {label} once"


@pytest.mark.row("H1", "H2")
@within(60)
async def test_an_answer_goes_on_after_all_replicas_died(pair: Pair):
    answer = await pair.ada.ask(f"{pair.label}: tokens 40 hold {pair.label} at 20")
    await answer.until_said(":19 ")
    waiting = await pair.ada.ask(f"{pair.label}next: say me too", answer.thread_id)
    await asyncio.gather(*(replica.process.kill() for replica in pair.cluster.replicas))
    pair.model.gate(pair.label).set()
    await pair.other.start()
    await answer.finish()
    await waiting.finish()
    said = texts(await pair.ada.sees_what_is_kept(answer, waiting))
    assert whole(said[1], pair.label, 40)
    assert said[2:] == [f"{pair.label}next: say me too", "me too "]


@pytest.mark.row("A1", "H2")
@within(30)
async def test_a_client_tool_is_answered_at_another_replica_and_after_a_restart(pair: Pair):
    asking = await pair.ada.say(
        f"{pair.label}: call ask_page one then call ask_page two then say thanks", at=[pair.one.url]
    )
    assert asking.run["status"] == "waiting"
    again = await (await pair.ada.answer_tool(asking, {"first": 1}, at=[pair.other.url])).finish()
    assert again.run["status"] == "waiting"
    assert (await pair.ada.run(asking.run_id))["status"] == "completed"
    await asyncio.gather(*(replica.process.kill() for replica in pair.cluster.replicas))
    await pair.one.start()
    last = await (await pair.ada.answer_tool(again, {"second": 2})).finish()
    assert last.run["status"] == "completed"
    assert texts(await pair.ada.sees_what_is_kept(last))[-1] == "thanks "


@pytest.mark.row("A4", "C4", "H2")
@within(30)
async def test_the_same_request_at_both_replicas_at_once_is_taken_in_once(pair: Pair):
    first = await pair.ada.say(f"{pair.label}: say hello")
    urls = pair.cluster.urls
    for number in range(6):
        message = f"{pair.label}twice{number}: say once"
        twins = await asyncio.gather(
            *(
                pair.ada.ask(message, first.thread_id, at=[url], key=f"{pair.label}-{number}")
                for url in (*urls, *urls)
            )
        )
        assert len({twin.run_id for twin in twins}) == 1
        for twin in twins:
            await twin.finish()
            assert (twin.text, twin.errors) == ("once ", [])
    said = texts(await pair.ada.items(first))
    assert said.count("once ") == 6
    assert len(said) == 2 + 12
    new = await asyncio.gather(
        *(pair.ada.ask(f"{pair.label}new: say new", at=[url], key=f"{pair.label}-new") for url in urls)
    )
    assert len({(await each.finish()).thread_id for each in new}) == 1
    assert len((await pair.ada.request("threads.list", {}))["data"]) == 2
