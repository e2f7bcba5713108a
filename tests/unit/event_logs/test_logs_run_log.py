"""How often the readers of a run that is written here are given text."""

import asyncio

import pytest

from backchannel.context import Identity
from backchannel.event_logs import live as live_module
from backchannel.event_logs.base import Event
from backchannel.event_logs.run_log import Written
from backchannel.event_logs.event_buffer import Tape

pytestmark = pytest.mark.row("C4")

HEAD = b'{"type":"thread.item.updated"'


def written() -> Written:
    return Written("run_1", Tape(), identity=Identity("ann"), fence=1, kept=0)


def reader(live: Written) -> asyncio.Future[None]:
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    live.waiting.add(waiter)
    return waiter


async def test_the_first_words_come_at_once_and_the_next_ones_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_module, "EASE", 0.5)
    live = written()
    # Not across a tick of the clock.
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.5 - loop.time() % 0.5 + 0.01)
    first = reader(live)
    live.append(Event(HEAD, "Hello"))
    assert first.done()

    second = reader(live)
    live.append(Event(HEAD, " there"))
    live.append(Event(HEAD, ", Ann"))
    assert not second.done()
    async with asyncio.timeout(10):
        await second
    (frame,) = live.frames(1)
    assert (frame.seq, frame.event.text) == (3, " there, Ann")

    # What came meanwhile is not forgotten, nor is the pause that follows a piece.
    third = reader(live)
    live.append(Event(HEAD, "!"))
    assert not third.done()
    async with asyncio.timeout(10):
        await third


async def test_text_after_a_pause_comes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "EASE", 1e-9)
    live = written()
    for word in ("one", "two", "three"):
        waiter = reader(live)
        live.append(Event(HEAD, word))
        assert waiter.done()


async def test_a_whole_event_waits_for_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "EASE", 3600.0)
    live = written()
    reader(live)
    live.append(Event(HEAD, "Hello"))
    waiter = reader(live)
    live.append(Event(HEAD, " there"))
    assert not waiter.done()
    live.append(Event(b'{"type":"thread.item.done"}'))
    live.next_portion(10)
    live.is_kept(3)
    assert waiter.done()
    assert [frame.seq for frame in live.frames(1)] == [2, 3]
