"""Files on the page, as they were lost, sent twice or stuck in other chats.

The server is a real one. Where an upload has to be slow or to fail, its request is held or answered here.
"""

import asyncio
import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import FilePayload, Locator, Request, Route

from browser.chat_page import CONTRAST_SCRIPT, ChatPage, OpenPage
from browser.waiting import expect
from field.slow_uploads import SlowUploads

pytestmark = [pytest.mark.browser, pytest.mark.row("E1")]

UPLOADS = "**/api/chatkit/uploads"
DRAG = """([type, { files = [], folders = [], text = null }]) => {
  const transfer = new DataTransfer();
  for (const [name, content, kind] of files) transfer.items.add(new File([content], name, { type: kind }));
  if (text !== null) transfer.setData("text/uri-list", text);
  const event = new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true });
  if (folders.length > 0) {
    const items = folders.map((name) => ({
      kind: "file",
      getAsFile: () => new File([], name),
      webkitGetAsEntry: () => ({ isDirectory: true }),
    }));
    const types = ["Files"];
    Object.defineProperty(event, "dataTransfer", { value: { types, items: [...items, ...transfer.items] } });
  }
  document.querySelector("main").dispatchEvent(event);
  return event.defaultPrevented;
}"""
"""Drags something over the conversation, or drops it there; gives whether the page took the event."""

PASTE = """([selector, { files = [], text = "" }]) => {
  const transfer = new DataTransfer();
  for (const [name, content, kind] of files) transfer.items.add(new File([content], name, { type: kind }));
  if (text) transfer.setData("text/plain", text);
  const event = new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true });
  document.querySelector(selector).dispatchEvent(event);
  return event.defaultPrevented;
}"""


def picture(color: str = "teal", size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def text_file(name: str, content: str = "Milk and bread.") -> FilePayload:
    return {"name": name, "mimeType": "text/plain", "buffer": content.encode()}


def png(name: str, color: str = "teal") -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": picture(color)}


class Files:
    """The files of the message that is being written."""

    def __init__(self, chat: ChatPage) -> None:
        self.chat = chat
        self.uploaded: list[str] = []
        self.deleted: list[str] = []
        self.sent: list[list[str]] = []
        chat.page.on("request", self._on_request)

    def _on_request(self, request: Request) -> None:
        if request.method != "POST":
            return
        if request.url.endswith("/api/chatkit/uploads"):
            self.uploaded.append(name_of(request))
        elif request.url.endswith("/api/chatkit"):
            body: dict[str, Any] = json.loads(request.post_data or "{}")
            if body["type"] == "attachments.delete":
                self.deleted.append(body["params"]["attachment_id"])
            elif "input" in body.get("params", {}):
                self.sent.append(body["params"]["input"]["attachments"])

    @staticmethod
    def is_deletion(request: Request) -> bool:
        return '"attachments.delete"' in (request.post_data or "")

    async def choose(self, *files: FilePayload | Path) -> None:
        async with self.chat.page.expect_file_chooser() as chooser:
            await self.chat.button("Attach files").click()
        await (await chooser.value).set_files(files)  # pyright: ignore[reportArgumentType]

    async def paste(self, on: str = "#message", **what: Any) -> bool:
        return await self.chat.page.evaluate(PASTE, [on, what])

    async def drag(self, event: str, **what: Any) -> bool:
        return await self.chat.page.evaluate(DRAG, [event, what])

    async def answer(self, handler: Callable[[Route, str], Any]) -> None:
        """Have `handler(route, name)` decide about uploads."""

        async def decide(route: Route) -> None:
            if route.request.method == "POST":
                await handler(route, name_of(route.request))
            else:
                await route.fallback()

        await self.chat.page.route(UPLOADS, decide)

    @property
    def chips(self) -> Locator:
        return self.chat.page.get_by_role("list", name="Files to send").get_by_role("listitem")

    @property
    def bars(self) -> Locator:
        return self.chat.page.get_by_role("progressbar", name="Uploading")

    def hint(self, text: str) -> Locator:
        return self.chat.page.get_by_role("form").get_by_role("status").filter(has_text=text)

    @property
    def refusal(self) -> Locator:
        return self.chat.page.get_by_role("form").get_by_role("alert")

    async def are(self, *names: str) -> None:
        """Wait until these are uploaded, and no others are there."""
        await expect(self.bars).to_have_count(0)
        await expect(self.chips).to_have_count(len(names))
        for index, name in enumerate(names):
            await expect(self.chips.nth(index).get_by_role("button").last).to_have_accessible_name(
                f"Remove {name}"
            )


def name_of(request: Request) -> str:
    match = re.search(rb'filename="([^"]*)"', request.post_data_buffer or b"")
    return match[1].decode() if match else ""


@pytest.fixture
async def files(chat: ChatPage) -> Files:
    await expect(chat.button("Attach files")).to_be_visible()
    return Files(chat)


class Held:
    """Holds the uploads of some files until `go_on`; fewer than all that the page may have at once."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.arrived = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, route: Route, name: str) -> None:
        if name in self.names:
            self.arrived.set()
            async with asyncio.timeout(20):
                await self.go_on.wait()
        await route.fallback()


# blogminhquy/javis-os#313 (Enter while uploading sent the message without its file; the history
# opened again had no attachments), BasedHardware/omi#15059 (of two uploads that end out of order one was dropped),
# kortix-ai/suna#366 (a file that was removed before sending was still there).
async def test_files_are_sent_in_their_order_and_seen_again(chat: ChatPage, files: Files) -> None:
    held = Held("first.txt")
    await files.answer(held)
    await files.choose(text_file("first.txt"), png("Sunset.png"), text_file("gone.txt"))
    await expect(files.bars).to_have_count(1)
    await expect(chat.button("Cancel upload of first.txt")).to_be_visible()
    await chat.button("Remove gone.txt").click()
    # The focus stays among the files.
    await expect(chat.button("Remove Sunset.png")).to_be_focused()

    await chat.send("what is this?")
    await expect(files.hint("Uploading a file. You can send when it is uploaded.")).to_be_visible()
    await expect(chat.questions).to_have_count(0)
    held.go_on.set()
    await files.are("first.txt", "Sunset.png")
    await expect(chat.spoken("2 files are attached.")).to_have_count(1)
    await chat.message_box.press("Enter")

    await expect(files.chips).to_have_count(0)
    await chat.wait_until_idle()
    assert len(files.sent) == 1
    assert len(files.sent[0]) == 2
    assert len(files.deleted) == 1
    await shown_again(chat)
    await chat.page.reload()
    await shown_again(chat)
    # Links to files open by the cookie, whatever has become of those of the message.
    link = chat.questions.get_by_role("link", name="Download first.txt")
    response = await chat.page.request.get(await link.get_attribute("href") or "")
    assert await response.text() == "Milk and bread."


async def shown_again(chat: ChatPage) -> None:
    shown = chat.questions.get_by_role("list", name="Attachments").get_by_role("listitem")
    await expect(shown).to_have_count(2)
    await expect(shown.first.get_by_role("link")).to_have_accessible_name("Download first.txt")
    image = shown.last.get_by_role("link", name="Sunset.png").get_by_role("img", name="Sunset.png")
    await expect(image).to_be_visible()
    await expect(image).to_have_js_property("complete", value=True)
    assert await image.evaluate("(image) => image.naturalWidth") > 0


# CaliOpen/Caliopen#896 (failed silently, the message went without it), carbon-design-system/carbon-ai-chat#2107 (a failed
# file blocks, and nothing says how to go on), assistant-ui/assistant-ui#7367 (the retry uploaded those that were there
# already again), danyadev/vk-desktop#159 (a double click on "retry" uploaded twice), mixpeek/amux#124 (a failed file
# without ×: nothing could be sent any more), huggingface/agent-manager#76 (a proxy's HTML 413 was only "failed"),
# tiann/hapi#1722 (retry offered for what can never succeed), stickerdaniel/saas-starter#760 (believed to be sent).
@pytest.mark.row("E2")
async def test_a_failed_file_says_why_and_what_to_do(chat: ChatPage, files: Files) -> None:
    attempts: list[str] = []

    async def answer(route: Route, name: str) -> None:
        attempts.append(name)
        if name == "huge.txt":
            await route.fulfill(status=413, body="<html>413 Request Entity Too Large</html>")
        elif name == "scan.txt" and attempts.count(name) == 1:
            message = "The file could not be checked now."
            await route.fulfill(status=503, json={"code": "unavailable", "message": message})
        else:
            await route.fallback()

    await files.answer(answer)
    await files.choose(text_file("fine.txt"), text_file("scan.txt"), text_file("huge.txt"))

    scan, huge = files.chips.nth(1), files.chips.nth(2)
    await expect(scan).to_contain_text("The file could not be checked now.")
    await expect(huge).to_contain_text("too large for a server on the way")
    await expect(huge.get_by_role("button")).to_have_count(1)
    await chat.send("hello")
    await expect(files.hint("Try again or remove them to send.")).to_be_visible()
    await expect(chat.send_button).to_have_attribute("aria-disabled", "true")
    await huge.get_by_role("button", name="Remove huge.txt").click()
    await expect(files.hint("“scan.txt” was not uploaded. Try again or remove it to send.")).to_be_visible()
    await chat.button("Try again scan.txt").dblclick()
    await files.are("fine.txt", "scan.txt")
    await expect(files.hint("scan.txt")).to_have_count(0)
    await chat.message_box.press("Enter")

    await expect(chat.questions).to_have_count(1)
    assert sorted(attempts) == ["fine.txt", "huge.txt", "scan.txt", "scan.txt"]
    assert len(files.sent[0]) == 2


# BasedHardware/omi#15059 (a file whose × was clicked during its upload was sent), signalapp/Signal-Desktop#2685 ("sending"
# for ever), mastodon/mastodon#19505 ("uploading" while the server worked on it), danny-avila/LibreChat#7027 (of a draft that
# turned up in another chat).
async def test_cancelled_uploads_leave_nothing_and_files_stay_in_their_chat(
    chat: ChatPage, files: Files
) -> None:
    async with SlowUploads(chat.server_url, "late.txt", "slow.txt", "third.txt", "fourth.txt") as slow:
        await files.answer(slow)
        await chat.ask("find milk")
        await chat.message_box.fill("about this")
        await files.choose(text_file("late.txt"), text_file("slow.txt"))
        await expect(files.chips.first).to_contain_text("Checking…")
        await chat.button("Cancel upload of late.txt").click()
        await expect(files.chips).to_have_count(1)

        await chat.button("New chat").click()
        await expect(files.chips).to_have_count(0)
        # Three are uploaded at once; one that was cancelled does not count.
        await files.choose(text_file("third.txt"), text_file("fourth.txt"), png("other.png"))
        await expect(files.chips.nth(1)).to_contain_text("Checking…")
        await expect(files.chips.last).to_contain_text("Waiting")
        await chat.button("Cancel upload of fourth.txt").click()
        await chat.button("Cancel upload of third.txt").click()
        await files.are("other.png")
        # The server has the cancelled one already: it is deleted.
        async with chat.page.expect_request(files.is_deletion):
            slow.go_on.set()
    await chat.chat_link("Find milk").click()
    await files.are("slow.txt")
    await expect(chat.message_box).to_have_value("about this")
    # What was uploaded is there after a reload, too.
    await chat.page.reload()
    await files.are("slow.txt")
    await expect(chat.message_box).to_have_value("about this")
    await expect(chat.send_button).to_be_enabled()
    await chat.message_box.press("Enter")
    await expect(files.chips).to_have_count(0)
    await chat.wait_until_idle()
    assert len(files.sent[-1]) == 1
    assert files.sent[-1][0] not in files.deleted
    await chat.button("New chat").click()
    await files.are("other.png")
    # Only a file: no text is needed.
    await chat.message_box.press("Enter")
    await expect(chat.questions.get_by_role("img", name="other.png")).to_be_visible()
    await chat.wait_until_idle()


# tarasglek/chatcraft.org#438, epam/ai-dial-chat#7279, Chainlit/chainlit#934, phcode-dev/phoenix#3033 (text of Word,
# PowerPoint, OneNote and Excel arrived as a picture), kirodotdev/KiroCrew#2520, mudler/LocalAI#10428 (every pasted
# picture was `image.png`), Agent-Field/CodeAF#1380 (a folder was accepted and could not be read), amiantos/lurker#808
# (what the dialog takes was ignored when it was dropped), tsolucio/corebos#636 (dropping from Outlook).
async def test_paste_and_drop(chat: ChatPage, files: Files) -> None:
    image = ["image.png", "x", "image/png"]
    await files.answer(lambda route, name: route.fulfill(json=stored(name)))
    assert not await files.paste(files=[image], text="A1\tB1")
    assert not await files.paste(text="only words")
    assert not await files.drag("dragover", text="https://example.org/")
    await expect(chat.page.get_by_text("Drop files to attach them")).to_be_hidden()
    await expect(files.chips).to_have_count(0)
    # The search box has its own clipboard.
    assert not await files.paste(on="[type=search]", files=[image])
    assert await files.paste(files=[image])
    assert await files.paste(on="body", files=[["image.png", "xy", "image/png"]])
    await files.are("Pasted picture.png", "Pasted picture 2.png")

    assert await files.drag("dragover", files=[["notes.md", "x", "application/octet-stream"]])
    await expect(chat.page.get_by_text("Drop files to attach them")).to_be_visible()
    notes = [["notes.md", "# x", "application/octet-stream"]]
    assert await files.drag("drop", files=notes, folders=["Holiday"])
    await expect(chat.page.get_by_text("Drop files to attach them")).to_be_hidden()
    await files.are("Pasted picture.png", "Pasted picture 2.png", "notes.md")
    await expect(files.refusal).to_have_text("“Holiday” is a folder. Attach the files in it.")
    await expect(chat.message_box).to_be_focused()
    # A drag that leaves nothing, as of a mail program, changes nothing.
    await files.drag("dragover", files=notes)
    await files.drag("drop")
    await expect(files.chips).to_have_count(3)
    assert files.uploaded == ["Pasted picture.png", "Pasted picture 2.png", "notes.md"]


def stored(name: str) -> dict[str, Any]:
    return {"id": f"atc_{len(name)}", "name": name, "mime_type": "text/plain", "type": "file"}


# eprints/eprints3.4#377, element-hq/element-web#32809 (empty files), docmost/docmost#2218, chatwoot/chatwoot#14667 (HEIC
# vanished without a word), usememos/memos#2527, fieldenms/tg#1823 (without `image/*` phones offer no camera and send HEIC),
# sumup-oss/circuit-ui#1773, TwiStarSystems/Secure-FTP-WEB#24 (files at the edge of the quota).
@pytest.mark.row("E2")
async def test_limits_are_told_before_anything_is_uploaded(open_page: OpenPage) -> None:
    chat = await open_page(phone=True, dark=True)
    limits: dict[str, Any] = {"max_bytes": 100, "max_files": 2, "types": ["image/png", "text/plain"]}
    limits |= {"quota_bytes": 250, "used_bytes": 100}
    await chat.page.route(UPLOADS, lambda route: offered(route, 200, limits))
    await chat.load()
    files = Files(chat)
    await expect(chat.button("Attach files")).to_be_visible()
    accept = await chat.page.locator("input[type=file]").get_attribute("accept")
    assert (accept or "").startswith("image/*,image/png,text/plain,.txt")

    heic: FilePayload = {"name": "IMG_1.heic", "mimeType": "image/heic", "buffer": b"x"}
    await files.choose(heic, text_file("none.txt", ""), text_file("big.txt", "x" * 101))
    await expect(files.refusal).to_contain_text("files of type HEIC are not taken here, only PNG, text.")
    await expect(files.refusal).to_contain_text("“none.txt” is empty.")
    await expect(files.refusal).to_contain_text("it has 101 bytes, and a file can have 100 bytes")
    # A refused file does not keep the others from being sent.
    await expect(files.hint("upload")).to_have_count(0)
    await chat.button("Dismiss").click()
    await expect(files.refusal).to_have_text("")
    await files.choose(text_file("a.txt", "x" * 90), text_file("b.txt", "x" * 90))
    await files.are("a.txt")
    await expect(files.refusal).to_contain_text(
        "“b.txt” does not fit: 60 bytes of your 250 bytes for files are left."
    )
    await files.choose(text_file("c.txt", "x"), text_file("d.txt", "xx"))
    await files.are("a.txt", "c.txt")
    await expect(files.refusal).to_have_text("A message can have 2 files at most. Not attached: “d.txt”.")
    assert files.uploaded == ["a.txt", "c.txt"]
    assert await chat.page.evaluate(CONTRAST_SCRIPT) == []
    assert await chat.page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    # A server that takes no files is not asked to.
    await chat.page.unroute(UPLOADS)
    refused = {"code": "not_enabled", "message": "This server does not take files."}
    await chat.page.route(UPLOADS, lambda route: offered(route, 404, refused))
    await chat.page.reload()
    await expect(chat.message_box).to_be_visible()
    async with chat.page.expect_response(UPLOADS):
        await chat.page.reload()
    await expect(chat.button("Attach files")).to_be_hidden()
    assert not await files.paste(files=[["a.png", "x", "image/png"]])
    await files.drag("drop", files=[["a.txt", "x", "text/plain"]])
    await expect(files.bars).to_have_count(0)


async def offered(route: Route, status: int, body: dict[str, Any]) -> None:
    await (route.fulfill(status=status, json=body) if route.request.method == "GET" else route.fallback())


# Expensify/App#69019 (attached offline and gone after a reload), pingdotgg/t3code#8236 (the retry lost the file),
# buildinternet/uploads#835 (a lost response, and the repetition is refused), danny-avila/LibreChat#6491.
async def test_nothing_is_lost_offline_or_when_a_message_is_refused(
    chat: ChatPage, files: Files, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.txt"
    changed.write_text("before")
    await chat.page.context.set_offline(True)
    await files.choose(text_file("offline.txt"))
    await files.choose(changed)
    await files.choose(changed)
    await expect(files.refusal).to_have_text("“changed.txt” is attached already.")
    await expect(files.chips).to_have_count(2)
    await expect(files.chips.first).to_contain_text("Waits until you are back online")
    changed.write_text("much longer than before")
    # Browsers look at the time in whole seconds.
    os.utime(changed, (0, 0))
    await chat.page.context.set_offline(False)
    # It was changed after it was chosen. Browsers report that like a lost connection.
    await expect(files.chips.last).to_contain_text("it was changed or moved since it was chosen")
    await chat.button("Remove changed.txt").click()
    await files.are("offline.txt")

    attempts: list[str] = []

    async def lose(route: Route, name: str) -> None:
        attempts.append(name)
        if attempts.count(name) > 1:
            await route.fallback()
        elif name == "cut.txt":
            await route.abort("connectionreset")
        else:
            await route.fulfill(status=401, json={"code": "unauthenticated", "message": "No credentials."})

    await files.answer(lose)
    await files.choose(text_file("cut.txt"))
    await files.are("offline.txt", "cut.txt")
    assert attempts == ["cut.txt", "cut.txt"]
    # The login page would lose the file, so the reader logs in elsewhere.
    await chat.page.evaluate("document.querySelector('meta[name=backchannel-login]').content = 'auth/login'")
    await files.choose(text_file("login.txt"))
    await expect(files.chips.last).to_contain_text("You are logged out. Log in in another tab")
    await chat.button("Try again login.txt").click()
    await files.are("offline.txt", "cut.txt", "login.txt")
    await chat.button("Remove login.txt").click()

    refusals = 0

    async def refuse(route: Route) -> None:
        nonlocal refusals
        refusals += 1
        if refusals == 1:
            await route.fulfill(status=429, json={"code": "rate_limited", "message": "Too many messages."})
        else:
            await route.fallback()

    await chat.on_operation("threads.create", refuse)
    await chat.send("take these")
    await expect(chat.alert).to_contain_text("Too many messages.")
    await files.are("offline.txt", "cut.txt")
    await expect(chat.message_box).to_have_value("take these")
    await chat.page.reload()
    await files.are("offline.txt", "cut.txt")
    await chat.message_box.press("Enter")
    await chat.wait_until_idle()
    await expect(chat.questions.get_by_role("link")).to_have_count(2)
    assert files.sent[0] == files.sent[-1]


# A queued message that is withdrawn comes back with its files. And mastodon/mastodon#26961 (a thumbnail that cannot be made), chatwoot/chatwoot#14667 (a preview that never arrives).
@pytest.mark.row("E4")
async def test_waiting_messages_have_their_files_and_broken_previews_become_icons(
    chat: ChatPage, files: Files, paused: Any
) -> None:
    paused.hold_before_word(1)
    await chat.send("what can you do?")
    await expect(chat.stop_button).to_be_visible()
    await files.choose(png("queued.png"), text_file("queued.txt"))
    await files.are("queued.png", "queued.txt")
    await chat.send("and this?")
    waiting = chat.waiting.get_by_role("list", name="Attachments").get_by_role("listitem")
    await expect(waiting).to_have_count(2)
    await chat.button("Withdraw: and this?").click()
    await files.are("queued.png", "queued.txt")
    await expect(chat.message_box).to_have_value("and this?")
    paused.go_on()
    await chat.wait_until_idle()

    asked: list[str] = []

    async def broken(route: Route) -> None:
        asked.append(route.request.url)
        await route.fulfill(status=403, json={"code": "link_expired", "message": "Expired."})

    await chat.page.route(re.compile(r"/attachments/.*form=preview"), broken)
    await chat.message_box.press("Enter")
    await chat.wait_until_idle()
    card = chat.questions.last.get_by_role("link", name="queued.png")
    await expect(card).to_be_visible()
    await expect(chat.questions.last.get_by_role("img", name="queued.png")).to_have_count(0)
    # Before that, a new link was asked for.
    assert "signature=" not in asked[-1]
