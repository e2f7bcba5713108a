"""Files over HTTP: uploaded in both of ChatKit's ways, sent, read by their owner, given to the model, and deleted."""

import asyncio
import base64
import re
from pathlib import Path
from typing import Any, override
from urllib.parse import urlsplit

import httpx2
import pytest
from agents import Agent
from sqlalchemy import select

import odd_files
from backchannel.application import Application
from backchannel.chat.agent import file_contents
from backchannel.client import ServerError
from backchannel.errors import InfectedFileError
from backchannel.scanners.base import Scanner
from backchannel.stores.sql.tables import metadata
from backchannel.testing import ChatKitClient, Say, ScriptedModel
from clamd_double import EICAR, fake_clamd
from pictures import picture, size_of
from wire.conftest import Served

pytestmark = pytest.mark.row("E1", "E2", "E3", "E4", "P22", "P23", "P25b", "P26")

TEXT = "Shopping list:\n- milk\n- naïve 文件 😀\n"


def agent(model: ScriptedModel) -> Agent[Any]:
    return Agent(name="A", model=model)


def parts_of(model: ScriptedModel, call: int = -1) -> list[dict[str, Any]]:
    """The parts of all messages of people in a call's input."""
    return [
        part
        for item in model.calls[call]
        if isinstance(item, dict) and item.get("role") == "user"
        for part in (item["content"] if isinstance(item["content"], list) else [{"text": item["content"]}])
    ]


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def left_on_disk(folder: Path = Path(".backchannel/files")) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


async def announce(person: ChatKitClient, name: str, data: bytes, mime_type: str) -> dict[str, Any]:
    return await person.request(
        "attachments.create", {"name": name, "size": len(data), "mime_type": mime_type}
    )


async def refusal(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


async def code_of(awaiting: Any) -> tuple[int, str]:
    with pytest.raises(ServerError) as caught:
        await awaiting
    return caught.value.status, caught.value.code


async def test_a_text_is_uploaded_sent_read_and_given_to_the_model(serve, database_url):
    model = ScriptedModel(Say("Milk."), Say("Still milk."))
    served: Served = await serve(agent(model), database_url=database_url)
    attachment = await served.person.upload("list.txt", TEXT.encode(), "text/plain")
    assert attachment == {
        "id": attachment["id"],
        "name": "list.txt",
        "mime_type": "text/plain",
        "type": "file",
    }
    stream = await served.person.say("What do I need?", attachments=[attachment["id"]])
    events = await stream.events()
    thread_id = events[0]["thread"]["id"]
    sent = {**attachment, "thread_id": thread_id}
    assert events[1]["item"]["attachments"] == [sent]
    assert (await served.items(thread_id))[0]["attachments"] == [sent]
    expected = f'<Attachment name="list.txt" type="text/plain">\n{TEXT}\n</Attachment>'
    assert [part["text"] for part in parts_of(model)] == ["What do I need?", expected]
    await (await served.person.say("And now?", thread_id)).events()
    assert expected in [part["text"] for part in parts_of(model)]

    response = await served.person.http.get(
        f"/api/chatkit/attachments/{attachment['id']}", follow_redirects=True
    )
    assert response.content == TEXT.encode()
    assert response.headers["content-disposition"].startswith("attachment")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]
    assert response.headers["content-type"].partition(";")[0] == "text/plain"


async def test_a_picture_has_a_preview_and_is_scaled_for_the_model(serve):
    model = ScriptedModel(Say("Red."))
    served: Served = await serve(agent(model))
    data = picture(3000, 1000)
    attachment = await served.person.upload("red.png", data, "image/png")
    assert attachment["type"] == "image"
    url = attachment["preview_url"]
    assert url.startswith(f"{served.url}/api/chatkit/attachments/{attachment['id']}?form=preview&")
    async with httpx2.AsyncClient() as stranger:
        preview = await stranger.get(url)
    assert preview.status_code == 200
    assert max(size_of(preview.content)) <= 320
    assert preview.headers["cross-origin-resource-policy"] == "cross-origin"
    events = await (await served.person.say("", attachments=[attachment["id"]])).events()
    assert events[1]["item"]["attachments"][0]["preview_url"].startswith(served.url)
    name, shown = parts_of(model)
    assert name["text"] == '<Attachment name="red.png" type="image/png" />'
    kind, _, encoded = shown["image_url"].partition(";base64,")
    assert kind in {"data:image/png", "data:image/jpeg"}
    assert max(size_of(base64.b64decode(encoded))) == 1568
    original = await served.person.http.get(
        f"/api/chatkit/attachments/{attachment['id']}", follow_redirects=True
    )
    assert original.content == data


@pytest.mark.parametrize("inputs", ["images,pdf", "images", "text"])
async def test_a_document_reaches_the_model_as_it_can_take_it(inputs: str, serve):
    model = ScriptedModel(Say("ok"))
    served: Served = await serve(agent(model), model_inputs=inputs)
    document = odd_files.pdf("The garden needs water.")
    files = [
        await served.person.upload("plan.pdf", document, "application/pdf"),
        await served.person.upload("red.png", picture(), "image/png"),
    ]
    await (await served.person.say("Look", attachments=[each["id"] for each in files])).events()
    parts = parts_of(model)
    kinds = [part["type"] for part in parts]
    assert ("input_file" in kinds, "input_image" in kinds) == (inputs == "images,pdf", inputs != "text")
    if inputs == "images,pdf":
        (sent,) = [part for part in parts if part["type"] == "input_file"]
        assert sent["filename"] == "plan.pdf"
        assert base64.b64decode(sent["file_data"].partition("base64,")[2]) == document
    else:
        assert any("The garden needs water." in part.get("text", "") for part in parts)
    if inputs == "text":
        assert any("cannot see pictures" in part.get("text", "") for part in parts)


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_file_is_announced_and_then_uploaded(method: str, serve):
    model = ScriptedModel(Say("ok"))
    served: Served = await serve(agent(model))
    attachment = await announce(served.person, "list.txt", TEXT.encode(), "text/plain")
    target = attachment.pop("upload_descriptor")
    assert target["method"] == "PUT"
    assert await code_of(served.person.say("early", attachments=[attachment["id"]])) == (
        409,
        "upload_incomplete",
    )
    async with httpx2.AsyncClient() as browser:
        if method == "PUT":
            response = await browser.put(target["url"], content=TEXT.encode(), headers=target["headers"])
        else:
            response = await browser.post(target["url"], files={"file": ("other.txt", TEXT.encode())})
        assert response.json() == attachment
        # A client that did not get the response sends it again; what is there stays as it is.
        again = await browser.put(target["url"], content=b"x" * len(TEXT.encode()))
        assert again.json() == attachment
    stream = await served.person.say("What?", attachments=[attachment["id"]])
    (item,) = [event["item"] for event in await stream.events() if event["type"] == "thread.item.done"][:1]
    assert "upload_descriptor" not in item["attachments"][0]
    assert TEXT in parts_of(model)[1]["text"]


async def test_an_upload_that_is_wrong_or_cut_off_can_be_repeated(serve):
    served: Served = await serve(agent(ScriptedModel()))
    attachment = await announce(served.person, "list.txt", TEXT.encode(), "text/plain")
    url = attachment["upload_descriptor"]["url"]
    async with httpx2.AsyncClient() as browser:
        assert await refusal(await browser.put(url, content=b"too short")) == (422, "invalid_input")
        assert await refusal(await browser.put(url, content=TEXT.encode() * 2)) == (413, "too_large")
        binary = bytes(range(256)) * 2
        assert await refusal(await browser.put(url, content=binary[: len(TEXT.encode())])) == (
            415,
            "unsupported_type",
        )
        await _cut_off(url, TEXT.encode())
        assert left_on_disk() == []
        assert (await browser.put(url, content=TEXT.encode())).status_code == 200
    assert len(left_on_disk()) == 2


async def _cut_off(url: str, data: bytes) -> None:
    """Send half of an upload, and close the connection."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"PUT {path_of(url)} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data[: len(data) // 2])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""


async def test_nobody_else_can_read_send_or_delete_a_file(serve):
    served: Served = await serve(agent(ScriptedModel(Say("ok"))))
    other = await served.someone()
    attachment = await served.person.upload("red.png", picture(), "image/png")
    file_id, url = attachment["id"], attachment["preview_url"]
    missing = "atc_" + "0" * 32
    for each in (file_id, missing):
        assert await code_of(other.say("mine?", attachments=[each])) == (404, "not_found")
        assert await code_of(other.request("attachments.delete", {"attachment_id": each})) == (
            404,
            "not_found",
        )
        assert await refusal(await other.http.get(f"/api/chatkit/attachments/{each}")) == (404, "not_found")
    async with httpx2.AsyncClient(base_url=served.url) as stranger:
        assert (await stranger.get(url)).status_code == 200
        for altered in (
            url.replace("form=preview&", ""),
            url.replace(file_id, missing),
            re.sub("expires=[0-9]+", "expires=99999999999", url),
            url[:-1] + ("0" if url[-1] != "0" else "1"),
            re.sub("&signature.*", "", url),
            url.replace("/attachments/", "/uploads/"),
        ):
            response = await stranger.request("PUT" if "/uploads/" in altered else "GET", altered)
            assert response.status_code == 404, altered
        unknown = (await stranger.get(url.replace(file_id, missing))).json()
        assert unknown["message"] == (await stranger.get(url + "0")).json()["message"]
    # Without a link, its owner is asked for.
    assert (
        await served.person.http.get(f"/api/chatkit/attachments/{file_id}", params={"form": "preview"})
    ).status_code == 307


@pytest.mark.row("P24")
@pytest.mark.parametrize("method", ["direct", "announced"])
async def test_links_lead_where_browsers_reach_the_server(method: str, serve):
    model = ScriptedModel(Say("ok"))
    served: Served = await serve(agent(model), public_url="http://chat.example.com")
    at = "http://chat.example.com/api/chatkit"
    if method == "direct":
        attachment = await served.person.upload("red.png", picture(), "image/png")
        assert attachment["preview_url"].startswith(f"{at}/attachments/atc_")
    else:
        attachment = await announce(served.person, "red.png", picture(), "image/png")
        url = attachment["upload_descriptor"]["url"]
        assert url.startswith(f"{at}/uploads/atc_")
        # As the proxy passes it on.
        response = await served.person.http.put(
            url.removeprefix("http://chat.example.com"), content=picture()
        )
        assert response.json()["preview_url"].startswith(f"{at}/attachments/")
    events = await (await served.person.say("hi", attachments=[attachment["id"]])).events()
    assert events[1]["item"]["attachments"][0]["preview_url"].startswith(f"{at}/attachments/")
    thread_id = events[0]["thread"]["id"]
    for path in (f"/api/chatkit/threads/{thread_id}", f"/api/chatkit/threads/{thread_id}/items"):
        assert f'"preview_url":"{at}/attachments/' in (await served.person.http.get(path)).text


async def test_links_end(serve):
    served: Served = await serve(agent(ScriptedModel()), file_link_seconds=10)
    attachment = await served.person.upload("red.png", picture(), "image/png")
    links = served.backchannel.parts.attachments.links
    record = await served.backchannel.parts.attachments.files.records.find(attachment["id"])
    old = links._signed("read", record.id, record.identity, "original", 1_700_000_000, {})
    async with httpx2.AsyncClient(base_url=served.url) as stranger:
        response = await stranger.get(f"/api/chatkit/attachments/{record.id}?{old}")
    assert await refusal(response) == (403, "link_expired")


async def test_no_signature_is_stored(serve):
    """A link in an item, in the log of events, or stored for an `Idempotency-Key`, would be read later by others."""
    served: Served = await serve(agent(ScriptedModel(Say("ok"))))
    key = {"Idempotency-Key": "k1"}
    asked = {
        "type": "attachments.create",
        "params": {"name": "a.png", "size": 10, "mime_type": "image/png"},
    }
    first = (await served.person.http.post("/api/chatkit", json=asked, headers=key)).json()
    assert "signature=" in first["upload_descriptor"]["url"]
    attachment = await served.person.upload("red.png", picture(), "image/png")
    events = await (await served.person.say("hi", attachments=[attachment["id"]])).events()
    assert "signature=" in events[1]["item"]["attachments"][0]["preview_url"]
    async with served.backchannel.database.read() as connection:
        for table in metadata.tables.values():
            for row in await connection.execute(select(table)):
                # Not of the row itself, whose text is shortened.
                assert "signature=" not in str(tuple(row)), table.name


async def test_what_is_sent_cannot_be_taken_out_and_goes_with_its_thread(serve):
    model = ScriptedModel(Say("ok"), Say("ok"))
    served: Served = await serve(agent(model))
    person, sweeper = served.person, served.backchannel.parts.file_sweeper
    first, second, unsent = [await person.upload(f"{n}.txt", TEXT.encode(), "text/plain") for n in range(3)]
    events = await (await person.say("hi", attachments=[first["id"], second["id"], first["id"]])).events()
    thread_id = events[0]["thread"]["id"]
    assert [each["id"] for each in events[1]["item"]["attachments"]] == [first["id"], second["id"]]
    deletion = {"attachment_id": first["id"]}
    assert await code_of(person.request("attachments.delete", deletion)) == (409, "conflict")
    assert await code_of(person.say("again", attachments=[first["id"]])) == (409, "conflict")
    await (await person.say("in the same thread", thread_id, attachments=[first["id"]])).events()
    await person.request("attachments.delete", {"attachment_id": unsent["id"]})
    assert await code_of(person.request("attachments.delete", {"attachment_id": unsent["id"]})) == (
        404,
        "not_found",
    )
    await person.request("threads.delete", {"thread_id": thread_id})
    gone = await person.http.get(f"/api/chatkit/attachments/{second['id']}")
    assert gone.status_code == 404
    assert await sweeper.sweep() == 3
    assert left_on_disk() == []


async def test_a_quota_counts_all_files_of_a_person(serve):
    served: Served = await serve(agent(ScriptedModel()), file_quota_bytes=1000)
    await code_of(served.person.upload("first.txt", b"", "text/plain"))
    uploads = await asyncio.gather(
        *(served.person.upload(f"{n}.txt", b"x" * 300, "text/plain") for n in range(5)),
        return_exceptions=True,
    )
    refused = [each for each in uploads if isinstance(each, ServerError)]
    assert [each.code for each in refused] == ["file_quota_exceeded"] * 2
    assert await code_of(announce(served.person, "n.txt", b"x" * 101, "text/plain")) == (
        413,
        "file_quota_exceeded",
    )
    limits = (await served.person.http.get("/api/chatkit/uploads")).json()
    assert (limits["quota_bytes"], limits["used_bytes"]) == (1000, 900)
    other = await served.someone()
    await other.upload("mine.txt", b"x" * 900, "text/plain")
    kept = [each for each in uploads if not isinstance(each, BaseException)]
    await served.person.request("attachments.delete", {"attachment_id": kept[0]["id"]})
    await served.person.upload("n.txt", b"x" * 400, "text/plain")


@pytest.mark.parametrize(
    ("name", "data", "mime_type", "status", "code"),
    [
        ("page.png", b"<!doctype html><script>alert(1)</script>", "image/png", 415, "unsupported_type"),
        ("x.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", 415, "unsupported_type"),
        ("x.exe", b"MZ" + bytes(100), "application/octet-stream", 415, "unsupported_type"),
        ("cut.png", picture(200, 200)[:300], "image/png", 422, "invalid_file"),
        ("empty.txt", b"", "text/plain", 422, "invalid_input"),
        ("large.txt", b"x" * 5001, "text/plain", 413, "too_large"),
    ],
    ids=["html", "svg", "program", "cut", "empty", "large"],
)
async def test_what_is_not_taken_leaves_nothing(
    name: str, data: bytes, mime_type: str, status: int, code: str, serve
):
    served: Served = await serve(agent(ScriptedModel()), max_upload_bytes=5000)
    assert await code_of(served.person.upload(name, data, mime_type)) == (status, code)
    assert left_on_disk() == []
    assert (await served.person.http.get("/api/chatkit/uploads")).json()["used_bytes"] == 0


async def test_a_scanner_sees_every_file_first(serve):
    async with fake_clamd() as clamd:
        served: Served = await serve(agent(ScriptedModel()), scanner_url=clamd.url)
        assert await code_of(served.person.upload("a.txt", EICAR, "text/plain")) == (422, "infected_file")
        assert left_on_disk() == []
        await served.person.upload("b.txt", TEXT.encode(), "text/plain")
        announced = await announce(served.person, "c.txt", EICAR, "text/plain")
        response = await served.person.http.put(path_of(announced["upload_descriptor"]["url"]), content=EICAR)
        assert await refusal(response) == (422, "infected_file")
    # While it is away, nothing gets in.
    assert await code_of(served.person.upload("d.txt", TEXT.encode(), "text/plain")) == (503, "unavailable")
    assert len(left_on_disk()) == 2


class OwnScanner(Scanner):
    """Of an application."""

    closed = False

    @override
    async def scan(self, path: Path) -> None:
        if b"milk" in await asyncio.to_thread(path.read_bytes):
            raise InfectedFileError

    @override
    async def check(self) -> None:
        return

    @override
    async def aclose(self) -> None:
        self.closed = True


async def test_an_application_can_bring_its_scanner(serve):
    application = Application(agent=agent(ScriptedModel()), scanner=OwnScanner())
    served: Served = await serve(application)
    assert await code_of(served.person.upload("a.txt", TEXT.encode(), "text/plain")) == (422, "infected_file")
    await served.person.upload("b.txt", b"bread", "text/plain")


async def test_parts_of_a_file_can_be_asked_for(serve):
    served: Served = await serve(agent(ScriptedModel()))
    attachment = await served.person.upload("n.txt", b"0123456789", "text/plain")
    response = await served.person.http.get(f"/api/chatkit/attachments/{attachment['id']}")
    url = response.headers["location"]
    async with httpx2.AsyncClient() as client:
        whole = await client.get(url)
        tag = whole.headers["etag"]
        for asked, expected in (
            ("bytes=0-3", b"0123"),
            ("bytes=7-", b"789"),
            ("bytes=-2", b"89"),
            ("bytes=5-500", b"56789"),
        ):
            part = await client.get(url, headers={"Range": asked})
            assert (part.status_code, part.content) == (206, expected)
            start = 10 - len(expected) if asked != "bytes=0-3" else 0
            assert part.headers["content-range"] == f"bytes {start}-{start + len(expected) - 1}/10"
        for asked in ("bytes=10-", "bytes=-0", "bytes=99-100"):
            assert await refusal(await client.get(url, headers={"Range": asked})) == (
                416,
                "range_not_satisfiable",
            )
        for asked in ("bytes=3-1", "bytes=0-1,3-4", "lines=0-3", "bytes=a-b", "bytes=-"):
            assert (await client.get(url, headers={"Range": asked})).content == b"0123456789"
        stale = {"Range": "bytes=0-3", "If-Range": '"other"'}
        assert (await client.get(url, headers=stale)).status_code == 200
        assert (await client.get(url, headers={"If-None-Match": tag})).status_code == 304
        head = await client.head(url)
        assert (head.status_code, head.headers["content-length"], head.content) == (200, "10", b"")


async def test_a_server_that_takes_no_files_says_so(serve):
    served: Served = await serve(agent(ScriptedModel()), max_upload_bytes=0)
    assert await code_of(served.person.upload("a.txt", b"a", "text/plain")) == (422, "not_enabled")
    assert await code_of(announce(served.person, "a.txt", b"a", "text/plain")) == (422, "not_enabled")
    assert await refusal(await served.person.http.get("/api/chatkit/uploads")) == (422, "not_enabled")


async def test_old_pictures_make_room_for_new_ones(serve, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(file_contents, "MAX_MEDIA", 2)
    model = ScriptedModel(*[Say("ok")] * 3)
    served: Served = await serve(agent(model))
    thread_id = None
    for number in range(3):
        attachment = await served.person.upload(f"{number}.png", picture(), "image/png")
        stream = await served.person.say(f"number {number}", thread_id, attachments=[attachment["id"]])
        thread_id = (await stream.events())[0].get("thread", {}).get("id", thread_id)
    texts = [part.get("text", "picture") for part in parts_of(model)]
    assert [text.count("picture") for text in texts if "number" not in text].count(1) == 2
    assert (
        '<Attachment name="0.png" type="image/png">It was sent earlier, and is not shown again.</Attachment>'
        in texts
    )
