"""A browser stays one visitor, beside other servers and tabs, and says so where it cannot."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, override

import pytest
from playwright.async_api import Browser, Route

from browser.chat_page import ChatPage, OpenPage
from browser.waiting import expect

pytestmark = [pytest.mark.browser, pytest.mark.row("F8", "H3")]

NO_COOKIES = "Your browser keeps no cookies for this page"


@contextmanager
def framing_site(address: list[str]) -> Iterator[str]:
    """A page of another site that shows `address[0]` in a frame."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f'<iframe src="{address[0]}" width=900 height=700></iframe>'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            # Not 127.0.0.1, which would be the same site.
            yield f"http://localhost:{server.server_address[1]}"
        finally:
            server.shutdown()


# Chainlit/chainlit#2193: two servers on one host took each other's visitors away.
async def test_two_servers_on_one_host_keep_their_visitors(open_page: OpenPage, serve: Any) -> None:
    one, two = serve(), serve()
    first = await open_page(at=one.url, locale="en-GB")
    await first.load()
    await first.ask("add milk")
    second = ChatPage(await first.page.context.new_page(), two.url)
    await second.page.goto(two.url)
    await second.ask("add bread")
    for chat, title in ((first, "milk"), (second, "bread")):
        await chat.page.reload()
        await expect(chat.chats.get_by_role("link")).to_have_count(1)
        await expect(chat.questions).to_contain_text(title)
    assert len(await first.page.context.cookies()) == 2


async def test_two_tabs_that_are_opened_at_once_are_one_visitor(open_page: OpenPage, server_url: str) -> None:
    first = await open_page(locale="en-GB")
    second = ChatPage(await first.page.context.new_page(), server_url)
    arrived, released = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        arrived.set()
        await released.wait()
        await route.continue_()

    await first.page.route("**/api/chatkit/visitor", hold)
    await first.page.goto(server_url)
    await asyncio.wait_for(arrived.wait(), 10)
    await second.page.goto(server_url)
    # It asks for this after it has begun to introduce itself, and meanwhile waits for the other tab.
    await expect(second.page.get_by_text("Offline model")).to_be_visible()
    assert not [url for url in second.requests if url.endswith("/api/chatkit/visitor")]
    released.set()
    await asyncio.gather(first.ask("add milk"), second.ask("add bread"))
    await first.page.reload()
    await expect(first.chats.get_by_role("link")).to_have_count(2)


# open-webui/open-webui#23959: in a frame of another site nothing worked, and nothing said why.
async def test_a_page_in_a_frame_without_cookies_says_so_before_the_first_message(
    browser: Browser, serve: Any
) -> None:
    address: list[str] = []
    with framing_site(address) as site:
        address.append(serve(frame_ancestors=site).url)
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(site)
        frame = page.frame_locator("iframe")
        await expect(frame.get_by_role("textbox", name="Message")).to_be_visible()
        await expect(frame.get_by_text(NO_COOKIES)).to_be_visible()
        await context.close()


async def test_other_sites_cannot_show_the_page_in_a_frame(browser: Browser, serve: Any) -> None:
    address = [serve().url]
    with framing_site(address) as site:
        context = await browser.new_context()
        page = await context.new_page()
        async with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
            await page.goto(site)
        await context.close()


async def test_a_page_that_keeps_its_cookie_says_nothing(chat: ChatPage) -> None:
    await chat.ask("add milk")
    await expect(chat.page.get_by_text(NO_COOKIES)).to_have_count(0)
