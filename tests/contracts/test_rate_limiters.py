"""Counts in memory, in Redis, and in Redis with those in memory beside it keep the contract of every rate limiter."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from typing import override

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.errors import UnavailableError
from backchannel.limits.base import Count, Quota, RateLimiter, Taken
from backchannel.limits.fallback import FallbackRateLimiter
from backchannel.limits.memory import MemoryRateLimiter
from backchannel.limits.redis import RedisRateLimiter
from backchannel.testing.contracts.rate_limiter import RateLimiterContract
from redis_server import key_prefix, shared_server

pytestmark = pytest.mark.row("F5")

KEY = b"k" * 32


@pytest.fixture(scope="module")
def prefix() -> Generator[str]:
    with key_prefix(shared_server()) as prefix:
        yield prefix


class TestMemory(RateLimiterContract):
    @pytest.fixture
    def limiter(self) -> MemoryRateLimiter:
        return MemoryRateLimiter()


class TestRedis(RateLimiterContract):
    @pytest.fixture
    async def limiter(self, prefix: str) -> AsyncGenerator[RedisRateLimiter]:
        # Four hundred at once wait for sixteen connections.
        limiter = RedisRateLimiter(shared_server(), KEY, prefix=prefix, timeout=3)
        yield limiter
        await limiter.aclose()

    async def test_replicas_share_their_counts(self, limiter: RedisRateLimiter, prefix: str, subject: str):
        other = RedisRateLimiter(shared_server(), KEY, prefix=prefix)
        quota = Quota(subject, 10, 3600)
        taken = await asyncio.gather(*(each.take([quota]) for each in (limiter, other) for _ in range(10)))
        assert sum(each.accepted for each in taken) == 10
        await other.aclose()

    async def test_keys_name_nobody_and_end(self, limiter: RedisRateLimiter, prefix: str):
        before = set(stored(prefix))
        await limiter.take([Quota("user\x00acme\x00ada@example.com", 3, 60), Quota("203.0.113.7", 3, 86_400)])
        ends = {name: end for name, end in stored(prefix).items() if name not in before}
        assert sorted(ends.values()) == pytest.approx([120_000, 172_800_000], abs=5000)
        for name in ends:
            assert name.startswith(f"{prefix}:limit:")
            assert not any(word in name for word in ("user", "acme", "example", "203.0"))
        # Without the server's secret nobody finds the key of an address.
        other = RedisRateLimiter(shared_server(), b"o" * 32, prefix=prefix)
        assert (await other.take([Quota("203.0.113.7", 3, 86_400)])).counts[0].remaining == 2
        await other.aclose()

    async def test_one_round_trip_for_all_quotas(self, limiter: RedisRateLimiter, subject: str):
        quotas = [Quota(f"{subject}{number}", 3, 60) for number in range(6)]
        await limiter.take(quotas)
        with redis.Redis.from_url(shared_server(), decode_responses=True) as client, client.monitor() as seen:
            await limiter.take(quotas)
            client.echo("the end")
            commands = []
            while (said := seen.next_command())["command"] != "ECHO the end":
                if said["client_type"] != "lua":
                    commands.append(said["command"].partition(" ")[0])
        assert commands.count("EVALSHA") >= 1
        assert not {"MGET", "SET", "EVAL"} & set(commands)


def stored(prefix: str) -> dict[str, int]:
    """The keys of counts, with the milliseconds after which each ends."""
    with redis.Redis.from_url(shared_server(), decode_responses=True) as client:
        return {name: client.pttl(name) for name in client.scan_iter(f"{prefix}:limit:*")}


class TestFallback(RateLimiterContract):
    @pytest.fixture
    async def limiter(self, prefix: str) -> AsyncGenerator[FallbackRateLimiter]:
        shared = RedisRateLimiter(shared_server(), KEY, prefix=prefix)
        limiter = FallbackRateLimiter(shared, Never())
        yield limiter
        await limiter.aclose()


class Never(RateLimiter):
    """Not asked while the shared counts are there."""

    @override
    async def take(self, quotas: object) -> Taken:
        raise AssertionError


async def test_a_redis_that_is_away_is_unavailable():
    limiter = RedisRateLimiter("redis://127.0.0.1:1", KEY)
    with pytest.raises(UnavailableError):
        await limiter.take([Quota("a", 1, 60)])
    await limiter.aclose()


type Steps = list[tuple[int, tuple[int, ...]]]

QUOTAS = [(1, 1), (2, 1), (7, 60), (3, 3600), (1_000_000, 86_400), (1000, 86_400)]
"""Amounts and seconds."""


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 2500), st.sampled_from([59_999, 60_000, 120_000, 3_600_001, 10**9])),
            st.lists(st.integers(0, len(QUOTAS) - 1), min_size=1, max_size=4, unique=True).map(tuple),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_redis_computes_what_memory_does(steps: Steps):
    """Whenever requests come, in whichever quotas they count."""
    with key_prefix(shared_server()) as prefix:
        asyncio.run(compare(steps, prefix))


async def compare(steps: Steps, prefix: str) -> None:
    now = int(time.time() * 1000)
    memory = MemoryRateLimiter(lambda: now / 1000)
    shared = RedisRateLimiter(shared_server(), KEY, prefix=prefix, timeout=3)
    for milliseconds, chosen in steps:
        now += milliseconds
        quotas = [Quota(str(number), *QUOTAS[number]) for number in chosen]
        expected = await memory.take(quotas)
        found = await shared.take_at(quotas, now)
        assert found.accepted == expected.accepted
        assert [rounded(each) for each in found.counts] == [rounded(each) for each in expected.counts]
    await shared.aclose()


def rounded(count: Count) -> tuple[int, int, int]:
    return count.remaining, round(count.reset * 1000), round(count.wait * 1000)
