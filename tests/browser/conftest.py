"""A running server, a Chromium, and for every test a fresh person with an empty page."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

# The import mode of the suite does not find modules beside the tests by itself.
sys.path.insert(0, str(Path(__file__).parent))

from chat_page import ANSWER_MS, ChatPage, OpenPage, Paused
from held_server import PAUSE_FILE

# A shared machine can stand still for seconds; what never comes is still told apart from what comes late.
expect.set_options(timeout=ANSWER_MS)

START_SECONDS = 90
STOP_SECONDS = 10
CHROMIUM = Path("/usr/bin/chromium")
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
    found = CHROMIUM if CHROMIUM.exists() else shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        reason = "Chromium is not installed; the browser tests need it at /usr/bin/chromium."
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return Path(found)


@pytest.fixture(scope="session")
def pause_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server looks for the word before which its answers have to pause."""
    return tmp_path_factory.mktemp("paused") / "word"


@pytest.fixture
def paused(pause_file: Path) -> Generator[Paused]:
    """Pauses answers of the server until they are told to go on."""
    held = Paused(pause_file)
    yield held
    held.go_on()


@pytest.fixture(scope="session")
def server_url(chromium: Path, pause_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The address of a server with the offline model and an empty database, without a slash at the end."""
    del chromium
    if given := os.environ.get("BACKCHANNEL_TEST_URL"):
        yield given.rstrip("/")
        return
    folder = tmp_path_factory.mktemp("served")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("held_server.py")), "serve", "--port", str(port)],
            cwd=folder,
            env=server_environment() | {PAUSE_FILE: str(pause_file)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until_ready(server, url, log)
            yield url
        finally:
            stop(server)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def server_environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "BACKCHANNEL_"))
    }
    return kept | {"BACKCHANNEL_MODEL": "offline"}


def wait_until_ready(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urlopen(f"{url}/health/ready", timeout=2) as response:
                if response.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"The server did not become ready. Its output:\n{log.read_text(errors='replace')[-4000:]}")


def stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


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


@pytest.fixture
async def open_page(
    browser: Browser, server_url: str, request: pytest.FixtureRequest
) -> AsyncGenerator[OpenPage]:
    """Opens the page for a new person; takes `dark`, `phone`, and what `Browser.new_context` takes.

    At the end every page must have been free of script errors, and a screenshot of each is kept.
    """
    pages: list[ChatPage] = []
    async with AsyncExitStack() as stack:

        async def open_one(*, dark: bool = False, phone: bool = False, **options: Any) -> ChatPage:
            context = await browser.new_context(
                base_url=server_url,
                viewport=PHONE if phone else DESK,
                has_touch=phone,
                is_mobile=phone,
                color_scheme="dark" if dark else "light",
                **options,
            )
            stack.push_async_callback(context.close)
            page = ChatPage(await context.new_page(), server_url)
            pages.append(page)
            return page

        yield open_one
        name = re.sub(r"[^\w-]+", "-", str(request.node.name))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        for number, page in enumerate(pages):
            await page.screenshot(f"{name}-{number}" if number else name)
        problems = [problem for page in pages for problem in page.problems]
    assert problems == []


@pytest.fixture
async def chat(open_page: OpenPage) -> ChatPage:
    """The page on a desk, loaded, for a new person."""
    page = await open_page()
    await page.load()
    return page
