"""The list of chats: opening, naming, deleting, and long lists and conversations."""

import json
from typing import Any

import pytest
from playwright.async_api import Route

from browser.chat_page import ChatPage, OpenPage, is_answer
from browser.records import page_of, thread
from browser.waiting import expect

pytestmark = [pytest.mark.browser, pytest.mark.row("H3")]


async def test_chats_are_listed_newest_first_and_can_be_switched(chat: ChatPage) -> None:
    await chat.ask("find milk")
    await chat.button("New chat").click()
    await expect(chat.page.get_by_role("heading", name="How can I help?")).to_be_visible()
    await chat.ask("what can you do?")

    links = chat.chats.get_by_role("link")
    await expect(links).to_have_text(["What can you do?", "Find milk"])
    await expect(links.first).to_have_attribute("aria-current", "page")

    await links.last.click()
    await expect(chat.questions).to_have_text(["find milk"])
    await expect(links.last).to_have_attribute("aria-current", "page")
    await chat.page.go_back()
    await expect(chat.questions).to_have_text(["what can you do?"])


async def test_a_chat_gets_its_title_while_it_is_answered(chat: ChatPage) -> None:
    await chat.ask("find milk")

    await expect(chat.page.get_by_role("heading", level=1)).to_have_text("Find milk")
    await expect(chat.page).to_have_title("Find milk · Backchannel")


async def test_renaming_in_place(chat: ChatPage) -> None:
    await chat.ask("find milk")
    await chat.choose("Find milk", "Rename")
    title = chat.page.get_by_role("textbox", name="Chat title")
    await expect(title).to_be_focused()
    await chat.screenshot("rename")
    await title.fill("Groceries")
    await title.press("Escape")
    await expect(chat.chat_link("Find milk")).to_be_visible()

    await chat.choose("Find milk", "Rename")
    await title.fill("Groceries")
    await title.press("Enter")

    await expect(chat.chat_link("Groceries")).to_be_visible()
    await expect(chat.page.get_by_role("heading", level=1)).to_have_text("Groceries")
    await chat.page.reload()
    await expect(chat.chat_link("Groceries")).to_be_visible()


async def test_a_refused_new_title_gives_the_old_one_back(chat: ChatPage) -> None:
    await chat.ask("find milk")

    async def refuse(route: Route) -> None:
        await route.fulfill(status=422, json={"code": "invalid_input", "message": "Too long."})

    await chat.on_operation("threads.update", refuse)
    await chat.choose("Find milk", "Rename")
    title = chat.page.get_by_role("textbox", name="Chat title")
    await title.fill("Groceries")
    await title.press("Enter")

    await expect(chat.chats.get_by_role("alert")).to_contain_text("Too long.")
    await expect(chat.chat_link("Find milk")).to_be_visible()


async def test_deleting_asks_first(chat: ChatPage) -> None:
    await chat.ask("find milk")
    await chat.choose("Find milk", "Delete")
    dialog = chat.page.get_by_role("dialog", name="Delete this chat?")
    await expect(dialog).to_contain_text("Find milk")
    await chat.screenshot("delete")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(dialog).to_be_hidden()
    await expect(chat.chat_link("Find milk")).to_be_visible()
    await expect(chat.questions).to_have_count(1)

    await chat.choose("Find milk", "Delete")
    await dialog.get_by_role("button", name="Delete").click()

    await expect(chat.chat_link("Find milk")).to_have_count(0)
    await expect(chat.page.get_by_role("heading", name="How can I help?")).to_be_visible()
    assert "#" not in chat.page.url
    await chat.page.reload()
    await expect(chat.chats).to_contain_text("Your chats will appear here.")


async def test_deleting_a_chat_that_is_being_answered(chat: ChatPage) -> None:
    await chat.send("what can you do?")
    await expect(chat.answers).to_contain_text("stand-in")

    await chat.choose("What can you do?", "Delete")
    await chat.page.get_by_role("dialog").get_by_role("button", name="Delete").click()

    await expect(chat.page.get_by_role("heading", name="How can I help?")).to_be_visible()
    await chat.ask("find milk")
    await expect(chat.chats.get_by_role("link")).to_have_text(["Find milk"])


async def test_a_title_given_during_an_answer_survives_its_replay(chat: ChatPage) -> None:
    async with chat.page.expect_response(is_answer) as answered:
        await chat.send("find milk")
    run_id = (await answered.value).headers["x-run-id"]
    await chat.wait_until_idle()

    async def still_running(route: Route) -> None:
        await route.fulfill(json={"data": [{"id": run_id, "status": "running"}]})

    await chat.choose("Find milk", "Rename")
    title = chat.page.get_by_role("textbox", name="Chat title")
    await title.fill("Abilities")
    await title.press("Enter")
    await expect(chat.chat_link("Abilities")).to_be_visible()

    await chat.page.route("**/threads/*/runs?*", still_running, times=1)
    # The page is not idle from before it asks until it has read the whole answer.
    async with chat.page.expect_response(is_answer):
        await chat.page.reload()

    await chat.wait_until_idle()
    await expect(chat.page.get_by_role("heading", level=1)).to_have_text("Abilities")
    await expect(chat.chat_link("Abilities")).to_be_visible()


async def test_an_address_of_no_chat_says_so(chat: ChatPage) -> None:
    await chat.page.goto("/#/t/thr_nobody_has_this")

    await expect(chat.page.get_by_role("heading", name="This chat is not here")).to_be_visible()
    await chat.page.get_by_role("link", name="Start a new chat").click()
    await expect(chat.page.get_by_role("heading", name="How can I help?")).to_be_visible()


async def test_two_people_do_not_see_each_other(chat: ChatPage, open_page: OpenPage) -> None:
    await chat.ask("find milk")
    other = await open_page()
    await other.load()

    await expect(other.chats).to_contain_text("Your chats will appear here.")
    await other.page.goto(chat.page.url)
    await other.page.reload()
    await expect(other.page.get_by_role("heading", name="This chat is not here")).to_be_visible()


async def test_a_long_list_loads_as_it_is_scrolled(chat: ChatPage) -> None:
    threads = [thread(number) for number in range(70, 0, -1)]

    async def answer(route: Route) -> None:
        await route.fulfill(json=page_of(threads, json.loads(route.request.post_data or "")["params"]))

    await chat.on_operation("threads.list", answer)
    await chat.page.reload()
    links = chat.chats.get_by_role("link")
    await expect(links).to_have_count(30)

    await links.last.scroll_into_view_if_needed()
    await expect(links).to_have_count(60)
    await links.last.scroll_into_view_if_needed()
    await expect(links).to_have_count(70)
    await expect(links.first).to_have_text("Chat 070")


async def test_a_long_conversation_loads_its_past_without_moving(chat: ChatPage) -> None:
    items: list[dict[str, Any]] = [
        {
            "id": f"msg_{number:03}",
            "thread_id": "thr_001",
            "created_at": "2026-11-22T12:00:00Z",
            "type": "assistant_message",
            "content": [{"type": "output_text", "text": f"Answer {number:03}.\n\nMore.", "annotations": []}],
        }
        for number in range(70, 0, -1)
    ]

    async def list_items(route: Route) -> None:
        await route.fulfill(json=page_of(items, json.loads(route.request.post_data or "")["params"]))

    await chat.on_operation("items.list", list_items)

    async def get_thread(route: Route) -> None:
        await route.fulfill(json=thread(1))

    async def list_runs(route: Route) -> None:
        await route.fulfill(json={"data": []})

    await chat.on_operation("threads.get_by_id", get_thread)
    await chat.page.route("**/threads/*/runs?*", list_runs)
    await chat.page.goto("/#/t/thr_001")

    await expect(chat.answers).to_have_count(30)
    await expect(chat.answers.last).to_be_in_viewport()
    first = chat.answers.first
    await expect(first).to_contain_text("Answer 041")
    await chat.messages.hover()
    for _ in range(60):
        if await chat.answers.count() > 30:
            break
        await chat.page.mouse.wheel(0, -600)
        await chat.next_frames()

    await expect(chat.answers).to_have_count(60)
    await expect(chat.answers.filter(has_text="Answer 041")).to_have_count(1)
    # The reader was at the first of the newest thirty, and still is near it.
    top = await chat.messages.evaluate("log => log.scrollTop")
    assert top > 500
