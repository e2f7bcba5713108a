"""What was written and is not in a thread yet, as people lost it in other systems."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from playwright.async_api import Error, Route

from browser.chat_page import ChatPage
from browser.waiting import expect

pytestmark = [pytest.mark.browser, pytest.mark.row("H3")]


class Held:
    """Holds the first request of an operation: before the server gets it, or its response.

    Attributes:
        arrived: Set when the request, or the response, is held.
        go_on: Set to let it go on.
    """

    def __init__(self, *, answered: bool = False) -> None:
        self.arrived = asyncio.Event()
        self.go_on = asyncio.Event()
        self._answered = answered

    async def __call__(self, route: Route) -> None:
        if self.arrived.is_set():
            await route.fallback()
            return
        response = await route.fetch() if self._answered else None
        self.arrived.set()
        await in_time(self.go_on)
        # A page that was reloaded in the meantime takes no response any more.
        with suppress(Error):
            await (route.fulfill(response=response) if response else route.fallback())


async def held(chat: ChatPage, operation: str, *, answered: bool = False) -> Held:
    found = Held(answered=answered)
    await chat.on_operation(operation, found)
    return found


async def in_time(event: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await event.wait()


def thread_address() -> Callable[[str], bool]:
    return lambda url: "#/t/" in url


# danny-avila/LibreChat#7027, lemma-work/lemma-platform#663, open-webui/open-webui#23296, NousResearch/hermes-agent#66662:
# an old text turned up in the box of another chat.
async def test_a_draft_belongs_to_one_chat_and_ends_when_it_is_sent(chat: ChatPage) -> None:
    first = await held(chat, "threads.create")
    await chat.send("find milk")
    await in_time(first.arrived)
    await chat.message_box.press_sequentially("find ")
    first.go_on.set()
    await chat.page.wait_for_url(thread_address())
    await expect(chat.message_box).to_have_value("find ")
    await chat.wait_until_idle()

    await chat.message_box.press_sequentially("bread")
    await chat.message_box.press("Enter")

    await expect(chat.questions).to_have_text(["find milk", "find bread"])
    await chat.wait_until_idle()
    await chat.button("New chat").click()
    await expect(chat.message_box).to_have_value("")
    await chat.page.reload()
    await expect(chat.message_box).to_be_visible()
    await expect(chat.message_box).to_have_value("")
    # A draft that was not sent is where it was written, and only there.
    await chat.message_box.fill("find eggs")
    await chat.chat_link("Find milk").click()
    await expect(chat.message_box).to_have_value("")
    await chat.button("New chat").click()
    await expect(chat.message_box).to_have_value("find eggs")


# thesysdev/openui#812, logancyang/obsidian-copilot#280: "New chat" did nothing while the first message was being sent,
# and the next message went to that chat.
@pytest.mark.parametrize("by", ["button", "shortcut"])
async def test_a_new_chat_while_the_first_message_has_no_answer_yet(chat: ChatPage, by: str) -> None:
    first = await held(chat, "threads.create")
    await chat.send("find milk")
    await in_time(first.arrived)
    await chat.message_box.fill("and more of it")

    if by == "button":
        await chat.button("New chat").click()
    else:
        await chat.page.keyboard.press("Control+Shift+O")

    await expect(chat.page.get_by_role("heading", name="How can I help?")).to_be_visible()
    await expect(chat.message_box).to_have_value("")
    await chat.send("find bread")
    await expect(chat.questions).to_have_text(["find bread"])
    await chat.wait_until_idle()
    first.go_on.set()
    await expect(chat.chats.get_by_role("link")).to_have_count(2)
    await expect(chat.questions).to_have_text(["find bread"])
    await chat.chat_link("Find milk").click()
    await expect(chat.questions).to_have_text(["find milk"])
    await expect(chat.message_box).to_have_value("and more of it")


async def test_a_first_message_that_fails_in_the_background_is_put_back(chat: ChatPage) -> None:
    refused = asyncio.Event()

    async def refuse(route: Route) -> None:
        await in_time(refused)
        await route.fulfill(status=429, json={"code": "rate_limited", "message": "Too many messages."})

    await chat.on_operation("threads.create", refuse)
    await chat.send("find milk")
    await chat.button("New chat").click()
    await chat.message_box.fill("find bread")

    refused.set()

    await expect(chat.message_box).to_have_value("find milk\nfind bread")
    await expect(chat.alert).to_contain_text("Too many messages.")


# nesquena/hermes-webui#5484, OpenHands/OpenHands#13280, open-webui/computer#267, danny-avila/LibreChat#6491: the text was
# gone after a reload while it was being sent.
@pytest.mark.parametrize("answered", [False, True], ids=["not arrived", "arrived"])
async def test_a_reload_while_a_message_is_sent_loses_nothing_and_sends_nothing_twice(
    chat: ChatPage, answered: bool
) -> None:
    first = await held(chat, "threads.create", answered=answered)
    await chat.send("find milk")
    await in_time(first.arrived)
    await chat.message_box.fill("find bread")

    await chat.page.reload()
    first.go_on.set()

    await expect(chat.message_box).to_have_value("find milk\nfind bread")
    await chat.page.reload()
    await expect(chat.message_box).to_have_value("find milk\nfind bread")
    await chat.send("find milk")
    await expect(chat.questions).to_have_text(["find milk"])
    await chat.wait_until_idle()
    await expect(chat.answers).to_have_count(1)
    await expect(chat.chats.get_by_role("link")).to_have_count(1)

    second = await held(chat, "threads.add_user_message", answered=answered)
    await chat.send("find bread")
    await in_time(second.arrived)
    await chat.page.reload()
    second.go_on.set()

    await expect(chat.questions.first).to_have_text("find milk")
    if answered:
        await expect(chat.questions).to_have_text(["find milk", "find bread"])
        await expect(chat.message_box).to_have_value("")
    else:
        await expect(chat.message_box).to_have_value("find bread")
        await chat.message_box.press("Enter")
    await expect(chat.questions).to_have_text(["find milk", "find bread"])
    await chat.wait_until_idle()
    await chat.page.reload()
    await expect(chat.questions).to_have_text(["find milk", "find bread"])
    await expect(chat.message_box).to_have_value("")
