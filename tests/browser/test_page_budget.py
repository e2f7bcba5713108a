"""The notice of a budget: quiet while it is nearly used up, and clear with the time once it is (F5)."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Route

from browser.chat_page import CONTRAST_SCRIPT, OpenPage
from browser.own_server import Server
from browser.waiting import expect

pytestmark = [pytest.mark.browser, pytest.mark.row("F5", "H3")]

USAGE = "**/api/chatkit/usage"


@pytest.fixture(scope="module")
def limited(chromium: Path, tmp_path_factory: pytest.TempPathFactory):
    """A server whose people have a budget that is enough for no answer."""
    with Server(tmp_path_factory.mktemp("budget"), token_budget="100/day") as server:
        yield server


async def test_one_is_told_when_a_budget_is_nearly_used_up_and_when_it_is(
    open_page: OpenPage, limited: Server
) -> None:
    chat = await open_page(at=limited.url)
    state: dict[str, Any] = {}

    async def changed(route: Route) -> None:
        response = await route.fetch()
        body: dict[str, Any] = await response.json()
        body["budgets"][0] |= state
        await route.fulfill(response=response, json=body)

    await chat.page.route(USAGE, changed)
    await chat.page.goto("/")
    notice = chat.page.locator(".budget-notice")
    await expect(chat.message_box).to_be_visible()
    assert await notice.count() == 0
    # Looked at again after each answer, also after one that failed.
    state |= {"percent": 85}
    await chat.send("help")
    failure = chat.page.locator(".notice")
    await expect(failure).to_contain_text(
        "This message needs more than your whole budget of 100 tokens a day."
    )
    assert await chat.page.get_by_role("button", name="Try again").count() == 0
    await expect(notice).to_have_text(
        re.compile("^85 % of your tokens for today are used. There is a new budget .*at ")
    )

    state |= {"percent": 100, "exhausted": True, "unit": "money"}
    await chat.page.reload()
    await expect(notice).to_contain_text(re.compile("Your budget for today is used up. You can go on .*at "))
    for scheme in ("light", "dark"):
        await chat.page.emulate_media(color_scheme=scheme)
        assert await chat.page.evaluate(CONTRAST_SCRIPT) == []
    await chat.page.set_viewport_size({"width": 360, "height": 640})
    assert await chat.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
