"""The arithmetic of sliding windows, and what memory and time-outs make of it."""

import asyncio
from typing import override

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import UnavailableError
from backchannel.limits import memory
from backchannel.limits.base import Count, Quota, RateLimiter, Taken
from backchannel.limits.fallback import COOL_DOWN_SECONDS, TIMEOUT_SECONDS, FallbackRateLimiter
from backchannel.limits.memory import MemoryRateLimiter
from backchannel.limits.rules import FOLLOW_FACTOR, Rules
from backchannel.settings.rates import Rate, parse_rates

pytestmark = pytest.mark.row("F5")


class Clock:
    """A clock that goes on when the test says so."""

    def __init__(self) -> None:
        self.milliseconds = 1_000_000

    def __call__(self) -> float:
        return self.milliseconds / 1000


def take(limiter: RateLimiter, *quotas: Quota) -> Taken:
    return asyncio.run(limiter.take(quotas))


PAUSES = st.lists(st.integers(0, 700), min_size=1, max_size=300)


@given(amount=st.integers(1, 20), pauses=PAUSES)
def test_no_window_has_more_than_twice_the_amount_and_the_first_no_more_than_it(
    amount: int, pauses: list[int]
):
    clock = Clock()
    limiter, quota, times = MemoryRateLimiter(clock), Quota("a", amount, 1), list[int]()
    for pause in pauses:
        clock.milliseconds += pause
        if take(limiter, quota).accepted:
            times.append(clock.milliseconds)
    assert sum(time < times[0] + 1000 for time in times) <= amount
    for begin in times:
        assert sum(begin <= time < begin + 1000 for time in times) <= 2 * amount
    # In the long run it is the amount for each second, and what was there at the beginning.
    assert len(times) <= amount * ((times[-1] - times[0]) / 1000 + 1) + 2


@given(amount=st.integers(1, 20), pauses=PAUSES, seconds=st.sampled_from([1, 60]))
def test_a_wait_is_as_long_as_it_must_be(amount: int, pauses: list[int], seconds: int):
    """One millisecond before its end the request is refused, and at its end it is accepted."""
    clock = Clock()
    limiter, quota = MemoryRateLimiter(clock), Quota("a", amount, seconds)
    for pause in pauses:
        clock.milliseconds += pause * seconds // 10
        accepted, (count,) = take(limiter, quota)
        assert accepted or count.wait > 0
    while (state := take(limiter, quota)).accepted:
        pass
    wait = round(state.counts[0].wait * 1000)
    assert 1 <= wait <= 2 * seconds * 1000
    clock.milliseconds += wait - 1
    assert not take(limiter, quota).accepted
    clock.milliseconds += 1
    assert take(limiter, quota).accepted


def test_counts_say_what_remains():
    clock = Clock()
    limiter, quota = MemoryRateLimiter(clock), Quota("a", 10, 60)
    found = []
    for milliseconds in (0, 0, 15_000, 44_999, 1, 30_000, 120_000):
        clock.milliseconds += milliseconds
        found += take(limiter, quota).counts
    assert found == [
        Count(9, 60, 0),
        Count(8, 60, 0),
        Count(7, 45, 0),
        Count(6, 0.001, 0),
        # The four of the window before count, and half of them when half of this one has passed.
        Count(5, 60, 0),
        Count(6, 30, 0),
        Count(9, 60, 0),
    ]


async def test_memory_forgets_what_is_not_used(monkeypatch: pytest.MonkeyPatch):
    """Also if there is more of it than fits: what is in use stays counted."""
    clock = Clock()
    limiter, used = MemoryRateLimiter(clock), Quota("used", 1, 3600)
    monkeypatch.setattr(memory, "MAX_QUOTAS", 100)
    assert (await limiter.take([used])).accepted
    for number in range(150):
        await limiter.take([Quota(f"other {number}", 1, 3600)])
    assert not (await limiter.take([used])).accepted
    assert not (await limiter.take([Quota("other 149", 1, 3600)])).accepted
    for number in range(1000):
        await limiter.take([Quota(f"another {number}", 1, 3600)])
    (generations,) = limiter._generations.values()
    assert len(generations._young) + len(generations._old) <= 201
    clock.milliseconds += 2 * 3600 * 1000
    await limiter.take([used])
    clock.milliseconds += 2 * 3600 * 1000
    await limiter.take([used])
    assert list(generations._young) == list(generations._old) == [used]


class Shared(RateLimiter):
    """Counts that may be away, or not answer."""

    def __init__(self) -> None:
        self.asked = 0
        self.closed = False
        self.fails: Exception | None = None
        self.hangs = False

    @override
    async def take(self, quotas: object) -> Taken:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails
        return Taken(accepted=True, counts=[Count(99, 60, 0)])

    @override
    async def aclose(self) -> None:
        self.closed = True


async def test_while_the_shared_counts_are_away_local_ones_limit():
    clock, shared, quota = Clock(), Shared(), Quota("a", 2, 3600)
    limiter = FallbackRateLimiter(shared, MemoryRateLimiter(clock), clock)
    with structlog.testing.capture_logs() as logs:
        assert (await limiter.take([quota])).counts[0].remaining == 99
        shared.fails = UnavailableError("away")
        assert [(await limiter.take([quota])).accepted for _ in range(4)] == [True, True, False, False]
        # Only the first of them asked.
        assert shared.asked == 2
        clock.milliseconds += int(COOL_DOWN_SECONDS * 1000)
        assert not (await limiter.take([quota])).accepted
        assert not (await limiter.take([quota])).accepted
        assert shared.asked == 3
        shared.fails = None
        clock.milliseconds += int(COOL_DOWN_SECONDS * 1000)
        assert (await limiter.take([quota])).accepted
        assert (await limiter.take([quota])).accepted
        assert shared.asked == 5
    assert [each["event"] for each in logs] == ["rate_limits_local", "rate_limits_shared"]
    await limiter.aclose()
    assert shared.closed


async def test_shared_counts_that_do_not_answer_cost_few_requests_a_short_wait():
    loop, shared, quota = asyncio.get_running_loop(), Shared(), Quota("a", 1000, 3600)
    shared.hangs = True
    clock = Clock()
    limiter = FallbackRateLimiter(shared, MemoryRateLimiter(), clock)
    began = loop.time()
    await asyncio.gather(*(limiter.take([quota]) for _ in range(5)))
    assert TIMEOUT_SECONDS <= loop.time() - began < TIMEOUT_SECONDS * 3
    clock.milliseconds += int(COOL_DOWN_SECONDS * 1000)
    # One asks again; the others do not wait for it.
    asking = asyncio.create_task(limiter.take([quota]))
    await asyncio.sleep(0)
    began = loop.time()
    for _ in range(100):
        await limiter.take([quota])
    assert loop.time() - began < TIMEOUT_SECONDS / 2
    assert shared.asked == 6
    await asking


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("60/minute", [Rate(60, 60)]),
        (" 1000/DAY ; 2/second;5/Minute ", [Rate(2, 1), Rate(5, 60), Rate(1000, 86_400)]),
        ("1000000/hour", [Rate(1_000_000, 3600)]),
        ("off", []),
        (" Off ", []),
    ],
)
def test_rates_are_read(text: str, rates: list[Rate]):
    assert list(parse_rates(text)) == rates


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "such as 60/minute"),
        ("60", "such as 60/minute"),
        ("0/minute", "off means no limit"),
        ("-1/minute", "such as 60/minute"),
        ("60 per minute", "such as 60/minute"),
        ("60/5minutes", "such as 60/minute"),
        ("60/month", "such as 60/minute"),
        ("60/minute;", "such as 60/minute"),
        ("60/minute,5/second", "such as 60/minute"),
        ("1e3/minute", "such as 60/minute"),
        ("\u0661/minute", "such as 60/minute"),
        ("1000001/minute", "more than 1000000"),
        ("5/minute;6/minute", "two rates for a minute"),
    ],
)
def test_what_is_no_rate_is_refused(text: str, says: str):
    with pytest.raises(ValueError, match=says):
        parse_rates(text)


def test_limits_are_those_of_their_subject_and_group():
    rules = Rules(user=parse_rates("2/second;60/minute"), tenant=parse_rates("7/day"))
    assert [(each.subject, *each.quota[1:]) for each in rules.limits("request", "user", "acme", "ada")] == [
        ("user", 2, 1),
        ("user", 60, 60),
    ]
    (following,) = rules.limits("follow", "tenant", "acme")
    assert following.quota.amount == 7 * FOLLOW_FACTOR
    assert list(rules.limits("request", "address", "203.0.113.7")) == []
    names = {
        rules.limits(group, "tenant", *names)[0].quota.subject
        for group in ("request", "follow")
        for names in (("acme",), ("acme", ""), ("ac", "me"))
    }
    assert len(names) == 6
