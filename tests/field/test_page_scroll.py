"""Reading back on the page while an answer is written, as people meet it in other systems."""

from typing import Any

import pytest

from browser.chat_page import ChatPage
from browser.own_server import Server
from browser.waiting import expect

pytestmark = [pytest.mark.browser, pytest.mark.row("H3")]

LONG = "what can you do?"


async def position(chat: ChatPage) -> tuple[float, float]:
    """How far the messages are scrolled down once they stand still, and how far they can be, in pixels."""
    at: dict[str, Any] = await chat.messages.evaluate(
        """async (log) => {
          const now = () => ({ top: log.scrollTop, end: log.scrollHeight - log.clientHeight });
          for (let still = 0, last = now(); still < 20; last = now()) {
            await new Promise(requestAnimationFrame);
            still = last.top === log.scrollTop && last.end === now().end ? still + 1 : 0;
          }
          return now();
        }"""
    )
    return at["top"], at["end"]


async def begin_a_long_answer(chat: ChatPage, server: Server) -> None:
    """Ask for an answer that is longer than the window, and hold it back near its beginning."""
    await chat.page.set_viewport_size({"width": 700, "height": 420})
    await chat.ask(LONG)
    server.hold_before_word(12)
    await chat.send(LONG)
    await expect(chat.answers.nth(1)).to_contain_text("stand-in")
    await expect(chat.steps.nth(1).get_by_role("button")).to_have_attribute("aria-expanded", "false")
    await chat.messages.hover()


async def turn_wheel(chat: ChatPage, pixels: int) -> float:
    """Turn the wheel, wait until the messages have moved as far, and give where they stand."""
    top, _ = await position(chat)
    await chat.page.mouse.wheel(0, pixels)
    await chat.page.wait_for_function(
        "top => Math.abs(document.querySelector('[role=log]').scrollTop - top) <= 1", arg=top + pixels
    )
    return (await position(chat))[0]


# Mintplex-Labs/anything-llm#2253, open-webui/computer#274, anomalyco/opencode#1715, ItzCrazyKns/Vane#915,
# sourcegraph/cody#8014, wecode-ai/Wegent#3393: "most of the times you can not escape the autoscroll"
async def test_the_smallest_turn_of_the_wheel_is_enough_to_stay(chat: ChatPage, paused: Server) -> None:
    await begin_a_long_answer(chat, paused)
    top = await turn_wheel(chat, -4)

    paused.go_on()
    await chat.wait_until_idle()

    now, end = await position(chat)
    assert end > top + 100
    assert now == pytest.approx(top, abs=1)
    await expect(chat.button("Jump to latest")).to_be_visible()


# prototypsthlm/taco#76, redhat-developer/rhdh-plugins#694
async def test_who_scrolls_back_to_the_end_follows_again(chat: ChatPage, paused: Server) -> None:
    await begin_a_long_answer(chat, paused)
    await turn_wheel(chat, -100)
    await turn_wheel(chat, 100)

    paused.go_on()
    await chat.wait_until_idle()

    now, end = await position(chat)
    assert now == pytest.approx(end, abs=1)
    await expect(chat.button("Jump to latest")).to_be_hidden()
