"""Answers that fail, and parts of answers that do, in the page: live, after a reload and in other tabs."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from agents import Agent, function_tool
from chatkit.errors import CustomStreamError
from playwright.async_api import Locator, Route

from browser.chat_page import CONTRAST_SCRIPT, END, ChatPage, OpenPage, frame
from browser.waiting import expect
from field.model_endpoint import DROP, ModelEndpoint, call, chunk, listening_endpoint, text
from field.tabs import another_tab

pytestmark = [pytest.mark.browser, pytest.mark.row("H3")]

AGAIN = "Try again"
CONTINUE = "Continue"


@function_tool(failure_error_function=None)
async def open_map() -> str:
    """Always fails, in the application's own words."""
    raise CustomStreamError("Your plan has no maps.", allow_retry=False)


@function_tool(failure_error_function=None)
async def look_up() -> str:
    """Ends the run while another tool still runs."""
    await count_started.wait()
    raise RuntimeError("no")


count_started = asyncio.Event()


@function_tool
async def count() -> str:
    """Never returns."""
    count_started.set()
    await asyncio.Event().wait()
    return ""


@function_tool
async def measure() -> str:
    """Fails, which only the model learns."""
    raise RuntimeError("no")


@function_tool
async def add() -> str:
    """Works."""
    return "5"


@pytest.fixture
async def endpoint() -> AsyncGenerator[ModelEndpoint]:
    async with listening_endpoint() as endpoint:
        yield endpoint


async def opened(
    open_page: OpenPage, serve: Any, endpoint: ModelEndpoint, api: str = "chat_completions", **look: Any
) -> ChatPage:
    """The page of a server whose model is the endpoint."""
    agent = Agent(name="A", tools=[open_map, look_up, count, measure, add])
    address = {"OPENAI_API_KEY": "sk-test-key-000", "OPENAI_BASE_URL": endpoint.url}
    served = await serve(agent, **address, titles="rule", model="m", model_api=api)
    chat = await open_page(at=served.url, **look)
    await chat.load()
    return chat


def cut_off(chat: ChatPage) -> Locator:
    return chat.answers.last.get_by_text("Cut off")


FAILURES: list[tuple[str, list[Any], str, list[str], bool]] = [
    # The message, the replies, the words of the notice, its buttons, and whether the answer is marked.
    ("truncated", [text("One, two", " and th", finish="length")], "is cut off", [CONTINUE, AGAIN], True),
    ("filtered", [text("One, two", finish="content_filter")], "content filter ended", [AGAIN], True),
    ("dropped", [[chunk(content="One, two"), DROP]] * 4, "broke off", [AGAIN], True),
    ("refused", [[chunk(refusal="I cannot."), chunk("stop")]], "declined", ["Dismiss"], False),
    ("empty", [text()] * 4, "empty answer", [AGAIN], False),
    ("quota", [402], "quota is used up", ["Dismiss"], False),
    ("custom", [call("open_map")], "Your plan has no maps.", ["Dismiss"], False),
]


@pytest.mark.row("M23b")
async def test_a_failure_is_the_same_live_and_after_a_reload(
    open_page: OpenPage, serve: Any, endpoint: ModelEndpoint
) -> None:
    """archestra-ai/archestra#3860, ahmadrosid/nakama#630, pipeshub-ai/pipeshub-ai#3296, GSA-TTS/10x-ai-sandbox#415: errors
    that are gone, or others, after a reload. huggingface/chat-ui#2385, willdady/platypus#420, agegr/pi-web#830: truncated
    answers that look complete. twentyhq/twenty#22488, microsoft/vscode#321208: a retry that can never help.
    Idun-Group/idun-agent-platform#687: an empty answer without a word."""
    chat = await opened(open_page, serve, endpoint, dark=True)

    async def check(words: str, buttons: list[str], marked: bool) -> str:
        await expect(chat.alert).to_contain_text(words)
        names = await chat.alert.get_by_role("button").all()
        assert [
            await each.get_attribute("aria-label") or await each.inner_text() for each in names
        ] == buttons
        await expect(cut_off(chat)).to_be_visible(visible=marked)
        await expect(chat.button("Regenerate answer")).to_have_count(0)
        return "\n".join([*await chat.answers.all_inner_texts(), await chat.alert.inner_text()])

    for message, replies, words, buttons, marked in FAILURES:
        await chat.button("New chat").click()
        endpoint.replies[:] = replies
        await chat.send(message)
        live = await check(words, buttons, marked)
        assert await chat.page.evaluate(CONTRAST_SCRIPT) == []

        await chat.page.reload()
        assert await check(words, buttons, marked) == live, message

    # When the events are gone, the run still has the cause.
    async def gone(route: Route) -> None:
        await route.fulfill(status=404, json={"code": "not_found", "message": "No longer kept."})

    await chat.page.route("**/runs/*/events?*", gone)
    await chat.chat_link("Truncated").click()
    await check("is cut off", [CONTINUE, AGAIN], True)


@pytest.mark.row("M23b")
async def test_a_truncated_answer_can_be_continued(
    open_page: OpenPage, serve: Any, endpoint: ModelEndpoint
) -> None:
    """metadist/synaplan#657, logicleai/logicle#1088: nothing to continue with.
    Boise-State-Development/agentcore-public-stack#328: "Continue" began the answer again."""
    chat = await opened(open_page, serve, endpoint, phone=True)
    endpoint.replies = [text("One, two", finish="length"), text(", three.")]
    await chat.send("count to three")
    await expect(cut_off(chat)).to_be_visible()
    second = await another_tab(chat)
    await expect(cut_off(second)).to_be_visible()
    await chat.message_box.fill("a draft")

    await chat.alert.get_by_role("button", name=CONTINUE).click()

    await expect(chat.answers.last).to_contain_text(", three.")
    await expect(chat.questions.last).to_have_text("Continue where the answer was cut off.")
    await expect(chat.message_box).to_have_value("a draft")
    await expect(chat.answers).to_have_count(2)
    assert "One, two" in str(endpoint.requests[-1]["messages"])
    for tab in (chat, second):
        await tab.page.reload()
        await expect(tab.answers.last).to_contain_text(", three.")
        await expect(tab.alert).to_have_count(0)
        await expect(tab.messages.get_by_text("Cut off", exact=True).locator("visible=true")).to_have_count(0)
    assert second.problems == []


@pytest.mark.row("M23b")
async def test_only_the_newest_answer_has_a_notice(
    open_page: OpenPage, serve: Any, endpoint: ModelEndpoint
) -> None:
    """synaplan#374: a failure that could be retried only after a reload. Alishahryar1/free-claude-code#1632: a failed
    regeneration whose error was not with the answer."""
    held = asyncio.Event()
    chat = await opened(open_page, serve, endpoint)
    endpoint.replies = [402]
    await chat.send("first")
    await expect(chat.alert).to_contain_text("quota")

    async def refuse(route: Route) -> None:
        await route.fulfill(status=429, json={"code": "rate_limited", "message": "Too many messages."})

    # A message that is refused does not hide for good that the answer before it failed.
    await chat.on_operation("threads.add_user_message", refuse)
    await chat.send("second")
    await expect(chat.alert).to_contain_text("Too many messages.")
    await chat.page.unroute_all()
    await chat.alert.get_by_role("button", name="Dismiss").click()
    await expect(chat.alert).to_contain_text("quota")
    await chat.alert.get_by_role("button", name="Dismiss").click()
    await expect(chat.alert).to_have_count(0)
    await expect(chat.messages).to_contain_text("This message has no answer.")
    await expect(chat.button(AGAIN)).to_have_count(0)

    # After a newer message that was stopped by the person, there is nothing that failed.
    endpoint.replies = [[chunk(content="One, "), held, *text("two.")]]
    await chat.send("second")
    await expect(chat.answers.last).to_contain_text("One,")
    await chat.stop_button.click()
    await chat.wait_until_idle()
    await chat.page.reload()
    await expect(chat.answers).to_have_count(1)
    await expect(chat.alert).to_have_count(0)

    # A failed regeneration, retried in a tab that did not see it fail.
    endpoint.replies = [text("One,", finish="content_filter"), text("One, two, three.")]
    await chat.button("Regenerate answer").click()
    await expect(chat.alert).to_contain_text("content filter")
    second = await another_tab(chat)
    await second.alert.get_by_role("button", name=AGAIN).click()
    await expect(second.answers.last).to_contain_text("One, two, three.")
    await expect(second.alert).to_have_count(0)
    await expect(second.answers).to_have_count(1)
    held.set()
    assert second.problems == []


@pytest.mark.row("M23b")
async def test_a_message_that_was_never_in_the_thread_leaves_no_notice_at_its_end(
    open_page: OpenPage, serve: Any, endpoint: ModelEndpoint
) -> None:
    """The end of the thread is of an earlier run then. Without a public report."""
    chat = await opened(open_page, serve, endpoint)
    endpoint.replies = [text("Hello.")]
    await chat.ask("hi")
    operation = "threads.custom_action"

    async def newest(route: Route) -> None:
        run = {"id": "run_x", "operation": operation, "status": "failed", "error": None}
        await route.fulfill(json={"data": [run]})

    async def events(route: Route) -> None:
        event = {"type": "error", "reason": "guardrail", "message": "Not that.", "allow_retry": False}
        await route.fulfill(body=f"{frame(event)}\n\n{END}\n\n", content_type="text/event-stream")

    await chat.page.route("**/runs?limit=1", newest)
    await chat.page.route("**/runs/run_x/events?*", events)
    await chat.page.reload()
    await expect(chat.alert).to_contain_text("Not that.")

    operation = "threads.add_user_message"
    await chat.page.reload()
    await expect(chat.button("Regenerate answer")).to_be_visible()
    await expect(chat.alert).to_have_count(0)


@pytest.mark.row("M16b")
async def test_a_tool_that_failed_does_not_look_complete(
    open_page: OpenPage, serve: Any, endpoint: ModelEndpoint
) -> None:
    """nearai/ironclaw#3729, zhayujie/CowAgent#2821: failed live, successful after a reload. buhlergroup/buhler-chat#137,
    suitenumerique/conversations#106: running for ever, or nothing at all. openclaw/openclaw#122681,
    Ultimate-Multisite/superdav-ai-agent#2506: one recovered failure made the whole chain look failed."""
    count_started.clear()
    chat = await opened(open_page, serve, endpoint, dark=True)
    endpoint.replies = [call("add", "measure"), text("It did not work.")]
    await chat.send("measure it")
    await expect(chat.answers.last).to_contain_text("It did not work.")
    await chat.wait_until_idle()
    endpoint.replies = [call("look_up", "count")]
    await chat.send("look it up")
    await expect(chat.alert).to_contain_text("A tool failed")

    for _ in ("live", "reloaded"):
        for steps, summary, lines in (
            (chat.steps.first, "Add, Measure · 1 failed", ["Add done", "Measure Failed"]),
            (
                chat.steps.last,
                "Look up, Count · 1 failed · 1 not finished",
                ["Look up Failed", "Count Not finished"],
            ),
        ):
            button = steps.get_by_role("button")
            await expect(button).to_have_text(summary)
            if await button.get_attribute("aria-expanded") == "false":
                await button.click()
            items = steps.get_by_role("listitem")
            await expect(items).to_have_count(len(lines))
            shown = [" ".join((await each.inner_text()).split()) for each in await items.all()]
            assert shown == lines
        assert await chat.page.evaluate(CONTRAST_SCRIPT) == []
        await chat.page.reload()
        await expect(chat.alert).to_contain_text("A tool failed")
