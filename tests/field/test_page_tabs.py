"""One chat in several tabs, and several chats in one tab, as people meet them in other systems."""

import pytest
from playwright.async_api import expect

from browser.chat_page import ChatPage
from browser.own_server import Server
from field.tabs import BEGUN, LONG, another_tab, said

pytestmark = [pytest.mark.browser, pytest.mark.row("H3")]


# cogwheel0/conduit#443, Osmantic/ODS#5004: "Regenerate" in a tab with an old copy of the chat deleted, for good, all
# that this tab did not know.
async def test_regenerating_in_a_stale_tab_deletes_nothing(chat: ChatPage, paused: Server) -> None:
    await chat.ask("find milk")
    stale = await another_tab(chat)
    await expect(stale.answers).to_have_count(1)
    await chat.ask("find bread")

    await stale.button("Regenerate answer").click()

    await expect(stale.spoken("This chat has gone on")).to_be_visible()
    await expect(stale.questions).to_have_text(["find milk", "find bread"])
    await expect(stale.answers).to_have_count(2)
    assert await said(stale) == ["find milk", "Answer", "find bread", "Answer"]

    paused.hold_before_word(12)
    await chat.send(LONG)
    await expect(chat.answers.last).to_contain_text(BEGUN)
    await stale.button("Regenerate answer").click()

    await expect(stale.answers.last).to_contain_text(BEGUN)
    await expect(stale.questions).to_have_text(["find milk", "find bread", LONG])
    await expect(stale.spoken("This chat has gone on")).to_be_visible()
    paused.go_on()
    await stale.wait_until_idle()
    await stale.page.reload()
    await expect(stale.questions).to_have_text(["find milk", "find bread", LONG])
    # Now it shows all there is.
    async with stale.page.expect_request(lambda request: "retry_after_item" in (request.post_data or "")):
        await stale.button("Regenerate answer").click()
    await stale.wait_until_idle()
    await expect(stale.questions).to_have_count(3)
    assert stale.problems == []


# letta-ai/letta-code#1934, ThinkInAIXYZ/deepchat#472, Expensify/App#27034: what happened on another device is missing.
async def test_what_a_tab_missed_stands_before_what_it_sends(chat: ChatPage) -> None:
    await chat.ask("find milk")
    stale = await another_tab(chat)
    await expect(stale.answers).to_have_count(1)
    await chat.ask("find bread")

    await stale.ask("find eggs")

    await expect(stale.questions).to_have_text(["find milk", "find bread", "find eggs"])
    await expect(stale.answers).to_have_count(3)
    assert await said(stale) == ["find milk", "Answer", "find bread", "Answer", "find eggs", "Answer"]
    assert stale.problems == []
