"""Keys that belong to an input method, selected words, and the way to the newest message, as people meet them elsewhere."""

import pytest
from playwright.async_api import Locator, Page

from browser.chat_page import ChatPage
from browser.own_server import Server
from browser.waiting import expect
from field.tabs import BEGUN, LONG

pytestmark = [pytest.mark.browser, pytest.mark.row("H3")]


async def compose(field: Locator, key: str) -> None:
    """Press a key that an input method handles, as Chromium reports it, and as Safari does after the composition."""
    await field.evaluate(
        """(field, key) => {
          for (const isComposing of [true, false]) {
            const event = new KeyboardEvent("keydown", { key, isComposing, bubbles: true, cancelable: true });
            Object.defineProperty(event, "keyCode", { value: 229 });
            field.dispatchEvent(event);
          }
        }""",
        key,
    )


# logancyang/obsidian-copilot#2816, Comfy-Org/ComfyUI_frontend#17282, assistant-ui/assistant-ui#5416, coollabsio/jean#685,
# tutao/tutanota#5891, pingdotgg/t3code#6280, multica-ai/multica#7191, CherryHQ/cherry-studio#18456
async def test_keys_of_an_input_method_do_nothing_else(chat: ChatPage, paused: Server) -> None:
    await chat.ask("find milk")
    paused.hold_before_word(12)
    await chat.send(LONG)
    await expect(chat.answers.last).to_contain_text(BEGUN)

    await chat.message_box.fill("にほん")
    for key in ("Enter", "Escape"):
        await compose(chat.message_box, key)
    await chat.search_box.fill("milk")
    await expect(chat.hits.first).to_be_visible()
    for key in ("Escape", "ArrowDown"):
        await compose(chat.search_box, key)
    await expect(chat.search_box).to_have_value("milk")
    await expect(chat.search_box).to_be_focused()
    await chat.search_box.fill("")
    await chat.choose("Find milk", "Rename")
    title = chat.page.get_by_role("textbox", name="Chat title")
    await title.fill("会計")
    for key in ("Enter", "Escape"):
        await compose(title, key)
    await title.press_sequentially(" ARM")
    await title.press("Enter")

    await expect(chat.chat_link("会計 ARM")).to_be_visible()
    await expect(chat.message_box).to_have_value("にほん")
    await expect(chat.stop_button).to_be_enabled()
    assert not any("/cancel" in url for url in chat.requests)
    paused.go_on()
    await chat.wait_until_idle()
    await expect(chat.questions).to_have_count(2)


async def until_still(page: Page) -> float:
    """Wait until the messages stand still; gives how far they are from their end, in pixels."""
    return await page.evaluate(
        """async () => {
          const log = document.querySelector("[role=log]");
          for (let still = 0, last = -1; still < 20; last = log.scrollTop) {
            await new Promise(requestAnimationFrame);
            still = last === log.scrollTop ? still + 1 : 0;
          }
          return log.scrollHeight - log.clientHeight - log.scrollTop;
        }"""
    )


# YishenTu/claudian#1101, wecode-ai/Wegent#3393: text that came during the animation left the reader above the end.
async def test_the_way_to_the_newest_message_also_follows_it(chat: ChatPage, paused: Server) -> None:
    await chat.page.set_viewport_size({"width": 700, "height": 420})
    await chat.ask(LONG)
    paused.hold_before_word(12)
    await chat.send(LONG)
    await expect(chat.answers.nth(1)).to_contain_text(BEGUN)
    await chat.messages.evaluate("log => log.scrollTo({ top: 0, behavior: 'instant' })")
    await expect(chat.button("Jump to latest")).to_be_visible()

    # The content grows while the messages are still moving.
    await chat.button("Jump to latest").evaluate(
        """async (button) => {
          button.click();
          await new Promise(requestAnimationFrame);
          const block = document.createElement("div");
          block.style.height = "300px";
          document.querySelector("[role=log]").firstElementChild.append(block);
        }"""
    )

    assert await until_still(chat.page) <= 1
    paused.go_on()
    await chat.wait_until_idle()
    assert await until_still(chat.page) <= 1
    await expect(chat.button("Jump to latest")).to_be_hidden()


# Kilo-Org/kilocode#14164, different-ai/openwork#3694
async def test_selected_words_of_a_question_stay_selected(chat: ChatPage, paused: Server) -> None:
    paused.hold_before_word(12)
    await chat.send(LONG)
    await expect(chat.answers).to_contain_text(BEGUN)
    await chat.questions.evaluate("question => getSelection().selectAllChildren(question)")

    paused.go_on()
    await chat.wait_until_idle()
    await expect(chat.button("Regenerate answer")).to_be_visible()

    assert await chat.page.evaluate("String(getSelection()).trim()") == LONG
