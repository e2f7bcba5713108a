"""Images and thoughts of a model in the page: as they come, when they fail, and after a reload."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from agents import Agent, function_tool
from playwright.async_api import Locator

from browser.chat_page import ChatPage, OpenPage
from browser.waiting import expect
from field.model_endpoint import ModelEndpoint, Part, call, chunk, listening_endpoint, text

pytestmark = [pytest.mark.browser, pytest.mark.row("H3")]

MADE = "Image made by the assistant"
PREVIEW = "Preview of an image"

DRAW = """(type) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [320, 200];
  const context = canvas.getContext("2d");
  context.fillStyle = { "image/png": "teal", "image/jpeg": "tan", "image/webp": "plum" }[type];
  context.fillRect(0, 0, 320, 200);
  return canvas.toDataURL(type).split(",")[1];
}"""


@function_tool
async def add() -> str:
    """Works."""
    return "5"


@pytest.fixture
async def endpoint() -> AsyncGenerator[ModelEndpoint]:
    async with listening_endpoint() as endpoint:
        yield endpoint


async def opened(
    open_page: OpenPage, serve: Any, endpoint: ModelEndpoint, api: str = "chat_completions"
) -> ChatPage:
    """The page of a server whose model is the endpoint."""
    address = {"OPENAI_API_KEY": "sk-test-key-000", "OPENAI_BASE_URL": endpoint.url}
    served = await serve(Agent(name="A", tools=[add]), **address, titles="rule", model="m", model_api=api)
    chat = await open_page(at=served.url)
    await chat.load()
    return chat


def image(number: int, result: str | None = None, status: str = "in_progress") -> dict[str, Any]:
    return {"id": f"ig_{number}", "type": "image_generation_call", "status": status, "result": result}


def preview(number: int, data: str) -> dict[str, Any]:
    return {
        "type": "response.image_generation_call.partial_image",
        "item_id": f"ig_{number}",
        "output_index": number,
        "partial_image_index": 0,
        "partial_image_b64": data,
    }


def item_event(kind: str, number: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": f"response.output_item.{kind}", "output_index": number, "item": item}


def response(*output: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    """An event with a whole response."""
    name = "created" if status == "in_progress" else status
    body = {
        "id": "resp_1", "object": "response", "created_at": 0, "model": "m", "output": list(output), "tools": [],
        "parallel_tool_calls": True, "tool_choice": "auto", "status": status,
    }  # fmt: skip
    return {"type": f"response.{name}", "response": body}


def said(words: str) -> list[Part]:
    """The events of a message and of its response."""
    part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": []}
    message: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    done: dict[str, Any] = {**message, "status": "completed", "content": [{**part, "text": words}]}
    return [
        response(status="in_progress"),
        item_event("added", 0, message),
        {"type": "response.content_part.added", "part": part, **place},
        {"type": "response.output_text.delta", "delta": words, "logprobs": [], **place},
        item_event("done", 0, done),
        response(done),
    ]


def numbered(events: Sequence[Part]) -> list[Part]:
    return [
        {**each, "sequence_number": at} if isinstance(each, dict) else each for at, each in enumerate(events)
    ]


async def drawn(images: Locator) -> list[bool]:
    """Whether the browser could decode each image."""
    return [
        await each.evaluate("async (image) => { await image.decode(); return image.naturalWidth === 320; }")
        for each in await images.all()
    ]


@pytest.mark.row("M22b")
async def test_images_are_shown_as_they_come_and_failed_ones_are_not(
    open_page: OpenPage, serve: Any, endpoint: ModelEndpoint
) -> None:
    """metadist/synaplan#374: a failed image stayed. ahmadrosid/nakama#251: images that the page's own policy blocks.
    open-webui/open-webui#16953: images that were gone after the reader looked elsewhere."""
    chat = await opened(open_page, serve, endpoint, "responses")
    png, jpeg, webp = [await chat.page.evaluate(DRAW, f"image/{kind}") for kind in ("png", "jpeg", "webp")]
    begun, made = asyncio.Event(), asyncio.Event()
    events: list[Part] = [response(status="in_progress")]
    events += [item_event("added", number, image(number)) for number in range(4)]
    events += [begun, preview(0, webp), preview(1, png), made]
    done = [image(at, data, "completed") for at, data in enumerate((png, jpeg, webp))]
    events += [item_event("done", at, item) for at, item in enumerate(done)]
    events += [item_event("done", 3, image(3, status="failed")), response(*done)]
    endpoint.replies = [numbered(events), numbered(said("Here they are."))]

    await chat.send("draw four")
    await expect(chat.messages.get_by_text("Making an image…")).to_have_count(4)
    begun.set()
    previews = chat.messages.get_by_role("img", name=PREVIEW)
    await expect(previews).to_have_count(2)
    assert await drawn(previews) == [True, True]
    await expect(chat.messages.get_by_text("Making an image…")).to_have_count(4)
    kept = await previews.first.element_handle()
    made.set()
    await expect(chat.answers).to_contain_text("Here they are.")
    await chat.wait_until_idle()

    for _ in ("live", "reloaded"):
        images = chat.messages.get_by_role("img", name=MADE)
        await expect(images).to_have_count(3)
        assert await drawn(images) == [True] * 3
        kinds = [(await each.get_attribute("src") or "")[5:15] for each in await images.all()]
        assert kinds == ["image/png;", "image/jpeg", "image/webp"]
        await expect(chat.messages.get_by_text("Making an image…").locator("visible=true")).to_have_count(0)
        await expect(chat.alert).to_have_count(0)
        if kept is not None:
            assert await kept.evaluate("image => image.isConnected"), (
                "an image takes the place of its preview"
            )
            kept = None
            await chat.screenshot("images")
            await chat.page.reload()


@pytest.mark.row("M15b")
async def test_each_thought_has_its_place(open_page: OpenPage, serve: Any, endpoint: ModelEndpoint) -> None:
    """different-ai/openwork#4119, wandb/weave#7347: thoughts between tools were merged, or missing.
    NousResearch/hermes-agent#39966: one thought in two pieces. Hy4ri/hermes-mobile#771: gone when the tool began."""
    held = asyncio.Event()
    chat = await opened(open_page, serve, endpoint)
    endpoint.replies = [
        [chunk(reasoning="First I "), held, chunk(reasoning="look."), *call("add")],
        [chunk(reasoning_content="Then I count."), *call("add")],
        # A server that does not know the tags of its model's thoughts: they begin as text of the answer.
        text("Now I ", "know.", "\n</think>\n", "It is five."),
    ]
    await chat.send("how many?")
    await expect(chat.steps.get_by_role("button", name="Thinking…")).to_be_visible()
    await expect(chat.steps.get_by_role("listitem")).to_have_text(["First I"])
    held.set()
    await expect(chat.answers.last).to_contain_text("It is five.")
    await chat.wait_until_idle()

    for _ in ("live", "reloaded"):
        await expect(chat.answers).to_have_count(1)
        await expect(chat.answers.locator("p").first).to_have_text("It is five.")
        # Those that were seen live fold after a moment.
        await expect(chat.steps.get_by_role("button", expanded=True)).to_have_count(0)
        summaries = chat.steps.get_by_role("button")
        # Thoughts beside tools do not hide the tools' names.
        await expect(summaries).to_have_text([re.compile("^Add"), re.compile("^Thought")])
        for button in await summaries.all():
            await button.click()
        lines = chat.steps.get_by_role("listitem")
        await expect(lines).to_have_text(
            ["First I look.", "Add done", "Then I count.", "Add done", "Now I know."]
        )
        await chat.screenshot("thoughts")
        await chat.page.reload()
