"""Refusals that cost little."""

import asyncio

import pytest

from backchannel.http import refusals
from backchannel.http.refusals import AT_ONCE, BUSY_SECONDS, IDLE_SECONDS, Pace, Refused
from backchannel.limits.base import Quota
from backchannel.limits.rules import Limit
from backchannel.limits.waits import spoken

pytestmark = pytest.mark.row("F5")

LIMIT = Limit("user", Quota("a", 1, 60))


def test_a_caller_is_refused_until_its_time_has_come():
    now = 100.0
    refused = Refused(lambda: now)
    assert not refused
    refused.add("ada", 5, LIMIT)
    assert refused.find("ada") == (5, LIMIT)
    assert refused.find("bob") is None
    now = 104.5
    assert refused.find("ada") == (0.5, LIMIT)
    now = 105.0
    assert refused.find("ada") is None
    assert not refused


def test_no_more_callers_are_remembered_than_may_be(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(refusals, "MAX_REMEMBERED", 3)
    now = 0.0
    refused = Refused(lambda: now)
    for name in "abc":
        refused.add(name, 1, LIMIT)
    now = 2.0
    refused.add("d", 1, LIMIT)
    assert [name for name in "abcd" if refused.find(name)] == ["d"]
    for name in "efg":
        refused.add(name, 1, LIMIT)
    assert [name for name in "defg" if refused.find(name)] == ["g"]


async def test_a_person_does_not_wait_and_a_flood_does():
    pace, loop = Pace(), asyncio.get_running_loop()
    began = loop.time()
    for _ in range(AT_ONCE):
        await asyncio.wait_for(pace.turn(), IDLE_SECONDS)
    await asyncio.gather(*(pace.turn() for _ in range(100)))
    assert loop.time() - began >= 90 * IDLE_SECONDS


async def test_others_go_first():
    pace, loop = Pace(), asyncio.get_running_loop()
    pace.begin()
    began = loop.time()
    turns = [asyncio.create_task(pace.turn()) for _ in range(AT_ONCE + 30)]
    await asyncio.wait(turns)
    assert loop.time() - began >= 25 * BUSY_SECONDS
    pace.end()
    assert pace._others == 0


async def test_no_more_are_held_back_than_may_be(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(refusals, "MAX_HELD", 10)
    pace = Pace()
    turns = [asyncio.create_task(pace.turn()) for _ in range(AT_ONCE + 50)]
    for _ in range(3):
        await asyncio.sleep(0)
    # The oldest go, and nobody is forgotten.
    assert [turn.done() for turn in turns] == [True] * (AT_ONCE + 40) + [False] * 10
    await asyncio.wait_for(asyncio.gather(*turns), 1)


async def test_one_that_is_given_up_takes_no_turn():
    pace = Pace()
    turns = [asyncio.create_task(pace.turn()) for _ in range(AT_ONCE + 3)]
    await asyncio.sleep(0)
    turns[AT_ONCE].cancel()
    await asyncio.wait_for(asyncio.gather(*turns, return_exceptions=True), 1)
    assert turns[AT_ONCE].cancelled()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "1 second"),
        (2, "2 seconds"),
        (120, "120 seconds"),
        (121, "3 minutes"),
        (7200, "120 minutes"),
        (86_460, "25 hours"),
    ],
)
def test_times_are_told_as_people_tell_them(seconds: int, text: str):
    assert spoken(seconds) == text
