"""MCP servers from a file, and calls of their tools that wait for approval."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agents import Agent
from agents.mcp import MCPServer, MCPServerStdio

from backchannel.errors import ConfigurationError
from backchannel.testing import Call, Say
from field.mcp_chat import SCRIPTS, McpChat, offered, tasks, told
from field.odd_models import error, say

pytestmark = pytest.mark.row("B9")

type New = Callable[[], McpChat]


def write(path: Path, **servers: Any) -> Path:
    path.write_text(json.dumps({"mcpServers": servers}), encoding="utf-8")
    return path


async def test_the_first_agent_gets_the_tools_of_the_file(
    mcp_chat: New, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """langchain-ai/langchain-mcp-adapters#437, google-gemini/gemini-cli#28248: `${VAR}` is passed as it is written."""
    monkeypatch.setenv("FILES_SCRIPT", str(SCRIPTS / "files.py"))
    chat = mcp_chat()
    arguments = ["${FILES_SCRIPT}", str(chat.log)]
    files = {"command": sys.executable, "args": arguments, "timeout": 30}
    path = write(tmp_path / "mcp.json", files=files, off={"url": "http://127.0.0.1:1/mcp", "disabled": True})
    agent = Agent(name="Clerk", handoffs=[Agent(name="Other")])
    await chat.start(agent=agent, mcp_servers=path)
    await chat.until("files", "connected")
    chat.endpoint.add(
        Call("files__look", {"q": "x"}), Say("Found."), Call("transfer_to_other", {}), Say("Other.")
    )
    thread_id, events = await chat.served.create()
    assert error(events) is None
    assert told(chat.endpoint) == ["found x"]
    assert "files__look" in offered(chat.endpoint)
    await say(chat.served, thread_id, "the other one")
    assert offered(chat.endpoint) == []
    assert list((await chat.health())["mcp_servers"]) == ["files"]


@pytest.mark.usefixtures("impatient")
async def test_a_variable_that_is_not_set_and_a_server_that_is_required(mcp_chat: New, tmp_path: Path):
    chat = mcp_chat()
    secret = {
        "url": "http://127.0.0.1:1/mcp",
        "headers": {"Authorization": "Bearer ${NO_TOKEN}"},
        "required": True,
    }
    await chat.start(agent=Agent(name="Clerk"), mcp_servers=write(tmp_path / "mcp.json", weather=secret))
    chat.endpoint.add(Say("Hello."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    assert tasks(await chat.served.items(thread_id)) == ["The tools of weather are not available right now."]
    health = await chat.health()
    assert health["mcp_servers"]["weather"]["reason"] == (
        "It needs the variable NO_TOKEN of the environment (mcpServers.weather.headers.Authorization)."
    )
    assert (await chat.served.person.http.get("/health/ready")).status_code == 503


async def test_a_malformed_file_refuses_the_start(mcp_chat: New, tmp_path: Path):
    path = write(tmp_path / "mcp.json", files={"command": "x", "args": "secret"})
    with pytest.raises(ConfigurationError) as refused:
        await mcp_chat().start(agent=Agent(name="Clerk"), mcp_servers=path)
    assert str(path) in refused.value.message
    assert "mcpServers.files.args" in refused.value.message
    assert "secret" not in refused.value.message


@pytest.mark.row("B8")
@pytest.mark.parametrize("configured", [False, True], ids=["agent", "file"])
async def test_a_call_that_needs_approval_survives_the_replica(
    mcp_chat: New, tmp_path: Path, configured: bool
):
    """openai/openai-agents-python#802, microsoft/agent-framework#3199."""
    chat = mcp_chat()
    files = {"command": sys.executable, "args": [str(SCRIPTS / "files.py"), str(chat.log)]}
    path = write(tmp_path / "mcp.json", files={**files, "require_approval": ["erase"]})

    def replica() -> dict[str, Any]:
        if configured:
            return {"agent": Agent(name="Clerk"), "mcp_servers": path}
        return {"agent": Agent(name="Clerk", mcp_servers=[chat.files(require_approval="always")])}

    await chat.start(**replica())
    await chat.until("files", "connected")
    name = "files__erase" if configured else "erase"
    chat.endpoint.add(Call(name, {"path": "/a"}), Say("Gone."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    question = events[-1]["item"]
    assert (question["type"], question["status"]) == ("structured_input", "pending")
    await chat.restart(**replica())
    assert error(await chat.approve(thread_id, question)) is None
    assert told(chat.endpoint) == ["erased /a"]
    assert chat.done().count("erase /a") == 1


async def asked(chat: McpChat, *servers: MCPServer) -> tuple[str, dict[str, Any]]:
    """A thread whose answer waits for approval of a call of `erase`."""
    await chat.start(*servers)
    for server in servers:
        await chat.until(server.name, "connected")
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("Gone."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    return thread_id, events[-1]["item"]


@pytest.mark.row("B8")
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["slow", "down"])
async def test_a_call_that_is_approved_while_its_server_starts_or_is_down(mcp_chat: New, how: str):
    """microsoft/agent-framework#3199: the approved call is not found when the run goes on."""
    chat = mcp_chat()
    thread_id, question = await asked(chat, chat.files(require_approval="always"))
    if how == "slow":
        await chat.restart(chat.files(environment={"SLOW_START": "1"}, require_approval="always"))
    else:
        await chat.restart(chat.odd("exits", name="files", require_approval="always"))
    assert error(await chat.approve(thread_id, question)) is None
    assert chat.endpoint.refused == []
    if how == "slow":
        assert told(chat.endpoint) == ["erased /a"]
        assert chat.done().count("erase /a") == 1
        return
    (output,) = told(chat.endpoint)
    assert "the tools of files are not available right now. The call did not run." in output
    shown = tasks(await chat.served.items(thread_id))
    # The first one has waited for the decision.
    assert shown == ["Erase", "The tools of files are not available right now.", "Erase Failed"]
    # The decision is kept, and the conversation goes on.
    items = await chat.served.items(thread_id)
    decided = next(item for item in items if item["type"] == "structured_input")
    assert decided["inputs"][0]["answer"]["values"] == ["Approve"]
    chat.endpoint.add(Say("Still down."))
    assert error(await say(chat.served, thread_id, "and now?")) is None
    assert chat.done().count("erase /a") == 0


@pytest.mark.row("B8")
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["down", "reordered"])
async def test_an_approved_call_does_not_go_to_another_server(mcp_chat: New, tmp_path: Path, how: str):
    """openai/openai-agents-python#5119: a name that means another server's tool when the run goes on. The Agents SDK
    refuses this, and the answer ends with an internal error."""
    chat, other = mcp_chat(), tmp_path / "other.log"
    other.touch()

    def second() -> MCPServer:
        arguments = [str(SCRIPTS / "files.py"), str(other)]
        return MCPServerStdio({"command": sys.executable, "args": arguments}, name="second")

    thread_id, question = await asked(chat, chat.files(require_approval="always"), second())
    first = chat.odd("exits", name="files") if how == "down" else chat.files(require_approval="always")
    await chat.restart(*([first, second()] if how == "down" else [second(), first]))
    await chat.until("second", "connected")
    assert error(await chat.approve(thread_id, question)) is None
    assert "The person approved this call, but it could not be made any more." in told(chat.endpoint)[0]
    assert chat.endpoint.refused == []
    assert not any("erase" in line for line in [*chat.done(), *other.read_text().splitlines()])
