"""Logging in and out with an identity provider in a browser; the provider is a process that others have written."""

from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from browser.chat_page import CONTRAST_SCRIPT, OpenPage
from browser.own_server import Server
from browser.test_page_login import add_user
from browser.waiting import expect
from oidc_mock import RunningProvider, mock_provider
from people_who_log_in import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.row("F2b", "H3")]


@pytest.fixture(scope="module")
def mock(chromium: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningProvider]:
    with mock_provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


def settings_for(mock: RunningProvider) -> dict[str, str]:
    return {
        "oidc_issuer": mock.url,
        "oidc_client_id": "backchannel",
        "oidc_client_secret": "a secret",
        "oidc_name": "Example",
    }


@pytest.fixture(scope="module")
def oidc_server(mock: RunningProvider, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """A server where people log in with the provider only."""
    with Server(tmp_path_factory.mktemp("oidc"), auth="oidc", **settings_for(mock)) as server:
        yield server


@pytest.fixture(scope="module")
def both(mock: RunningProvider, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """A server where people may choose."""
    settings = {"auth": "password,oidc", "password_hash_memory_mib": "19", **settings_for(mock)}
    with Server(tmp_path_factory.mktemp("both"), **settings) as server:
        add_user(server, "alice", PASSWORD)
        yield server


async def agree(page: Page) -> None:
    await page.get_by_role("button", name="Continue with Example").click()
    await page.get_by_role("button", name="Authorize as ada-1815").click()


async def test_there_and_back_to_where_one_was_and_out(open_page: OpenPage, oidc_server: Server) -> None:
    chat = await open_page(at=oidc_server.url)
    await chat.page.goto("/")
    await chat.page.wait_for_url("**/auth/login?return_to=*")
    await agree(chat.page)
    await expect(chat.message_box).to_be_visible()
    await chat.ask("help")
    thread = chat.page.url
    assert "#/t/" in thread
    await chat.page.context.clear_cookies()
    await chat.page.reload()
    await chat.page.wait_for_url("**/auth/login?return_to=*")
    await agree(chat.page)
    await chat.page.wait_for_url(thread)
    await expect(chat.answers.first).to_be_visible()
    await chat.page.goto("/auth/login")
    await expect(chat.page.get_by_role("heading", name="Logged in as Ada Lovelace")).to_be_visible()
    await chat.page.get_by_role("button", name="Log out", exact=True).click()
    # At the provider.
    await chat.page.get_by_role("button", name="End session").click()
    await expect(chat.page.get_by_role("button", name="Continue with Example")).to_be_visible()
    assert chat.page.url.startswith(f"{oidc_server.url}/auth/login")
    await chat.page.goto("/auth/login")
    await expect(chat.page.get_by_role("button", name="Continue with Example")).to_be_visible()
    chat.problems = [each for each in chat.problems if "status of 401" not in each]


async def test_a_person_who_cancels_reads_what_to_do_and_tries_again(
    open_page: OpenPage, both: Server
) -> None:
    chat = await open_page(at=both.url)
    await chat.page.goto("/auth/login?return_to=%2F%3Fx%3D1")
    await chat.page.get_by_role("button", name="Continue with Example").click()
    await chat.page.get_by_role("button", name="Deny").click()
    await expect(chat.page.get_by_role("alert")).to_have_text(
        "Example did not let you in, or you cancelled. Try again, or ask who manages your account."
    )
    await expect(chat.page.get_by_label("Password")).to_be_visible()
    await agree(chat.page)
    await chat.page.wait_for_url("**/?x=1")
    await expect(chat.message_box).to_be_visible()
    chat.problems = [each for each in chat.problems if "status of 40" not in each]


async def test_two_tabs_and_the_back_button(browser: Browser, oidc_server: Server) -> None:
    context = await browser.new_context(base_url=oidc_server.url)
    first, second = await context.new_page(), await context.new_page()
    for page in (first, second):
        await page.goto("/auth/login?return_to=%2Fauth%2Flogin")
        await page.get_by_role("button", name="Continue with Example").click()
    for page in (second, first):
        await page.get_by_role("button", name="Authorize as ada-1815").click()
        await expect(page.get_by_role("heading", name="Logged in as Ada Lovelace")).to_be_visible()
    # The page that sent the browser on is not in the history: it would send it on again.
    await first.go_back()
    await expect(first.get_by_role("button", name="Authorize as ada-1815")).to_be_visible()
    await first.go_back()
    await first.wait_for_url("**/auth/login?return_to=*")
    await first.goto(f"/auth/callback?code=x&state={'A' * 43}")
    await expect(first.get_by_role("heading", name="Logged in as Ada Lovelace")).to_be_visible()
    await first.get_by_role("link", name="Go to the chat").click()
    await first.wait_for_url(f"{oidc_server.url}/")
    await context.close()


async def test_without_javascript_on_a_phone_in_the_dark(browser: Browser, both: Server) -> None:
    context = await browser.new_context(
        base_url=both.url,
        java_script_enabled=False,
        viewport={"width": 360, "height": 640},
        color_scheme="dark",
    )
    page = await context.new_page()
    await page.goto("/auth/login?return_to=%2Fauth%2Flogin")
    await agree(page)
    await expect(page.get_by_role("heading", name="Logged in as Ada Lovelace")).to_be_visible()
    await context.close()


@pytest.mark.parametrize("dark", [False, True])
async def test_the_page_can_be_read_and_fits_a_phone(open_page: OpenPage, both: Server, dark: bool) -> None:
    chat = await open_page(at=both.url, dark=dark, phone=True)
    await chat.page.goto("/auth/callback?state=x&error=access_denied")
    await expect(chat.page.get_by_role("alert")).to_be_visible()
    assert await chat.page.evaluate(CONTRAST_SCRIPT) == []
    assert await chat.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    chat.problems = [each for each in chat.problems if "status of 400" not in each]


async def test_another_site_cannot_begin_or_finish_a_login(browser: Browser, oidc_server: Server) -> None:
    context = await browser.new_context()
    page = await context.new_page()

    async def attack(route):
        form = f"""<form method="post" action="{oidc_server.url}/auth/login/oidc"><button>x</button></form>
          <a href="{oidc_server.url}/auth/callback?code=stolen&state={"A" * 43}">y</a>"""
        await route.fulfill(body=form, content_type="text/html")

    await page.route("http://evil.example/**", attack)
    await page.goto("http://evil.example/")
    await page.get_by_role("button", name="x").click()
    await page.wait_for_url(f"{oidc_server.url}/auth/login/oidc")
    await page.goto("http://evil.example/")
    await page.get_by_role("link", name="y").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    assert await context.cookies(oidc_server.url) == []
    await context.close()
