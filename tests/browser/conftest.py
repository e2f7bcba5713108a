"""A running server, a Chromium, and for every test a fresh person with an empty page."""

import os
import re
import shutil
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, async_playwright

from browser.chat_page import ChatPage, OpenPage
from browser.own_server import Server

CHROMIUM = ("chromium-headless-shell", "chromium", "google-chrome")
"""Looked for in this order: the shell draws no window and needs half of the processor time."""
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESK: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Chromium's program. Without it these tests are skipped, but not in continuous integration."""
    for name in CHROMIUM:
        if found := shutil.which(name):
            return Path(found)
    reason = f"Chromium is not installed; the browser tests need one of {', '.join(CHROMIUM)}."
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def server(chromium: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """A server with an empty database, for all tests."""
    del chromium
    with Server(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def paused(server: Server) -> Generator[Server]:
    """The server, to be told to hold answers back; after the test it goes on."""
    yield server
    server.go_on()


@pytest.fixture
def serve(chromium: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Callable[..., Server]]:
    """Starts a server of the test's own, with other settings."""
    del chromium
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Server(tmp_path_factory.mktemp("own"), **settings))


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> str:
    """The address of the server, without a slash at the end."""
    if given := os.environ.get("BACKCHANNEL_TEST_URL"):
        return given.rstrip("/")
    server: Server = request.getfixturevalue("server")
    return server.url


# Not for the whole session: an asynchronous fixture keeps its event loop's runner alive, and a Hypothesis test
# elsewhere that gives up an example in the middle takes the runner down with it.
@pytest.fixture(scope="module")
async def browser(chromium: Path) -> AsyncGenerator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(scope="module")
async def tab(browser: Browser, server_url: str) -> AsyncGenerator[Page]:
    """One page for all tests that only use the page's modules."""
    page = await browser.new_page()
    await page.goto(server_url)
    yield page
    await page.close()


@pytest.fixture(scope="module")
async def warm_context(browser: Browser, server_url: str) -> AsyncGenerator[BrowserContext]:
    """The context of pages on a desk. It is used again because a new one costs as much as most tests."""
    context = await browser.new_context(base_url=server_url, viewport=DESK)
    yield context
    await context.close()


@pytest.fixture
async def open_page(
    browser: Browser, warm_context: BrowserContext, server_url: str, request: pytest.FixtureRequest
) -> AsyncGenerator[OpenPage]:
    """Opens the page for a new person; takes `dark`, `phone`, another server's address as `at`, `clock`, and what
    `Browser.new_context` takes.

    With `clock` the page's clock is installed, to be moved on by the test.
    At the end every page must have been free of script errors, and a screenshot of each is kept; in continuous
    integration nobody would look at them.
    """
    pages: list[ChatPage] = []
    async with AsyncExitStack() as stack:

        async def open_one(
            *,
            dark: bool = False,
            phone: bool = False,
            at: str = server_url,
            clock: bool = False,
            **options: Any,
        ) -> ChatPage:
            # A clock is its whole context's.
            if dark or phone or clock or options or pages or at != server_url:
                context = await browser.new_context(
                    base_url=at,
                    viewport=PHONE if phone else DESK,
                    has_touch=phone,
                    is_mobile=phone,
                    color_scheme="dark" if dark else "light",
                    **options,
                )
                stack.push_async_callback(context.close)
            else:
                context = warm_context
                stack.push_async_callback(forget_person, context)
            page = ChatPage(await context.new_page(), at)
            if clock:
                await page.page.clock.install()
            pages.append(page)
            return page

        yield open_one
        name = re.sub(r"[^\w-]+", "-", str(request.node.name))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        for number, page in enumerate(pages if os.environ.get("CI") != "true" else ()):
            await page.screenshot(f"{name}-{number}" if number else name)
        problems = [problem for page in pages for problem in page.problems]
    assert problems == []


async def forget_person(context: BrowserContext) -> None:
    """Close all pages and delete everything of the person but the cached files."""
    await context.set_offline(False)
    for page in context.pages[1:]:
        await page.close()
    for page in context.pages:
        assert not await page.evaluate("() => '__pwClock' in window"), "open the page with `clock=True`"
        if page.url.startswith("http"):
            await page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
        await page.close()
    await context.clear_cookies()


@pytest.fixture
async def chat(open_page: OpenPage) -> ChatPage:
    """The page on a desk, loaded, for a new person."""
    page = await open_page()
    await page.load()
    return page
