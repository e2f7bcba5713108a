"""One at a time per key, in the order of asking, and nothing is left behind."""

import asyncio

import pytest

from backchannel.runs.queue import Queues

pytestmark = pytest.mark.row("C6")


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_first_come_first_served():
    queues, order = Queues(), list[int]()
    gates = [asyncio.Event() for _ in range(5)]

    async def work(number: int) -> None:
        async with queues.turn("thread"):
            order.append(number)
            await gates[number].wait()

    tasks = [asyncio.create_task(work(number)) for number in range(5)]
    for number in range(5):
        await settle()
        assert order == list(range(number + 1))
        gates[number].set()
    await asyncio.gather(*tasks)


async def test_different_keys_do_not_wait_for_each_other():
    queues = Queues()
    async with queues.turn("a"), asyncio.timeout(5), queues.turn("b"):
        assert queues.busy("a")
        assert queues.busy("b")
        assert not queues.busy("c")


async def test_busy_says_whether_somebody_would_wait():
    queues = Queues()
    assert not queues.busy("a")
    async with queues.turn("a"):
        assert queues.busy("a")
    assert not queues.busy("a")


async def test_whoever_fails_or_gives_up_lets_the_next_one_in():
    queues, entered = Queues(), list[str]()
    hold = asyncio.Event()

    async def work(name: str) -> None:
        async with queues.turn("a"):
            entered.append(name)
            await hold.wait()
            raise ValueError(name)

    first, second, third = [asyncio.create_task(work(name)) for name in ("one", "two", "three")]
    await settle()
    second.cancel()
    await settle()
    assert queues.busy("a")
    hold.set()
    results = await asyncio.gather(first, second, third, return_exceptions=True)
    assert entered == ["one", "three"]
    assert [type(result) for result in results] == [ValueError, asyncio.CancelledError, ValueError]
    assert not queues.busy("a")


async def test_two_are_never_inside_together():
    queues, inside, most = Queues(), 0, 0

    async def work(number: int) -> None:
        nonlocal inside, most
        for _ in range(number % 4):
            await asyncio.sleep(0)
        async with queues.turn(number % 3):
            inside += 1
            most = max(most, inside)
            for _ in range(number % 5):
                await asyncio.sleep(0)
            inside -= 1

    tasks = [asyncio.create_task(work(number)) for number in range(300)]
    for task in tasks[::7]:
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most <= 3
    assert not any(queues.busy(key) for key in range(3))
