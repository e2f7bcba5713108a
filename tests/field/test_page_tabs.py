"""One chat in several tabs, and several chats in one tab, as people meet them in other systems."""

import asyncio
from typing import Any

import pytest
from agents import Agent, StopAtTools, function_tool
from agents.tool_context import ToolContext
from chatkit.agents import ClientToolCall

from backchannel.testing import Call, Say, ScriptedModel
from browser.chat_page import ChatPage, OpenPage
from browser.own_server import Server
from browser.waiting import expect
from field.tabs import BEGUN, LONG, another_tab, said

pytestmark = [pytest.mark.browser, pytest.mark.row("H3")]


# cogwheel0/conduit#443, Osmantic/ODS#5004: "Regenerate" in a tab with an old copy of the chat deleted, for good, all
# that this tab did not know.
async def test_regenerating_in_a_stale_tab_deletes_nothing(chat: ChatPage, paused: Server) -> None:
    await chat.ask("find milk")
    stale = await another_tab(chat)
    await expect(stale.answers).to_have_count(1)
    await chat.ask("find bread")

    await stale.button("Regenerate answer").click()

    await expect(stale.spoken("This chat has gone on")).to_be_visible()
    await expect(stale.questions).to_have_text(["find milk", "find bread"])
    await expect(stale.answers).to_have_count(2)
    assert await said(stale) == ["find milk", "Answer", "find bread", "Answer"]

    paused.hold_before_word(12)
    await chat.send(LONG)
    await expect(chat.answers.last).to_contain_text(BEGUN)
    await stale.button("Regenerate answer").click()

    await expect(stale.answers.last).to_contain_text(BEGUN)
    await expect(stale.questions).to_have_text(["find milk", "find bread", LONG])
    await expect(stale.spoken("This chat has gone on")).to_be_visible()
    paused.go_on()
    await stale.wait_until_idle()
    await stale.page.reload()
    await expect(stale.questions).to_have_text(["find milk", "find bread", LONG])
    # Now it shows all there is.
    async with stale.page.expect_request(lambda request: "retry_after_item" in (request.post_data or "")):
        await stale.button("Regenerate answer").click()
    await stale.wait_until_idle()
    await expect(stale.questions).to_have_count(3)
    assert stale.problems == []


# letta-ai/letta-code#1934, ThinkInAIXYZ/deepchat#472, Expensify/App#27034: what happened on another device is missing.
async def test_what_a_tab_missed_stands_before_what_it_sends(chat: ChatPage) -> None:
    await chat.ask("find milk")
    stale = await another_tab(chat)
    await expect(stale.answers).to_have_count(1)
    await chat.ask("find bread")

    await stale.ask("find eggs")

    await expect(stale.questions).to_have_text(["find milk", "find bread", "find eggs"])
    await expect(stale.answers).to_have_count(3)
    assert await said(stale) == ["find milk", "Answer", "find bread", "Answer", "find eggs", "Answer"]
    assert stale.problems == []


# open-jarvis/OpenJarvis#654, serge-chat/serge#20, blrchen/chatgpt-lite#55, oobabooga/textgen#7555
async def test_an_answer_in_the_background_is_neither_shown_nor_read_aloud(
    chat: ChatPage, paused: Server
) -> None:
    await chat.ask("find milk")
    await chat.button("New chat").click()
    paused.hold_before_word(12)
    await chat.send(LONG)
    await expect(chat.answers).to_contain_text(BEGUN)

    await chat.chat_link("Find milk").click()
    await expect(chat.questions).to_have_text(["find milk"])
    paused.go_on()

    await expect(chat.spoken("was answered.")).to_have_count(1)
    await expect(chat.spoken(BEGUN)).to_have_count(0)
    await expect(chat.questions).to_have_text(["find milk"])
    await expect(chat.answers).to_have_count(1)


HANDLER = """() => {
  window.calls = 0;
  document.addEventListener("backchannel:client-tool", (event) => {
    event.preventDefault();
    window.calls += 1;
    window.answer = () => event.detail.respond({ yes: true });
  });
}"""


@function_tool
async def ask_browser(ctx: ToolContext[Any]) -> str:
    """Ask the person's browser."""
    ctx.context.client_tool_call = ClientToolCall(name="confirm", arguments={})
    return "asked"


def paying(*steps: Any) -> Agent[Any]:
    once = StopAtTools(stop_at_tool_names=["ask_browser"])
    return Agent(name="A", model=ScriptedModel(*steps), tools=[ask_browser], tool_use_behavior=once)


async def test_without_locks_a_client_tool_runs_all_the_same(open_page: OpenPage, serve: Any) -> None:
    """Browsers have locks only on secure origins."""
    served = await serve(paying(Call("ask_browser"), Say("Paid.")))
    chat = await open_page(at=served.url)
    no_locks = "Object.defineProperty(Navigator.prototype, 'locks', { value: undefined })"
    await chat.page.context.add_init_script(f"{no_locks}; ({HANDLER})()")
    await chat.load()

    await chat.send("pay")
    await chat.page.wait_for_function("() => window.calls === 1")
    await chat.page.evaluate("window.answer()")

    await expect(chat.answers).to_contain_text("Paid.")


# opensearch-project/OpenSearch-Dashboards#11867, ilysenko/codex-desktop-linux#1126: each open window ran the tool.
async def test_one_of_several_tabs_runs_a_client_tool(open_page: OpenPage, serve: Any) -> None:
    gate = asyncio.Event()
    call = Call("ask_browser")
    model = ScriptedModel(
        [Say(["One ", "moment."], until=gate), call], Say("Paid."), call, Say("Paid again.")
    )
    once = StopAtTools(stop_at_tool_names=["ask_browser"])
    served = await serve(Agent(name="A", model=model, tools=[ask_browser], tool_use_behavior=once))
    first = await open_page(at=served.url)
    await first.page.context.add_init_script(f"({HANDLER})()")
    await first.load()

    async def calls(*tabs: ChatPage) -> list[int]:
        return [await tab.page.evaluate("window.calls") for tab in tabs]

    await first.send("pay")
    await expect(first.answers).to_contain_text("One")
    second = await another_tab(first)
    await expect(second.answers).to_contain_text("One")
    gate.set()
    for tab in (first, second):
        await expect(tab.messages).to_contain_text("Waiting for “confirm”")
    # Opened while the call is pending.
    third = await another_tab(first)
    await expect(third.messages).to_contain_text("Waiting for “confirm”")
    tabs = [first, second, third]
    await first.page.wait_for_function("async () => (await navigator.locks.query()).pending.length === 2")
    made = await calls(*tabs)
    assert sorted(made) == [0, 0, 1]

    await tabs[made.index(1)].page.evaluate("window.answer()")

    for tab in tabs:
        await expect(tab.answers.last).to_contain_text("Paid.")
        await expect(tab.alert).to_have_count(0)
    assert await calls(*tabs) == made

    # Another tab takes over from one that was left before it answered.
    await first.send("pay again")
    await first.page.wait_for_function("before => window.calls > before", arg=made[0])
    await second.page.reload()
    await second.page.wait_for_function("async () => (await navigator.locks.query()).pending.length === 1")
    await first.page.goto("about:blank")
    await second.page.wait_for_function("() => window.calls === 1")
    await second.page.evaluate("window.answer()")
    await expect(second.answers.last).to_contain_text("Paid again.")
    assert second.problems == third.problems == []
