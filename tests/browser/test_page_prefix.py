"""The page below a prefix, through nginx as `deploy/proxies/nginx-prefix.conf` configures it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from browser.chat_page import OpenPage
from browser.own_server import Server
from browser.waiting import expect
from faults.proxies import Proxy

pytestmark = [pytest.mark.browser, pytest.mark.row("W3", "F8")]


@pytest.mark.parametrize("variant", ["stripped", "kept"])
async def test_a_conversation_survives_a_reload_below_a_prefix(
    variant: str, serve: Callable[..., Server], open_page: OpenPage, tmp_path: Path
) -> None:
    server = serve(root_path="/chat")
    async with Proxy("nginx", tmp_path, server.port, variant=variant) as proxy:
        page = await open_page(at=proxy.origin)
        # Without the slash: the links of the page are relative to it.
        await page.load("/chat")
        await page.ask("What can you do?")
        said = await page.answers.last.inner_text()
        await page.page.reload()
        await expect(page.answers.last).to_have_text(said, use_inner_text=True)
        assert page.page.url.startswith(proxy.url + "/")
        assert [url for url in page.requests if not url.startswith((proxy.url, "data:"))] == []
        [cookie] = await page.page.context.cookies(proxy.url + "/")
        assert cookie.get("path") == "/chat"
