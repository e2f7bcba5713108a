"""The chat page as a person uses it: found by roles and labels, never by classes or identifiers."""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from playwright.async_api import ConsoleMessage, Error, Locator, Page, Request, Response, Route

from browser.waiting import expect

SCREENSHOTS = Path(__file__).parent / "screenshots"
ANSWER_MS = 20_000

END = ": end"
"""The last line of a stream whose run has ended. Without it the stream was cut."""

# Chromium reports every refused or lost request as an error; tests that provoke those look at the page.
_EXPECTED = re.compile(r"Failed to load resource|net::ERR_")


CONTRAST_SCRIPT = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((c, i) => c * a + under[i] * (1 - a));
  const ground = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const luminance = (color) => {
    const [r, g, b] = color.map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const poor = new Set();
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim()) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest(".visually-hidden, [hidden], noscript, :disabled")) continue;
    const back = ground(element);
    const both = [over(rgba(getComputedStyle(element).color), back), back].map(luminance);
    const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    if (ratio < 4.5) poor.add(`${texts.currentNode.data.trim()}: ${ratio.toFixed(2)}`);
  }
  return [...poor];
}"""
"""Gives the texts whose contrast with their background is below what WCAG 2.2 AA asks for."""


class OpenPage(Protocol):
    """Opens the page for a new person."""

    async def __call__(
        self, *, dark: bool = False, phone: bool = False, at: str = ..., clock: bool = False, **options: Any
    ) -> "ChatPage": ...


class ChatPage:
    """One browser tab with the chat page."""

    def __init__(self, page: Page, server_url: str) -> None:
        self.page = page
        self.server_url = server_url
        self.problems: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", self._on_error)
        page.on("console", self._on_console)
        page.on("request", self._on_request)

    def _on_error(self, error: Error) -> None:
        self.problems.append(f"script error: {error}")

    def _on_console(self, message: ConsoleMessage) -> None:
        # A blocked inline script or style shows up here as well.
        if message.type in {"error", "warning"} and not _EXPECTED.search(message.text):
            self.problems.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)

    async def load(self, path: str = "/") -> None:
        await self.page.goto(path)
        await expect(self.message_box).to_be_visible()

    async def stop_the_clock(self) -> None:
        """From now on timers and frames run only as `page.clock` says; the page was opened with `clock`."""
        now: float = await self.page.evaluate("Date.now()")
        await self.page.clock.pause_at(now / 1000 + 5)

    async def next_frames(self) -> None:
        """Wait until what was changed or scrolled before is drawn and its events are handled."""
        await self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    async def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        await self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    @property
    def message_box(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message")

    @property
    def messages(self) -> Locator:
        return self.page.get_by_role("log", name="Messages")

    @property
    def questions(self) -> Locator:
        return self.messages.get_by_role("article", name="You")

    @property
    def waiting(self) -> Locator:
        """Messages that wait for the answer before them."""
        return self.messages.get_by_role("list", name="Waiting messages").get_by_role(
            "article", name="Waiting message"
        )

    @property
    def answers(self) -> Locator:
        return self.messages.get_by_role("article", name="Answer")

    @property
    def steps(self) -> Locator:
        return self.messages.get_by_role("region", name="Steps")

    @property
    def chats(self) -> Locator:
        return self.page.get_by_role("navigation", name="Chats")

    @property
    def search_box(self) -> Locator:
        return self.chats.get_by_role("searchbox", name="Search chats")

    @property
    def results(self) -> Locator:
        return self.chats.get_by_role("list", name="Search results")

    @property
    def hits(self) -> Locator:
        """The links of what was found: each chat with its best message, and one for each further message."""
        return self.results.get_by_role("link")

    @property
    def marks(self) -> Locator:
        return self.results.locator("mark")

    def spoken(self, text: str) -> Locator:
        """What a screen reader was told, if it has `text` in it."""
        return self.page.get_by_role("status").filter(has_text=text)

    @property
    def alert(self) -> Locator:
        return self.messages.get_by_role("alert")

    @property
    def stop_button(self) -> Locator:
        return self.button("Stop")

    @property
    def send_button(self) -> Locator:
        return self.button("Send")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def chat_link(self, title: str) -> Locator:
        return self.chats.get_by_role("link", name=title)

    async def send(self, text: str) -> None:
        await self.message_box.fill(text)
        await self.message_box.press("Enter")

    async def ask(self, text: str) -> Locator:
        """Send a message and wait until it is answered; returns the answer."""
        before = await self.questions.count()
        await self.send(text)
        await expect(self.questions).to_have_count(before + 1)
        await self.wait_until_idle()
        return self.answers.last

    async def wait_until_idle(self) -> None:
        await expect(self.stop_button).to_be_hidden()
        await expect(self.send_button).to_be_visible()
        await expect(self.answers.last).not_to_have_attribute("aria-busy", "true")

    async def search(self, text: str, spoken: str) -> None:
        """Look for chats and wait until a screen reader is told what came of it."""
        await self.search_box.fill(text)
        # Until then the outcome of the search before may still be there.
        await expect(self.chats.locator("[aria-busy]")).to_have_count(0)
        await expect(self.spoken(spoken)).to_have_count(1)

    async def choose(self, title: str, option: str) -> None:
        """Choose from the menu of one chat in the list."""
        row = self.chats.get_by_role("listitem").filter(has=self.page.get_by_role("link", name=title))
        await row.hover()
        await self.button(f"Options for {title}").click()
        await self.page.get_by_role("menuitem", name=option).click()

    async def on_operation(self, operation: str, handler: Callable[[Route], Awaitable[None]]) -> None:
        """Have `handler(route)` decide about requests of one operation of the protocol."""

        async def decide(route: Route) -> None:
            body = json.loads(route.request.post_data or "{}")
            if body.get("type") == operation:
                await handler(route)
            else:
                await route.fallback()

        await self.page.route("**/api/chatkit", decide)


async def real_frames(route: Route) -> tuple[list[str], dict[str, str]]:
    """Let the server answer a streaming operation; its frames, and the headers worth passing on."""
    response = await route.fetch()
    frames = [frame for frame in (await response.text()).split("\n\n") if frame.strip()]
    kept = {"content-type", "x-run-id", "set-cookie"}
    return frames, {name: value for name, value in response.headers.items() if name in kept}


async def fulfill_frames(route: Route, frames: Sequence[str], headers: dict[str, str]) -> None:
    await route.fulfill(status=200, headers=headers, body="".join(f"{frame}\n\n" for frame in frames))


def frame(event: dict[str, Any], run_id: str = "", sequence: int = 0) -> str:
    """One event as it goes over the wire; without a number when `sequence` is 0."""
    identity = f"id: {run_id}:{sequence}\n" if sequence else ""
    return f"{identity}data: {json.dumps(event)}"


def event_type(text: str) -> str:
    """The type of the event in a frame, with the type of its update where it has one."""
    data = next((line[6:] for line in text.splitlines() if line.startswith("data: ")), "{}")
    event: dict[str, Any] = json.loads(data)
    return f"{event.get('type')}/{event.get('update', {}).get('type', '')}"


def is_answer(response: Response) -> bool:
    """Whether a response is a stream of events."""
    return "text/event-stream" in response.headers.get("content-type", "")
