"""The ends of processes, as operators meet them: signals that come twice, parents that die, starts that hang."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from backchannel.testing import ChatKitClient
from processes import Process, free_port, until
from programs import read_until_broken

START_SECONDS = 60

MODULE = '''
import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from agents import Agent, function_tool
from backchannel import Application


@function_tool
async def forever() -> str:
    """Never return."""
    await asyncio.Event().wait()
    return ""


@asynccontextmanager
async def hanging():
    Path("entered").touch()
    try:
        await asyncio.Event().wait()
        yield
    finally:
        Path("left").touch()


@function_tool
async def leave() -> str:
    """Call sys.exit."""
    await asyncio.sleep(0)
    sys.exit(3)


@function_tool
def leave_from_a_thread() -> str:
    """Call sys.exit."""
    sys.exit(3)


@function_tool
async def interrupt() -> str:
    """Raise what Ctrl+C raises."""
    raise KeyboardInterrupt


agent = Agent(name="A", tools=[forever, leave, leave_from_a_thread, interrupt])
hangs = Application(agent=agent, lifespan=hanging)
'''


@asynccontextmanager
async def served(
    folder: Path, target: str, *options: str, **settings: str
) -> AsyncGenerator[tuple[Process, str]]:
    """`backchannel serve` as a process, and its address."""
    (folder / "module_of_test.py").write_text(MODULE)
    port, process = free_port(), Process(folder / "log")
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "BACKCHANNEL_"))
    }
    environment = clean | {f"BACKCHANNEL_{name.upper()}": value for name, value in settings.items()}
    arguments = ["serve", f"module_of_test:{target}", "--port", str(port), *options]
    if "--workers" in options:
        # A forked process is one of multiprocessing's, which must not have processes of its own.
        process.execute([sys.executable, "-m", "backchannel", *arguments], environment)
    else:
        process.fork(arguments, environment)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        await process.kill()


async def ready(url: str) -> None:
    async with httpx2.AsyncClient() as client, asyncio.timeout(START_SECONDS):
        while True:
            with suppress(httpx2.TransportError):
                if (await client.get(f"{url}/health/ready")).status_code == 200:
                    return
            await asyncio.sleep(0.05)


@pytest.mark.row("R4")
async def test_a_second_signal_ends_the_process_at_once_and_quietly(tmp_path: Path) -> None:
    """Kludex/uvicorn#158: what a second Ctrl+C does was undefined; it waited, and printed a traceback a reader."""
    async with served(tmp_path, "agent") as (process, url):
        await ready(url)
        async with ChatKitClient(url) as person:
            stream = await person.say("call forever {}")
            process.signal(signal.SIGTERM)
            await until(lambda: "draining" in process.told(), "it drains")
            began = time.monotonic()
            process.signal(signal.SIGTERM)
            await process.ended(10)
            await stream.aclose()
        assert time.monotonic() - began < 2
        assert process.exit_code == 128 + signal.SIGTERM
        assert "Traceback" not in process.told()


@pytest.mark.row("R4")
async def test_open_streams_do_not_hold_up_the_end(tmp_path: Path) -> None:
    """fastapi/fastapi#4427, Kludex/uvicorn PR#2367: readers were waited for until their next heartbeat, and each was a
    traceback."""
    settings = {"shutdown_seconds": "0", "heartbeat_seconds": "120"}
    async with served(tmp_path, "agent", **settings) as (process, url):
        await ready(url)
        async with ChatKitClient(url) as person:
            stream = await person.say("call forever {}")
            readers = [await person.open_events(stream.run_id, "") for _ in range(5)]
            began = time.monotonic()
            process.signal(signal.SIGTERM)
            await process.ended(10)
            assert time.monotonic() - began < 4
            for reader in readers:
                assert (await read_until_broken(reader)).endswith(b": reconnect\n")
            await stream.aclose()
        assert process.exit_code == 0
        assert "Traceback" not in process.told()


@pytest.mark.row("R11")
async def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    """HKUDS/LightRAG PR#3494: after `kill -9` of the parent its workers kept the port."""
    async with served(tmp_path, "agent", "--workers", "2") as (process, url):
        await ready(url)
        await until(lambda: process.told().count(" started ") >= 2, "both workers have started")
        await process.kill()
        port = int(url.rpartition(":")[2])

        def port_is_free() -> bool:
            with suppress(OSError), socket.create_server(("127.0.0.1", port)):
                return True
            return False

        await until(port_is_free, "the port is free", 5)


@pytest.mark.row("H14")
async def test_a_start_that_hangs_can_be_interrupted(tmp_path: Path) -> None:
    """Kludex/uvicorn PR#2752: a lifespan that hangs before its `yield` could be ended by `kill -9` only."""
    async with served(tmp_path, "hangs") as (process, _url):
        await until((tmp_path / "entered").exists, "the lifespan was entered")
        began = time.monotonic()
        process.signal(signal.SIGINT)
        await process.ended(10)
        assert time.monotonic() - began < 3
        assert (tmp_path / "left").exists()
        assert "Traceback" not in process.told()


@pytest.mark.row("R6")
async def test_a_tool_that_exits_ends_its_own_run_only(tmp_path: Path) -> None:
    """stoatchat/python-client-sdk#40, PyO3/pyo3#3918: `exit()` in a handler ended the program."""
    async with served(tmp_path, "agent") as (process, url):
        await ready(url)
        async with ChatKitClient(url) as person:
            other = await person.say("call forever {}")
            for tool in ("leave", "leave_from_a_thread", "interrupt"):
                async with asyncio.timeout(5):
                    events = await (await person.say(f"call {tool} {{}}")).events()
                assert [event["type"] for event in events].count("error") == 1, tool
                assert (events[-1]["type"], events[-1]["reason"]) == ("error", "tool_failed"), tool
            runs = await person.http.get(f"/api/chatkit/runs/{other.run_id}")
            assert runs.json()["status"] == "running"
            await other.aclose()
        assert process.alive
