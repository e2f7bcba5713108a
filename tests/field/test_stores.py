"""Stores of an application's own: on Backchannel's database, and elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from chatkit.server import ChatKitServer
from chatkit.types import AssistantMessageContent, AssistantMessageItem, ThreadItemDoneEvent
from sqlalchemy import text

from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.times import to_sdk, utc_now
from backchannel.testing import ServerError, user_message
from backchannel.testing.memory_store import MemoryStore

pytestmark = pytest.mark.row("K3", "D1")


class Echo(ChatKitServer[Any]):
    """Repeats what was said, from whatever store it has."""

    gate: asyncio.Event | None = None

    async def respond(self, thread: Any, input_user_message: Any, context: Any) -> AsyncIterator[Any]:
        if self.gate is not None:
            await self.gate.wait()
        words = input_user_message.content[0].text
        yield ThreadItemDoneEvent(
            item=AssistantMessageItem(
                id=self.store.generate_item_id("message", thread, context),
                thread_id=thread.id,
                created_at=to_sdk(utc_now()),
                content=[AssistantMessageContent(text=f"You said {words}")],
            )
        )


async def spoken(served: Any) -> tuple[str, list[str]]:
    """A conversation of two turns; the thread and what was answered."""
    thread_id, _ = await served.create("one")
    await (await served.person.say("two", thread_id)).events()
    items = await served.items(thread_id)
    return thread_id, [item["content"][0]["text"] for item in items if item["type"] == "assistant_message"]


async def test_an_own_store_on_the_same_database_shares_its_transactions(
    serve: Any, database_url: str
) -> None:
    """open-webui/open-webui PR#23708: two engines on one SQLite file waited for each other's locks."""

    def target(settings: Any) -> ChatKitServer[Any]:
        return Echo(SqlStore(Database(settings.database_url)))

    served = await serve(target, database_url=database_url)
    async with asyncio.timeout(10):
        _, answers = await spoken(served)
    assert answers == ["You said one", "You said two"]
    assert served.backchannel.server.store.database is served.backchannel.database


async def test_a_second_name_of_the_same_file_is_recognised(serve: Any, tmp_path: Path) -> None:
    """langchain-ai/langgraph#8136: a lock for each instance is of no use to two instances on one file."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    served = await serve(
        Echo(SqlStore(Database(f"sqlite:///{tmp_path / 'link' / 'a.db'}"))),
        database_url=f"sqlite:///{tmp_path / 'folder' / 'a.db'}",
    )
    async with asyncio.timeout(10):
        _, answers = await spoken(served)
    assert answers == ["You said one", "You said two"]


def test_databases_are_told_apart(tmp_path: Path) -> None:
    first = Database(f"sqlite:///{tmp_path / 'a.db'}")
    assert not first.is_same_as(Database(f"sqlite:///{tmp_path / 'b.db'}"))
    assert not Database("sqlite://").is_same_as(Database("sqlite://"))
    server = Database("postgresql://ann:x@localhost/one")
    assert server.is_same_as(Database("postgresql://bob:y@LOCALHOST/one"))
    assert not server.is_same_as(Database("postgresql://ann:x@localhost/two"))


async def test_a_store_elsewhere_is_served_without_shared_transactions(serve: Any, database_url: str) -> None:
    """pyeventsourcing/eventsourcing-sqlalchemy#14: what cannot be atomic must at least be in a safe order."""
    served = await serve(Echo(MemoryStore()), database_url=database_url)
    thread_id, answers = await spoken(served)
    assert answers == ["You said one", "You said two"]
    # Refused after the run was stored: the run and its key must be gone, or the thread would stay busy for good.
    params = {"thread_id": thread_id, "input": {**user_message("x"), "attachments": ["atc_nowhere"]}}
    headers = {"Idempotency-Key": "once"}
    body = {"type": "threads.add_user_message", "params": params}
    for _ in range(2):
        refused = await served.person.http.post("/api/chatkit", json=body, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    body["params"]["input"]["attachments"] = []
    accepted = await served.person.http.post(
        "/api/chatkit", json=body, headers={"Idempotency-Key": "another"}
    )
    assert accepted.status_code == 200
    assert "You said x" in accepted.text


async def test_a_second_message_waits_its_turn_in_a_store_elsewhere(serve: Any) -> None:
    """bytedance/deer-flow#3353: under a few people at once, writers on one file locked each other out."""
    server = Echo(MemoryStore())
    served = await serve(server, while_running="reject")
    thread_id, _ = await served.create("one")
    server.gate = asyncio.Event()
    first = await served.person.say("two", thread_id)
    with pytest.raises(ServerError) as refused:
        await served.person.say("three", thread_id)
    assert refused.value.status == 409
    server.gate.set()
    await first.events()
    await (await served.person.say("four", thread_id)).events()
    said = [item["content"][0]["text"] for item in await served.items(thread_id)]
    assert said == ["one", "You said one", "two", "You said two", "four", "You said four"]


class Breaking(MemoryStore):
    """A store that fails in a way of its own when told to."""

    broken = False

    async def add_thread_item(self, thread_id: str, item: Any, context: object) -> None:
        if self.broken:
            raise KeyError(item.id)
        await super().add_thread_item(thread_id, item, context)


async def test_a_store_elsewhere_that_fails_leaves_the_thread_usable(serve: Any) -> None:
    """Bogdanp/dramatiq PR#545: what failed half-way was neither done nor could it be repeated."""
    store = Breaking()
    served = await serve(Echo(store))
    thread_id, _ = await served.create("one")
    store.broken = True
    body = {
        "type": "threads.add_user_message",
        "params": {"thread_id": thread_id, "input": user_message("two")},
    }
    headers = {"Idempotency-Key": "once"}
    failed = await served.person.http.post("/api/chatkit", json=body, headers=headers)
    assert failed.status_code == 500
    store.broken = False
    async with asyncio.timeout(10):
        again = await served.person.http.post("/api/chatkit", json=body, headers=headers)
    assert "You said two" in again.text
    runs = await served.person.http.get(f"/api/chatkit/threads/{thread_id}/runs")
    assert [run["status"] for run in runs.json()["data"]] == ["completed", "completed"]


async def test_a_repeated_key_after_a_refusal_is_tried_again(serve: Any) -> None:
    """Bogdanp/dramatiq PR#545"""
    served = await serve(Echo(MemoryStore()))
    thread_id, _ = await served.create("one")
    headers = {"Idempotency-Key": "once"}
    body: dict[str, Any] = {"type": "threads.add_user_message", "params": {"thread_id": thread_id}}
    body["params"]["input"] = {**user_message("two"), "attachments": ["atc_nowhere"]}
    assert (await served.person.http.post("/api/chatkit", json=body, headers=headers)).status_code == 404
    body["params"]["input"] = user_message("two")
    assert "You said two" in (await served.person.http.post("/api/chatkit", json=body, headers=headers)).text


class RowAndItem(Echo):
    """Stores a row of its own and an item in one transaction, which fails at its end when told to."""

    fails = False

    async def respond(self, thread: Any, input_user_message: Any, context: Any) -> AsyncIterator[Any]:
        store: Any = self.store
        extra = AssistantMessageItem(
            id=store.generate_item_id("message", thread, context),
            thread_id=thread.id,
            created_at=to_sdk(utc_now()),
            content=[AssistantMessageContent(text="extra")],
        )
        async with store.database.transaction():
            await store.add_thread_item(thread.id, extra, context)
            async with store.database.write() as connection:
                await connection.execute(text("INSERT INTO own_rows VALUES ('row')"))
            if self.fails:
                raise RuntimeError("after both")
        async for event in super().respond(thread, input_user_message, context):
            yield event


async def test_own_rows_and_items_are_stored_together_or_not_at_all(serve: Any, database_url: str) -> None:
    """pyeventsourcing/eventsourcing-sqlalchemy#14: rows of the application and of the library need one transaction."""

    def target(settings: Any) -> ChatKitServer[Any]:
        return RowAndItem(SqlStore(Database(settings.database_url)))

    served = await serve(target, database_url=database_url)
    database, server = served.backchannel.database, served.backchannel.server
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE own_rows (name VARCHAR(10))"))

    async def stored() -> tuple[int, int]:
        async with database.read() as connection:
            rows = len((await connection.execute(text("SELECT * FROM own_rows"))).all())
        threads = (await served.person.request("threads.list", {}))["data"]
        items = [item for thread in threads for item in await served.items(thread["id"])]
        return rows, sum(item.get("content", [{}])[0].get("text") == "extra" for item in items)

    server.fails = True
    events = await (await served.person.say("one")).events()
    assert events[-1]["type"] == "error"
    assert await stored() == (0, 0)
    server.fails = False
    await served.create("two")
    assert await stored() == (1, 1)


class TakenOver(MemoryStore):
    """While it stores a message, another process takes the run over."""

    database: Database | None = None

    async def add_thread_item(self, thread_id: str, item: Any, context: Any) -> None:
        await super().add_thread_item(thread_id, item, context)
        if self.database is not None:
            database, self.database = self.database, None
            async with database.write() as connection:
                await connection.execute(
                    text("UPDATE runs SET fence = fence + 1, replica = 'rep_other' WHERE status = 'running'")
                )


async def test_a_run_that_another_process_took_over_meanwhile_is_not_deleted(serve: Any) -> None:
    """Bogdanp/dramatiq PR#545: undoing a step that failed must not take away what another worker goes on with."""
    store = TakenOver()
    served = await serve(Echo(store))
    thread_id, _ = await served.create("one")
    store.database = served.backchannel.database
    with pytest.raises(ServerError):
        await served.person.say("two", thread_id)
    async with served.backchannel.database.read() as connection:
        rows = (await connection.execute(text("SELECT fence FROM runs ORDER BY created_at"))).all()
    assert [fence for (fence,) in rows][1] >= 2
