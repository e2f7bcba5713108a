"""Factories and lifespans of applications: called once, entered once, left in order, and clear when they fail."""

import asyncio
import importlib
import logging
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import anyio
import httpx2
import pytest
import structlog
import uvicorn
from agents import Agent
from chatkit.server import ChatKitServer
from fastapi import APIRouter, FastAPI
from sqlalchemy import event, text
from structlog.testing import capture_logs

from backchannel import Application, Backchannel, Hooks, Settings, build, create_app
from backchannel.cli import app as cli
from backchannel.errors import ConfigurationError
from backchannel.hooks import RunEnded
from backchannel.sql import Database
from backchannel.testing import ChatKitClient, Say, ScriptedModel
from backchannel.wiring import Target
from field.hosting import ClosingModels, an_agent, serving

pytestmark = pytest.mark.row("H14")

AGENT = an_agent()
CHAT = "/chat/api/chatkit/threads"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def made(target: Target, **settings: Any) -> Backchannel:
    return build(Settings.load(**{"database_url": "sqlite://", **settings}), target)


class DiedError(BaseException):
    """What makes a group of exceptions that `except Exception` does not catch."""


@asynccontextmanager
async def failing_to_start(error: BaseException) -> AsyncGenerator[None]:
    raise error
    yield


@asynccontextmanager
async def failing_to_stop(notes: list[str], error: BaseException) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        notes.append("lifespan left")
        raise error


# Start


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(OSError("no route to crm"), "OSError: no route to crm", id="Kludex/starlette#486"),
        pytest.param(
            BaseExceptionGroup("unhandled errors", [BaseExceptionGroup("a", [DiedError("no such tool")])]),
            "DiedError: no such tool",
            id="Chainlit/chainlit#2805",
        ),
    ],
)
async def test_failing_to_start_names_the_lifespan_and_closes_what_was_open(
    error: BaseException, reason: str
):
    notes = list[str]()
    application = Application(
        agent=AGENT, model_provider=ClosingModels(notes), lifespan=partial(failing_to_start, error)
    )
    backchannel = made(application)
    with pytest.raises(ConfigurationError) as caught:
        async with backchannel.running():
            notes.append("served")
    assert caught.value.message == f"The application's lifespan failed to start ({reason})."
    assert notes == ["models closed"]
    assert not backchannel.is_running


def test_a_server_whose_lifespan_fails_never_answers(caplog: pytest.LogCaptureFixture):
    """Kludex/starlette#177: an exception in startup was swallowed, and the server served."""
    app = create_app(made(Application(agent=AGENT, lifespan=partial(failing_to_start, OSError("no crm")))))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        caplog.at_level(logging.ERROR),
        pytest.raises(SystemExit) as ended,
    ):
        server.run(sockets=[listener])
    assert ended.value.code != 0
    assert not server.started
    assert "The application's lifespan failed to start (OSError: no crm)." in caplog.text


async def without_yield() -> None: ...


async def undecorated() -> AsyncGenerator[None]:
    yield


@pytest.mark.parametrize("lifespan", [without_yield, undecorated, partial(undecorated), 3])
def test_a_lifespan_of_another_shape_is_refused_when_the_application_is_made(lifespan: Any):
    """ets-labs/python-dependency-injector#567: a coroutine was never awaited, the resource never closed."""
    with pytest.raises(ConfigurationError, match=r"lifespan.*asynccontextmanager"):
        Application(agent=AGENT, lifespan=lifespan)


@contextmanager
def synchronous() -> Any:
    yield


def plain() -> Any:
    return None


@pytest.mark.parametrize("lifespan", [synchronous, plain])
async def test_a_lifespan_that_makes_something_else_is_refused_at_start(lifespan: Callable[[], Any]):
    """ets-labs/python-dependency-injector#567"""
    with pytest.raises(ConfigurationError, match=r"application's lifespan.*asynccontextmanager"):
        async with made(Application(agent=AGENT, lifespan=lifespan)).running():
            pass


async def test_a_lifespan_with_a_parameter_is_refused_by_its_name():
    """Kludex/uvicorn#492: a function of another shape failed at the first request, not at start."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        yield

    unfit: Any = lifespan
    with pytest.raises(ConfigurationError, match=r"lifespan.*'app'"):
        async with made(Application(agent=AGENT, lifespan=unfit)).running():
            pass


# Stop


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OSError("crm is gone"), id="Kludex/starlette#1138"),
        pytest.param(BaseExceptionGroup("tasks", [DiedError("x")]), id="microsoft/conductor#353"),
    ],
)
async def test_failing_to_stop_is_logged_once_and_everything_else_is_closed(error: BaseException):
    notes = list[str]()
    application = Application(
        agent=AGENT, model_provider=ClosingModels(notes), lifespan=partial(failing_to_stop, notes, error)
    )
    backchannel = made(application)
    with capture_logs() as lines:
        async with backchannel.running():
            watch_database(backchannel, notes)
    assert notes == ["lifespan left", "models closed", "database closed"]
    assert [line["part"] for line in lines if line["event"] == "close_failed"] == ["lifespan"]


async def test_cancelled_on_the_way_out_still_closes_everything():
    """PrefectHQ/fastmcp#3480: cleanup was skipped when CancelledError met the first await of it."""
    notes = list[str]()
    application = Application(
        agent=AGENT,
        model_provider=ClosingModels(notes),
        lifespan=partial(failing_to_stop, notes, asyncio.CancelledError()),
    )
    backchannel = made(application)
    with pytest.raises(asyncio.CancelledError):
        async with backchannel.running():
            watch_database(backchannel, notes)
    assert notes == ["lifespan left", "models closed", "database closed"]


async def test_stopped_by_cancellation_a_lifespan_can_still_await():
    """PrefectHQ/fastmcp#3471: `finally: await db.close()` never got to its end."""
    notes = list[str]()

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        yield
        await asyncio.sleep(0.05)
        notes.append("closed")

    up = asyncio.Event()

    async def run() -> None:
        async with made(Application(agent=AGENT, lifespan=lifespan)).running():
            up.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await asyncio.wait_for(up.wait(), 10)
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()
    assert notes == ["closed"]


def watch_database(backchannel: Backchannel, notes: list[str]) -> None:
    engine = backchannel.database.engine.sync_engine
    event.listen(engine, "engine_disposed", lambda _engine: notes.append("database closed"))


async def test_runs_end_before_the_lifespan_and_the_database_after_it(eventually):
    """cloudflare/workers-py#229: resources were closed under responses in progress."""
    notes = list[str]()
    gate = asyncio.Event()

    class Ends(Hooks):
        def run_ended(self, event: RunEnded) -> None:
            notes.append(f"run {event.status}")

    def make(database: Database) -> Application:
        @asynccontextmanager
        async def lifespan() -> AsyncGenerator[None]:
            yield
            async with database.read() as connection:
                await connection.execute(text("SELECT 1"))
            notes.append("lifespan left")

        agent = an_agent(ScriptedModel(Say(["half ", "whole"], until=gate)))
        return Application(agent=agent, hooks=[Ends()], lifespan=lifespan)

    backchannel = made(make)
    transport = httpx2.ASGITransport(create_app(backchannel))

    async def say() -> list[dict[str, Any]]:
        async with ChatKitClient("http://test", transport=transport) as person:
            return await (await person.say("go")).events()

    async def finish_when_draining() -> None:
        await eventually(lambda: backchannel.runs.draining, "it drains")
        gate.set()

    async with backchannel.running():
        watch_database(backchannel, notes)
        saying = asyncio.create_task(say())
        await eventually(lambda: backchannel.runs.active == 1, "the run is in progress")
        finishing = asyncio.create_task(finish_when_draining())
    await finishing
    assert (await saying)[-1]["type"] == "thread.item.done"
    assert notes == ["run completed", "lifespan left", "database closed"]


class Auditing:
    """A lifespan that opens a client, and a listener that needs it some time after each run."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.database: Database | None = None
        self.backchannel: Backchannel | None = None
        self.open = False
        self.application = Application(agent=AGENT, hooks=[self.listener()], lifespan=self.lifespan)

    def __call__(self, database: Database) -> Application:
        self.database = database
        return self.application

    def listener(self) -> Hooks:
        auditing = self

        class Listener(Hooks):
            async def run_ended(self, event: RunEnded) -> None:
                assert auditing.backchannel is not None
                assert auditing.database is not None
                while auditing.backchannel.is_running:  # noqa: ASYNC110 - no event tells
                    await asyncio.sleep(0.01)
                # Time enough to close everything, if this is not waited for.
                await asyncio.sleep(0.1)
                async with auditing.database.read() as connection:
                    await connection.execute(text("SELECT 1"))
                auditing.notes.append(f"audited {event.status}" if auditing.open else "client is closed")

        return Listener()

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self.open = True
        yield
        self.open = False
        self.notes.append("lifespan left")


async def test_what_a_run_triggered_ends_before_the_lifespan(serve):
    """vstorm-co/agenticos#1095, eclipse-vertx/vert.x#3689: an audit line met closed clients at each restart."""
    auditing = Auditing()
    served = await serve(auditing)
    auditing.backchannel = served.backchannel
    await served.create()
    await served.stack.aclose()
    assert auditing.notes == ["audited completed", "lifespan left"]


async def test_the_end_of_an_interrupted_run_is_handled_before_the_lifespan(serve, eventually):
    """vstorm-co/agenticos#1095, langchain-ai/langsmith-sdk#2799: the last events are the ones that matter most."""
    auditing = Auditing()

    class Own(ChatKitServer[Any]):
        """Its answers cannot be resumed, so a restart interrupts them."""

        async def respond(self, thread: Any, input_user_message: Any, context: Any) -> Any:
            await asyncio.Event().wait()
            yield

    auditing.application = replace(auditing.application, agent=None, server=Own)
    served = await serve(auditing)
    auditing.backchannel = served.backchannel
    stream = await served.person.say("go")
    await eventually(lambda: served.backchannel.runs.active == 1, "the run is in progress")
    await served.stack.aclose()
    await stream.aclose()
    assert auditing.notes == ["audited interrupted", "lifespan left"]


# One task, once


class TaskBound:
    """A lifespan like that of an MCP session: it must be left in the task that entered it."""

    def __init__(self) -> None:
        self.entered = 0
        self.left = 0
        self.tasks = set[object]()

    @asynccontextmanager
    async def __call__(self) -> AsyncGenerator[None]:
        self.tasks.add(asyncio.current_task())
        self.entered += 1
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            yield
            group.cancel_scope.cancel()
        self.tasks.add(asyncio.current_task())
        self.left += 1


async def test_one_task_enters_and_leaves_it_and_once_for_all_requests(serve):
    """PrefectHQ/fastmcp#166, modelcontextprotocol/python-sdk#79: entered per request; left in another task."""
    lifespan = TaskBound()
    served = await serve(Application(agent=AGENT, lifespan=lifespan))
    threads = [(await served.create(f"hello {number}"))[0] for number in range(3)]
    await asyncio.gather(*(served.items(thread) for thread in threads * 5))
    assert (lifespan.entered, lifespan.left) == (1, 0)
    await served.stack.aclose()
    assert (lifespan.entered, lifespan.left, len(lifespan.tasks)) == (1, 1, 1)


async def test_one_task_also_when_a_later_part_fails_to_open():
    """openai/openai-agents-python#1393: cleanup after a failed start came from another task."""
    bound = TaskBound()

    def make(database: Database) -> Application:
        @asynccontextmanager
        async def lifespan() -> AsyncGenerator[None]:
            async with bound():
                # What is opened next needs this table.
                async with database.write() as connection:
                    await connection.execute(text("DROP TABLE replicas"))
                yield

        return Application(agent=AGENT, lifespan=lifespan)

    with pytest.raises(Exception, match="replicas"):
        async with made(make).running():
            pytest.fail("it started")
    assert (bound.entered, bound.left, len(bound.tasks)) == (1, 1, 1)


# Factories


async def test_an_async_factory_is_called_once(serve):
    """aegra/aegra#40: the coroutine was taken for the application."""
    calls = list[Settings]()

    async def make(settings: Settings) -> Application:
        calls.append(settings)
        await asyncio.sleep(0)
        return Application(agent=AGENT)

    served = await serve(make)
    for _ in range(3):
        await served.create()
    assert len(calls) == 1


async def test_a_function_that_returns_an_awaitable_is_a_factory_too():
    """aegra/aegra#40"""

    async def make_it() -> Agent[Any]:
        return AGENT

    def make() -> Awaitable[Agent[Any]]:
        return make_it()

    backchannel = made(make)
    async with backchannel.running():
        assert backchannel.parts.server is not None


async def make_none() -> None: ...


async def make_wrongly() -> None:
    raise OSError("no crm")


@asynccontextmanager
async def make_as_context() -> AsyncGenerator[Agent[Any]]:
    yield AGENT


def make_with(scope: object, receive: object) -> None: ...


@pytest.mark.parametrize(
    ("target", "message"),
    [
        pytest.param(lambda: None, "The target is a NoneType; serve an Agent", id="aegra/aegra#40-none"),
        pytest.param(make_none, "The target is a NoneType; serve an Agent", id="aegra/aegra#40-async-none"),
        pytest.param(make_wrongly, "make_wrongly failed (OSError: no crm).", id="aegra/aegra#106"),
        pytest.param(make_as_context, "ContextManager; serve an Agent", id="ob-labs/agentseek-api#67"),
        pytest.param(
            make_with, "make_with wants 'scope'; a target can be given only", id="Kludex/uvicorn#492"
        ),
        pytest.param(FastAPI(), "wants 'scope'", id="Kludex/uvicorn#540"),
    ],
)
async def test_a_factory_that_makes_nothing_to_serve_is_refused_at_start(target: Any, message: str):
    with pytest.raises(ConfigurationError) as caught:
        async with made(target).running():
            pytest.fail("it started")
    assert message in caught.value.message


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Commands configure the process's logging."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.configure(**before)
    root.handlers, root.level = handlers, level


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("command", [["db", "upgrade"], ["db", "current"], ["export", "ann"]])
def test_commands_call_the_factory_and_leave_the_lifespan_alone(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """aegra/aegra#214: it could not be seen how often a factory is called, and what it opens."""
    source = """
        from contextlib import asynccontextmanager
        from agents import Agent
        from backchannel import Application
        calls = []

        @asynccontextmanager
        async def lifespan():
            calls.append("entered")
            yield

        async def make():
            calls.append("made")
            return Application(agent=Agent(name="A"), lifespan=lifespan)
        """
    (tmp_path / "field_target.py").write_text(dedent(source))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("BACKCHANNEL_APP", "field_target:make")
    monkeypatch.setenv("BACKCHANNEL_DATABASE_URL", f"sqlite:///{tmp_path / 'commands.db'}")
    target = importlib.import_module("field_target")
    try:
        for each in (["db", "upgrade"], command):
            target.calls.clear()
            with suppress(SystemExit):
                cli(each, exit_on_error=False, result_action="return_value")
            assert target.calls == ["made"], each
    finally:
        del sys.modules["field_target"]


# Mounting


def mounted(
    backchannel: Backchannel, lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None
):
    host = FastAPI(lifespan=lifespan)
    host.mount("/chat", create_app(backchannel))
    return host


async def test_mounted_without_its_lifespan_every_request_gets_one_clear_error():
    """Kludex/starlette#649, fastapi/fastapi#1480: the lifespan of a mounted application never runs, silently."""
    lifespan = TaskBound()
    host = mounted(made(Application(agent=AGENT, lifespan=lifespan)), None)
    async with serving(host) as (url, _), httpx2.AsyncClient(base_url=url) as client:
        for path in ("/chat/health/ready", CHAT, "/chat/", "/chat/nowhere"):
            refused = await client.get(path)
            assert (refused.status_code, refused.json()["code"]) == (503, "not_running"), path
            assert "async with backchannel.running(): yield" in refused.json()["message"]
    assert lifespan.entered == 0


def router_of(path: str) -> APIRouter:
    router = APIRouter()

    @router.get(path)
    async def own() -> str:
        return "own"

    return router


async def make_with_router() -> Application:
    return Application(agent=AGENT, routers=[router_of("/own")])


@pytest.mark.parametrize("target", [Application(agent=AGENT, routers=[router_of("/own")]), make_with_router])
async def test_mounted_with_the_hosts_lifespan_it_works(target: Any):
    """modelcontextprotocol/python-sdk#713, agno-agi/agno#4958: parts were missing where the host opened it."""
    backchannel = made(target)

    @asynccontextmanager
    async def lifespan(_host: FastAPI) -> AsyncGenerator[None]:
        async with backchannel.running():
            yield

    async with serving(mounted(backchannel, lifespan)) as (url, _), ChatKitClient(f"{url}/chat") as person:
        assert (await person.http.get("/health/ready")).status_code == 200
        assert (await (await person.say("hello")).events())[-1]["type"] == "thread.item.done"
        assert (await person.http.get("/api/own")).json() == "own"


async def test_two_servers_follow_each_other_in_one_process(serve):
    """procrastinate-org/procrastinate#1321: what a first start had left behind stopped the second one."""
    for _ in range(2):
        lifespan = TaskBound()
        served = await serve(Application(agent=an_agent(), lifespan=lifespan))
        assert (await served.create())[1][-1]["type"] == "thread.item.done"
        await served.stack.aclose()
        assert (lifespan.entered, lifespan.left) == (1, 1)


async def test_one_server_runs_once():
    """procrastinate-org/procrastinate#687: a worker that was started again did nothing, silently."""
    backchannel = made(AGENT)
    async with backchannel.running():
        with pytest.raises(ConfigurationError, match="runs once"):
            async with backchannel.running():
                pass
        assert backchannel.is_running
        await backchannel.database.check()
    with pytest.raises(ConfigurationError, match="runs once"):
        async with backchannel.running():
            pass
