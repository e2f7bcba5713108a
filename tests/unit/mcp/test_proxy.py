"""What agents get in place of their servers, and what of the Agents SDK this relies on."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
from agents import Agent, RunContextWrapper, function_tool, handoff
from agents.mcp import MCPServerStdio, MCPServerStreamableHttp
from mcp.types import Tool

from backchannel.mcp.configuration import load_mcp_servers
from backchannel.mcp.processes import VARIABLE, end_orphans, end_processes, new_mark
from backchannel.mcp.proxy import CallReports, SupervisedServer
from backchannel.mcp.reach import reachable_agents
from backchannel.mcp.servers import READ_SECONDS, McpServers

pytestmark = pytest.mark.row("B9", "M20")


@function_tool
def look() -> str:
    """Look."""
    return ""


def stdio(name: str | None = None, **options: Any) -> MCPServerStdio:
    return MCPServerStdio({"command": "/opt/secret/weather-server"}, name=name, **options)


def adopted(agent: Agent[Any]) -> list[SupervisedServer]:
    McpServers(CallReports()).adopt_first(agent)
    assert all(isinstance(each, SupervisedServer) for each in agent.mcp_servers)
    return [each for each in agent.mcp_servers if isinstance(each, SupervisedServer)]


def lists(server: SupervisedServer, *names: str) -> None:
    """Say what the server listed last."""
    server.supervisor.tools = [Tool(name=name, input_schema={"type": "object"}) for name in names]


async def names(server: SupervisedServer, agent: Agent[Any]) -> list[str]:
    return [tool.name for tool in await server.list_tools(RunContextWrapper(None), agent)]


def test_every_agent_that_can_be_reached_is_found_once():
    server = stdio("weather")
    inner, last = Agent(name="inner", mcp_servers=[server]), Agent(name="last", mcp_servers=[server])
    first = Agent(name="first", tools=[inner.as_tool("inner", "")], handoffs=[handoff(last)])
    last.handoffs.append(first)
    assert [each.name for each in reachable_agents(first)] == ["first", "inner", "last"]
    assert [each.name for each in reachable_agents(first, handoffs=False)] == ["first", "inner"]
    servers = McpServers(CallReports())
    servers.adopt(first)
    servers.adopt(first)
    assert inner.mcp_servers[0] is last.mcp_servers[0]
    assert list(servers.health()) == ["weather"]


def test_names_in_health_are_distinct_and_hold_no_address():
    """openai/openai-agents-python: a server's name is its command or its address."""
    web = MCPServerStreamableHttp({"url": "https://user:pass@tools.example/mcp?key=secret"})
    servers = McpServers(CallReports())
    servers.adopt(Agent(name="a", mcp_servers=[stdio(), stdio(), web, stdio("weather")]))
    assert list(servers.health()) == ["weather-server", "weather-server (2)", "tools.example", "weather"]


def test_an_agent_that_is_served_again_has_each_server_once(tmp_path: Path):
    (tmp_path / "mcp.json").write_text('{"mcpServers": {"more": {"command": "x"}}}', encoding="utf-8")
    agent = Agent(name="a", mcp_servers=[stdio("one", tool_filter={"allowed_tool_names": ["find"]})])
    for _ in range(2):
        servers = McpServers(CallReports(), load_mcp_servers(tmp_path / "mcp.json"))
        servers.adopt_first(agent)
        servers.adopt(agent)
        found = [each for each in agent.mcp_servers if isinstance(each, SupervisedServer)]
        assert [each.supervisor.source.name for each in found] == ["one", "more"]
        assert found[0].policies.tool_filter == {"allowed_tool_names": ["find"]}
        assert sorted(servers.health()) == ["more", "one"]


async def test_of_two_tools_with_one_name_the_first_is_kept():
    """openai/openai-agents-python#464."""
    agent = Agent(name="a", tools=[look], mcp_servers=[stdio("one"), stdio("two")])
    one, two = adopted(agent)
    lists(one, "look", "find", "find")
    lists(two, "find", "say")
    with structlog.testing.capture_logs() as logs:
        assert (await names(one, agent), await names(two, agent)) == (["find"], ["say"])
        await names(two, agent)
    assert [(each["server"], each["tools"]) for each in logs] == [("one", ["look"]), ("two", ["find"])]


async def test_with_prefixes_of_the_sdk_all_are_kept():
    agent = Agent(name="a", mcp_servers=[stdio("one"), stdio("two")])
    agent.mcp_config = {"include_server_in_tool_names": True}
    one, two = adopted(agent)
    lists(one, "find")
    lists(two, "find")
    assert (await names(one, agent), await names(two, agent)) == (["find"], ["find"])


async def test_at_most_128_tools_are_offered():
    """anomalyco/opencode#4909: 238 tools; the provider refuses every message."""
    agent = Agent(name="a", tools=[look], mcp_servers=[stdio("one"), stdio("two")])
    one, two = adopted(agent)
    lists(one, *(f"a{number}" for number in range(100)))
    lists(two, *(f"b{number}" for number in range(100)))
    assert (len(await names(one, agent)), len(await names(two, agent))) == (100, 27)


@pytest.mark.parametrize(
    "chooser",
    [
        {"allowed_tool_names": ["find", "say"], "blocked_tool_names": ["say"]},
        lambda context, tool: tool.name == "find",
        lambda context, tool: tool.name == "find" or 1 / 0,
    ],
)
async def test_tool_filters(chooser: Any):
    agent = Agent(name="a", mcp_servers=[stdio("one", tool_filter=chooser)])
    (one,) = adopted(agent)
    lists(one, "find", "say", "see")
    assert await names(one, agent) == ["find"]


def test_approval_is_that_of_the_server():
    agent = Agent(name="a", mcp_servers=[stdio("one", require_approval={"erase": "always"})])
    (one,) = adopted(agent)
    for name, needed in (("erase", True), ("look", False)):
        tool = Tool(name=name, input_schema={"type": "object"})
        assert one._get_needs_approval_for_tool(tool, agent) is needed


def test_what_the_sdk_sets_otherwise():
    """cline/cline#12576, microsoft/agent-framework#4938. Fails if the SDK renames what is relied on."""
    slow, own = stdio("slow"), stdio("own", client_session_timeout_seconds=9)
    web = MCPServerStreamableHttp({"url": "http://127.0.0.1:1/mcp"})
    assert (slow.client_session_timeout_seconds, web._serialize_session_requests) == (5, True)
    adopted(Agent(name="a", mcp_servers=[slow, own, web]))
    assert (slow.client_session_timeout_seconds, own.client_session_timeout_seconds) == (None, 9)
    # Otherwise a call over HTTP ends after 300 seconds without a word of the server.
    assert web.params.get("sse_read_timeout") == READ_SECONDS
    assert not web._serialize_session_requests
    assert VARIABLE in (slow.params.env or {})


def test_calls_that_the_sdk_repeats_are_a_warning():
    with structlog.testing.capture_logs() as logs:
        adopted(Agent(name="a", mcp_servers=[stdio("one", max_retry_attempts=2)]))
    assert [each["event"] for each in logs] == ["mcp_calls_may_be_repeated"]


@pytest.mark.parametrize("ignores", [False, True], ids=["ends", "ignores-sigterm"])
async def test_processes_are_found_by_their_mark(ignores: bool):
    """ihor-sokoliuk/mcp-searxng#60."""
    code = "import signal, time; print(flush=True); time.sleep(60)"
    if ignores:
        code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {code}"
    with subprocess.Popen(  # noqa: ASYNC220 - it begins at once
        [sys.executable, "-c", code], env={VARIABLE: "mark-1"}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert await end_processes("mark-2") == 0
        assert process.poll() is None
        assert await end_processes("mark-1") == 1
        assert process.wait(5) < 0


@pytest.mark.parametrize("owner", ["alive", "gone", "number-used-again", "unknown"])
async def test_only_servers_of_processes_that_are_gone_are_orphans(owner: str):
    """NousResearch/hermes-agent#60015."""
    number, began, token = new_mark().split("-")
    mark = {
        "alive": f"{number}-{began}-{token}",
        "gone": f"{2**22 + 1}-{began}-{token}",
        "number-used-again": f"{number}-{int(began) - 1}-{token}",
        "unknown": f"other-{token}",
    }[owner]
    code = "import time; print(flush=True); time.sleep(60)"
    with subprocess.Popen(  # noqa: ASYNC220 - it begins at once
        [sys.executable, "-S", "-c", code], env={VARIABLE: mark}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        await end_orphans()
        try:
            if owner in {"gone", "number-used-again"}:
                assert process.wait(5) < 0
            else:
                assert process.poll() is None
        finally:
            process.kill()


async def test_a_start_ends_an_orphan_that_ignores_it_and_says_so():
    """NousResearch/hermes-agent#60015. Without SIGKILL it would stay. It lives for a second after SIGTERM, and so is found
    here even if a Backchannel of another test sees it first."""
    number, began, token = new_mark().split("-")
    mark = f"{number}-{int(began) - 1}-{token}"
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen(  # noqa: ASYNC220 - it begins at once
        [sys.executable, "-S", "-c", code], env={VARIABLE: mark}, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            servers = McpServers(CallReports())
            with structlog.testing.capture_logs() as logs:
                servers.open()
                await servers.aclose()
            assert process.wait(5) == -signal.SIGKILL
        finally:
            process.kill()
    assert [(each["event"], each["processes"] >= 1) for each in logs] == [("mcp_orphans_ended", True)]
