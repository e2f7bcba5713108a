"""Finding chats by what was said in them: by words, by keyboard, on a phone, and when it goes wrong."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Request, Route

from browser.chat_page import CONTRAST_SCRIPT, ChatPage, OpenPage
from browser.own_server import Server
from browser.records import page_of, thread
from browser.waiting import expect

pytestmark = [pytest.mark.browser, pytest.mark.row("H8", "D4", "H3")]

SEARCHES = "**/threads/search?*"
PROBE = "<img src=x onerror=window.broken=1><mark>bold</mark>"


def asked_for(request: Request) -> str:
    return parse_qs(urlsplit(request.url).query)["q"][0]


def found(thread_id: str, title: str, *excerpts: tuple[str, str], more: bool = False) -> dict[str, Any]:
    """The answer of a server that found one thread."""
    shown = [{"item_id": item_id, "parts": [{"text": text, "match": True}]} for item_id, text in excerpts]
    hit = {"thread": thread(1) | {"id": thread_id, "title": title}, "title": [], "excerpts": shown}
    return {"data": [hit], "has_more": more, "after": None}


async def answer_searches(chat: ChatPage, body: dict[str, Any], status: int = 200) -> None:
    async def answer(route: Route) -> None:
        await route.fulfill(status=status, json=body)

    await chat.page.route(SEARCHES, answer)


async def test_words_of_questions_answers_and_titles(chat: ChatPage) -> None:
    await chat.ask("find milk")
    await chat.choose("Find milk", "Rename")
    title = chat.page.get_by_role("textbox", name="Chat title")
    await title.fill("Groceries")
    await title.press("Enter")
    await chat.button("New chat").click()
    await chat.ask("what can you do?")

    await chat.search("list empty", "1 chat found")
    await expect(chat.results).to_contain_text("Your list is empty.")
    await expect(chat.marks).to_have_text(["list", "empty"])
    await chat.search("milk", "2 chats found")
    await expect(chat.hits.filter(has_text="find milk")).to_have_count(1)
    await chat.screenshot("search")
    await chat.search("grocer", "1 chat found")
    await expect(chat.marks).to_have_text(["Groceries"])

    await chat.hits.click()
    await expect(chat.questions).to_have_text(["find milk"])
    await expect(chat.hits).to_have_attribute("aria-current", "page")


async def test_case_and_accents_do_not_count(chat: ChatPage) -> None:
    await chat.ask("Crème brûlée für Zoë")

    await chat.search("  ZOE brulee  creme ", "1 chat found")

    await expect(chat.marks).to_have_text(["Crème", "brûlée", "Zoë"] * 2)
    colors = "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e.parentElement).backgroundColor]"
    own, around = await chat.marks.first.evaluate(colors)
    assert own != around


async def test_markup_in_what_was_found_stays_text(chat: ChatPage) -> None:
    await chat.ask(PROBE)
    await chat.search("onerror", "1 chat found")

    await expect(chat.hits).to_contain_text([PROBE])
    await expect(chat.marks).to_have_text(["onerror", "onerror"])
    await chat.search(PROBE.replace("bold", "zebra"), "Nothing found for “<img src=x")
    assert await chat.page.evaluate("[window.broken, document.images.length]") == [None, 0]


async def test_by_keyboard_alone(chat: ChatPage) -> None:
    keyboard = chat.page.keyboard
    await chat.ask("find milk")
    await chat.ask("find oat milk")
    await keyboard.press("Control+k")
    await expect(chat.search_box).to_be_focused()
    await keyboard.type("milk")
    links = chat.hits
    await expect(links).to_have_count(3)

    await keyboard.press("ArrowDown")
    await expect(links.nth(0)).to_be_focused()
    assert await links.nth(0).evaluate("e => getComputedStyle(e).outlineStyle") != "none"
    await keyboard.press("ArrowDown")
    await expect(links.nth(1)).to_be_focused()
    await keyboard.press("ArrowUp")
    await keyboard.press("ArrowUp")
    await expect(chat.search_box).to_be_focused()
    await keyboard.press("Tab")
    await expect(chat.button("Clear search")).to_be_focused()
    await keyboard.press("Tab")
    await expect(links.nth(0)).to_be_focused()

    await keyboard.press("Control+Shift+O")
    await expect(chat.page.get_by_role("heading", name="How can I help?")).to_be_visible()
    await expect(chat.message_box).to_be_focused()
    await expect(chat.search_box).to_have_value("")
    await keyboard.press("Meta+k")
    await keyboard.type("milk")
    await expect(links).to_have_count(3)
    await keyboard.press("ArrowDown")
    await keyboard.press("Enter")
    await expect(chat.questions).to_have_text(["find milk", "find oat milk"])
    await expect(chat.message_box).to_be_focused()

    await keyboard.press("Control+k")
    await keyboard.type("zebra")
    await expect(chat.search_box).to_have_value("zebra")


async def test_escape_gives_the_list_back_and_stops_no_answer(chat: ChatPage, paused: Server) -> None:
    await chat.ask("find milk")
    paused.hold_before_word(12)
    await chat.send("what can you do?")
    await expect(chat.answers.last).to_contain_text("stand-in")
    await chat.search("milk", "1 chat found")
    await expect(chat.chats.get_by_role("heading", name="Today")).to_be_hidden()
    await chat.page.keyboard.press("ArrowDown")

    await chat.page.keyboard.press("Escape")
    await expect(chat.search_box).to_be_focused()
    await expect(chat.search_box).to_have_value("")
    await expect(chat.results).to_be_hidden()
    await expect(chat.button("Clear search")).to_be_hidden()
    await expect(chat.chats.get_by_role("heading", name="Today")).to_be_visible()
    await chat.page.keyboard.press("Escape")
    await expect(chat.message_box).to_be_focused()

    paused.go_on()
    await chat.wait_until_idle()
    await expect(chat.answers.last).to_contain_text("delete the second one")
    await expect(chat.messages).not_to_contain_text("You stopped this answer.")


async def test_nothing_found(chat: ChatPage) -> None:
    await chat.ask("find milk")

    await chat.search("ilk", "Nothing found for “ilk”")

    await expect(chat.chats.get_by_text("Nothing found for “ilk”")).to_be_visible()
    await expect(chat.hits).to_have_count(0)
    await expect(chat.chat_link("Find milk")).to_be_hidden()
    await chat.screenshot("search-nothing")
    await chat.button("Clear search").click()
    await expect(chat.chat_link("Find milk")).to_be_visible()
    await expect(chat.search_box).to_be_focused()


async def test_somebody_elses_chats_are_not_found(open_page: OpenPage) -> None:
    ada, bob = await open_page(), await open_page()
    await ada.load()
    await bob.load()
    await ada.ask("find milk")

    await ada.search("milk", "1 chat found")
    await bob.search("milk", "Nothing found")


async def test_typing_is_waited_for(open_page: OpenPage) -> None:
    chat = await open_page(clock=True)
    await chat.load()
    await chat.stop_the_clock()
    for text in ["m", "mi", "mi&l=", "mi&l=%41#k"]:
        await chat.search_box.fill(text)
        await chat.page.clock.run_for(190)
    assert [url for url in chat.requests if "search?" in url] == []

    async with chat.page.expect_request(SEARCHES) as request:
        await chat.page.clock.run_for(20)
    assert asked_for(await request.value) == "mi&l=%41#k"


@pytest.mark.parametrize("abortable", [True, False], ids=["given-up", "answered-all-the-same"])
async def test_an_older_answer_never_replaces_a_newer_one(open_page: OpenPage, abortable: bool) -> None:
    chat = await open_page()
    if not abortable:
        await chat.page.add_init_script(
            "const real = fetch; window.fetch = (url, options) => real(url, {...options, signal: undefined})"
        )
    await chat.load()
    slow_is_here, slow_may_go = asyncio.Event(), asyncio.Event()

    async def answer(route: Route) -> None:
        asked = asked_for(route.request)
        if asked == "slow":
            slow_is_here.set()
            await slow_may_go.wait()
        await route.fulfill(json=found("thr_1", f"About {asked}", more=True))

    await chat.page.route(SEARCHES, answer)
    await chat.search_box.fill("slow")
    await slow_is_here.wait()
    await expect(chat.chats.get_by_text("Searching…")).to_be_visible()

    ending = "requestfailed" if abortable else "requestfinished"
    async with chat.page.expect_event(ending, lambda request: "q=slow" in request.url):
        await chat.search("quick", "1 chat found, and there may be more")
        if not abortable:
            slow_may_go.set()
    slow_may_go.set()
    await chat.page.evaluate("() => new Promise(done => setTimeout(() => requestAnimationFrame(done)))")
    await expect(chat.hits).to_have_text(["About quick"])


async def test_after_an_error_typing_on_tries_again(chat: ChatPage) -> None:
    failure = {"code": "unavailable", "message": "The database is away."}
    await chat.ask("find milk")
    await answer_searches(chat, failure, 503)
    await chat.search("mil", "The search did not work. The database is away.")
    await expect(chat.chats.get_by_text("The database is away.")).to_be_visible()
    await chat.screenshot("search-error")
    await chat.page.unroute_all()
    await chat.search("milk", "1 chat found")

    await answer_searches(chat, failure, 503)
    await chat.search("find", "The search did not work.")
    await expect(chat.hits).to_have_count(0)
    await chat.page.unroute_all()
    await chat.chats.get_by_role("button", name="Try again").click()
    await expect(chat.hits.first).to_be_visible()
    await expect(chat.search_box).to_be_focused()


async def test_offline_and_back(chat: ChatPage) -> None:
    await chat.ask("find milk")
    await chat.page.context.set_offline(True)
    await chat.search("milk", "You are offline. The search goes on as soon as it can.")
    await expect(chat.chats.get_by_text("You are offline.")).to_be_visible()
    await chat.screenshot("search-offline")

    await chat.page.context.set_offline(False)
    await expect(chat.spoken("1 chat found")).to_have_count(1)
    await expect(chat.hits.first).to_be_visible()


async def test_a_server_that_is_gone_is_asked_again(chat: ChatPage) -> None:
    await chat.ask("find milk")
    for address in [SEARCHES, "**/health"]:
        await chat.page.route(address, lambda route: route.abort("connectionrefused"))
    await chat.search("milk", "The server cannot be reached. The search goes on")
    await chat.page.unroute_all()
    await expect(chat.spoken("1 chat found")).to_have_count(1)


async def test_a_server_that_cannot_search(chat: ChatPage) -> None:
    await chat.ask("find milk")
    await answer_searches(chat, {"code": "not_enabled", "message": "This store cannot search."}, 422)
    await chat.search_box.fill("milk")

    await expect(chat.spoken("Search is not available.")).to_have_count(1)
    await expect(chat.chats.get_by_text("Search is not available.")).to_be_visible()
    await expect(chat.search_box).to_be_hidden()
    await expect(chat.chat_link("Find milk")).to_be_visible()
    await expect(chat.message_box).to_be_focused()
    await chat.page.keyboard.press("Control+k")
    await expect(chat.message_box).to_be_focused()


async def test_the_message_is_shown_and_stands_out_for_a_moment(open_page: OpenPage) -> None:
    chat = await open_page(clock=True)
    await chat.load()
    await chat.ask("find milk")
    for _ in range(2):
        await chat.ask("what can you do?")
    await chat.button("New chat").click()
    await chat.search("empty", "1 chat found")
    await chat.stop_the_clock()

    await chat.hits.click()
    for _ in range(400):
        if await chat.answers.count() == 3:
            break
        await chat.page.clock.run_for(50)
    wanted = chat.answers.first
    await expect(wanted).to_contain_text("Your list is empty.")
    await expect(wanted).to_be_in_viewport(ratio=1)
    await expect(chat.answers.last).not_to_be_in_viewport()
    text, other = (answer.locator("div").first for answer in (wanted, chat.answers.last))
    plain = await other.evaluate("e => getComputedStyle(e).backgroundColor")
    await expect(text).not_to_have_css("background-color", plain)
    await chat.screenshot("search-opened")
    await chat.page.clock.fast_forward(5000)
    await expect(text).to_have_css("background-color", plain)

    # The same once more, in the chat that is open already.
    await chat.button("Jump to latest").click()
    await chat.page.clock.resume()
    await expect(wanted).not_to_be_in_viewport()
    await chat.hits.click()
    await expect(wanted).to_be_in_viewport(ratio=1)


async def test_a_message_that_is_not_loaded_just_opens_its_chat(chat: ChatPage) -> None:
    await chat.ask("find milk")
    thread_id = chat.page.url.rpartition("/")[2]
    await chat.button("New chat").click()
    await answer_searches(chat, found(thread_id, "Find milk", ("msg_long_ago", "milk")))
    await chat.search("milk", "1 chat found")
    await chat.hits.click()

    await expect(chat.questions).to_have_text(["find milk"])
    await expect(chat.answers.last).to_be_in_viewport()


async def test_on_a_phone_in_the_dark(open_page: OpenPage) -> None:
    chat = await open_page(dark=True, phone=True, reduced_motion="reduce")
    await chat.load()
    await chat.ask("find milk")
    await chat.button("New chat").click()
    await chat.button("Open chats").tap()
    await chat.search_box.tap()
    await chat.search("milk", "1 chat found")
    await chat.screenshot("search-phone-dark")
    assert await sticking_out(chat) == []

    await chat.hits.first.tap()
    await expect(chat.chats).to_be_hidden()
    await expect(chat.questions).to_have_text(["find milk"])

    # Control+K opens the drawer; Escape first empties the field, then closes the drawer.
    await chat.page.keyboard.press("Control+k")
    await expect(chat.search_box).to_be_focused()
    await expect(chat.search_box).to_have_value("milk")
    await chat.hits.first.tap()
    await expect(chat.chats).to_be_hidden()
    await chat.page.keyboard.press("Control+k")
    await chat.page.keyboard.press("Escape")
    await expect(chat.chat_link("Find milk")).to_be_visible()
    await chat.page.keyboard.press("Escape")
    await expect(chat.chats).to_be_hidden()


async def sticking_out(chat: ChatPage) -> list[str]:
    """What is wider than the place it has: of the list of chats, and the page itself."""
    return await chat.chats.evaluate(
        "nav => [document.documentElement, ...nav.querySelectorAll(':not(input)')]"
        ".filter(e => e.clientWidth && e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX !== 'hidden')"
        ".map(e => e.outerHTML.slice(0, 80))"
    )


@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
async def test_very_long_searches_and_results_keep_the_layout(open_page: OpenPage, phone: bool) -> None:
    chat = await open_page(phone=phone, reduced_motion="reduce")
    await chat.load()
    await chat.page.keyboard.press("Control+k")
    for text in ["x" * 2000, "añb " * 500, "漢" * 2000]:
        await chat.search(text, f"Nothing found for “{text[:60].strip()}…”")
        assert await sticking_out(chat) == []

    await answer_searches(chat, found("thr_1", "T" * 500, ("msg_1", "y" * 3000), ("msg_2", "z" * 3000)))
    await chat.search("y", "1 chat found")
    assert await sticking_out(chat) == []
    assert await chat.results.evaluate("e => e.clientHeight") < 300


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_results_have_enough_contrast(open_page: OpenPage, dark: bool) -> None:
    chat = await open_page(dark=dark, reduced_motion="reduce")
    await chat.load()
    await chat.ask("find milk")
    await chat.button("New chat").click()
    await chat.ask("add buy oat milk tomorrow at 5pm, high priority")
    await chat.search("milk", "2 chats found")

    # The chat that is open has another ground than the other one.
    assert await chat.page.evaluate(CONTRAST_SCRIPT) == []


async def test_the_list_behind_the_results_loads_on_afterwards(chat: ChatPage) -> None:
    threads = [thread(number) for number in range(70, 0, -1)]
    searched = asyncio.Event()

    async def list_threads(route: Route) -> None:
        await searched.wait()
        await route.fulfill(json=page_of(threads, json.loads(route.request.post_data or "")["params"]))

    await chat.on_operation("threads.list", list_threads)
    await chat.page.set_viewport_size({"width": 1280, "height": 3000})
    await chat.page.reload()
    await chat.search("milk", "Nothing found")
    searched.set()
    await expect(chat.chats.get_by_role("link", include_hidden=True)).to_have_count(30)
    await chat.page.keyboard.press("Escape")

    await expect(chat.chats.get_by_role("link")).to_have_count(70)
