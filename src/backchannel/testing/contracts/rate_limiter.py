"""The contract tests of rate limiters.

Subclass `RateLimiterContract`, provide the fixtures, and run pytest:

    class TestMyLimiter(RateLimiterContract):
        @pytest.fixture
        async def limiter(self):
            limiter = MyLimiter(...)
            yield limiter
            await limiter.aclose()
"""

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import pytest

from backchannel.ids import new_id
from backchannel.limits.base import Quota, RateLimiter

HOUR = 3600
"""A window that does not end during a test."""

SLACK_SECONDS = 0.05
"""How much later than `Count.wait` says a request is sent: clocks of servers count in milliseconds."""


class RateLimiterContract:
    """Inherit as `class TestMine(RateLimiterContract)` and override the fixtures."""

    @abstractmethod
    @pytest.fixture
    def limiter(self) -> Any:
        """A limiter. What other tests have counted does not matter."""

    @pytest.fixture
    def subject(self) -> str:
        """A subject that no other test has. Any text can be one."""
        return new_id("request") + "\x00\u00e4\U0001f600:%*{}\n"

    async def test_the_amount_is_accepted_and_the_next_is_refused(
        self, limiter: RateLimiter, subject: str
    ) -> None:
        """Counts go down to 0, and say for how long there is nothing left."""
        quota = Quota(subject, 3, HOUR)
        for remaining in (2, 1, 0):
            accepted, (count,) = await limiter.take([quota])
            assert accepted
            assert count.remaining == remaining
            assert 0 < count.reset <= HOUR
            assert (count.wait > 0) == (remaining == 0)
        for _ in range(3):
            accepted, (count,) = await limiter.take([quota])
            assert not accepted
            assert count.remaining == 0
            # Until then all three were sent less than an hour ago.
            assert HOUR - 60 < count.wait <= HOUR + 1

    async def test_of_many_at_once_as_many_are_accepted_as_may_be(
        self, limiter: RateLimiter, subject: str
    ) -> None:
        """Exactly, however they arrive."""
        quota = Quota(subject, 100, HOUR)
        taken = await asyncio.gather(*(limiter.take([quota]) for _ in range(400)))
        assert sum(each.accepted for each in taken) == 100

    async def test_a_refusal_counts_nowhere(self, limiter: RateLimiter, subject: str) -> None:
        """Neither in the quota without room nor in those with room, whatever their order."""
        full, free = Quota(subject + "full", 1, HOUR), Quota(subject + "free", 5, HOUR)
        await limiter.take([full])
        for quotas in ([full, free], [free, full]):
            for _ in range(4):
                accepted, counts = await limiter.take(quotas)
                assert not accepted
                assert [count.wait > 0 for count in counts] == [quota is full for quota in quotas]
        accepted, (count,) = await limiter.take([free])
        assert (accepted, count.remaining) == (True, 4)

    async def test_subjects_and_rates_have_counts_of_their_own(
        self, limiter: RateLimiter, subject: str
    ) -> None:
        """Also those whose names look alike."""
        names = (subject, subject + " ", subject.upper(), "\x00" + subject, subject[:-1])
        quotas = [Quota(name, 1, HOUR) for name in names]
        quotas += [Quota(subject, 2, HOUR), Quota(subject, 1, 60)]
        for quota in quotas:
            assert (await limiter.take([quota])).accepted
        assert [(await limiter.take([quota])).accepted for quota in quotas[:-2]] == [False] * len(names)

    async def test_counts_come_in_the_order_of_the_quotas(self, limiter: RateLimiter, subject: str) -> None:
        """For any number of them; none are no limit."""
        quotas = [Quota(f"{subject}{amount}", amount, HOUR) for amount in (9, 2, 1_000_000, 5)]
        accepted, counts = await limiter.take(quotas)
        assert accepted
        assert [count.remaining for count in counts] == [8, 1, 999_999, 4]
        assert await limiter.take([]) == (True, ()) or not (await limiter.take([])).counts

    async def test_after_the_wait_one_more_is_accepted_and_before_it_none(
        self, limiter: RateLimiter, subject: str
    ) -> None:
        """What a `Retry-After` promises holds."""
        quota = Quota(subject, 2, 1)
        await self._use_up(limiter, [quota])
        _, (count,) = await limiter.take([quota])
        assert 0 < count.wait <= 1.01
        await asyncio.sleep(count.wait / 2)
        early = await limiter.take([quota])
        assert not early.accepted
        await asyncio.sleep(early.counts[0].wait + SLACK_SECONDS)
        assert (await limiter.take([quota])).accepted

    async def test_what_is_not_used_for_two_windows_is_forgotten(
        self, limiter: RateLimiter, subject: str
    ) -> None:
        """All of the amount is there again."""
        quota = Quota(subject, 5, 1)
        await self._use_up(limiter, [quota])
        await asyncio.sleep(2 + SLACK_SECONDS)
        _, (count,) = await limiter.take([quota])
        assert count.remaining == 4

    async def _use_up(self, limiter: RateLimiter, quotas: Sequence[Quota]) -> None:
        while (await limiter.take(quotas)).accepted:
            pass
