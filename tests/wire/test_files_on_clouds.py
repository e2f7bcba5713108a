"""Files in S3 and Azure: browsers write and read there, and only what was checked is ever read."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from agents import Agent

import file_servers
from backchannel.testing import Say, ScriptedModel
from pictures import picture
from wire.conftest import Served
from wire.test_files import TEXT, announce, code_of, parts_of

pytestmark = pytest.mark.row("E1", "E2", "E4", "P23", "P27")

CLOUDS = {"s3": file_servers.use_s3, "azure": file_servers.use_azure}


@pytest.fixture(params=CLOUDS)
def files_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    use: Callable[[pytest.MonkeyPatch], str] = CLOUDS[request.param]
    return use(monkeypatch)


async def send(attachment: dict[str, Any], data: bytes) -> httpx2.Response:
    """As ChatKit's element does."""
    target = attachment["upload_descriptor"]
    async with httpx2.AsyncClient() as browser:
        return await browser.request(target["method"], target["url"], content=data, headers=target["headers"])


async def keys(served: Served) -> list[str]:
    return sorted([each.key async for each in served.backchannel.parts.attachments.files.store.list()])


async def test_a_browser_writes_to_the_store_and_reads_from_it(serve, files_url: str):
    model = ScriptedModel(Say("Red."), Say("Milk."))
    served: Served = await serve(Agent(name="A", model=model), files_url=files_url)
    data = picture(800, 400)
    attachment = await announce(served.person, "naïve 文件 #1+%😀.png", data, "image/png")
    assert served.url not in attachment["upload_descriptor"]["url"]
    assert await code_of(served.person.say("early", attachments=[attachment["id"]])) == (
        409,
        "upload_incomplete",
    )
    assert (await send(attachment, data)).is_success
    events = await (await served.person.say("What?", attachments=[attachment["id"]])).events()
    sent = events[1]["item"]["attachments"][0]
    assert "upload_descriptor" not in sent
    assert "image_url" in parts_of(model)[-1]
    # The upload's own place is empty, and its URL of no use any more.
    assert not [key for key in await keys(served) if key.startswith("uploads/")]
    await send(attachment, b"x" * len(data))
    async with httpx2.AsyncClient() as browser:
        shown = await browser.get(sent["preview_url"])
        assert shown.status_code == 307
        assert shown.headers["cache-control"] == "private, no-store"
        preview = await browser.get(shown.headers["location"])
        assert preview.headers["content-type"] in {"image/png", "image/jpeg"}
        link = await served.person.http.get(f"/api/chatkit/attachments/{attachment['id']}")
        at_store = (await browser.get(link.headers["location"])).headers["location"]
        original = await browser.get(at_store, headers={"Range": "bytes=0-3"})
        assert (original.status_code, original.content) == (206, data[:4])
        assert "attachment" in original.headers["content-disposition"]
        assert (await browser.head(link.headers["location"])).headers["content-length"] == str(len(data))
    text = await served.person.upload("list.txt", TEXT.encode(), "text/plain")
    thread_id = events[0]["thread"]["id"]
    await (await served.person.say("And?", thread_id, attachments=[text["id"]])).events()
    assert TEXT in parts_of(model)[-1]["text"]
    await served.person.request("threads.delete", {"thread_id": thread_id})
    await served.backchannel.parts.file_sweeper.sweep()
    assert await keys(served) == []


async def test_what_a_browser_wrote_is_checked_before_it_is_sent(serve, files_url: str):
    served: Served = await serve(Agent(name="A", model=ScriptedModel(Say("ok"))), files_url=files_url)
    page = b"<!doctype html><script>alert(1)</script>" * 3
    wrong = await announce(served.person, "a.png", page, "image/png")
    await send(wrong, page)
    assert await code_of(served.person.say("hi", attachments=[wrong["id"]])) == (415, "unsupported_type")
    small = await announce(served.person, "b.txt", TEXT.encode(), "text/plain")
    await send(small, TEXT.encode() * 2)
    assert await code_of(served.person.say("hi", attachments=[small["id"]])) == (409, "upload_incomplete")
    assert (await served.person.request("threads.list", {}))["data"] == []
    assert not [key for key in await keys(served) if key.startswith("files/")]
    # It can be repeated.
    assert (await send(small, TEXT.encode())).is_success
    await (await served.person.say("hi", attachments=[small["id"]])).events()


async def test_all_bytes_can_pass_through_the_server(serve, files_url: str):
    served: Served = await serve(
        Agent(name="A", model=ScriptedModel()), files_url=files_url, files_presigned=False
    )
    attachment = await announce(served.person, "list.txt", TEXT.encode(), "text/plain")
    assert attachment["upload_descriptor"]["url"].startswith(served.url)
    assert (await send(attachment, TEXT.encode())).is_success
    response = await served.person.http.get(
        f"/api/chatkit/attachments/{attachment['id']}", follow_redirects=True
    )
    assert response.content == TEXT.encode()
    assert str(response.url).startswith(served.url)
