"""What docs/howto/serve-your-own-server.md promises (H14, K5)."""

import asyncio
import importlib
import shutil
from pathlib import Path

import pytest

from backchannel.testing import ChatKitClient, ServerError

pytestmark = pytest.mark.row("H14", "K5")

PAGE = "serve-your-own-server.md"
SAMPLE = Path(__file__).parent / "sample" / "app"


def answer_of(events):
    return events[-1]["item"]["content"][0]["text"]


async def ask(served, text="hello", thread_id=None, **headers):
    person: ChatKitClient = served.person
    person.http.headers.update(headers)
    return await person.say(text, thread_id)


async def test_the_server_reads_a_header_and_its_router_answers(write_page, serve):
    write_page(PAGE)
    served = await serve("concierge:app")
    events = await (await ask(served, **{"X-Room": "12"})).events()
    link = f"{served.url}/api/rooms/12"
    assert answer_of(events) == f"Room 12: {link}"
    assert (await served.person.http.get(link)).json() == {"room": 12}


async def test_threads_belong_to_the_caller_and_not_to_the_context(write_page, serve):
    write_page(PAGE)
    served = await serve("concierge:app")
    thread_id, _ = await served.create()
    other = await served.someone()
    with pytest.raises(ServerError) as refused:
        await other.request("items.list", {"thread_id": thread_id})
    assert refused.value.status == 404
    assert [item["type"] for item in await served.items(thread_id)] == ["user_message", "assistant_message"]


async def test_a_run_that_waited_has_the_stored_headers_and_no_request(write_page, serve, eventually):
    write_page(PAGE)
    served = await serve("concierge:app")
    concierge = importlib.import_module("concierge").Concierge
    respond, first, free = concierge.respond, asyncio.Event(), asyncio.Event()

    async def slow(self, thread, message, context):
        first.set()
        await free.wait()
        async for event in respond(self, thread, message, context):
            yield event

    concierge.respond = slow
    running = await ask(served, **{"X-Room": "12"})
    async with asyncio.timeout(10):
        await first.wait()
    (thread,) = (await served.person.request("threads.list", {}))["data"]
    waiting = await ask(served, "and now?", thread["id"], **{"X-Room": "14"})
    free.set()
    assert answer_of(await running.events()).startswith("Room 12: http")
    assert answer_of(await waiting.events()) == "Room 14: "


@pytest.fixture
def sample(write_page, folder):
    write_page(PAGE)
    shutil.copytree(SAMPLE, folder / "app")


@pytest.mark.parametrize(
    ("adapter", "expected"), [("cat_lounge", "context: ['request']"), ("metro_map", "context: harbour")]
)
async def test_an_adapter_serves_a_sample_with_its_routes(sample, serve, adapter, expected):
    served = await serve(f"{adapter}:app")
    events = await (await ask(served, **{"map-id": "harbour"})).events()
    assert answer_of(events) == expected
    thread_id = events[0]["thread"]["id"]
    assert (await served.person.http.get(f"/api/answers/{thread_id}")).json() == {"answers": 1}
    assert [each["type"] for each in await served.items(thread_id)] == ["user_message", "assistant_message"]


async def test_with_our_store_each_caller_of_a_sample_sees_only_their_own_threads(sample, serve):
    served = await serve("cat_lounge:app")
    await served.create()
    other = await served.someone()
    assert (await other.request("threads.list", {}))["data"] == []
    assert len((await served.person.request("threads.list", {}))["data"]) == 1


async def test_with_its_own_store_every_caller_of_a_sample_sees_every_thread(sample, serve):
    """What the page warns of."""
    served = await serve("app.main:server")
    await served.create()
    other = await served.someone()
    assert len((await other.request("threads.list", {}))["data"]) == 1
