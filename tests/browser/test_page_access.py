"""The page for everybody: keyboard, screen reader, phone, dark; and safe against what messages contain."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Locator, Route

from browser.chat_page import (
    CONTRAST_SCRIPT,
    ChatPage,
    OpenPage,
    event_type,
    frame,
    fulfill_frames,
    real_frames,
)
from browser.waiting import expect

pytestmark = [pytest.mark.browser, pytest.mark.row("H3")]

PROBE = "<img src=x onerror=window.broken=1><script>window.broken=1</script>"
LINK_PROBE = "[x](javascript:window.broken=1) [y](data:text/html,hi) [z](https://example.org/)"


async def test_everything_by_keyboard_alone(chat: ChatPage) -> None:
    keyboard = chat.page.keyboard
    await chat.page.get_by_role("heading", name="How can I help?").click()
    await keyboard.press("/")
    await expect(chat.message_box).to_be_focused()
    await keyboard.type("find")
    await keyboard.press("Shift+Enter")
    await keyboard.type("milk")
    await expect(chat.message_box).to_have_value("find\nmilk")
    await keyboard.press("Enter")
    await chat.wait_until_idle()
    await expect(chat.message_box).to_be_focused()

    await tab_to(chat, chat.button("Good answer"), backwards=True)
    await keyboard.press("Space")
    await expect(chat.button("Good answer")).to_have_attribute("aria-pressed", "true")
    steps = chat.steps.get_by_role("button")
    await expect(steps).to_have_attribute("aria-expanded", "false")
    await tab_to(chat, steps, backwards=True)
    await keyboard.press("Enter")
    await expect(chat.steps.get_by_role("listitem").first).to_be_visible()

    await tab_to(chat, chat.page.get_by_role("button", name="Options for Find"), backwards=True)
    await keyboard.press("Enter")
    await expect(chat.page.get_by_role("menuitem", name="Rename")).to_be_focused()
    await keyboard.press("ArrowDown")
    await expect(chat.page.get_by_role("menuitem", name="Delete")).to_be_focused()
    await keyboard.press("Escape")
    await expect(chat.page.get_by_role("menu")).to_be_hidden()
    await expect(chat.page.get_by_role("button", name="Options for Find")).to_be_focused()
    await keyboard.press("Enter")
    await keyboard.press("ArrowUp")
    await keyboard.press("Enter")
    await expect(chat.page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    await keyboard.press("Tab")
    await keyboard.press("Enter")
    await expect(chat.chats.get_by_role("link")).to_have_count(0)
    await expect(chat.message_box).to_be_focused()


async def tab_to(chat: ChatPage, target: Locator, *, backwards: bool) -> None:
    for _ in range(40):
        if await target.evaluate("element => element === document.activeElement"):
            outline = await target.evaluate("element => getComputedStyle(element).outlineStyle")
            assert outline != "none"
            return
        await chat.page.keyboard.press("Shift+Tab" if backwards else "Tab")
    pytest.fail(f"{target} cannot be reached with the Tab key.")


async def test_a_shortcut_starts_a_new_chat(chat: ChatPage) -> None:
    await chat.ask("find milk")
    await chat.page.keyboard.press("Control+Shift+O")

    await expect(chat.page.get_by_role("heading", name="How can I help?")).to_be_visible()
    await expect(chat.message_box).to_be_focused()


async def test_the_skip_link_leads_to_the_message_box(chat: ChatPage) -> None:
    await chat.ask("find milk")
    address = chat.page.url
    link = chat.page.get_by_role("link", name="Skip to the message box")
    await link.focus()
    await expect(link).to_be_in_viewport()
    await chat.page.keyboard.press("Enter")

    await expect(chat.message_box).to_be_focused()
    assert chat.page.url == address


async def test_landmarks_and_names(chat: ChatPage) -> None:
    await chat.ask("what can you do?")

    await expect(chat.page.get_by_role("main")).to_have_count(1)
    await expect(chat.page.get_by_role("banner")).to_have_count(0)
    await expect(chat.chats).to_have_count(1)
    await expect(chat.page.get_by_role("heading", level=1)).to_have_count(1)
    await expect(chat.messages).to_have_attribute("aria-live", "off")
    unnamed = await chat.page.evaluate(
        "() => [...document.querySelectorAll('button, a[href], input, textarea')]"
        ".filter(e => e.checkVisibility() && !(e.getAttribute('aria-label') || e.textContent.trim()))"
        ".map(e => e.outerHTML)"
    )
    assert unnamed == []


async def test_enter_during_composition_does_not_send(chat: ChatPage) -> None:
    await chat.message_box.fill("にほん")
    await chat.message_box.evaluate(
        "box => box.dispatchEvent(new KeyboardEvent('keydown',"
        " {key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))"
    )

    await expect(chat.message_box).to_have_value("にほん")
    await expect(chat.questions).to_have_count(0)


async def test_the_box_grows_up_to_eight_lines(chat: ChatPage) -> None:
    async def height() -> float:
        box = await chat.message_box.bounding_box()
        assert box is not None
        return box["height"]

    one = await height()
    await chat.message_box.fill("a\nb\nc")
    three = await height()
    await chat.message_box.fill("\n".join("x" * 30))
    many = await height()

    assert one < three < many < one + 24 * 8
    await chat.message_box.fill("")
    assert await height() == one


async def test_dark_on_a_phone(open_page: OpenPage) -> None:
    chat = await open_page(dark=True, phone=True)
    await chat.load()
    await chat.screenshot("phone-dark-empty")
    await expect(chat.chats).to_be_hidden()
    await chat.ask("what can you do?")
    await chat.screenshot("phone-dark-answer")
    assert await no_sideways_scrolling(chat)
    assert await brightness(chat) < 0.2

    await chat.button("Open chats").tap()
    await expect(chat.chat_link("What can you do?")).to_be_visible()
    await expect(chat.button("Close chats")).to_be_focused()
    await chat.screenshot("phone-dark-drawer")
    await chat.page.keyboard.press("Escape")
    await expect(chat.chats).to_be_hidden()
    await expect(chat.button("Open chats")).to_be_focused()

    await chat.button("Open chats").tap()
    await chat.chats.get_by_role("button", name="New chat").tap()
    await expect(chat.chats).to_be_hidden()
    await expect(chat.page.get_by_role("heading", name="How can I help?")).to_be_visible()


async def no_sideways_scrolling(chat: ChatPage) -> bool:
    return await chat.page.evaluate(
        "() => document.documentElement.scrollWidth <= innerWidth"
        " && document.querySelector('[role=log]').scrollWidth <= innerWidth"
    )


async def brightness(chat: ChatPage) -> float:
    color = await chat.page.get_by_role("main").evaluate("e => getComputedStyle(e).backgroundColor")
    red, green, blue = (int(part) for part in re.findall(r"\d+", color)[:3])
    return (red + green + blue) / 765


async def test_a_chosen_theme_is_remembered(chat: ChatPage) -> None:
    assert await brightness(chat) > 0.8
    await chat.button("Dark theme").click()
    assert await brightness(chat) < 0.2

    await chat.page.reload()

    await expect(chat.button("Light theme")).to_be_visible()
    assert await brightness(chat) < 0.2


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_text_has_enough_contrast(open_page: OpenPage, dark: bool) -> None:
    chat = await open_page(dark=dark, reduced_motion="reduce")
    await chat.load()
    await chat.ask("add buy oat milk tomorrow at 5pm, high priority")
    await chat.steps.get_by_role("button").click()

    # Light text on a light ground and the like, measured the way WCAG 2 defines it.
    poor = await chat.page.evaluate(CONTRAST_SCRIPT)

    assert poor == []


async def test_no_request_leaves_the_origin(chat: ChatPage) -> None:
    await chat.ask("add buy oat milk tomorrow at 5pm, high priority")
    await chat.ask("what can you do?")
    await chat.button("Dark theme").click()
    await chat.page.reload()
    await expect(chat.questions).to_have_count(2)

    own = urlsplit(chat.server_url).netloc
    assert len(chat.requests) > 20
    assert {urlsplit(url).netloc for url in chat.requests} == {own}


async def test_markup_in_messages_and_titles_stays_text(chat: ChatPage) -> None:
    async def answer_with_probes(route: Route) -> None:
        frames, headers = await real_frames(route)
        changed = [with_probe(text) if "assistant_message" in text else text for text in frames]
        await fulfill_frames(route, changed, headers)

    await chat.on_operation("threads.create", answer_with_probes)
    await chat.send(PROBE)
    await chat.wait_until_idle()

    await expect(chat.questions).to_have_text([PROBE])
    answer = chat.answers.first
    await expect(answer).to_contain_text("<img src=x onerror=window.broken=1>")
    await expect(answer).to_contain_text("[x](javascript:window.broken=1) [y](data:text/html,hi)")
    links = answer.get_by_role("link")
    await expect(links).to_have_count(1)
    await expect(links).to_have_attribute("href", "https://example.org/")
    await expect(links).to_have_attribute("rel", "noopener noreferrer")
    await expect(links).to_have_attribute("target", "_blank")

    link = chat.chats.get_by_role("link")
    row = chat.chats.get_by_role("listitem")
    await row.hover()
    await row.get_by_role("button").click()
    await chat.page.get_by_role("menuitem", name="Rename").click()
    title = chat.page.get_by_role("textbox", name="Chat title")
    await title.fill(PROBE)
    await title.press("Enter")
    await expect(link).to_have_text(PROBE)
    await chat.page.reload()
    await expect(link).to_have_text(PROBE)
    await expect(chat.page.get_by_role("heading", level=1)).to_have_text(PROBE)
    assert await chat.page.evaluate("[window.broken, document.images.length]") == [None, 0]


def with_probe(text: str) -> str:
    if event_type(text) != "thread.item.done/":
        return ": left out"
    head, _, _ = text.partition("data: ")
    content = [{"type": "output_text", "text": f"{PROBE}\n\n{LINK_PROBE}"}]
    item = {"id": "msg_probe", "type": "assistant_message", "content": content}
    return head + frame({"type": "thread.item.done", "item": item})
