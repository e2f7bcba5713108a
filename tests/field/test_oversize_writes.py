"""Answers that are larger than a statement of the database may be: they fail alone, at once, and by name.

meeb/tubesync#251, matomo-org/matomo#13052, elabftw/elabftw#1205, byzer-org/byzer-lang#1362: the server closes the connection
while it is sent too much, which looks like an outage. The answer was repeated for 46 to 92 seconds and lost, and every other
answer took ten seconds until a restart.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import structlog
from agents import Agent, function_tool

from backchannel.errors import TooLargeToStoreError
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import upgrade
from backchannel.stores.sql.store import SqlStore
from backchannel.testing import Call, Say, ScriptedModel
from backchannel.testing.contracts.store import ADA, a_thread, assistant_message
from databases import database_with_tables
from faults.mariadb_server import MariadbServer

pytestmark = pytest.mark.row("R8", "W6")

LIMIT = 2**20
LARGE = "".join(f'word {number} "quoted" ' for number in range(150_000))
"""Three times the limit."""
SECONDS = 25
"""For a large answer, on a busy machine. Without the check it takes a minute."""
QUICK_SECONDS = 5
"""For others meanwhile. Without the check they take more than ten."""


@pytest.fixture(scope="module")
async def small_packets(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    """A database whose statements may have one MiB."""
    async with MariadbServer(tmp_path_factory.mktemp("mariadb"), max_allowed_packet=str(LIMIT)) as server:
        database = Database(server.url)
        await upgrade(database)
        await database.close()
        yield server.url


def texts(items: list[dict[str, Any]]) -> list[str]:
    return [
        "".join(part["text"] for part in item["content"])
        for item in items
        if item["type"] == "assistant_message"
    ]


def deltas_add_up(events: list[dict[str, Any]]) -> bool:
    said: dict[str, str] = {}
    for event in events:
        match event["type"]:
            case "thread.item.added":
                said[event["item"]["id"]] = ""
            case "thread.item.removed":
                del said[event["item_id"]]
            case "thread.item.updated" if "delta" in event["update"]:
                said[event["item_id"]] += event["update"]["delta"]
            case "thread.item.done" if event["item"]["type"] == "assistant_message":
                if said.pop(event["item"]["id"]) != texts([event["item"]])[0]:
                    return False
            case _:
                pass
    return not said


@pytest.mark.parametrize("pieces", [1, 1000], ids=["one delta", "many deltas"])
async def test_an_answer_that_is_too_large_fails_alone_and_what_was_said_is_kept(
    serve: Any, small_packets: str, pieces: int
) -> None:
    size = len(LARGE) // pieces + 1
    deltas = [LARGE[start : start + size] for start in range(0, len(LARGE), size)]
    begun, others = asyncio.Event(), [Say(f"answer {number}") for number in range(6)]
    model = ScriptedModel(Say([*deltas, ""], until=begun), *others, Say("next"))
    served = await serve(Agent(name="A", model=model), database_url=small_packets)
    with structlog.testing.capture_logs() as logs:
        answering = asyncio.create_task(served.create("large"))
        while model.deltas_sent == 0:  # noqa: ASYNC110 - the model has no event
            await asyncio.sleep(0.01)
        began = time.monotonic()
        begun.set()
        # Others, while it is being stored.
        for number in range(6):
            other = time.monotonic()
            _, events = await served.create()
            assert texts([events[-1]["item"]]) == [f"answer {number}"]
            assert time.monotonic() - other < QUICK_SECONDS
        thread_id, events = await answering
        assert time.monotonic() - began < SECONDS
    assert (events[-1]["type"], events[-1]["reason"]) == ("error", "too_large_to_store")
    assert f"it takes {LIMIT:,}" in events[-1]["message"]
    assert events[-1]["allow_retry"] is False
    kept = texts(await served.items(thread_id))
    assert len(kept) > 3
    assert "".join(kept) == LARGE
    assert deltas_add_up(events)
    line = next(line for line in logs if line["event"] == "item_too_large_to_store")
    assert (line["log_level"], line["limit"]) == ("error", LIMIT)
    assert line["size"] > LIMIT
    # The event that ends the message's text repeats it.
    assert [line["log_level"] for line in logs if line["event"] == "event_too_large_to_store"] == ["error"]
    assert not [line for line in logs if line["event"] in {"event_log_unavailable", "waiting_for_service"}]
    events = await (await served.person.say("go on", thread_id)).events()
    assert texts([events[-1]["item"]]) == ["next"]


async def test_an_output_of_a_tool_that_is_too_large_fails_its_run_at_once(
    serve: Any, small_packets: str
) -> None:
    @function_tool
    def read() -> str:
        """Read."""
        return LARGE

    model = ScriptedModel(Call("read", "{}"), Say("other"))
    served = await serve(Agent(name="A", model=model, tools=[read]), database_url=small_packets)
    began = time.monotonic()
    _, events = await served.create("large")
    assert (events[-1]["type"], events[-1]["reason"]) == ("error", "too_large_to_store")
    _, events = await served.create()
    assert texts([events[-1]["item"]]) == ["other"]
    assert time.monotonic() - began < SECONDS


async def test_the_size_counts_as_it_is_sent(small_packets: str) -> None:
    """Quotes are sent as two characters, and many rows in one packet."""
    database = Database(small_packets)
    store = SqlStore(database)
    thread = a_thread(store)
    await store.save_thread(thread, ADA)
    for character in ('"', "é", "😀", "\n", "x"):
        low, high = 1, LIMIT
        while high - low > 2000:
            middle = (low + high) // 2
            try:
                await store.add_thread_item(
                    thread.id, assistant_message(store, thread, character * middle), ADA
                )
            except TooLargeToStoreError:
                high = middle
            else:
                low = middle
        stored = len(json.dumps(character * low, ensure_ascii=False).encode())
        assert stored > LIMIT / 4, character
    await database.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_other_databases_take_it(serve: Any, kind: str, tmp_path: Any) -> None:
    with database_with_tables(kind, tmp_path) as url:
        model = ScriptedModel(Say([LARGE]))
        served = await serve(Agent(name="A", model=model), database_url=url)
        thread_id, _ = await served.create("large")
        assert texts(await served.items(thread_id)) == [LARGE]
