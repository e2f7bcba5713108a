"""Orphaned runs through a consumer group of Redis: each reaches one replica at a time, until it is done."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from backchannel.errors import ConfigurationError, UnavailableError
from backchannel.handovers.base import Delivery, Handover
from backchannel.handovers.redis import GROUP, MAX_STREAM_LENGTH, RedisHandovers
from redis_server import key_prefix, shared_server

pytestmark = pytest.mark.row("H1", "H2")

VISIBILITY_TIMEOUT = 0.3
OFFERS = [Handover("run_1", "rep_dead"), Handover("run_2", None), Handover("run_3", "rep_dead")]


@pytest.fixture
def server() -> str:
    return shared_server()


@pytest.fixture
def prefix(server: str) -> Generator[str]:
    with key_prefix(server) as prefix:
        yield prefix


@asynccontextmanager
async def member(server: str, prefix: str) -> AsyncGenerator[RedisHandovers]:
    handovers = RedisHandovers(server, prefix=prefix, visibility_timeout=VISIBILITY_TIMEOUT)
    yield handovers
    await handovers.aclose()


@pytest.fixture
async def one(server: str, prefix: str) -> AsyncGenerator[RedisHandovers]:
    async with member(server, prefix) as handovers:
        yield handovers


@pytest.fixture
async def other(server: str, prefix: str) -> AsyncGenerator[RedisHandovers]:
    async with member(server, prefix) as handovers:
        yield handovers


@pytest.fixture
async def redis(server: str) -> AsyncGenerator[Any]:
    async with Redis.from_url(server) as client:
        yield client


async def received(handovers: RedisHandovers, replica: str) -> Sequence[Delivery]:
    """The next that arrives."""
    async with asyncio.timeout(10):
        while not (deliveries := await handovers.receive(replica)):
            pass
        return deliveries


def runs(deliveries: Sequence[Delivery]) -> list[Handover]:
    return [each.handover for each in deliveries]


async def test_what_is_offered_is_delivered_in_order(one: RedisHandovers, other: RedisHandovers):
    await one.offer(OFFERS)
    assert runs(await received(other, "rep_other")) == OFFERS


async def test_who_waits_gets_it_at_once(one: RedisHandovers, other: RedisHandovers):
    waiting = asyncio.create_task(received(other, "rep_other"))
    await one.offer([])
    await one.offer(OFFERS[:1])
    assert runs(await waiting) == OFFERS[:1]


async def test_each_is_delivered_to_one(one: RedisHandovers, other: RedisHandovers):
    offers = [Handover(f"run_{number}", None) for number in range(200)]
    await one.offer(offers)

    async def take(handovers: RedisHandovers, replica: str, got: list[str]) -> None:
        while deliveries := await handovers.receive(replica):
            got += [each.handover.run_id for each in deliveries]
            await handovers.acknowledge(deliveries)

    ours, theirs = list[str](), list[str]()
    async with asyncio.timeout(20):
        await asyncio.gather(take(one, "rep_one", ours), take(other, "rep_other", theirs))
    assert ours
    assert theirs
    assert sorted(ours + theirs) == sorted(each.run_id for each in offers)


async def test_what_is_not_done_is_delivered_to_another(one: RedisHandovers, other: RedisHandovers):
    await one.offer(OFFERS)
    first = await received(one, "rep_one")
    await one.acknowledge(first[:1])
    began = asyncio.get_running_loop().time()
    second = await received(other, "rep_other")
    assert asyncio.get_running_loop().time() - began >= VISIBILITY_TIMEOUT * 0.8
    assert second == first[1:]
    await other.acknowledge(second)
    assert not await one.receive("rep_one")


async def test_what_is_done_is_gone(one: RedisHandovers, redis: Any, prefix: str):
    await one.offer(OFFERS)
    deliveries = await received(one, "rep_one")
    await one.acknowledge(deliveries)
    await one.acknowledge(deliveries)
    await one.acknowledge([])
    assert await redis.xlen(f"{prefix}:handovers") == 0
    assert (await redis.xpending(f"{prefix}:handovers", GROUP))["pending"] == 0


async def test_a_wait_that_is_broken_off_loses_nothing(one: RedisHandovers, other: RedisHandovers):
    waiting = asyncio.create_task(received(one, "rep_one"))
    await other.offer(OFFERS[:1])
    waiting.cancel()
    await asyncio.wait({waiting})
    await other.offer(OFFERS[1:])
    got = list[Handover]()
    while len(got) < len(OFFERS):
        deliveries = await received(other, "rep_other")
        got += runs(deliveries)
        await other.acknowledge(deliveries)
    assert sorted(got, key=lambda each: each.run_id) == OFFERS


async def test_redis_may_forget_everything(
    one: RedisHandovers, other: RedisHandovers, redis: Any, prefix: str
):
    await one.offer(OFFERS[:1])
    await one.acknowledge(await received(one, "rep_one"))
    await redis.delete(f"{prefix}:handovers")
    await other.offer(OFFERS[1:])
    assert runs(await received(one, "rep_one")) == OFFERS[1:]


async def test_who_leaves_is_no_member_unless_he_owes_something(one: RedisHandovers, redis: Any, prefix: str):
    async def members() -> set[bytes]:
        return {each["name"] for each in await redis.xinfo_consumers(f"{prefix}:handovers", GROUP)}

    await one.leave("rep_stranger")
    await one.offer(OFFERS[:1])
    deliveries = await received(one, "rep_one")
    await one.leave("rep_one")
    assert await members() == {b"rep_one"}
    await one.acknowledge(deliveries)
    await one.leave("rep_one")
    assert await members() == set()


async def test_offers_that_nobody_receives_do_not_grow_without_end(
    one: RedisHandovers, redis: Any, prefix: str
):
    await one.offer([Handover(f"run_{number}", None) for number in range(MAX_STREAM_LENGTH + 1000)])
    # Redis drops whole nodes of a stream, of a hundred entries.
    assert await redis.xlen(f"{prefix}:handovers") <= MAX_STREAM_LENGTH + 100


async def test_redis_that_is_not_there_is_told_of():
    handovers = RedisHandovers("redis://127.0.0.1:1/0")
    with pytest.raises(UnavailableError, match="delivery of orphaned runs"):
        await handovers.offer(OFFERS)
    with pytest.raises(UnavailableError):
        await handovers.receive("rep_one")
    with pytest.raises(UnavailableError):
        await handovers.leave("rep_one")
    await handovers.aclose()


def test_an_address_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="BACKCHANNEL_REDIS_URL"):
        RedisHandovers("http://example.org")
