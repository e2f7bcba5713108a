"""Logging in with a browser: the form, what it says when it fails, coming back, and the list of one's logins."""

import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import Browser

from browser.chat_page import CONTRAST_SCRIPT, ChatPage, OpenPage
from browser.own_server import Server
from browser.waiting import expect
from people_who_log_in import OTHER_PASSWORD, PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.row("F2", "F3b", "H3")]


def add_user(server: Server, name: str, password: str) -> None:
    """With the command, as an operator does."""
    arguments = [sys.executable, "-m", "backchannel", "user", "add", name]
    environment = {"BACKCHANNEL_DATABASE_URL": f"sqlite:///{server.folder / '.backchannel/backchannel.db'}"}
    subprocess.run(
        arguments, input=password.encode(), env=environment, cwd=server.folder, check=True, timeout=60
    )


@pytest.fixture(scope="module")
def login_server(chromium: Path, tmp_path_factory: pytest.TempPathFactory):
    """A server where two people can log in."""
    settings = {"auth": "password", "password_hash_memory_mib": "19"}
    with Server(tmp_path_factory.mktemp("login"), **settings) as server:
        add_user(server, "alice", PASSWORD)
        add_user(server, "bob", OTHER_PASSWORD)
        yield server


async def log_in(chat: ChatPage, name: str = "alice", password: str = PASSWORD) -> None:
    await chat.page.get_by_label("Name").fill(name)
    await chat.page.get_by_label("Password").fill(password)
    await chat.page.get_by_role("button", name="Log in").click()


async def test_one_comes_back_to_where_one_was(open_page: OpenPage, login_server: Server) -> None:
    chat = await open_page(at=login_server.url)
    await chat.page.goto("/")
    await chat.page.wait_for_url("**/auth/login?return_to=*")
    await log_in(chat)
    await expect(chat.message_box).to_be_visible()
    await chat.ask("help")
    thread = chat.page.url
    assert "#/t/" in thread
    await chat.page.context.clear_cookies()
    await chat.page.reload()
    await chat.page.wait_for_url("**/auth/login?return_to=*")
    await log_in(chat, password="not the password")
    await expect(chat.page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    await expect(chat.page.get_by_label("Name")).to_have_value("alice")
    await expect(chat.page.get_by_label("Password")).to_be_focused()
    await log_in(chat)
    await chat.page.wait_for_url(thread)
    await expect(chat.answers.first).to_be_visible()
    # What the browser itself says of the refusals.
    chat.problems = [each for each in chat.problems if "status of 401" not in each]


async def test_logins_are_listed_and_ended(
    open_page: OpenPage, browser: Browser, login_server: Server
) -> None:
    chat = await open_page(at=login_server.url)
    await chat.page.goto("/auth/login")
    await log_in(chat, "Bob", OTHER_PASSWORD)
    await expect(chat.message_box).to_be_visible()
    other = await browser.new_context(user_agent="Another browser")
    page = await other.new_page()
    await page.goto(f"{login_server.url}/auth/login")
    await page.get_by_label("Name").fill("bob")
    await page.get_by_label("Password").fill(OTHER_PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url(f"{login_server.url}/")
    await chat.page.goto(f"{login_server.url}/auth/login")
    await expect(chat.page.get_by_role("heading", name="Logged in as bob")).to_be_visible()
    await expect(chat.page.get_by_role("listitem")).to_have_count(2)
    await chat.page.get_by_role("button", name="End: Another browser").click()
    await expect(chat.page.get_by_role("listitem")).to_have_count(1)
    await page.goto(f"{login_server.url}/auth/login")
    await expect(page.get_by_label("Password")).to_be_visible()
    await other.close()
    await chat.page.get_by_role("button", name="Log out", exact=True).click()
    await expect(chat.page.get_by_label("Password")).to_be_visible()
    await chat.page.goto(f"{login_server.url}/auth/login")
    await expect(chat.page.get_by_label("Password")).to_be_visible()


async def test_without_javascript_on_a_phone_in_the_dark(browser: Browser, login_server: Server) -> None:
    context = await browser.new_context(
        java_script_enabled=False, viewport={"width": 360, "height": 640}, color_scheme="dark"
    )
    page = await context.new_page()
    await page.goto(f"{login_server.url}/auth/login?return_to=%2Fauth%2Flogin")
    await page.get_by_label("Name").fill("alice")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Logged in as alice")).to_be_visible()
    await context.close()


@pytest.mark.parametrize("dark", [False, True])
async def test_the_form_can_be_read_and_fits_a_phone(
    open_page: OpenPage, login_server: Server, dark: bool
) -> None:
    chat = await open_page(at=login_server.url, dark=dark, phone=True)
    await chat.page.goto("/auth/login")
    await log_in(chat, "nobody")
    await expect(chat.page.get_by_role("alert")).to_be_visible()
    assert await chat.page.evaluate(CONTRAST_SCRIPT) == []
    assert await chat.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    chat.problems = [each for each in chat.problems if "status of 401" not in each]


async def test_another_site_cannot_log_anybody_in_or_out(browser: Browser, login_server: Server) -> None:
    """A form on another origin: the browser says so, and the cookie stays as it was."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{login_server.url}/auth/login")
    await page.get_by_label("Name").fill("alice")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url(f"{login_server.url}/")
    before = await context.cookies(login_server.url)

    async def attack(route):
        form = f"""<form method="post" action="{login_server.url}/auth/login">
          <input name="name" value="bob"><input name="password" value="{OTHER_PASSWORD}"><button>x</button></form>
          <form method="post" action="{login_server.url}/auth/logout"><button>y</button></form>"""
        await route.fulfill(body=form, content_type="text/html")

    await page.route("http://evil.example/**", attack)
    for button in ("x", "y"):
        await page.goto("http://evil.example/")
        await page.get_by_role("button", name=button).click()
        await page.wait_for_url(f"{login_server.url}/auth/*")
    assert await context.cookies(login_server.url) == before
    await page.goto(f"{login_server.url}/auth/login")
    await expect(page.get_by_role("heading", name="Logged in as alice")).to_be_visible()
    await context.close()


async def test_one_logs_out_on_the_chat_page(open_page: OpenPage, login_server: Server) -> None:
    chat = await open_page(at=login_server.url)
    await chat.page.goto("/auth/login")
    await log_in(chat)
    name = chat.page.get_by_role("link", name="alice")
    await expect(name).to_be_visible()
    await chat.ask("help")
    await name.click()
    await expect(chat.page.get_by_role("heading", name="Logged in as alice")).to_be_visible()
    await chat.page.goto("/")
    await chat.page.get_by_role("button", name="Log out").click()
    await expect(chat.page.get_by_label("Password")).to_be_visible()
    await chat.page.goto("/")
    await chat.page.wait_for_url("**/auth/login?return_to=*")
    chat.problems = [each for each in chat.problems if "status of 401" not in each]


async def test_authorize_in_the_documentation_logs_in_and_calls(
    browser: Browser, login_server: Server
) -> None:
    tab = await browser.new_page()
    await tab.goto(f"{login_server.url}/docs")
    await tab.get_by_role("button", name="Authorize", exact=True).first.click()
    dialog = tab.locator(".modal-ux")
    password_flow = dialog.locator(".auth-container", has_text="OAuth2, password")
    await password_flow.locator("#oauth_username").fill("alice")
    await password_flow.locator("#oauth_password").fill(PASSWORD)
    await password_flow.get_by_text("chat", exact=True).click()
    await password_flow.get_by_role("button", name="Apply given OAuth2 credentials").click()
    await expect(password_flow.get_by_role("button", name="Remove authorization")).to_be_visible()
    await dialog.get_by_role("button", name="Close").first.click()
    operation = tab.locator("#operations-auth-me_auth_me_get")
    await operation.get_by_role("button").first.click()
    await operation.get_by_role("button", name="Try it out").click()
    await operation.get_by_role("button", name="Execute").click()
    response = operation.locator(".live-responses-table")
    await expect(response).to_contain_text('"method": "access token"')
    await expect(response).to_contain_text('"chat"')
    await tab.close()
