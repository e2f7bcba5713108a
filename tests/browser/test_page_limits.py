"""A refusal of a request that came too early is a sentence with a time. It costs nothing that was typed, and the page does
not send the message again by itself."""

from collections.abc import Callable

import pytest

from browser.chat_page import OpenPage
from browser.own_server import Server
from browser.waiting import expect

pytestmark = [pytest.mark.browser, pytest.mark.row("F5")]

LIST = {"type": "threads.list", "params": {}}


async def test_too_many_requests_are_a_sentence_that_says_when(
    serve: Callable[..., Server], open_page: OpenPage
) -> None:
    server = serve(rate_limit="20/hour", titles="rule")
    chat = await open_page(at=server.url)
    await chat.load()
    # As another tab of the same person.
    for _ in range(20):
        await chat.page.request.post(f"{server.url}/api/chatkit", data=LIST)
    chat.requests.clear()
    await chat.send("find milk")
    await expect(chat.messages).to_contain_text("You have sent too many requests. Try again in ")
    await expect(chat.messages).to_contain_text("minutes")
    await expect(chat.message_box).to_have_value("find milk")
    await chat.screenshot("too-many-requests")
    sent = [url for url in chat.requests if url.endswith("/api/chatkit")]
    assert len(sent) == 1
    # A page that repeats the request does so after half a second at the latest.
    await chat.page.wait_for_timeout(1500)
    assert [url for url in chat.requests if url.endswith("/api/chatkit")] == sent
