"""Commands on the page: a person approves what they see, and sees what ran and how it ended."""

from contextlib import AsyncExitStack
from typing import Any

import pytest

from backchannel.testing.endpoints import Say
from browser.chat_page import OpenPage
from browser.waiting import expect
from field.special_tools import Workshop, answer_of, patch, shell

pytestmark = [pytest.mark.browser, pytest.mark.row("M13", "B5", "B10")]


async def test_commands_are_approved_and_shown_as_code(
    open_page: OpenPage, serve: Any, stack: AsyncExitStack
) -> None:
    """microsoft/vscode#258546: a command that failed had a check mark."""
    workshop = Workshop(serve, stack)
    workshop.endpoint.add(answer_of(shell("ls nope")), answer_of(patch(diff="+one\n+two\n")), Say("Done."))
    await workshop.start(workshop.agent(needs_approval=True))
    chat = await open_page(at=workshop.served.url)
    await chat.load()
    await chat.send("do it")
    form = chat.messages.get_by_role("form", name="Approval")
    await expect(form).to_contain_text("Run “shell” with ls nope?")
    await form.get_by_role("radio", name="Approve", exact=True).check()
    await form.get_by_role("button", name="Send decision").click()
    # Line by line, as it is written.
    lines = form.get_by_text("create a.txt").filter(has_text="+one")
    await expect(lines).to_have_css("white-space", "pre-line")
    await form.get_by_role("radio", name="Approve", exact=True).check()
    await form.get_by_role("button", name="Send decision").click()
    await expect(chat.messages).to_contain_text("Done.")
    await chat.page.reload()
    for summary in await chat.messages.locator(".workflow-summary").all():
        await summary.click()
    failed = chat.messages.locator(".task-line").filter(has_text="Running a command").last
    await expect(failed).to_have_attribute("data-status", "failed")
    await expect(failed.locator("code")).to_have_text("ls nope")
    await expect(failed).to_contain_text("Exit code 2.")
    made = chat.messages.locator(".task-line").filter(has_text="Applying a patch").last
    await expect(made).to_have_attribute("data-status", "complete")
    await expect(made.locator("code")).to_have_text("create a.txt")
    assert workshop.endpoint.refused == []
