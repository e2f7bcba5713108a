"""Hosts that Backchannel does not start: it drains under them, and leaves their signals alone."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI

from backchannel import Settings, build, create_app
from backchannel.testing import ChatKitClient, Say, ScriptedModel
from field.hosting import an_agent, serving

pytestmark = pytest.mark.row("H14")


@pytest.mark.parametrize("mounted", [False, True])
async def test_a_foreign_uvicorn_that_is_asked_to_exit_lets_go_of_open_streams(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    eventually,
    caplog: pytest.LogCaptureFixture,
    mounted: bool,
):
    """Kludex/uvicorn#451, modelcontextprotocol/python-sdk#514: it waited for the stream for ever.
    restatedev/sdk-python#226: a library's own handler displaced the host's, and the process never stopped."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    model = ScriptedModel(Say(["half ", "never"], until=asyncio.Event()))
    backchannel = build(Settings.load(shutdown_seconds=0, heartbeat_seconds=120), an_agent(model))
    handlers = list[object]()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        handlers.append([signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)])
        async with backchannel.running():
            handlers.append([signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)])
            yield

    app = create_app(backchannel)
    if mounted:
        host = FastAPI(lifespan=lifespan)
        host.mount("/chat", app)
        app = host
    async with (
        serving(app, timeout_graceful_shutdown=None) as (url, server),
        ChatKitClient(f"{url}/chat" if mounted else url) as person,
    ):
        stream = await person.say("go")
        await eventually(lambda: model.streaming == 1, "the answer has begun")
        server.should_exit = True
        await eventually(lambda: backchannel.runs.draining, "it drains")
        await eventually(lambda: not backchannel.is_running, "the stream is let go of")
        await stream.aclose()
    assert not backchannel.is_running
    assert "Traceback" not in caplog.text
    if mounted:
        assert handlers[0] == handlers[1]
