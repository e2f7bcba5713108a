"""How often the readers of a run that is written here are given text."""

import asyncio

import pytest

from backchannel.context import Identity
from backchannel.event_logs import run_log as live_module
from backchannel.event_logs.base import Event
from backchannel.event_logs.event_buffer import EventBuffer
from backchannel.event_logs.run_log import WritableRunLog

pytestmark = pytest.mark.row("C4")

HEAD = b'{"type":"thread.item.updated"'


def written() -> WritableRunLog:
    return WritableRunLog("run_1", EventBuffer(), identity=Identity("ann"), fence=1, persisted=0)


def reader(run_log: WritableRunLog) -> asyncio.Future[None]:
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    run_log.waiters.add(waiter)
    return waiter


async def test_the_first_words_come_at_once_and_the_next_ones_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_module, "COALESCE_SECONDS", 0.5)
    run_log = written()
    # Not across a tick of the clock.
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.5 - loop.time() % 0.5 + 0.01)
    first = reader(run_log)
    run_log.append(Event(HEAD, "Hello"))
    assert first.done()

    second = reader(run_log)
    run_log.append(Event(HEAD, " there"))
    run_log.append(Event(HEAD, ", Ann"))
    assert not second.done()
    async with asyncio.timeout(10):
        await second
    (frame,) = run_log.frames(1)
    assert (frame.seq, frame.event.text) == (3, " there, Ann")

    # What came meanwhile is not forgotten, nor is the pause that follows a piece.
    third = reader(run_log)
    run_log.append(Event(HEAD, "!"))
    assert not third.done()
    async with asyncio.timeout(10):
        await third


async def test_text_after_a_pause_comes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "COALESCE_SECONDS", 1e-9)
    run_log = written()
    for word in ("one", "two", "three"):
        waiter = reader(run_log)
        run_log.append(Event(HEAD, word))
        assert waiter.done()


async def test_a_whole_event_waits_for_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "COALESCE_SECONDS", 3600.0)
    run_log = written()
    reader(run_log)
    run_log.append(Event(HEAD, "Hello"))
    waiter = reader(run_log)
    run_log.append(Event(HEAD, " there"))
    assert not waiter.done()
    run_log.append(Event(b'{"type":"thread.item.done"}'))
    run_log.next_batch(10)
    run_log.mark_persisted(3)
    assert waiter.done()
    assert [frame.seq for frame in run_log.frames(1)] == [2, 3]
