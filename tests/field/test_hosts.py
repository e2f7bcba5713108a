"""Hosts that Backchannel does not start: it drains under them, and leaves their signals alone."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi import APIRouter, FastAPI, Request
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from backchannel import Application, Settings, build, create_app
from backchannel.context import identity_of
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


class TenantMiddleware:
    """Pure ASGI, as a host may have it: what it binds is for all log lines of the request, also its own at the end."""

    notes: dict[str, Any]

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["state"] = {**scope.get("state", {}), "request_id": "host-1", "authenticate": "host's own"}
        host_variables = {"tenant": "a", "request_id": "host-1", "run_id": "host's run"}
        with structlog.contextvars.bound_contextvars(**host_variables):
            await self.app(scope, receive, send)
            type(self).notes = {
                "variables": structlog.contextvars.get_contextvars(),
                "state": scope["state"],
                "identity": identity_of(RowOwner()),
            }


class RowOwner:
    """A context of the host's own."""

    user_id = "host's user"


async def test_a_host_keeps_its_log_variables_and_its_request_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """jrobichaud/django-structlog#76: "will clear everything in the context, whether it was set by django-structlog or
    not". fastapi/fastapi#4696: the state of a request was not what a middleware had set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    router = APIRouter()

    @router.get("/state")
    async def state(request: Request) -> str:
        return request.state.request_id

    application = Application(agent=an_agent(), routers=[router])
    backchannel = build(Settings.load(database_url="sqlite://"), application)

    @asynccontextmanager
    async def lifespan(_host: FastAPI) -> AsyncGenerator[None]:
        async with backchannel.running():
            yield

    host = FastAPI(lifespan=lifespan)
    host.mount("/chat", create_app(backchannel))
    host.add_middleware(TenantMiddleware)
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        async with serving(host) as (url, _), ChatKitClient(f"{url}/chat") as person:
            await (await person.say("hello")).events()
            answered = TenantMiddleware.notes
            own = (await person.http.get("/api/state")).json()
            await person.http.get("/nowhere")
    assert own == "host-1"
    for notes in (answered, TenantMiddleware.notes):
        assert notes["variables"] == {"tenant": "a", "request_id": "host-1", "run_id": "host's run"}
        assert notes["state"]["request_id"] == "host-1"
        assert notes["state"]["authenticate"] == "host's own"
        assert notes["identity"].user == "host's user"
    ours = [line for line in lines if line["event"] in {"request", "run_started", "run_ended"}]
    assert {line["event"] for line in ours} == {"request", "run_started", "run_ended"}
    for line in ours:
        assert line["tenant"] == "a"
        assert line["request_id"].startswith("req_")
        assert line.get("run_id", "run_").startswith("run_")
