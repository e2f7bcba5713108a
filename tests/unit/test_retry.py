"""Retries end at their deadline."""

import asyncio

import pytest

from backchannel import retry
from backchannel.errors import UnavailableError
from backchannel.retry import Backoff, retry_until_available

pytestmark = pytest.mark.row("D2")


async def test_no_pause_is_longer_than_what_is_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retry, "OUTAGE", Backoff(initial=3600, maximum=3600))
    calls = 0

    async def away() -> None:
        nonlocal calls
        calls += 1
        raise UnavailableError("away")

    async with asyncio.timeout(10):
        with pytest.raises(UnavailableError):
            await retry_until_available(away, seconds=0.1)
    assert calls >= 2
