"""`/docs` in a browser, under its own Content-Security-Policy."""

import pytest
from playwright.async_api import Browser

from browser.chat_page import ChatPage
from browser.own_server import Server
from browser.waiting import expect

pytestmark = [pytest.mark.browser, pytest.mark.row("R12b")]


async def test_the_page_shows_the_endpoints_and_calls_one(browser: Browser, server: Server) -> None:
    tab = await browser.new_page()
    page = ChatPage(tab, server.url)
    await tab.goto(f"{server.url}/docs")
    operation = tab.get_by_role("button", name="GET /health/live", exact=False).first
    await operation.click()
    await tab.get_by_role("button", name="Try it out").click()
    await tab.get_by_role("button", name="Execute").click()
    await expect(tab.locator(".live-responses-table")).to_contain_text("200")
    assert [url for url in page.requests if not url.startswith((server.url, "data:", "blob:"))] == []
    assert page.problems == []
    await tab.close()
