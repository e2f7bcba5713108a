"""Lifespans that fail while the server runs, or that do not get to their `yield`."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from backchannel import Application, Settings, build, create_app
from backchannel.testing import ChatKitClient, Say, ScriptedModel
from field.hosting import an_agent, serving
from processes import Process, free_port, until
from programs import read_until_broken

pytestmark = pytest.mark.row("H14")

START_SECONDS = 60


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


async def fail_after(gate: asyncio.Event) -> None:
    await gate.wait()
    raise OSError("the MCP server is gone")


@asynccontextmanager
async def with_anyio(gate: asyncio.Event) -> AsyncGenerator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(fail_after, gate)
        yield
        group.cancel_scope.cancel()


@asynccontextmanager
async def with_asyncio(gate: asyncio.Event) -> AsyncGenerator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(fail_after(gate))
        yield
        task.cancel()


@asynccontextmanager
async def with_a_cancelled_scope(gate: asyncio.Event) -> AsyncGenerator[None]:
    async def cancel() -> None:
        await gate.wait()
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(cancel)
        yield


@asynccontextmanager
async def cancelling_its_task(gate: asyncio.Event) -> AsyncGenerator[None]:
    own = asyncio.current_task()
    assert own is not None

    async def cancel() -> None:
        await gate.wait()
        own.cancel()

    task = asyncio.create_task(cancel())
    yield
    task.cancel()


LIFESPANS = [with_anyio, with_asyncio, with_a_cancelled_scope, cancelling_its_task]


def replicas(folder: Path) -> int:
    """How many rows the default database has in the table of replicas."""
    with closing(sqlite3.connect(folder / ".backchannel" / "backchannel.db")) as connection:
        return connection.execute("SELECT count(*) FROM replicas").fetchone()[0]


@pytest.mark.parametrize("make", LIFESPANS)
async def test_a_lifespan_that_fails_leaves_its_host_alone(
    tmp_path: Path, eventually: Any, make: Callable[[asyncio.Event], AbstractAsyncContextManager[None]]
) -> None:
    """awslabs/llm-evaluation-system#80, IBM/mcp-context-forge#3737: it cancelled the task that served, and the process
    went on with errors about something else."""
    gate, held = asyncio.Event(), asyncio.Event()
    model = ScriptedModel(Say(["half ", "never"], until=held))
    application = Application(agent=an_agent(model), lifespan=lambda: make(gate))
    backchannel = build(Settings.load(shutdown_seconds=0, heartbeat_seconds=120), application)
    ends = list[str]()

    @asynccontextmanager
    async def lifespan(_host: FastAPI) -> AsyncGenerator[None]:
        async with backchannel.running():
            yield
        ends.append("left in order")

    host = FastAPI(lifespan=lifespan)
    host.get("/own")(lambda: "own")
    host.mount("/chat", create_app(backchannel))
    async with serving(host) as (url, _), ChatKitClient(f"{url}/chat") as person:
        stream = await person.say("go")
        reader = await person.open_events(stream.run_id, "")
        await eventually(lambda: model.streaming == 1, "the answer has begun")
        with capture_logs() as lines:
            gate.set()
            # The run is handed over and its reader let go of.
            await eventually(lambda: backchannel.runs.active == 0, "the run has been drained")
            assert (await read_until_broken(reader)).endswith(b": reconnect\n")
            for path in ("/chat/health/ready", "/chat/health/live", "/chat/api/chatkit/threads"):
                refused = await person.http.get(url + path)
                assert (refused.status_code, refused.json()["code"]) == (503, "unavailable"), path
                assert "lifespan" in refused.json()["message"]
        assert [line["event"] for line in lines].count("lifespan_failed") == 1
        assert (await person.http.get(f"{url}/own")).json() == "own"
        await stream.aclose()
    assert ends == ["left in order"]
    assert replicas(tmp_path) == 0


MODULE = '''
import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from agents import Agent, function_tool
from backchannel import Application


@function_tool
async def forever() -> str:
    """Never return."""
    await asyncio.Event().wait()
    return ""


async def fail() -> None:
    while not Path("fail").exists():
        await asyncio.sleep(0.02)
    raise OSError("the MCP server is gone")


@asynccontextmanager
async def connected():
    async with anyio.create_task_group() as group:
        group.start_soon(fail)
        yield


app = Application(agent=Agent(name="A", tools=[forever]), lifespan=connected)
'''


async def test_a_server_whose_lifespan_fails_ends_in_good_order(tmp_path: Path) -> None:
    """awslabs/llm-evaluation-system#80, openai/openai-agents-python#1288, mpfaffenberger/code_puppy#466: the process
    stayed and answered nothing."""
    (tmp_path / "module_of_test.py").write_text(MODULE)
    port, process = free_port(), Process(tmp_path / "log")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "BACKCHANNEL_"))
    }
    environment["BACKCHANNEL_SHUTDOWN_SECONDS"] = "0"
    process.fork(["serve", "module_of_test:app", "--port", str(port)], environment)
    try:
        await until(lambda: "is running at" in process.told(), "it has started", START_SECONDS)
        async with ChatKitClient(f"http://127.0.0.1:{port}") as person:
            stream = await person.say("call forever {}")
            reader = await person.open_events(stream.run_id, "")
            (tmp_path / "fail").touch()
            assert (await read_until_broken(reader)).endswith(b": reconnect\n")
            await process.ended(10)
            await stream.aclose()
            with pytest.raises(httpx2.TransportError):
                await person.http.get("/health/live")
    finally:
        await process.kill()
    assert process.exit_code == 1
    (failed,) = [line for line in process.told().splitlines() if "lifespan_failed" in line]
    assert "connected" in failed
    assert "OSError: the MCP server is gone" in failed
    assert replicas(tmp_path) == 0


async def test_a_lifespan_that_takes_long_to_start_is_named(
    eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """stacklok/mecatl#1695, coder/xum#1555: the start hung on an MCP server that never answers, and nothing said so."""
    monkeypatch.setattr("backchannel.lifespan_task.SLOW_SECONDS", 0.01)
    gate = asyncio.Event()

    @asynccontextmanager
    async def connecting() -> AsyncGenerator[None]:
        await gate.wait()
        yield

    settings = Settings.load(database_url="sqlite://")
    backchannel = build(settings, Application(agent=an_agent(), lifespan=connecting))

    async def run() -> None:
        async with backchannel.running():
            pass

    with capture_logs() as lines:
        running = asyncio.create_task(run())

        def warnings() -> list[Any]:
            return [line for line in lines if line["event"] == "lifespan_is_slow"]

        await eventually(lambda: len(warnings()) == 2, "it is named")
        gate.set()
        await running
    assert "connecting" in warnings()[0]["lifespan"]
