"""Shells, patches and custom tools: approved or declined on another replica, never run twice after a crash, limited."""

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from agents import AgentHooks, ApplyPatchTool, CustomTool, ShellTool
from sqlalchemy import text

from backchannel.runs.runs import Runs
from backchannel.testing import Call
from backchannel.testing.endpoints import Say
from field.erasing import ALWAYS, APPROVE
from field.odd_models import error, say, tasks, texts
from field.special_tools import Workshop, answer_of, custom, patch, shell

pytestmark = pytest.mark.row("M13", "B8", "H1")

type Json = dict[str, Any]

RUN = "Running a command"
ITEMS: dict[str, tuple[Json, str, str, str]] = {
    "shell": (shell("rm -rf /tmp/*"), "“shell” with rm -rf /tmp/*", "rm -rf /tmp/*", "ran rm"),
    "patch": (patch(), "“apply_patch” with create a.txt\ndiff: +hi", "create a.txt", "made a.txt"),
    "custom": (custom("6*7"), "“calc” with 6*7", "6*7", "42"),
}


@pytest.fixture
def workshop(serve: Any, stack: AsyncExitStack) -> Workshop:
    return Workshop(serve, stack)


async def question(workshop: Workshop, thread_id: str) -> Json:
    items = await workshop.served.items(thread_id)
    return [item for item in items if item["type"] == "structured_input"][-1]


async def answer(workshop: Workshop, thread_id: str, choice: str) -> list[Json]:
    asked = await question(workshop, thread_id)
    answers = {each["id"]: {"values": [choice]} for each in asked["inputs"]}
    params = {"thread_id": thread_id, "item_id": asked["id"], "input": {"answers": answers}}
    return await (await workshop.served.person.stream("threads.add_structured_input", params)).events()


@pytest.mark.parametrize("case", ITEMS)
@pytest.mark.parametrize("choice", [APPROVE, "Decline: not now"])
async def test_a_call_that_needs_approval_is_decided_on_another_replica(
    workshop: Workshop, case: str, choice: str
) -> None:
    item, asked, did, output = ITEMS[case]
    workshop.endpoint.add(answer_of(item), Say("Well."), Say("As I said."))
    await workshop.start(workshop.agent(needs_approval=True))
    thread_id, events = await workshop.served.create()
    assert error(events) is None
    assert asked in (await question(workshop, thread_id))["inputs"][0]["question"]
    assert workshop.done == []
    await workshop.restart(workshop.agent(needs_approval=True))
    listed = (await workshop.served.person.http.get(f"/api/chatkit/threads/{thread_id}/approvals")).json()
    [shown] = listed["data"]
    assert did.split()[-1] in json.dumps(shown["arguments"])
    events = await answer(workshop, thread_id, choice)
    assert error(events) is None
    approved = choice == APPROVE
    assert workshop.done == ([did] if approved else [])
    assert texts(await workshop.served.items(thread_id))[-1] == "Well."
    [(_, status, content)] = tasks(await workshop.served.items(thread_id))[-1:]
    assert (status, content.startswith("Declined.")) == (("complete", False) if approved else ("none", True))
    expected = output if approved else "They said: not now"
    assert expected in json.dumps(workshop.inputs()[-1]["output"])
    assert error(await say(workshop.served, thread_id, "Sure?")) is None
    [told] = workshop.outputs()
    assert expected in told
    assert workshop.endpoint.refused == []


async def test_always_and_a_callback_of_the_application_ask_nobody(workshop: Workshop) -> None:
    async def refuse(_context: Any, _item: Any) -> Any:
        return {"approve": False, "reason": "not on Sundays"}

    workshop.endpoint.add(answer_of(shell("ls")), Say("One."), answer_of(shell("pwd")), Say("Two."))
    await workshop.start(workshop.agent(needs_approval=True))
    thread_id, _ = await workshop.served.create()
    await answer(workshop, thread_id, ALWAYS)
    assert error(await say(workshop.served, thread_id, "go on")) is None
    assert workshop.done == ["ls", "pwd"]
    workshop.endpoint.add(answer_of(shell("rm")), Say("Refused."))
    await workshop.restart(workshop.agent(needs_approval=True, on_approval=refuse))
    thread_id, events = await workshop.served.create()
    assert error(events) is None
    assert workshop.done == ["ls", "pwd"]
    assert tasks(await workshop.served.items(thread_id)) == [(RUN, "none", "Declined. `rm`")]
    assert "not on Sundays" in json.dumps(workshop.inputs()[-1])
    assert workshop.endpoint.refused == []


async def test_an_approval_inside_an_agent_that_is_a_tool(workshop: Workshop) -> None:
    def outer() -> Any:
        return workshop.agent(workshop.agent(needs_approval=True).as_tool("ask_smith", "Asks the smith."))

    workshop.endpoint.add(
        Call("ask_smith", {"input": "do it"}),
        answer_of(shell("ls"), stream=False),
        Say("inner"),
        Say("Done."),
    )
    await workshop.start(outer())
    thread_id, events = await workshop.served.create()
    assert error(events) is None
    assert (
        "Smith wants to run “shell” with ls" in (await question(workshop, thread_id))["inputs"][0]["question"]
    )
    await workshop.restart(outer())
    assert error(await answer(workshop, thread_id, APPROVE)) is None
    assert workshop.done == ["ls"]
    shown = tasks(await workshop.served.items(thread_id))
    assert (f"Smith: {RUN}", "complete", "`ls`") in shown
    assert texts(await workshop.served.items(thread_id))[-1] == "Done."
    assert workshop.endpoint.refused == []


async def die(runs: Runs, run_id: str) -> None:
    """Leave everything about a run as it is, as a process does that is killed."""
    run = runs.worker.get(run_id)
    assert run is not None
    assert run.task is not None
    run.stop("fenced")
    await asyncio.wait([run.task], timeout=10)


async def take_over(workshop: Workshop, dead: Runs, run_id: str, eventually: Any) -> None:
    """Have the newest server of the workshop go on with a run, up to its end."""
    alive = workshop.served.backchannel.runs
    async with workshop.served.backchannel.database.read() as connection:
        query = text("SELECT replica FROM runs WHERE id = :id")
        former = (await connection.execute(query, {"id": run_id})).scalar_one()
    assert await alive.worker.take_over([run_id], former) == 1
    await eventually(lambda: alive.worker.get(run_id) is None, "the run ends")


@pytest.fixture
def begun(workshop: Workshop) -> tuple[asyncio.Event, asyncio.Event]:
    """Set when a shell is about to run the second command; and what it waits for then."""
    reached, gate = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        if workshop.done:
            reached.set()
            await gate.wait()

    workshop.before = wait
    return reached, gate


async def cut_off(workshop: Workshop, reached: asyncio.Event, eventually: Any) -> tuple[str, str]:
    """The ids of a thread and of its run, whose process died at the second command."""
    server = workshop.served
    asking = asyncio.create_task(server.create())
    await asyncio.wait_for(reached.wait(), 10)
    async with server.backchannel.database.read() as connection:
        row = (await connection.execute(text("SELECT id, thread_id FROM runs"))).one()
    await die(server.backchannel.runs, row.id)
    asking.cancel()
    return row.thread_id, row.id


async def test_after_a_crash_no_command_runs_again(
    workshop: Workshop, begun: tuple[asyncio.Event, asyncio.Event], eventually: Any
) -> None:
    """n8n-io/n8n#33845, AVADSA25/codec#122, chenhg5/cc-connect#1592."""
    reached, _ = begun
    workshop.endpoint.add(
        answer_of(shell("make")), answer_of(shell("deploy")), Say("Done."), Say("As I said.")
    )
    await workshop.start()
    dead = workshop.served.backchannel.runs
    thread_id, run_id = await cut_off(workshop, reached, eventually)
    assert workshop.done == ["make"]
    await workshop.restart()
    await take_over(workshop, dead, run_id, eventually)
    assert workshop.done == ["make"]
    assert [name for name, _ in workshop.calls()] == ["shell", "shell"]
    made, deployed = workshop.outputs()
    assert "ran make" in made
    assert "may or may not have taken effect" in deployed
    items = await workshop.served.items(thread_id)
    assert texts(items) == ["hello", "Done."]
    assert tasks(items) == [(RUN, "complete", "`make`"), (RUN, "none", "`deploy`")]
    assert error(await say(workshop.served, thread_id, "Sure?")) is None
    assert ["interrupted" in output for output in workshop.outputs()] == [False, True]
    assert workshop.endpoint.refused == []


async def test_an_inner_agent_that_a_crash_cut_off_is_told_of(
    workshop: Workshop, begun: tuple[asyncio.Event, asyncio.Event], eventually: Any
) -> None:
    reached, _ = begun
    workshop.endpoint.add(
        Call("ask_smith", {"input": "do it"}), answer_of(shell("make"), stream=False),
        answer_of(shell("deploy"), stream=False), Say("Done."),
    )  # fmt: skip

    def outer() -> Any:
        return workshop.agent(workshop.agent().as_tool("ask_smith", "Asks the smith."))

    await workshop.start(outer())
    dead = workshop.served.backchannel.runs
    _, run_id = await cut_off(workshop, reached, eventually)
    await workshop.restart(outer())
    await take_over(workshop, dead, run_id, eventually)
    assert workshop.done == ["make"]
    [told] = workshop.outputs()
    assert ["ran make" in told, "deploy" in told, "no result" in told] == [True, True, True]
    assert workshop.endpoint.refused == []


async def test_an_approved_command_that_had_run_before_a_crash_is_not_run_again(
    workshop: Workshop, eventually: Any
) -> None:
    """The answer goes on after the approval, and its process dies before the model got the output."""
    reached = asyncio.Event()
    workshop.endpoint.add(answer_of(shell("deploy")), Say("Done."))
    await workshop.start(workshop.agent(needs_approval=True))
    thread_id, _ = await workshop.served.create()
    hooks, forever = workshop.agent(needs_approval=True), asyncio.Event()

    class Wait(AgentHooks[Any]):
        async def on_llm_start(self, *_: Any) -> None:
            reached.set()
            await forever.wait()

    hooks.hooks = Wait()
    await workshop.restart(hooks)
    dead = workshop.served.backchannel.runs
    asking = asyncio.create_task(answer(workshop, thread_id, APPROVE))
    await asyncio.wait_for(reached.wait(), 10)
    async with workshop.served.backchannel.database.read() as connection:
        query = text("SELECT id FROM runs WHERE status = 'running'")
        run_id = (await connection.execute(query)).scalar_one()
    await die(dead, run_id)
    asking.cancel()
    await workshop.restart(workshop.agent(needs_approval=True))
    await take_over(workshop, dead, run_id, eventually)
    assert workshop.done == ["deploy"]
    assert "ran deploy" in json.dumps(workshop.inputs()[-1]["output"])
    assert texts(await workshop.served.items(thread_id))[-1] == "Done."
    assert workshop.endpoint.refused == []


def blocking(made: Callable[[], Any]) -> list[Any]:
    """Tools whose functions are synchronous, as in the SDK's examples."""

    class Editor:
        def create_file(self, _operation: Any) -> Any:
            return made()

    return [
        ShellTool(executor=lambda _request: made()),
        ApplyPatchTool(editor=Editor()),  # pyright: ignore[reportArgumentType]
        CustomTool(name="calc", description="Calculate.", on_invoke_tool=lambda _context, _text: made()),
    ]


@pytest.mark.parametrize("case", ITEMS)
async def test_a_synchronous_function_does_not_stop_the_server(workshop: Workshop, case: str) -> None:
    """openai/openai-agents-python#820: `subprocess.run` in a tool blocks every other answer."""
    threads: list[int] = []

    def made() -> str:
        threads.append(threading.get_ident())
        return "made"

    workshop.endpoint.add(answer_of(ITEMS[case][0]), Say("Done."))
    await workshop.start(workshop.agent(*blocking(made)))
    _, events = await workshop.served.create()
    assert error(events) is None
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()
    assert workshop.endpoint.refused == []


async def test_a_command_has_a_time_limit(workshop: Workshop) -> None:
    forever = asyncio.Event()
    workshop.before = forever.wait
    workshop.endpoint.add(answer_of(shell("make")), Say("Done."))
    await workshop.start(tool_timeout_seconds=0.2)
    thread_id, events = await workshop.served.create()
    assert error(events) is None
    assert "did not return within 0.2 seconds" in json.dumps(workshop.inputs()[-1])
    assert tasks(await workshop.served.items(thread_id)) == [(RUN, "none", "Failed. `make`")]
