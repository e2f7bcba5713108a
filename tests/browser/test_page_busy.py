"""A message to a chat that is being answered: it waits, visibly, for its turn; or whatever the server's policy is."""

import re
from collections.abc import Callable

import pytest
from playwright.async_api import Locator

from browser.chat_page import CONTRAST_SCRIPT, ChatPage, OpenPage
from browser.own_server import Server
from browser.waiting import expect

pytestmark = [pytest.mark.browser, pytest.mark.row("H3", "C6")]

LONG = "what can you do?"
END_OF_LONG = "delete the second one"


async def begin(chat: ChatPage, paused: Server) -> None:
    """Ask something and wait until the answer has begun; there it is held back."""
    paused.hold_before_word(12)
    await chat.send(LONG)
    await expect(chat.answers).to_contain_text("stand-in")


async def queue(chat: ChatPage, *texts: str) -> None:
    """Send messages that have to wait."""
    before = await chat.waiting.count()
    for number, text in enumerate(texts, start=before + 1):
        await chat.send(text)
        await expect(chat.waiting).to_have_count(number)
        await expect(chat.waiting.last).to_contain_text("Waiting")


async def another_tab(chat: ChatPage) -> ChatPage:
    tab = ChatPage(await chat.page.context.new_page(), chat.server_url)
    await tab.page.goto(chat.page.url)
    return tab


async def begin_in_two_tabs(chat: ChatPage, paused: Server) -> ChatPage:
    """Let a long answer begin; a second tab that shows it too."""
    await begin(chat, paused)
    second = await another_tab(chat)
    await expect(second.answers).to_contain_text("stand-in")
    return second


def withdraw_button(chat: ChatPage, text: str) -> Locator:
    return chat.button(f"Withdraw: {text}")


async def said(chat: ChatPage) -> list[str]:
    """Who said something, in order, and the reader's own words."""
    articles = chat.messages.get_by_role("article")
    return [
        await article.inner_text() if await article.get_attribute("aria-label") == "You" else "Answer"
        for article in await articles.all()
    ]


@pytest.mark.parametrize("look", ["light", "dark phone"])
async def test_messages_wait_in_order_and_are_answered_one_after_the_other(
    open_page: OpenPage, paused: Server, look: str
) -> None:
    chat = await open_page(dark="dark" in look, phone="phone" in look)
    await chat.load()
    await begin(chat, paused)

    await queue(chat, "find milk", "find bread")

    await expect(chat.questions).to_have_text([LONG])
    await expect(chat.spoken("waits for the answer before it")).to_have_count(1)
    await expect(chat.message_box).to_have_value("")
    await chat.screenshot(f"busy-{look.replace(' ', '-')}")
    paused.go_on()
    await expect(chat.questions).to_have_text([LONG, "find milk", "find bread"])
    await expect(chat.waiting).to_have_count(0)
    await chat.wait_until_idle()
    await expect(chat.answers).to_have_count(3)
    assert await said(chat) == [LONG, "Answer", "find milk", "Answer", "find bread", "Answer"]
    await expect(chat.answers.first).to_contain_text(END_OF_LONG)
    await expect(chat.alert).to_have_count(0)
    await chat.page.reload()
    await expect(chat.answers).to_have_count(3)
    assert await said(chat) == [LONG, "Answer", "find milk", "Answer", "find bread", "Answer"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_waiting_messages_can_be_read_and_have_names(
    open_page: OpenPage, paused: Server, dark: bool
) -> None:
    chat = await open_page(dark=dark, reduced_motion="reduce")
    await chat.load()
    await begin(chat, paused)
    await queue(chat, "find milk", "find bread")

    await expect(
        chat.messages.get_by_role("list", name="Waiting messages").get_by_role("listitem")
    ).to_have_count(2)
    await expect(withdraw_button(chat, "find milk")).to_have_text("Withdraw")
    assert await chat.page.evaluate(CONTRAST_SCRIPT) == []


async def test_many_wait_without_using_up_the_connections(chat: ChatPage, paused: Server) -> None:
    await begin(chat, paused)
    texts = [f"find thing {number}" for number in range(7)]

    await queue(chat, *texts)

    # Browsers open six connections to a server; stopping needs one.
    await chat.stop_button.click()
    await expect(chat.questions.nth(1)).to_have_text(texts[0])
    paused.go_on()
    await expect(chat.questions).to_have_text([LONG, *texts])
    await chat.wait_until_idle()
    await expect(chat.answers).to_have_count(8)


async def test_a_waiting_message_can_be_withdrawn(chat: ChatPage, paused: Server) -> None:
    await begin(chat, paused)
    await queue(chat, "find milk", "find bread")

    await withdraw_button(chat, "find milk").focus()
    await chat.page.keyboard.press("Enter")

    await expect(chat.waiting).to_have_count(1)
    await expect(chat.waiting).to_contain_text("find bread")
    await expect(chat.spoken("Message withdrawn.")).to_have_count(1)
    # What was written is not lost, and the keyboard goes on where it can be changed.
    await expect(chat.message_box).to_have_value("find milk")
    await expect(chat.message_box).to_be_focused()
    await expect(chat.answers).to_have_attribute("aria-busy", "true")
    paused.go_on()
    await expect(chat.questions).to_have_text([LONG, "find bread"])
    await chat.wait_until_idle()
    await expect(chat.answers).to_have_count(2)
    await expect(chat.alert).to_have_count(0)


async def test_waiting_messages_are_there_after_a_reload(chat: ChatPage, paused: Server) -> None:
    await begin(chat, paused)
    await queue(chat, "find milk", "find bread", "find eggs")

    await chat.page.reload()

    await expect(chat.waiting).to_have_count(3)
    await expect(chat.waiting).to_contain_text(["find milk", "find bread", "find eggs"])
    await expect(chat.questions).to_have_text([LONG])
    await expect(chat.answers).to_have_count(1)
    await withdraw_button(chat, "find bread").click()
    await expect(chat.waiting).to_have_count(2)
    paused.go_on()
    await expect(chat.questions).to_have_text([LONG, "find milk", "find eggs"])
    await chat.wait_until_idle()
    await expect(chat.answers).to_have_count(3)
    assert await said(chat) == [LONG, "Answer", "find milk", "Answer", "find eggs", "Answer"]


@pytest.mark.row("C5")
async def test_stopping_ends_one_answer_and_the_next_message_gets_its_turn(
    chat: ChatPage, paused: Server
) -> None:
    await begin(chat, paused)
    await queue(chat, "find milk")

    await chat.stop_button.click()

    await expect(chat.questions).to_have_text([LONG, "find milk"])
    await expect(chat.waiting).to_have_count(0)
    paused.go_on()
    await chat.wait_until_idle()
    await expect(chat.answers).to_have_count(2)
    await expect(chat.answers.first).to_contain_text("stand-in")
    assert END_OF_LONG not in await chat.answers.first.inner_text()
    await expect(chat.answers.last).to_contain_text("milk")


async def test_writing_and_stopping_are_both_at_hand_while_an_answer_comes(
    chat: ChatPage, paused: Server
) -> None:
    await begin(chat, paused)
    await expect(chat.send_button).to_be_hidden()
    await expect(chat.stop_button).to_be_visible()

    await chat.message_box.fill("find milk")

    await expect(chat.stop_button).to_be_visible()
    await chat.send_button.click()
    await expect(chat.waiting).to_have_count(1)
    await expect(chat.send_button).to_be_hidden()
    await expect(chat.message_box).to_be_focused()


async def test_a_second_tab_waits_for_the_first_and_both_are_whole_in_the_end(
    chat: ChatPage, paused: Server
) -> None:
    second = await begin_in_two_tabs(chat, paused)

    await queue(second, "find milk")
    await queue(chat, "find bread")

    paused.go_on()
    await expect(chat.questions).to_have_text([LONG, "find milk", "find bread"])
    await chat.wait_until_idle()
    await expect(chat.answers).to_have_count(3)
    await second.wait_until_idle()
    await expect(second.questions.last).to_have_text(re.compile("find (milk|bread)"))
    for tab in (chat, second):
        await expect(tab.alert).to_have_count(0)
        await tab.page.reload()
        await expect(tab.answers).to_have_count(3)
        assert await said(tab) == [LONG, "Answer", "find milk", "Answer", "find bread", "Answer"]
    assert second.problems == []


async def test_what_another_tab_asked_is_shown_even_if_it_was_never_noticed(
    chat: ChatPage, paused: Server
) -> None:
    second = await begin_in_two_tabs(chat, paused)
    await queue(second, "find milk")
    # As when it is answered between two looks at the queue.
    await chat.page.route("**/runs?status=active*", lambda route: route.fulfill(json={"data": []}))

    await queue(chat, "find bread")
    paused.go_on()

    await expect(chat.questions).to_have_text([LONG, "find milk", "find bread"])
    await chat.wait_until_idle()
    await expect(chat.answers).to_have_count(3)
    assert await said(chat) == [LONG, "Answer", "find milk", "Answer", "find bread", "Answer"]


async def test_a_tab_that_knew_nothing_of_the_answer_shows_it_and_waits(
    chat: ChatPage, paused: Server
) -> None:
    await chat.ask("find milk")
    second = await another_tab(chat)
    await expect(second.answers).to_have_count(1)
    paused.hold_before_word(12)
    await chat.send(LONG)
    await expect(chat.answers.last).to_contain_text("stand-in")

    await second.send("find bread")

    await expect(second.answers.last).to_contain_text("stand-in")
    await expect(second.questions).to_have_text(["find milk", LONG])
    await expect(second.waiting).to_contain_text(["find bread"])
    paused.go_on()
    await expect(second.questions).to_have_text(["find milk", LONG, "find bread"])
    await second.wait_until_idle()
    assert await said(second) == ["find milk", "Answer", LONG, "Answer", "find bread", "Answer"]
    assert second.problems == []


async def test_a_message_withdrawn_in_another_tab_is_told_of(chat: ChatPage, paused: Server) -> None:
    await begin(chat, paused)
    await queue(chat, "find milk")
    second = await another_tab(chat)
    await expect(second.waiting).to_have_count(1)

    await withdraw_button(second, "find milk").click()

    await expect(chat.waiting).to_have_count(0)
    await expect(chat.messages).to_contain_text("Not answered: “find milk”")
    paused.go_on()
    await chat.wait_until_idle()
    await expect(chat.questions).to_have_text([LONG])


async def test_a_message_that_cannot_be_withdrawn_stays(chat: ChatPage, paused: Server) -> None:
    await begin(chat, paused)
    await queue(chat, "find milk")
    await chat.page.route("**/runs/*/cancel", lambda route: route.abort("connectionreset"))

    await withdraw_button(chat, "find milk").click()

    await expect(chat.alert).to_contain_text("could not be withdrawn")
    await expect(chat.waiting).to_have_count(1)
    paused.go_on()
    await expect(chat.questions).to_have_text([LONG, "find milk"])


@pytest.mark.row("C5")
async def test_a_stop_that_does_not_arrive_is_not_pretended(chat: ChatPage, paused: Server) -> None:
    await begin(chat, paused)
    await chat.page.route("**/runs/*/cancel", lambda route: route.abort("connectionreset"))

    await chat.stop_button.click()

    await expect(chat.alert).to_contain_text("could not be stopped")
    await expect(chat.stop_button).to_be_enabled()
    paused.go_on()
    await expect(chat.answers).to_contain_text(END_OF_LONG)
    await chat.wait_until_idle()


async def test_a_server_that_refuses_second_messages(
    serve: Callable[..., Server], open_page: OpenPage
) -> None:
    server = serve(while_running="reject")
    chat = await open_page(at=server.url)
    await chat.load()
    await begin(chat, server)

    await chat.send("find milk")

    await expect(chat.alert).to_contain_text("This conversation is being answered.")
    await expect(chat.message_box).to_have_value("find milk")
    await expect(chat.waiting).to_have_count(0)
    await expect(chat.stop_button).to_be_visible()
    server.go_on()
    await chat.wait_until_idle()
    await expect(chat.answers).to_contain_text(END_OF_LONG)
    await chat.message_box.press("Enter")
    await expect(chat.questions).to_have_text([LONG, "find milk"])
    await chat.wait_until_idle()
    await expect(chat.alert).to_have_count(0)


@pytest.mark.row("C5")
async def test_a_server_where_the_second_message_takes_the_answers_place(
    serve: Callable[..., Server], open_page: OpenPage
) -> None:
    server = serve(while_running="interrupt")
    chat = await open_page(at=server.url)
    await chat.load()
    await begin(chat, server)

    await chat.send("find milk")

    await expect(chat.questions).to_have_text([LONG, "find milk"])
    server.go_on()
    await chat.wait_until_idle()
    await expect(chat.answers).to_have_count(2)
    await expect(chat.answers.first).to_contain_text("stand-in")
    assert END_OF_LONG not in await chat.answers.first.inner_text()
    await expect(chat.waiting).to_have_count(0)
    await expect(chat.alert).to_have_count(0)
    await chat.page.reload()
    await expect(chat.answers).to_have_count(2)
    assert await said(chat) == [LONG, "Answer", "find milk", "Answer"]


@pytest.mark.row("C4")
async def test_where_leaving_stops_answers_waiting_messages_stay(
    serve: Callable[..., Server], open_page: OpenPage
) -> None:
    server = serve(on_disconnect="cancel")
    chat = await open_page(at=server.url)
    await chat.load()
    await begin(chat, server)

    await queue(chat, "find milk", "find bread")

    server.go_on()
    await expect(chat.questions).to_have_text([LONG, "find milk", "find bread"])
    await chat.wait_until_idle()
    await expect(chat.answers).to_have_count(3)
