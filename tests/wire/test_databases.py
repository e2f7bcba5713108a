"""The same server on every database: the whole way of a message, ownership attacked on every op, many at once.

Tests ask for `database_url` first, so that the server has stopped when its database is dropped.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest
from agents import Agent, function_tool
from joserfc import jwt
from joserfc.jwk import OctKey
from sqlalchemy import text

from backchannel.errors import UnavailableError
from backchannel.testing import Call, Say, ScriptedModel, user_message
from backchannel.todo import assistant

SECRET = "0123456789abcdef0123456789abcdef"


def token(user: str, tenant: str | None = None) -> str:
    claims: dict[str, Any] = {"sub": user, "exp": int(time.time()) + 600}
    return jwt.encode(
        {"alg": "HS256"}, claims | ({"tenant": tenant} if tenant else {}), OctKey.import_key(SECRET)
    )


@function_tool
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


@pytest.mark.row("D1", "A1")
async def test_a_conversation_with_tools_is_kept(database_url: str, serve):
    model = ScriptedModel(Call("add", {"a": 2, "b": 3}), Say(["It is ", "5."]), Say("Bye \U0001f44b"))
    served = await serve(Agent(name="A", model=model, tools=[add]), database_url=database_url)
    thread_id, events = await served.create("add 2 and 3, please")
    assert not [event for event in events if event["type"] == "error"]
    await (await served.person.say("thanks", thread_id)).events()
    items = await served.items(thread_id)
    assert [item["type"] for item in items] == [
        "user_message",
        "workflow",
        "assistant_message",
        "user_message",
        "assistant_message",
    ]
    assert items[-1]["content"][0]["text"] == "Bye \U0001f44b"
    # What the model was shown of the earlier turn: the call and what came back.
    assert [entry.get("role", entry.get("type")) for entry in model.calls[-1]] == [
        "user",
        "function_call",
        "function_call_output",
        "assistant",
        "user",
    ]


OPERATIONS: list[tuple[str, dict[str, Any]]] = [
    ("threads.get_by_id", {}),
    ("threads.update", {"title": "stolen"}),
    ("threads.delete", {}),
    ("items.list", {}),
    ("items.feedback", {"item_ids": ["ITEM"], "kind": "negative"}),
    ("threads.add_user_message", {"input": user_message("stolen")}),
    ("threads.add_client_tool_output", {"result": "stolen"}),
    ("threads.add_structured_input", {"item_id": "ITEM", "input": {"status": "skipped"}}),
    ("threads.retry_after_item", {"item_id": "ITEM"}),
    ("threads.custom_action", {"item_id": "ITEM", "action": {"type": "x", "payload": {}}}),
    ("threads.sync_custom_action", {"item_id": "ITEM", "action": {"type": "x", "payload": {}}}),
]


@pytest.mark.row("D5")
async def test_ownership_is_attacked_on_every_op(database_url: str, serve):
    model = ScriptedModel(Say("secret answer"))
    served = await serve(
        Agent(name="A", model=model), database_url=database_url, auth="jwt", jwt_secret=SECRET
    )
    ada = await served.someone(token("ada"))
    events = await (await ada.say("secret question")).events()
    thread_id = events[0]["thread"]["id"]
    answer = next(e["item"]["id"] for e in reversed(events) if e["type"] == "thread.item.done")
    await ada.request("items.feedback", {"thread_id": thread_id, "item_ids": [answer], "kind": "positive"})
    before = await ada.request("threads.get_by_id", {"thread_id": thread_id})
    run_id = (await ada.http.get(f"/api/chatkit/threads/{thread_id}/runs")).json()["data"][0]["id"]

    for thief in (token("bob"), token("ada", "elsewhere"), token("ADA"), token("ada ")):
        client = await served.someone(thief)
        for operation, params in OPERATIONS:
            mine = {"thread_id": thread_id, **params}
            body = {
                key: [answer] if value == ["ITEM"] else answer if value == "ITEM" else value
                for key, value in mine.items()
            }
            response = await client.http.post("/api/chatkit", json={"type": operation, "params": body})
            # Actions are not there for anybody with this agent; whatever it is, nobody learns that it exists.
            assert response.status_code in {404, 422}, (operation, response.text)
            assert "secret" not in response.text
        for method, path in (
            ("GET", f"threads/{thread_id}"),
            ("PATCH", f"threads/{thread_id}"),
            ("DELETE", f"threads/{thread_id}"),
            ("GET", f"threads/{thread_id}/items"),
            ("GET", f"threads/{thread_id}/runs"),
            ("GET", f"threads/{thread_id}/feedback"),
            ("GET", f"runs/{run_id}"),
            ("GET", f"runs/{run_id}/events"),
            ("POST", f"runs/{run_id}/cancel"),
        ):
            payload = {"title": "stolen"} if method == "PATCH" else None
            response = await client.http.request(method, f"/api/chatkit/{path}", json=payload)
            assert response.status_code == 404, (method, path, response.text)
        assert (await client.request("threads.list", {}))["data"] == []
        assert (await client.search("secret"))["data"] == []
    assert await ada.request("threads.get_by_id", {"thread_id": thread_id}) == before
    assert [each["kind"] for each in await ada.feedback(thread_id)] == ["positive"]
    assert len(model.calls) == 1


HOSTILE = [
    '"', "'", "''", '"unclosed', "NEAR(a b)", "a AND", "OR", "NOT milk", "milk*", "*", "^milk", "milk:", "-milk",
    "+milk -milk", "(milk", ")", "@", "~milk", "words:milk", "milk & | !", "<->", "'; DROP TABLE threads; --",
    "%", "_", "\\", "\x00", "\u202e", "\U0001f600", "a" * 10_000, "milk " * 2_000, "ooo", "xx", "{}", "$1", ":q", "?",
]  # fmt: skip


@pytest.mark.row("D4", "H8")
async def test_search_finds_what_was_said_and_takes_everything_else_for_data(database_url: str, serve):
    answers = [
        "Crème brûlée with MILK is nice.",
        "Die Straße ist lang.",
        "買牛奶 is shopping",
        "About nothing",
    ]
    served = await serve(
        Agent(name="A", model=ScriptedModel(*(Say(answer) for answer in answers))), database_url=database_url
    )
    ids = [(await served.create(f"question {number} of 3:30 o'clock"))[0] for number in range(4)]

    async def found(query: str) -> list[str]:
        return [hit["thread"]["id"] for hit in (await served.person.search(query))["data"]]

    assert await found("milk") == [ids[0]]
    assert await found("CREME brulee") == [ids[0]]
    assert await found("cre") == [ids[0]]
    assert await found("strasse") == [ids[1]]
    assert await found("牛奶") == [ids[2]]
    assert set(await found("question")) == set(ids)
    assert await found("the about") == []
    assert await found("about") == [ids[3]]
    assert await found("3:30 o'clock question 2") == [ids[2]]
    (hit,) = (await served.person.search("milk"))["data"]
    (excerpt,) = hit["excerpts"]
    assert [part["text"] for part in excerpt["parts"] if part["match"]] == ["MILK"]
    assert "".join(part["text"] for part in excerpt["parts"]) == answers[0]

    for query in HOSTILE:
        response = await served.person.http.get("/api/chatkit/threads/search", params={"q": query})
        assert response.status_code in {200, 422}, (query, response.text)
    assert await found('"milk" -nothing') == []
    assert set(await found("question")) == set(ids)

    # Kept by the same transaction: what changes or goes is found so, at once.
    await served.person.request("threads.update", {"thread_id": ids[3], "title": "Cathedrals"})
    assert await found("cathedral") == [ids[3]]
    (hit,) = (await served.person.search("cathedral"))["data"]
    assert hit["excerpts"] == []
    assert [part["text"] for part in hit["title"] if part["match"]] == ["Cathedrals"]
    await served.person.request("threads.update", {"thread_id": ids[3], "title": "Churches"})
    assert await found("cathedral") == []
    await served.person.request("threads.delete", {"thread_id": ids[0]})
    assert await found("milk") == []
    refused = await served.person.http.get("/api/chatkit/threads/search", params={"q": "  "})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")


@pytest.mark.row("H8", "P20")
async def test_feedback_says_what_and_when_and_can_be_changed(database_url: str, serve):
    served = await serve(Agent(name="A", model=ScriptedModel(Say("hi"))), database_url=database_url)
    thread_id, events = await served.create()
    item_id = next(e["item"]["id"] for e in reversed(events) if e["type"] == "thread.item.done")
    for kind in ("positive", "negative"):
        params = {"thread_id": thread_id, "item_ids": [item_id], "kind": kind}
        await served.person.request("items.feedback", params)
    (given,) = await served.person.feedback(thread_id)
    assert (given["item_id"], given["kind"]) == (item_id, "negative")
    assert given["created_at"] < given["updated_at"]
    assert given["updated_at"].endswith("Z")


@pytest.mark.row("D2")
async def test_fifty_turns_at_once_on_a_pool_of_five(database_url: str, serve):
    """No connection is held while an answer streams: fifty answers are held open at the same time."""
    gate = asyncio.Event()
    model = ScriptedModel(*(Say(["Hello ", "there."], until=gate) for _ in range(50)))
    served = await serve(
        Agent(name="A", model=model),
        database_url=database_url,
        database_pool_size=5,
        database_max_overflow=0,
        database_pool_timeout_seconds=30,
        # Five transactions at a time, on a machine that may be slow.
        database_request_timeout_seconds=30,
        auth="jwt",
        jwt_secret=SECRET,
    )
    people = [await served.someone(token("ada")) for _ in range(4)]
    for person in people:
        person.http.timeout = 60
    streams = await asyncio.gather(*(people[number % 4].say(f"message {number}") for number in range(50)))
    async with asyncio.timeout(60):
        while model.streaming < 50:  # noqa: ASYNC110 - the model counts, it does not tell
            await asyncio.sleep(0.01)
    # With every answer underway the pool is free.
    assert (await people[0].request("threads.list", {"limit": 1}))["has_more"]
    gate.set()
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(stream.events() for stream in streams))
    for events in answers:
        assert not [event for event in events if event["type"] == "error"]
    async with served.backchannel.database.read() as connection:
        counted = await connection.execute(
            text("SELECT COUNT(*), COUNT(DISTINCT thread_id), MAX(seq) FROM items")
        )
        assert tuple(counted.one()) == (100, 50, 2)


@pytest.mark.row("D2", "A3")
async def test_an_exhausted_pool_is_503_with_retry_after(database_url: str, serve):
    served = await serve(
        Agent(name="A", model=ScriptedModel(Say("hi"))),
        database_url=database_url,
        database_pool_size=1,
        database_max_overflow=0,
        database_pool_timeout_seconds=0.1,
    )
    # The server's background tasks use the one connection now and then: it is waited for.
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(10):
            while True:
                try:
                    await stack.enter_async_context(served.backchannel.database.read())
                except UnavailableError:
                    continue
                break
        for response in (
            await served.person.http.post("/api/chatkit", json={"type": "threads.list", "params": {}}),
            await served.person.http.post(
                "/api/chatkit", json={"type": "threads.create", "params": {"input": user_message("x")}}
            ),
            await served.person.http.get("/api/chatkit/threads"),
        ):
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) >= 1
            assert response.json()["code"] == "unavailable"
    _, events = await served.create()
    assert not [event for event in events if event["type"] == "error"]


@pytest.mark.row("D2")
async def test_concurrent_messages_and_renames_in_one_thread_lose_nothing(database_url: str, serve):
    model = ScriptedModel(*(Say(f"answer {number}") for number in range(11)))
    served = await serve(Agent(name="A", model=model), database_url=database_url)
    thread_id, _ = await served.create("first")
    titles = [f"Title {number}" for number in range(10)]
    results = await asyncio.gather(
        *(served.person.say(f"message {number}", thread_id) for number in range(10)),
        *(
            served.person.request("threads.update", {"thread_id": thread_id, "title": title})
            for title in titles
        ),
    )
    for stream in results[:10]:
        assert not [event for event in await stream.events() if event["type"] == "error"]
    items = await served.items(thread_id)
    assert len(items) == 22
    assert [item["type"] for item in items] == ["user_message", "assistant_message"] * 11
    assert (await served.person.request("threads.get_by_id", {"thread_id": thread_id}))["title"] in titles
    async with served.backchannel.database.read() as connection:
        rows = await connection.execute(text("SELECT COUNT(*), COUNT(DISTINCT seq) FROM items"))
        total, different = rows.one()
    assert total == different


@pytest.mark.row("B4")
async def test_the_todo_assistant_works(database_url: str, serve):
    served = await serve(assistant, database_url=database_url)
    for said, expected in (
        ("add buy oat milk tomorrow at 5pm, high priority", "Buy oat milk"),
        ("find milk", "Buy oat milk"),
        ("mark milk done", "Buy oat milk"),
        ("delete milk", "Deleted"),
    ):
        events = await (await served.person.say(said)).events()
        assert expected in str(events), said


@function_tool
def picture() -> str:
    """A picture as a data URL."""
    return "data:image/png;base64," + "QUJD" * 75_000


@pytest.mark.row("D4")
async def test_large_contents_are_in_one_row_once(database_url: str, serve):
    """Data URLs and long outputs of tools are stored once, and not again in what the person is shown."""
    model = ScriptedModel(Call("picture"), Say("Here it is."), Say("Yes."))
    agent = Agent(name="A", model=model, tools=[picture])
    served = await serve(agent, database_url=database_url, history_tokens=200_000)
    thread_id, _ = await served.create("draw")
    await (await served.person.say("the same?", thread_id)).events()
    async with served.backchannel.database.read() as connection:
        sizes = [row[0] for row in await connection.execute(text("SELECT LENGTH(data) FROM items"))]
        words = [row[0] for row in await connection.execute(text("SELECT LENGTH(words) FROM search_entries"))]
    assert 300_000 < sum(sizes) < 310_000
    assert sum(words) < 1_000
    assert "QUJDQUJD" in str(model.calls[1]), "the model sees the picture when it answers"
    assert "bytes, left out" in str(model.calls[-1]), "and a note on it in later turns"
