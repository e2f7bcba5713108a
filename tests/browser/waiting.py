"""Playwright's `expect`, which looks more often.

Playwright looks again after 0.1, 0.25 and 0.5 seconds, and then every second: most of the time of a test that expects
one thing after the other it would wait for what has long been there.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast, overload

from playwright.async_api import (
    Error,
    Locator,
    LocatorAssertions,
    Page,
    PageAssertions,
)
from playwright.async_api import (
    expect as expect_of_playwright,
)

ANSWER_SECONDS = 20
"""A shared machine can stand still for seconds; what never comes is still told apart from what comes late."""
LOOK_MS = 60
"""How long one look takes at most. It looks at once, and again at the end."""

QUICK_STEP_MS = 250


@asynccontextmanager
async def quick_time(page: Page) -> AsyncGenerator[None]:
    """Meanwhile the page's timers run about ten times as fast. Its clock was installed before it was loaded."""

    async def hurry() -> None:
        while True:
            await page.clock.fast_forward(QUICK_STEP_MS)
            await asyncio.sleep(0.02)

    hurrying = asyncio.create_task(hurry())
    try:
        yield
    finally:
        hurrying.cancel()
        with suppress(asyncio.CancelledError, Error):
            await hurrying


@overload
def expect(what: Locator) -> LocatorAssertions: ...
@overload
def expect(what: Page) -> PageAssertions: ...
def expect(what: Locator | Page) -> LocatorAssertions | PageAssertions:
    """What must come true of a part of a page within 20 seconds, or as many milliseconds as its `timeout`."""
    return cast("LocatorAssertions", _Expectation(what))


class _Expectation:
    def __init__(self, what: Any) -> None:
        self._what = what

    def __getattr__(self, name: str) -> Callable[..., Awaitable[None]]:
        async def come_true(*args: Any, timeout: float | None = None, **options: Any) -> None:
            holds = getattr(expect_of_playwright(self._what), name)
            seconds = ANSWER_SECONDS if timeout is None else timeout / 1000
            end = time.monotonic() + seconds
            while True:
                try:
                    return await holds(*args, timeout=LOOK_MS, **options)
                except AssertionError as error:
                    if time.monotonic() >= end:
                        error.add_note(f"for {seconds:g} seconds")
                        raise

        return come_true
