"""Tools that never return: they stop neither other people's tools nor the end of the process, and the model is told.

The test's own event loop is a host's: it is not Backchannel's, and its default executor is left alone.
"""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from agents import Agent, RunContextWrapper, Runner, function_tool

from backchannel import Application
from backchannel.chat.agent.tool_threads import NoThreadError, ToolThreads
from backchannel.testing import Call, ChatKitClient, Say, ScriptedModel
from field.test_shutdown import ready
from processes import Process, free_port, until

SECONDS = 20

MODULE = '''
import asyncio
import threading
import time

from agents import Agent, function_tool


@function_tool
def block() -> str:
    """Never return."""
    threading.Event().wait()
    return ""


@function_tool
async def block_in_a_thread() -> str:
    """Never return."""
    await asyncio.to_thread(threading.Event().wait)
    return ""


@function_tool
def quick() -> str:
    """Return at once."""
    return "quickly done"


agent = Agent(name="A", tools=[block, block_in_a_thread, quick])
'''


@asynccontextmanager
async def served(folder: Path, **settings: str) -> AsyncGenerator[tuple[Process, str]]:
    (folder / "module_of_tools.py").write_text(MODULE)
    port, process = free_port(), Process(folder / "log")
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "BACKCHANNEL_"))
    }
    environment = clean | {f"BACKCHANNEL_{name.upper()}": value for name, value in settings.items()}
    process.fork(["serve", "module_of_tools:agent", "--port", str(port)], environment)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        await process.kill()


@pytest.fixture
def blocked() -> Generator[threading.Event]:
    """What tools wait for, until the end of the test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
async def one_thread() -> AsyncGenerator[None]:
    """A host whose event loop has one thread."""
    loop = asyncio.get_running_loop()
    executor = ThreadPoolExecutor(1)
    loop.set_default_executor(executor)
    yield
    executor.shutdown()
    loop.set_default_executor(ThreadPoolExecutor())


@pytest.mark.row("R5")
@pytest.mark.parametrize("tool", ["block", "block_in_a_thread"])
async def test_tools_that_never_return_stop_neither_others_nor_the_end(tmp_path: Path, tool: str) -> None:
    """hatchet-dev/hatchet#4803, huggingface/OpenEnv PR#1214: threads of the event loop were used up, and its end waited for
    them."""
    async with served(tmp_path, shutdown_seconds="0") as (process, url):
        await ready(url)
        async with ChatKitClient(url) as person:
            streams = [await person.say(f"call {tool} {{}}") for _ in range((os.cpu_count() or 1) + 4 + 2)]
            events = await (await person.say("call quick {}")).events()
            assert "quickly done" in str(events[-1])
            process.signal(signal.SIGTERM)
            await process.ended(10)
            for stream in streams:
                await stream.aclose()
        assert process.exit_code == 0
        assert "Traceback" not in process.told()


@pytest.mark.row("R5")
@pytest.mark.parametrize("kind", ["sync", "async", "deaf"])
async def test_the_model_is_told_of_a_tool_that_did_not_return(
    serve: Any, blocked: threading.Event, kind: str
) -> None:
    """openai/openai-agents-python#2346, langchain-ai/deepagents PR#3866: a time-out that a thread does not see, and that
    waited for it all the same."""

    @function_tool(name_override="wait")
    def wait_on_a_thread() -> str:
        """Wait."""
        blocked.wait()
        return "late"

    @function_tool(name_override="wait")
    async def wait() -> str:
        """Wait."""
        await asyncio.Event().wait()
        return "late"

    @function_tool(name_override="wait")
    async def wait_deaf() -> str:
        """Wait, whatever happens."""
        while not blocked.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue
        return "late"

    tool = {"sync": wait_on_a_thread, "async": wait, "deaf": wait_deaf}[kind]
    model = ScriptedModel(Call("wait", "{}"), Say("It takes too long."))
    served = await serve(Agent(name="A", model=model, tools=[tool]), tool_timeout_seconds=0.2)
    with structlog.testing.capture_logs() as logs:
        _, events = await served.create()
    assert events[-1]["item"]["content"][0]["text"] == "It takes too long."
    [output] = [item["output"] for item in model.calls[-1] if item.get("type") == "function_call_output"]
    assert "did not return within 0.2 seconds" in output
    assert "may still be running" in output
    [line] = [line for line in logs if line["event"] == "tool_timed_out"]
    assert (line["tool"], line["seconds"]) == ("wait", 0.2)


@pytest.mark.row("R5")
async def test_tools_do_not_use_the_threads_of_the_host(
    serve: Any, one_thread: None, blocked: threading.Event
) -> None:
    """hatchet-dev/hatchet#4803, modelcontextprotocol/python-sdk PR#3510: one pool for tools and for everything else."""
    together = threading.Barrier(3, timeout=SECONDS)

    @function_tool
    def meet() -> str:
        """Return once three calls are running."""
        together.wait()
        return "met"

    model = ScriptedModel([Call("meet", "{}"), Call("meet", "{}"), Call("meet", "{}")], Say("All met."))
    served = await serve(Agent(name="A", model=model, tools=[meet]))
    asyncio.get_running_loop().run_in_executor(None, blocked.wait)
    _, events = await served.create()
    assert events[-1]["item"]["content"][0]["text"] == "All met."
    outputs = [item["output"] for item in model.calls[-1] if item.get("type") == "function_call_output"]
    assert outputs == ["met"] * 3


@pytest.mark.row("R5")
async def test_a_tool_that_waits_for_a_thread_is_logged_and_gets_one(
    serve: Any, blocked: threading.Event
) -> None:
    running = threading.Semaphore(0)

    @function_tool
    def wait() -> str:
        """Wait."""
        running.release()
        blocked.wait()
        return "waited"

    model = ScriptedModel([Call("wait", "{}"), Call("wait", "{}")], Say("Done."))
    served = await serve(Agent(name="A", model=model, tools=[wait]), tool_threads=1)
    with structlog.testing.capture_logs() as logs:
        answering = asyncio.create_task(served.create())
        await until(lambda: any(line["event"] == "tool_waits_for_thread" for line in logs), "one waits")
        assert running.acquire(timeout=SECONDS)
        assert not running.acquire(blocking=False)
        blocked.set()
        _, events = await asyncio.wait_for(answering, SECONDS)
    assert events[-1]["item"]["content"][0]["text"] == "Done."


@pytest.mark.row("R5")
async def test_the_context_of_a_synchronous_tool_is_that_of_its_run(serve: Any) -> None:
    """openai/openai-agents-python PR#2387: context variables are those of the caller, on whichever thread."""
    seen: list[Any] = []

    @function_tool
    def look(ctx: RunContextWrapper[Any]) -> str:
        """Look."""
        seen.append((structlog.contextvars.get_contextvars()["run_id"], ctx.context.request_context.run_id))
        # An event loop of the tool's own works, as on any thread.
        return asyncio.run(nested())

    async def nested() -> str:
        return await asyncio.to_thread(lambda: "nested")

    model = ScriptedModel(Call("look", "{}"), Say("Done."))
    served = await serve(Agent(name="A", model=model, tools=[look]))
    await served.create()
    [(bound, run_id)] = seen
    assert bound == run_id
    assert model.calls[-1][-1]["output"] == "nested"


async def test_threads_that_never_return_are_limited(blocked: threading.Event) -> None:
    threads = ToolThreads(1)
    for _ in range(10):
        abandoned = threads.submit(blocked.wait)
        await asyncio.sleep(0)
        abandoned.cancel()
        await asyncio.sleep(0)
    assert threads.abandoned == 10
    with pytest.raises(NoThreadError):
        await threads.submit(blocked.wait)
    blocked.set()
    await until(lambda: threads.abandoned == 0, "all have returned")
    assert await asyncio.wait_for(threads.submit(lambda: "again"), SECONDS) == "again"


def exiting(kind: str) -> Any:
    if kind == "thread":

        @function_tool(name_override="leave")
        def leave_from_a_thread() -> str:
            """Leave."""
            raise SystemExit(3)

        return leave_from_a_thread

    @function_tool(name_override="leave", timeout=SECONDS if kind == "own time-out" else None)
    async def leave() -> str:
        """Leave."""
        await asyncio.sleep(0)
        raise KeyboardInterrupt if kind == "interrupt" else SystemExit(3)

    return leave


@pytest.mark.row("R6")
@pytest.mark.parametrize("kind", ["thread", "async", "interrupt", "own time-out", "nested"])
async def test_an_exit_in_a_tool_does_not_reach_the_event_loop_of_a_host(serve: Any, kind: str) -> None:
    """stoatchat/python-client-sdk#40, livekit/agents PR#6624: asyncio raises it out of the loop, whatever catches it."""
    tool, model = exiting(kind), ScriptedModel(Call("leave", "{}"), Say("next"), Say("next"))
    agent = Agent(name="A", model=model, tools=[tool])
    if kind == "nested":
        inner = Agent(name="B", model=ScriptedModel(Call("leave", "{}")), tools=[tool])
        agent = Agent(name="A", model=model, tools=[inner.as_tool("leave", "Leave.")])
    served = await serve(Application(agent=agent), database_url="sqlite://")
    thread_id, events = await served.create()
    if kind == "nested":
        # The SDK shows errors of nested agents to the model.
        assert events[-1]["item"]["content"][0]["text"] == "next"
    else:
        assert [event["type"] for event in events].count("error") == 1
        assert (events[-1]["type"], events[-1]["reason"]) == ("error", "tool_failed")
    events = await (await served.person.say("go on", thread_id)).events()
    assert events[-1]["item"]["content"][0]["text"] == "next"


async def test_runs_of_the_host_itself_are_not_limited(blocked: threading.Event) -> None:
    """The SDK is used by others in the same process."""
    names: list[str] = []

    @function_tool
    def name() -> str:
        """Return."""
        names.append(threading.current_thread().name)
        return ""

    model = ScriptedModel(Call("name", "{}"), Say("Done."))
    await Runner.run(Agent(name="A", model=model, tools=[name]), "go")
    assert names != ["backchannel-tool"]
