"""Threads as JSON: made without a message, and loaded with their newest items."""

from typing import Any

import pytest
from agents import Agent

from backchannel.chat.protocol.limits import RequestLimits
from backchannel.testing import Say, ScriptedModel

pytestmark = pytest.mark.row("H5", "A4")

PATH = "/api/chatkit/threads"


@pytest.fixture
async def served(serve: Any) -> Any:
    return await serve(Agent(name="A", model=ScriptedModel(*[Say("hello")] * 30)))


async def test_an_empty_thread_can_be_made_and_talked_in(served: Any):
    metadata = {"ticket": 7, "nested": {"a": [1, None, "ü"]}}
    created = await served.person.http.post(PATH, json={"title": "  My\nticket ", "metadata": metadata})
    assert created.status_code == 201, created.text
    thread = created.json()
    assert (thread["title"], thread["items"]["data"]) == ("My ticket", [])
    assert thread.get("metadata", {}) == {}
    assert (await served.person.http.get(f"{PATH}/{thread['id']}")).json() == thread
    await (await served.person.say("hi", thread["id"])).events()
    assert [item["type"] for item in await served.items(thread["id"])] == [
        "user_message",
        "assistant_message",
    ]
    async with served.backchannel.database.read() as connection:
        stored = (await connection.exec_driver_sql("SELECT metadata FROM threads")).scalar_one()
    assert '"ticket"' in str(stored)
    untitled = (await served.person.http.post(PATH, json={})).json()
    assert untitled.get("title") is None
    other = await served.someone()
    assert (await other.http.get(f"{PATH}/{thread['id']}")).status_code == 404


async def test_what_is_wrong_with_a_new_thread_is_said(served: Any):
    for body, word in (
        ({"title": ""}, "title"),
        ({"title": "x" * 1000}, "title"),
        ({"title": 7}, "title"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"x": "y" * RequestLimits().metadata_chars}}, "metadata"),
        ({"metdata": {}}, "metdata"),
        ([], ""),
    ):
        refused = await served.person.http.post(PATH, json=body)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input"), body
        assert word in refused.json()["message"].lower()
    headers = {"Content-Type": "application/json"}
    for content in (b"{", b'{"metadata": {"a": NaN}}'):
        assert (await served.person.http.post(PATH, content=content, headers=headers)).status_code == 400
    assert (await served.person.http.post(PATH, content=b"{}")).status_code == 415
    assert (await served.person.http.get(PATH)).json()["data"] == []


async def test_a_new_thread_with_a_key_is_made_once(served: Any):
    headers = {"Idempotency-Key": "k1"}
    one = await served.person.http.post(PATH, json={"title": "A"}, headers=headers)
    two = await served.person.http.post(PATH, json={"title": "A"}, headers=headers)
    assert (one.status_code, one.json()) == (two.status_code, two.json())
    assert (await served.person.http.post(PATH, json={"title": "B"}, headers=headers)).status_code == 409
    assert len((await served.person.http.get(PATH)).json()["data"]) == 1


async def test_a_thread_comes_with_its_newest_items(served: Any):
    thread_id, _ = await served.create("message 0")
    for number in range(1, 13):
        await (await served.person.say(f"message {number}", thread_id)).events()
    whole = (await served.person.http.get(f"{PATH}/{thread_id}", params={"include": "items"})).json()
    page = (await served.person.http.get(f"{PATH}/{thread_id}/items")).json()
    assert whole["items"] == page
    assert page["has_more"] is True
    assert page["data"][1]["content"][0]["text"] == "message 12"
    plain = (await served.person.http.get(f"{PATH}/{thread_id}")).json()
    assert plain["items"]["data"][0]["content"][0]["text"] == "message 0"
    refused = await served.person.http.get(f"{PATH}/{thread_id}", params={"include": "runs"})
    assert refused.status_code == 422
