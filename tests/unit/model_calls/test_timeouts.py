"""Limits of time, and cancellation from elsewhere."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from backchannel.errors import (
    ModelBetweenBytesTimeoutError,
    ModelFirstByteTimeoutError,
    ModelTimedOutError,
    ModelTotalTimeoutError,
)
from backchannel.model_calls.timeouts import ModelTimeouts, Watch

pytestmark = pytest.mark.row("M23")


async def events(count: int, silent: asyncio.Event) -> AsyncGenerator[int]:
    for number in range(count):
        await asyncio.sleep(0)
        yield number
    silent.set()
    await asyncio.Event().wait()


async def read(limits: ModelTimeouts, count: int, silent: asyncio.Event) -> list[int]:
    watch, stream = Watch(limits), events(count, silent)
    got: list[int] = []
    try:
        while True:
            got.append(await watch.next(stream))
    except ModelTimedOutError as error:
        assert len(got) == count
        raise error from None
    finally:
        watch.close()


@pytest.mark.parametrize(
    ("limits", "count", "error"),
    [
        (ModelTimeouts(first_byte=0.05), 0, ModelFirstByteTimeoutError),
        (ModelTimeouts(between_bytes=0.05), 3, ModelBetweenBytesTimeoutError),
        (ModelTimeouts(total=0.05), 3, ModelTotalTimeoutError),
        (ModelTimeouts(total=0.05), 0, ModelTotalTimeoutError),
    ],
)
async def test_each_limit(limits: ModelTimeouts, count: int, error: type[ModelTimedOutError]) -> None:
    with pytest.raises(error):
        await asyncio.wait_for(read(limits, count, asyncio.Event()), 5)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    silent = asyncio.Event()
    task = asyncio.create_task(read(ModelTimeouts(), 1, silent))
    await asyncio.wait_for(silent.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_end_of_the_stream_is_passed_on() -> None:
    async def none() -> AsyncGenerator[int]:
        return
        yield

    watch = Watch(ModelTimeouts())
    with pytest.raises(StopAsyncIteration):
        await watch.next(none())
    watch.close()
