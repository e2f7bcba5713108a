"""A person approves or declines what an agent wants to do, on the page."""

from typing import Any

import pytest
from agents import Agent, function_tool
from playwright.async_api import expect

from backchannel.testing import Call, Say, ScriptedModel
from browser.chat_page import OpenPage

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
