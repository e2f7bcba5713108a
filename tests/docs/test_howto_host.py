"""What docs/howto/mount-in-a-host-application.md promises (H14)."""

import asyncio
import importlib
import signal
import socket
from contextlib import asynccontextmanager

import pytest
import uvicorn
from fastapi import FastAPI

from backchannel.testing import ChatKitClient, Say, ScriptedModel, ServerError

pytestmark = pytest.mark.row("H14")


@asynccontextmanager
async def hosted(app):
    """Serve a host application on a free port; yields the mounted server's address and Uvicorn's server."""
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=30)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(20):
            while not server.started:
                assert not task.done(), "the server did not start"
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", server
        server.should_exit = True
        await asyncio.wait_for(task, 30)


@pytest.fixture
def host(write_page, folder, monkeypatch):
    monkeypatch.setenv("BACKCHANNEL_SHUTDOWN_SECONDS", "0")
    write_page("mount-in-a-host-application.md")
    return importlib.import_module("host")


def client(url):
    # Paths of the client begin at the root, so the mount path is part of the transport's address.
    person = ChatKitClient(url, timeout=20)
    person.http.base_url = f"{url}/chat"
    return person


async def test_the_mounted_server_answers_beside_the_host(host):
    async with hosted(host.app) as (url, _), client(url) as person:
        assert (await person.http.get(f"{url}/")).json() == {"chat": "/chat/"}
        events = await (await person.say("hello")).events()
        assert events[-1]["item"]["type"] == "assistant_message"
        assert (await person.http.get("/health/ready")).status_code == 200
        assert "bc-app" in (await person.http.get("/")).text


async def test_a_host_without_the_lifespan_gets_one_clear_error(host):
    app = FastAPI()
    app.mount("/chat", host.chat)
    async with hosted(app) as (url, _), client(url) as person:
        with pytest.raises(ServerError, match="must run it in its own lifespan") as refused:
            await person.say("hello")
    assert (refused.value.status, refused.value.code) == (503, "not_running")


async def test_an_open_answer_does_not_hold_the_end_of_the_host_up(host, eventually):
    held = asyncio.Event()
    agent = host_agent(host)
    agent.model = ScriptedModel(Say(["Once", " upon"], until=held))
    handlers = signal.getsignal(signal.SIGTERM)
    async with hosted(host.app) as (url, server), client(url) as person:
        handler_of_uvicorn = signal.getsignal(signal.SIGTERM)
        stream = await person.say("hello")
        await eventually(lambda: agent.model.deltas_sent, "the answer has begun")
        assert signal.getsignal(signal.SIGTERM) == handler_of_uvicorn
        server.should_exit = True
        async with asyncio.timeout(20):
            await eventually(lambda: agent.model.streaming == 0, "the run was handed over")
        await stream.aclose()
    assert signal.getsignal(signal.SIGTERM) == handlers


def host_agent(host):
    return host.backchannel.server.agent
