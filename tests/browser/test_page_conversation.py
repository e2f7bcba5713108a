"""A conversation on the page: sending, watching an answer grow, and what one can do with it."""

import json
import re
from typing import Any

import pytest
from playwright.async_api import Route

from browser.chat_page import ChatPage, OpenPage
from browser.own_server import Server
from browser.waiting import expect

pytestmark = [pytest.mark.browser, pytest.mark.row("H3")]

FIRST = "Add buy oat milk tomorrow at 5pm, high priority"


async def test_a_new_person_is_greeted_and_offered_first_messages(chat: ChatPage) -> None:
    await expect(chat.page).to_have_title("Backchannel")
    await expect(chat.page.get_by_role("heading", name="How can I help?")).to_be_visible()
    suggestions = chat.page.get_by_role("group", name="Suggestions").get_by_role("button")
    await expect(suggestions).to_have_count(4)
    await expect(chat.button("Offline model")).to_have_accessible_description(re.compile("rule-based"))
    await expect(chat.message_box).to_be_focused()

    await suggestions.first.click()

    await expect(chat.questions).to_have_text([FIRST])
    await chat.wait_until_idle()
    await expect(chat.answers).to_contain_text("Buy oat milk")
    await expect(suggestions).to_have_count(0)


async def test_the_readme_conversation(chat: ChatPage) -> None:
    added = await chat.ask("add buy oat milk tomorrow at 5pm, high priority")
    await expect(added).to_contain_text("Buy oat milk")
    await expect(added.locator("strong")).to_have_text("Buy oat milk")

    await expect(await chat.ask("what's due this week?")).to_contain_text("Buy oat milk")
    await expect(await chat.ask("find milk")).to_contain_text("Buy oat milk")
    await expect(await chat.ask("actually make it friday")).to_contain_text("Friday")
    await expect(await chat.ask("mark milk done")).to_contain_text("Buy oat milk")
    await chat.ask("add bread and eggs")
    await expect(await chat.ask("list my todos")).to_contain_text("Eggs")
    await expect(await chat.ask("delete the second one")).to_contain_text("Deleted")
    await expect(await chat.ask("what can you do?")).to_contain_text("stand-in")
    await expect(chat.alert).to_have_count(0)


async def test_hand_offs_and_tools_show_and_fold_into_one_line(chat: ChatPage, paused: Server) -> None:
    paused.hold_before_word(0)
    await chat.send(FIRST)
    for text in ("Todo is answering", "Create todo"):
        await expect(chat.steps.get_by_role("listitem").filter(has_text=text)).to_be_visible()
    await chat.screenshot("steps-open")
    paused.go_on()
    await chat.wait_until_idle()
    summary = chat.steps.get_by_role("button")
    await expect(summary).to_have_attribute("aria-expanded", "false")
    await expect(chat.steps.get_by_role("listitem")).to_have_count(0)

    await summary.click()

    await expect(summary).to_have_attribute("aria-expanded", "true")
    await expect(chat.steps.get_by_role("listitem").filter(has_text="Create todo")).to_contain_text("done")


async def test_an_answer_grows_while_it_is_written(chat: ChatPage, paused: Server) -> None:
    seen: list[str] = []
    for word in (12, 24, 36):
        paused.hold_before_word(word)
        if not seen:
            await chat.send("what can you do?")
            await expect(chat.answers).to_contain_text("stand-in")
        else:
            await expect(chat.answers).not_to_have_text(seen[-1], use_inner_text=True)
        await expect(chat.answers).to_have_attribute("aria-busy", "true")
        await expect(chat.stop_button).to_be_visible()
        seen.append(await chat.answers.inner_text())
    paused.go_on()
    await chat.wait_until_idle()

    seen.append(await chat.answers.inner_text())
    lengths = [len(text) for text in seen]
    assert lengths == sorted(set(lengths))
    # A screen reader hears the whole answer once, at its end.
    answer = await chat.answers.last.locator("p, li").first.inner_text()
    await expect(chat.page.get_by_role("status").filter(has_text=answer)).to_have_count(1)


async def test_a_finished_answer_is_spoken_without_its_marks(chat: ChatPage) -> None:
    await chat.ask(FIRST)

    spoken = chat.page.get_by_role("status").filter(has_text="Added Buy oat milk — tomorrow")
    await expect(spoken).to_have_count(1)


async def test_a_reload_brings_the_conversation_back(chat: ChatPage) -> None:
    await chat.ask(FIRST)
    address = chat.page.url
    assert "#/t/thr_" in address
    said = await chat.answers.locator("p").all_inner_texts()

    await chat.page.reload()

    await expect(chat.questions).to_have_text([FIRST])
    assert await chat.answers.locator("p").all_inner_texts() == said
    await expect(chat.steps.get_by_role("button")).to_have_attribute("aria-expanded", "false")
    assert chat.page.url == address
    await expect(await chat.ask("mark it done")).to_contain_text("Buy oat milk")


async def test_a_reload_in_the_middle_of_an_answer_joins_it_again(chat: ChatPage, paused: Server) -> None:
    paused.hold_before_word(12)
    await chat.send("what can you do?")
    await expect(chat.answers).to_contain_text("stand-in")
    assert "#/t/" in chat.page.url

    await chat.page.reload()

    await expect(chat.questions).to_have_text(["what can you do?"])
    await expect(chat.answers).to_contain_text("stand-in")
    await expect(chat.stop_button).to_be_visible()
    paused.go_on()
    await chat.wait_until_idle()
    await expect(chat.answers).to_contain_text("delete the second one")
    await expect(chat.questions).to_have_count(1)
    await expect(chat.answers).to_have_count(1)


@pytest.mark.row("H8")
async def test_feedback_is_sent_and_remembered(chat: ChatPage) -> None:
    await chat.ask("what can you do?")
    bodies: list[dict[str, Any]] = []

    async def note(route: Route) -> None:
        bodies.append(json.loads(route.request.post_data or "{}"))
        await route.fallback()

    await chat.on_operation("items.feedback", note)
    async with chat.page.expect_response("**/api/chatkit") as answered:
        await chat.button("Good answer").click()
    assert (await answered.value).ok
    await expect(chat.button("Good answer")).to_have_attribute("aria-pressed", "true")
    await expect(chat.button("Poor answer")).to_have_attribute("aria-pressed", "false")

    await chat.page.reload()
    await expect(chat.button("Good answer")).to_have_attribute("aria-pressed", "true")
    assert [body["params"]["kind"] for body in bodies] == ["positive"]


async def test_an_answer_can_be_copied(open_page: OpenPage) -> None:
    chat = await open_page(permissions=["clipboard-read", "clipboard-write"])
    await chat.load()
    await chat.ask(FIRST)

    await chat.button("Copy answer").click()

    await expect(chat.page.get_by_role("status").filter(has_text="Answer copied.")).to_have_count(1)
    copied = await chat.page.evaluate("navigator.clipboard.readText()")
    assert "**Buy oat milk**" in copied


@pytest.mark.row("H8")
async def test_an_answer_can_be_written_anew(chat: ChatPage, paused: Server) -> None:
    await chat.ask("find nothing at all")
    await chat.ask("what can you do?")
    await expect(chat.button("Regenerate answer")).to_have_count(1)

    paused.hold_before_word(0)
    await chat.button("Regenerate answer").click()

    await expect(chat.answers).to_have_count(1)
    paused.go_on()
    await expect(chat.answers).to_have_count(2)
    await chat.wait_until_idle()
    await expect(chat.questions).to_have_count(2)
    await expect(chat.answers.last).to_contain_text("stand-in")


async def test_empty_messages_are_not_sent(chat: ChatPage) -> None:
    await expect(chat.send_button).to_be_disabled()
    await chat.send("   \n  ")
    await expect(chat.send_button).to_be_disabled()
    await expect(chat.questions).to_have_count(0)
    assert not [url for url in chat.requests if url.endswith("/runs")]


async def test_the_reader_who_scrolled_up_stays_there(chat: ChatPage) -> None:
    await chat.page.set_viewport_size({"width": 1280, "height": 420})
    await chat.ask("what can you do?")
    await chat.ask(FIRST)
    position = "log => ({top: log.scrollTop, end: log.scrollHeight - log.clientHeight})"
    at_end = await chat.messages.evaluate(position)
    assert abs(at_end["top"] - at_end["end"]) <= 1

    await chat.messages.hover()
    await expect(chat.steps.first).to_be_visible()
    await chat.page.mouse.wheel(0, -300)
    await expect(chat.button("Jump to latest")).to_be_visible()
    before = (await chat.messages.evaluate(position))["top"]
    await chat.messages.evaluate(
        "log => { const p = document.createElement('p'); p.textContent = 'x'.repeat(9000);"
        " log.querySelector('article:last-of-type').append(p); }"
    )
    await chat.next_frames()
    assert (await chat.messages.evaluate(position))["top"] == before

    await chat.button("Jump to latest").click()
    await expect(chat.button("Jump to latest")).to_be_hidden()
    await chat.page.wait_for_function(
        "() => { const log = document.querySelector('[role=log]');"
        " return log.scrollHeight - log.scrollTop - log.clientHeight <= 1; }"
    )
