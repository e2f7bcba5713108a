"""A `SandboxAgent` that is served: openai/openai-agents-python examples/sandbox. It was refused at start."""

import sys
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, RunConfig
from agents.sandbox import SandboxAgent, SandboxRunConfig
from agents.sandbox.sandboxes.unix_local import UnixLocalSandboxClient
from chatkit.types import ThreadMetadata

from backchannel import Application
from backchannel.context import RequestContext
from backchannel.errors import ConfigurationError
from backchannel.testing import Call as ScriptedCall
from backchannel.testing import Say as ScriptedSay
from backchannel.testing import ScriptedModel
from backchannel.testing.endpoints import Call, Say
from field.erasing import APPROVE
from field.odd_models import error, outputs, say, tasks

pytestmark = [
    pytest.mark.row("B10"),
    pytest.mark.skipif(sys.platform not in {"linux", "darwin"}, reason="the sandbox is of Unix"),
]


def in_sandbox(agent: Agent[Any]) -> Application:
    return Application(
        agent=agent, run_config=RunConfig(sandbox=SandboxRunConfig(client=UnixLocalSandboxClient()))
    )


def run(command: str) -> ScriptedCall:
    return ScriptedCall("exec_command", {"cmd": command})


async def test_a_sandbox_agent_answers(serve: Any) -> None:
    """Each run has a sandbox of its own: files of one turn are not in the next."""
    model = ScriptedModel(
        run("echo kept > note; cat note"), ScriptedSay("done"), run("cat note"), ScriptedSay("gone")
    )
    served = await serve(in_sandbox(SandboxAgent[Any](name="Coder", model=model)), titles="rule")
    thread_id, events = await served.create()
    assert error(events) is None
    assert "kept" in str(outputs(model)[-1])
    assert [title for title, _, _ in tasks(await served.items(thread_id))] == ["Exec command"]
    assert error(await say(served, thread_id, "and?")) is None
    assert "No such file" in str(outputs(model)[-1])


async def test_a_sandbox_agent_can_be_handed_to(serve: Any) -> None:
    """examples/sandbox/handoffs.py"""
    model = ScriptedModel(run("echo inside"), ScriptedSay("done"))
    coder = SandboxAgent[Any](name="Coder", model=model)
    first = Agent[Any](name="A", model=ScriptedModel(ScriptedCall("transfer_to_coder")), handoffs=[coder])
    served = await serve(in_sandbox(first), titles="rule")
    _, events = await served.create()
    assert error(events) is None
    assert "inside" in str(outputs(model)[-1])


async def test_a_sandbox_agent_waits_for_approval_over_a_restart(erasing: Any) -> None:
    chat = erasing("openai-responses")

    def application() -> Application:
        return in_sandbox(SandboxAgent[Any](name="Coder", tools=[chat.tool()]))

    await chat.start(application())
    chat.endpoint.add(
        Call("erase", {"path": "/a"}), Call("exec_command", {"cmd": "echo inside"}), Say("done")
    )
    thread_id, events = await chat.served.create()
    assert error(events) is None
    await chat.restart(application())
    assert error(await chat.answer(thread_id, APPROVE)) is None
    assert chat.erased == ["/a"]
    assert "inside" in str(chat.endpoint.requests[-1].body["input"][-1])


async def test_a_function_gives_each_thread_its_session(serve: Any) -> None:
    """examples/sandbox/tutorials/sandbox_resume: a session that the application opens lives longer than a run."""
    client = UnixLocalSandboxClient()
    sessions: dict[str, Any] = {}

    async def run_config(_context: RequestContext, thread: ThreadMetadata) -> RunConfig:
        if thread.id not in sessions:
            sessions[thread.id] = await client.create()
            await sessions[thread.id].start()
        return RunConfig(sandbox=SandboxRunConfig(session=sessions[thread.id]))

    model = ScriptedModel(run("echo kept > note"), ScriptedSay("done"), run("cat note"), ScriptedSay("there"))
    agent = SandboxAgent[Any](name="Coder", model=model)
    served = await serve(Application(agent=agent, run_config=run_config), titles="rule")
    thread_id, _ = await served.create()
    assert error(await say(served, thread_id, "and?")) is None
    assert "kept" in str(outputs(model)[-1])
    for session in sessions.values():
        await session.aclose()
        await client.delete(session)


@pytest.mark.parametrize("name", ["session", "session_state"])
def test_a_session_for_all_people_is_refused_at_the_start(name: str, tmp_path: Path) -> None:
    """examples/sandbox/unix_local_pty.py"""
    shared: Any = {name: object()}
    with pytest.raises(ConfigurationError, match=rf"sandbox\.{name}.*function"):
        Application(
            agent=SandboxAgent[Any](name="Coder"), run_config=RunConfig(sandbox=SandboxRunConfig(**shared))
        )
