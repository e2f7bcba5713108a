"""Retries end at their deadline."""

import asyncio

import pytest

from backchannel.errors import UnavailableError
from backchannel.retry import OUTAGE, retry_until_available

pytestmark = pytest.mark.row("D2")


async def test_no_pause_is_longer_than_what_is_left():
    calls = 0

    async def away() -> None:
        nonlocal calls
        calls += 1
        raise UnavailableError("away")

    began = asyncio.get_running_loop().time()
    with pytest.raises(UnavailableError):
        await retry_until_available(away, seconds=0.3)
    assert 0.3 <= asyncio.get_running_loop().time() - began < 0.3 + OUTAGE.maximum / 2
    assert calls >= 2
