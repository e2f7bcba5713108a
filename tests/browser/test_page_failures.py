"""When something goes wrong: stopped answers, errors, lost connections, refusals. Nothing typed is lost."""

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import Route

from browser.chat_page import END, ChatPage, OpenPage, event_type, frame, fulfill_frames, real_frames
from browser.own_server import Server
from browser.waiting import expect, quick_time

pytestmark = [pytest.mark.browser, pytest.mark.row("H3")]

LONG = "what can you do?"


async def test_stopping_keeps_what_was_written(chat: ChatPage, paused: Server) -> None:
    paused.hold_before_word(12)
    await chat.send(LONG)
    await expect(chat.answers).to_contain_text("stand-in")

    await chat.stop_button.click()

    await chat.wait_until_idle()
    await expect(chat.messages).to_contain_text("You stopped this answer.")
    await expect(chat.message_box).to_be_focused()
    partial = await chat.answers.locator("p").first.inner_text()
    assert partial
    assert "delete the second one" not in await chat.answers.inner_text()
    await chat.page.reload()
    await expect(chat.answers.locator("p").first).to_have_text(partial)
    await expect(chat.stop_button).to_be_hidden()


async def test_escape_stops(chat: ChatPage, paused: Server) -> None:
    paused.hold_before_word(12)
    await chat.send(LONG)
    await expect(chat.answers).to_contain_text("stand-in")

    await chat.page.keyboard.press("Escape")

    await chat.wait_until_idle()
    await expect(chat.messages).to_contain_text("You stopped this answer.")


async def test_an_error_can_be_retried(chat: ChatPage) -> None:
    async def fail(route: Route) -> None:
        frames, headers = await real_frames(route)
        event = {"type": "error", "code": "custom", "message": "The model is busy.", "allow_retry": True}
        await fulfill_frames(route, [*frames[:-1], frame(event), END], headers)

    await chat.on_operation("threads.create", fail)
    await chat.send("find milk")

    await expect(chat.alert).to_contain_text("The model is busy.")
    await expect(chat.questions).to_have_count(1)
    await chat.screenshot("error")
    async with chat.page.expect_request(lambda request: "retry_after_item" in (request.post_data or "")):
        await chat.alert.get_by_role("button", name="Try again").click()

    await expect(chat.alert).to_have_count(0)
    await chat.wait_until_idle()
    await expect(chat.answers).to_have_count(1)
    await expect(chat.questions).to_have_count(1)


async def test_an_error_that_cannot_be_retried_can_be_dismissed(chat: ChatPage) -> None:
    async def fail(route: Route) -> None:
        frames, headers = await real_frames(route)
        event = {"type": "error", "code": "custom", "message": "Not allowed.", "allow_retry": False}
        await fulfill_frames(route, [*frames[:2], frame(event), END], headers)

    await chat.on_operation("threads.create", fail)
    await chat.send("find milk")

    await expect(chat.alert).to_contain_text("Not allowed.")
    await expect(chat.alert.get_by_role("button", name="Try again")).to_have_count(0)
    await chat.alert.get_by_role("button", name="Dismiss").click()
    await expect(chat.alert).to_have_count(0)


async def test_a_refused_message_stays_in_the_box(chat: ChatPage) -> None:
    refusal = {"code": "rate_limited", "message": "Too many messages.", "request_id": "req_1"}

    async def refuse(route: Route) -> None:
        await route.fulfill(status=429, json=refusal, headers={"Retry-After": "30"})

    await chat.on_operation("threads.create", refuse)
    await chat.send("find milk")

    await expect(chat.alert).to_contain_text("Too many messages.")
    await expect(chat.alert).to_contain_text("req_1")
    await expect(chat.message_box).to_have_value("find milk")
    await expect(chat.questions).to_have_count(0)
    await chat.page.reload()
    await expect(chat.message_box).to_have_value("find milk")
    await chat.page.unroute_all()
    await chat.message_box.press("Enter")
    await chat.wait_until_idle()
    await expect(chat.questions).to_have_text(["find milk"])


async def test_a_message_whose_receipt_was_lost_arrives_once(open_page: OpenPage) -> None:
    chat = await open_page(clock=True)
    await chat.load()

    async def lose(route: Route) -> None:
        await real_frames(route)
        await route.abort("connectionreset")

    await chat.on_operation("threads.create", lose)
    await chat.send("find milk")
    async with quick_time(chat.page):
        await expect(chat.message_box).to_have_value("find milk")
        await expect(chat.alert).to_contain_text("could not be reached")
    await chat.page.unroute_all()
    await expect(chat.send_button).to_be_enabled()

    await chat.send_button.click()

    await chat.wait_until_idle()
    await expect(chat.questions).to_have_text(["find milk"])
    await chat.page.reload()
    await expect(chat.chats.get_by_role("link")).to_have_count(1)


async def test_a_cut_stream_is_taken_up_where_it_ended(chat: ChatPage) -> None:
    resumed: list[str] = []

    async def cut(route: Route) -> None:
        frames, headers = await real_frames(route)
        kinds = [event_type(text) for text in frames]
        middle = kinds.index("thread.item.updated/assistant_message.content_part.text_delta") + 5
        await fulfill_frames(route, frames[:middle], headers)

    async def note(route: Route) -> None:
        resumed.append(route.request.url)
        await route.continue_()

    await chat.on_operation("threads.create", cut)
    await chat.page.route("**/runs/*/events?*", note)
    await chat.send(LONG)

    await expect(chat.answers).to_contain_text("delete the second one")
    await chat.wait_until_idle()
    await expect(chat.answers).to_have_count(1)
    assert len(resumed) == 1
    assert int(resumed[0].partition("after=")[2]) > 5
    first = await chat.answers.locator("p").first.inner_text()
    assert first.count("stand-in") == 1


async def test_reconnecting_is_shown_until_it_works(chat: ChatPage) -> None:
    refused = asyncio.Event()
    restarted = asyncio.Event()

    async def cut(route: Route) -> None:
        frames, headers = await real_frames(route)
        begun = [kind.startswith("thread.item.added") for kind in map(event_type, frames)].index(True)
        await fulfill_frames(route, frames[: begun + 1], headers)

    async def stumble(route: Route) -> None:
        if not restarted.is_set():
            await route.fulfill(status=503, json={"code": "unavailable", "message": "Restarting."})
            refused.set()
        else:
            await route.continue_()

    await chat.on_operation("threads.create", cut)
    await chat.page.route("**/runs/*/events?*", stumble)
    await chat.send(LONG)

    await expect(chat.messages).to_contain_text("Reconnecting…")
    async with asyncio.timeout(10):
        await refused.wait()
    await expect(chat.messages).to_contain_text("Reconnecting…")
    restarted.set()
    await expect(chat.answers).to_contain_text("delete the second one")
    await expect(chat.messages).not_to_contain_text("Reconnecting…")
    await expect(chat.alert).to_have_count(0)


async def test_a_lost_network_in_the_middle_of_an_answer(chat: ChatPage, paused: Server) -> None:
    paused.hold_before_word(12)
    await chat.send(LONG)
    await expect(chat.answers).to_contain_text("stand-in")
    await chat.page.context.set_offline(True)
    await expect(chat.page.get_by_role("status").filter(has_text="You are offline")).to_be_visible()

    await chat.page.context.set_offline(False)
    paused.go_on()

    await expect(chat.answers).to_contain_text("delete the second one")
    await chat.wait_until_idle()
    await expect(chat.answers).to_have_count(1)
    await expect(chat.questions).to_have_count(1)
    await expect(chat.alert).to_have_count(0)


async def test_a_run_the_server_forgot_is_read_from_the_thread(chat: ChatPage) -> None:
    async def cut(route: Route) -> None:
        frames, headers = await real_frames(route)
        begun = [kind.startswith("thread.item.added") for kind in map(event_type, frames)].index(True)
        await fulfill_frames(route, frames[: begun + 1], headers)

    async def gone(route: Route) -> None:
        await route.fulfill(status=404, json={"code": "not_found", "message": "No longer kept."})

    await chat.on_operation("threads.create", cut)
    await chat.page.route("**/runs/*/events?*", gone)
    await chat.send(LONG)

    await expect(chat.answers).to_contain_text("delete the second one")
    await expect(chat.questions).to_have_count(1)


async def test_offline_is_said_and_the_text_is_kept(chat: ChatPage) -> None:
    await chat.ask("find milk")
    await chat.page.context.set_offline(True)

    await expect(chat.page.get_by_role("status").filter(has_text="You are offline")).to_be_visible()
    await chat.send("find bread")
    await expect(chat.message_box).to_have_value("find bread")
    await expect(chat.send_button).to_be_disabled()
    await expect(chat.questions).to_have_count(1)
    await chat.screenshot("offline")

    await chat.page.context.set_offline(False)
    await expect(chat.page.get_by_role("status").filter(has_text="You are offline")).to_have_count(0)
    await expect(chat.send_button).to_be_enabled()
    await chat.message_box.press("Enter")
    await expect(chat.questions).to_have_count(2)


async def test_an_unreachable_server_is_said_and_found_again(open_page: OpenPage) -> None:
    chat = await open_page(clock=True)
    await chat.load()

    async def vanish(route: Route) -> None:
        await route.abort("connectionrefused")

    await chat.page.route("**/api/**", vanish)
    await chat.page.route("**/health", vanish)
    await chat.send("find milk")

    async with quick_time(chat.page):
        await expect(chat.page.get_by_role("status").filter(has_text="cannot be reached")).to_be_visible()
        await expect(chat.message_box).to_have_value("find milk")
    await chat.page.unroute_all()
    async with quick_time(chat.page):
        await expect(chat.page.get_by_role("status").filter(has_text="cannot be reached")).to_have_count(0)
    await chat.message_box.press("Enter")
    await chat.wait_until_idle()
    await expect(chat.questions).to_have_text(["find milk"])


async def test_a_locked_chat_says_why_and_takes_nothing(chat: ChatPage) -> None:
    async def lock(route: Route) -> None:
        frames, headers = await real_frames(route)
        created: dict[str, Any] = json.loads(frames[0].partition("data: ")[2].splitlines()[0])
        thread = {**created["thread"], "status": {"type": "locked", "reason": "Under review."}}
        event = frame({"type": "thread.updated", "thread": thread})
        await fulfill_frames(route, [*frames[:-1], event, END], headers)

    await chat.on_operation("threads.create", lock)
    await chat.send("find milk")

    await expect(chat.page.get_by_role("status").filter(has_text="Under review.")).to_be_visible()
    await expect(chat.message_box).to_be_hidden()
    await expect(chat.button("Regenerate answer")).to_have_count(0)


async def test_an_odd_event_does_not_end_the_conversation(open_page: OpenPage) -> None:
    chat = await open_page()
    await chat.load()

    async def add_odd_ones(route: Route) -> None:
        frames, headers = await real_frames(route)
        odd = [
            frame({"type": "thread.item.done", "item": {"id": "x_1", "type": "hologram"}}),
            frame({"type": "thread.item.done", "item": {"id": "x_2", "type": "widget"}}),
            frame({"type": "something.new"}),
            "data: this is not JSON",
            ": a comment",
        ]
        await fulfill_frames(route, [*frames[:3], *odd, *frames[3:]], headers)

    await chat.on_operation("threads.create", add_odd_ones)
    await chat.send("find milk")
    await chat.wait_until_idle()

    await expect(chat.messages).to_contain_text("Something this page cannot show yet (hologram).")
    await expect(chat.answers).to_have_count(1)
    await expect(chat.alert).to_have_count(0)


async def test_two_tabs_do_not_answer_at_once(chat: ChatPage) -> None:
    await chat.ask("find milk")
    second = ChatPage(await chat.page.context.new_page(), chat.server_url)
    await second.page.goto(chat.page.url)
    await expect(second.questions).to_have_count(1)

    await asyncio.gather(chat.send(LONG), second.send(LONG))

    await asyncio.gather(chat.wait_until_idle(), second.wait_until_idle())
    await chat.page.reload()
    await expect(chat.answers.last).to_contain_text("delete the second one")
