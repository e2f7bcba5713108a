"""A person approves or declines what an agent wants to do, on the page."""

import asyncio
from typing import Any

import pytest
from agents import Agent, function_tool

from backchannel.testing import Call, Say, ScriptedModel
from browser.chat_page import ChatPage, OpenPage
from browser.waiting import expect

pytestmark = [pytest.mark.browser, pytest.mark.row("M13", "B8", "H3")]


# openai/openai-agents-python#2011
async def test_decisions_on_the_page(open_page: OpenPage, serve: Any) -> None:
    erased: list[str] = []

    @function_tool(needs_approval=True)
    def erase(path: str) -> str:
        """Erase a file."""
        erased.append(path)
        return "erased"

    model = ScriptedModel(
        Say("I can tidy up."),
        Call("erase", {"path": "/tmp/<b>old</b>"}),
        Say("Done."),
        Call("erase", {"path": "/b"}),
        Say("Then not."),
    )
    served = await serve(Agent(name="A", model=model, tools=[erase]))
    chat = await open_page(at=served.url)
    await chat.load()
    await chat.ask("hello")
    await chat.ask("tidy up")
    form = chat.messages.get_by_role("form", name="Approval")
    await expect(form).to_contain_text("Run “erase” with path: /tmp/<b>old</b>?")
    await form.get_by_role("button", name="Send decision").click()
    await expect(form.get_by_role("alert")).to_contain_text("Decide about each call")
    await chat.page.reload()
    await form.get_by_role("radio", name="Approve", exact=True).check()
    await form.get_by_role("button", name="Send decision").click()
    await expect(chat.messages).to_contain_text("Done.")
    assert erased == ["/tmp/<b>old</b>"]
    await expect(chat.messages.get_by_label("Your decision")).to_contain_text("Approve")

    await chat.ask("and /b")
    await form.get_by_role("textbox").fill("I still need it")
    await form.get_by_role("button", name="Send decision").click()
    await expect(chat.messages).to_contain_text("Then not.")
    await expect(chat.messages.get_by_label("Your decision").last).to_contain_text("I still need it")
    assert erased == ["/tmp/<b>old</b>"]
    output = next(
        each["output"] for each in reversed(model.calls[-1]) if each.get("type") == "function_call_output"
    )
    assert "I still need it" in output


# RooCodeInc/Roo-Code#11389
@pytest.mark.row("C6")
@pytest.mark.parametrize("then", ["reload-and-approve", "write", "approve-in-another-tab"])
async def test_a_message_that_was_queued_before_the_question_waits_on_the_page(
    open_page: OpenPage, serve: Any, then: str
) -> None:
    go_on = asyncio.Event()
    erased: list[str] = []

    @function_tool
    async def work() -> str:
        """Work."""
        await go_on.wait()
        return "worked"

    @function_tool(needs_approval=True)
    def erase(path: str) -> str:
        """Erase a file."""
        erased.append(path)
        return "erased"

    replies = [Say("Gone.")] if "approve" in then else []
    model = ScriptedModel(
        Say("Hi."),
        [Say("Working."), Call("work", {})],
        Call("erase", {"path": "/a"}),
        *replies,
        Say("Two it is."),
        Say("Three it is."),
    )
    served = await serve(Agent(name="A", model=model, tools=[work, erase]))
    chat = await open_page(at=served.url, phone=then == "write", dark=then == "write")
    await chat.load()
    await chat.ask("hello")
    await chat.send("one")
    await expect(chat.messages).to_contain_text("Working.")
    await chat.send("two")
    await expect(chat.waiting).to_have_count(1)
    go_on.set()
    form = chat.messages.get_by_role("form", name="Approval")
    await expect(form).to_contain_text("/a")
    await expect(chat.waiting).to_have_count(1)
    await chat.screenshot(f"queued-before-a-question-{then}")
    if then == "reload-and-approve":
        await chat.page.reload()
        await expect(chat.waiting).to_have_count(1)
    if then == "write":
        await chat.send("three")
        expected = ["hello", "one", "two", "three"]
    else:
        tab = chat
        if then == "approve-in-another-tab":
            tab = ChatPage(await chat.page.context.new_page(), chat.server_url)
            await tab.page.goto(chat.page.url)
            form = tab.messages.get_by_role("form", name="Approval")
        await form.get_by_role("radio", name="Approve", exact=True).check()
        await form.get_by_role("button", name="Send decision").click()
        expected = ["hello", "one", "two"]
    await expect(chat.messages).to_contain_text("Three it is." if then == "write" else "Two it is.")
    await chat.wait_until_idle()
    await expect(chat.questions).to_have_text(expected)
    await expect(chat.waiting).to_have_count(0)
    assert erased == ([] if then == "write" else ["/a"])
