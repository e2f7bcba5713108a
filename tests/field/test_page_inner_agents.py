"""What an inner agent says, on the page while it says it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, function_tool

from backchannel.testing import Call, Say, ScriptedModel
from browser.chat_page import OpenPage
from browser.waiting import expect

pytestmark = [pytest.mark.browser, pytest.mark.row("B5")]


# laravel/ai#802, QwenLM/qwen-code#8729
async def test_an_inner_agent_speaks_on_the_page(open_page: OpenPage, serve: Any, tmp_path: Path) -> None:
    gate = asyncio.Event()

    @function_tool
    def measure(what: str) -> str:
        """Measure something."""
        return f"{what}: 7"

    steps = (
        Call("measure", {"what": "roof"}),
        Say(["The roof is **7 m** wide,", " and it is steep."], until=gate),
    )
    inner = Agent[Any](name="Surveyor", model=ScriptedModel(*steps), tools=[measure])
    tool = inner.as_tool("ask_surveyor", "Asks the surveyor.")
    model = ScriptedModel(Call("ask_surveyor", {"input": "How wide is the roof?"}), Say("Seven metres."))
    served = await serve(Agent(name="Architect", model=model, tools=[tool]), titles="rule")
    chat = await open_page(at=served.url)
    await chat.page.set_viewport_size({"width": 390, "height": 844})
    await chat.load()
    await chat.send("How wide is it?")
    task = chat.messages.locator(".task-line").filter(has_text="Ask surveyor")
    await expect(task).to_contain_text("The roof is 7 m wide,")
    await expect(task.locator("strong")).to_have_text("7 m")
    await chat.page.screenshot(path=tmp_path / "speaks.png")
    gate.set()
    await expect(chat.messages).to_contain_text("Seven metres.")
    await chat.page.reload()
    await chat.messages.get_by_role("button", name="Ask surveyor").first.click()
    await expect(task).to_contain_text("wide, and it is steep.")
