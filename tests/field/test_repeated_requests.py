"""Messages that are sent again because no byte of the response came: with an `Idempotency-Key`, and without one."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from chatkit.server import ChatKitServer
from chatkit.types import AssistantMessageContent, AssistantMessageItem, ThreadItemDoneEvent

from backchannel import Application, Hooks
from backchannel.hooks import StreamOpened
from backchannel.stores.times import to_sdk, utc_now
from backchannel.testing import user_message
from backchannel.testing.memory_store import MemoryStore

pytestmark = pytest.mark.row("K10", "C7")


class SlowStore(MemoryStore):
    """Stores messages of threads only while its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    async def add_thread_item(self, thread_id: str, item: Any, context: Any) -> None:
        if item.type == "user_message":
            self.waiting += 1
            await self.gate.wait()
        await super().add_thread_item(thread_id, item, context)


class Slow(ChatKitServer[Any]):
    """Answers while its gate is open."""

    def __init__(self) -> None:
        super().__init__(SlowStore())
        self.gate = asyncio.Event()
        self.gate.set()

    async def respond(self, thread: Any, input_user_message: Any, context: Any) -> AsyncIterator[Any]:
        await self.gate.wait()
        content = [AssistantMessageContent(text="done")]
        yield ThreadItemDoneEvent(
            item=AssistantMessageItem(
                id=self.store.generate_item_id("message", thread, context),
                thread_id=thread.id,
                created_at=to_sdk(utc_now()),
                content=content,
            )
        )


class Streams(Hooks):
    """Runs whose events somebody began to read, one entry for each reader."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def stream_opened(self, event: StreamOpened) -> None:
        self.opened.append(event.run_id)


class Talk:
    """A thread of one person with a slow server."""

    def __init__(self, served: Any, server: Slow, streams: Streams, thread_id: str, eventually: Any) -> None:
        self.streams = streams
        self.served = served
        self.server = server
        self.store: Any = server.store
        self.thread_id = thread_id
        self.eventually = eventually

    def body(self, text: str = "yes") -> dict[str, Any]:
        return {
            "type": "threads.add_user_message",
            "params": {"thread_id": self.thread_id, "input": user_message(text)},
        }

    async def post(self, text: str = "yes", **headers: str) -> Any:
        """Send a message and read the whole response."""
        return await self.served.person.http.post("/api/chatkit", json=self.body(text), headers=headers)

    async def post_and_leave(self, text: str = "yes", **headers: str) -> None:
        """Send a message and close the connection before any byte of the response comes."""
        self.store.gate.clear()
        cookies = "; ".join(f"{name}={value}" for name, value in self.served.person.http.cookies.items())
        content = json.dumps(self.body(text)).encode()
        host, _, port = self.served.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        lines = [
            "POST /api/chatkit HTTP/1.1",
            f"Host: {host}:{port}",
            f"Cookie: {cookies}",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        before = self.store.waiting
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        await self.eventually(lambda: self.store.waiting > before, "the message is about to be stored")
        writer.transport.abort()
        del reader

    async def said(self, count: int) -> list[str]:
        """The person's messages after the first one, once all are answered."""
        async with asyncio.timeout(10):
            while True:
                items = await self.served.items(self.thread_id)
                if len([item for item in items if item["type"] == "assistant_message"]) == count + 1:
                    break
                await asyncio.sleep(0.02)
        return [item["content"][0]["text"] for item in items if item["type"] == "user_message"][1:]

    async def active(self) -> list[Any]:
        """The runs of the thread that have not ended."""
        path = f"/api/chatkit/threads/{self.thread_id}/runs"
        return (await self.served.person.http.get(path, params={"status": "active"})).json()["data"]

    async def joined(self) -> None:
        """Wait until the repetition of a message reads the events of its run too, and another message waits."""
        while len(active := await self.active()) < 2 or self.streams.opened.count(active[-1]["id"]) < 2:  # noqa: ASYNC110 - of the server
            await asyncio.sleep(0.02)

    async def ended(self) -> None:
        """Wait until no run of the thread is left: the answer is stored a little before its run ends."""
        async with asyncio.timeout(10):
            while await self.active():  # noqa: ASYNC110 - of the server
                await asyncio.sleep(0.02)


@pytest.fixture
async def talk(serve: Any, eventually: Any) -> Talk:
    server, streams = Slow(), Streams()
    served = await serve(Application(server=server, hooks=[streams]))
    thread_id, _ = await served.create("first")
    return Talk(served, server, streams, thread_id, eventually)


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k1"}])
async def test_a_request_without_a_byte_of_a_response_can_be_repeated(talk: Talk, headers: dict[str, str]):
    """anthropics/anthropic-sdk-java#370, chatwoot/chatwoot#15743, Expensify/App#4214, PostHog/posthog PR#57169,
    bluesky-social/social-app PR#4111: a repetition after a time-out was a second message."""
    talk.server.gate.clear()
    await talk.post_and_leave(**headers)
    again = asyncio.create_task(talk.post(**headers))
    third = asyncio.create_task(talk.post("something else"))
    talk.store.gate.set()
    async with asyncio.timeout(10):
        # Until then the run of the first must not end.
        await talk.joined()
    talk.server.gate.set()
    response = await asyncio.wait_for(again, 10)
    await asyncio.wait_for(third, 10)
    events = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]
    assert [event["item"]["content"][0]["text"] for event in events if "item" in event] == ["yes", "done"]
    assert sorted(await talk.said(2)) == ["something else", "yes"]


async def test_the_same_message_is_a_new_one_once_the_first_is_answered(talk: Talk):
    """A person types "yes" twice."""
    for _ in range(2):
        assert (await talk.post()).status_code == 200
    assert await talk.said(2) == ["yes", "yes"]


async def test_the_same_message_at_the_same_time_is_another_one(talk: Talk):
    """Both connections are open: neither can be a repetition."""
    talk.store.gate.clear()
    first = asyncio.create_task(talk.post())
    await talk.eventually(lambda: talk.store.waiting == 2, "the first is about to be stored")
    second = asyncio.create_task(talk.post())
    talk.store.gate.set()
    await asyncio.wait_for(asyncio.gather(first, second), 10)
    assert await talk.said(2) == ["yes", "yes"]


async def test_the_same_message_is_a_new_one_when_the_run_of_the_first_has_ended(talk: Talk):
    await talk.post_and_leave()
    talk.store.gate.set()
    assert await talk.said(1) == ["yes"]
    await talk.ended()
    assert (await talk.post()).status_code == 200
    assert await talk.said(2) == ["yes", "yes"]


async def test_a_reader_waits_for_the_log_of_a_run_whose_message_is_being_stored(talk: Talk):
    talk.store.gate.clear()
    before = talk.store.waiting
    posting = asyncio.create_task(talk.post())
    await talk.eventually(lambda: talk.store.waiting > before, "the message is about to be stored")
    [run] = await talk.active()
    reading = asyncio.create_task(talk.served.person.open_events(run["id"], ""))
    done, _ = await asyncio.wait([reading], timeout=0.2)
    assert not done
    talk.store.gate.set()
    async with asyncio.timeout(10):
        reader = await reading
        assert "thread.item.done" in (await reader.aread()).decode()
        assert (await posting).status_code == 200


async def test_the_same_message_is_a_new_one_when_somebody_reads_the_answer_to_the_first(talk: Talk):
    """A person reloads the page, sees the answer begin, and says the same again."""
    talk.server.gate.clear()
    await talk.post_and_leave()
    talk.store.gate.set()
    async with asyncio.timeout(10):
        while not (runs := await talk.active()):  # noqa: ASYNC110 - of the server
            await asyncio.sleep(0.02)
    reader = await talk.served.person.open_events(runs[0]["id"], "")
    again = asyncio.create_task(talk.post())
    await asyncio.sleep(0)
    talk.server.gate.set()
    assert (await asyncio.wait_for(again, 10)).status_code == 200
    await reader.aread()
    assert await talk.said(2) == ["yes", "yes"]


async def test_the_same_message_is_a_new_one_when_somebody_reads_before_the_first_is_stored(talk: Talk):
    """The run can be read a little before the request that starts it knows its id."""
    talk.server.gate.clear()
    await talk.post_and_leave()
    [run] = await talk.active()
    reading = asyncio.create_task(talk.served.person.open_events(run["id"], ""))
    done, _ = await asyncio.wait([reading], timeout=0.2)
    assert not done
    talk.store.gate.set()
    reader = await asyncio.wait_for(reading, 10)
    again = asyncio.create_task(talk.post())
    async with asyncio.timeout(10):
        while len(await talk.active()) < 2:  # noqa: ASYNC110 - of the server
            await asyncio.sleep(0.02)
    talk.server.gate.set()
    assert (await asyncio.wait_for(again, 10)).status_code == 200
    await reader.aread()
    assert await talk.said(2) == ["yes", "yes"]


async def test_another_person_is_never_given_the_run(talk: Talk):
    talk.server.gate.clear()
    await talk.post_and_leave()
    other = await talk.served.someone()
    refused = asyncio.create_task(other.http.post("/api/chatkit", json=talk.body()))
    talk.store.gate.set()
    assert (await asyncio.wait_for(refused, 10)).status_code == 404
    talk.server.gate.set()
    assert await talk.said(1) == ["yes"]
