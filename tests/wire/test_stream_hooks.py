"""Listeners get the beginning and the end of every stream that a client follows (H14)."""

import asyncio

import httpx2
import pytest
from agents import Agent

from backchannel import Application, Hooks
from backchannel.testing import Say, ScriptedModel

pytestmark = pytest.mark.row("H14")


class Streams(Hooks):
    def __init__(self):
        self.opened, self.closed = [], []

    def stream_opened(self, event):
        self.opened.append(event)

    def stream_closed(self, event):
        self.closed.append(event)


@pytest.fixture
def streams():
    return Streams()


@pytest.fixture
def held():
    return asyncio.Event()


@pytest.fixture
async def served(serve, streams, held):
    model = ScriptedModel(Say(["Once", " upon"], until=held))
    return await serve(Application(agent=Agent(name="A", model=model), hooks=[streams]), shutdown_seconds=0)


async def test_a_stream_that_is_read_to_its_end(served, streams, held, eventually):
    held.set()
    stream = await served.person.say("hello")
    await stream.events()
    await eventually(lambda: streams.closed, "the stream is closed")
    (opened,), (closed,) = streams.opened, streams.closed
    assert (opened.run_id, opened.format, closed.outcome) == (stream.run_id, "chatkit", "ended")
    assert (closed.run_id, closed.identity, closed.request_id) == (
        opened.run_id,
        opened.identity,
        opened.request_id,
    )
    assert closed.seconds > 0


async def test_a_stream_whose_client_goes_away(served, streams, held, eventually):
    stream = await served.person.say("hello")
    await eventually(lambda: streams.opened, "the stream is open")
    assert not streams.closed
    await stream.aclose()
    await eventually(lambda: streams.closed, "the stream is closed")
    assert streams.closed[0].outcome == "disconnected"
    held.set()


async def test_a_stream_that_goes_on_elsewhere(served, streams, eventually):
    stream = await served.person.say("hello")
    await eventually(lambda: streams.opened, "the stream is open")
    await served.backchannel.drain()
    await eventually(lambda: streams.closed, "the stream is closed")
    assert streams.closed[0].outcome == "reconnect"
    await stream.aclose()


async def test_a_plain_stream(served, streams, held, eventually):
    held.set()
    body = {"input": {"type": "user_message", "content": [{"type": "text", "text": "hello"}]}}
    async with httpx2.AsyncClient(base_url=served.url) as client:
        response = await client.post("/api/chatkit/stream", json=body)
    assert response.status_code == 200, response.text
    await eventually(lambda: streams.closed, "the stream is closed")
    assert [(each.format, each.outcome) for each in streams.closed] == [("plain", "ended")]
