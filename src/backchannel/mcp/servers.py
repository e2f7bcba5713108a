"""The MCP servers of a process: those of its agents, and those of `BACKCHANNEL_MCP_SERVERS`."""

import asyncio
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

import structlog
from agents import Agent
from agents.mcp import MCPServer, MCPServerSse, MCPServerStdio, MCPServerStreamableHttp, ToolFilter

from backchannel.mcp.configuration import ConfiguredServer
from backchannel.mcp.connection import Source
from backchannel.mcp.noise import ignore_noise
from backchannel.mcp.processes import VARIABLE, end_orphans, new_mark
from backchannel.mcp.proxy import CallReports, SupervisedServer, ToolPolicies
from backchannel.mcp.reach import reachable_agents
from backchannel.mcp.supervisor import Supervisor

log = structlog.get_logger(__name__)

IDLE_SECONDS = 300.0
"""A server of an agent that was made during a run is closed if it was unused for so long, once another is made."""

SDK_TIMEOUT_SECONDS = 5
"""The time-out that the Agents SDK sets for every request unless the application sets another one."""

READ_SECONDS = 86_400
"""How long a server over HTTP may be silent during a call; the SDK's default is shorter than the time-out of tools."""


class McpServers:
    """Gives agents supervised servers in place of their own: one for each server, however many agents have it.

    Args:
        reports: Where failed calls are reported.
        configured: Servers whose tools the first agent gets.
    """

    def __init__(self, reports: CallReports, configured: Sequence[ConfiguredServer] = ()) -> None:
        self._reports = reports
        self._is_open = False
        self._proxies: dict[int, SupervisedServer] = {}
        self._for_runs: set[int] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._configured = [self._configured_proxy(each) for each in configured]

    def adopt_first(self, agent: Agent[Any]) -> None:
        """Take over the servers of the agent that begins answers and of all that it can reach, and give it the
        configured ones."""
        self.adopt(agent)
        agent.mcp_servers.extend(each for each in self._configured if each not in agent.mcp_servers)

    def adopt(self, agent: Agent[Any]) -> None:
        """Replace the servers of an agent, and of all that it can reach, by supervised ones."""
        for each in reachable_agents(agent):
            # In place: copies of an agent share the list.
            each.mcp_servers[:] = [
                self._own(server) for server in each.mcp_servers if not self._is_configured_elsewhere(server)
            ]

    def open(self) -> None:
        """Begin to connect all servers. Does not wait for them: one that is down costs its tools only."""
        self._is_open = True
        ignore_noise()
        self._closing.add(task := asyncio.create_task(_end_orphans(), name="mcp orphans"))
        task.add_done_callback(self._closing.discard)
        for each in self._all():
            each.supervisor.start()

    async def aclose(self) -> None:
        """Close all servers at once."""
        self._is_open = False
        await asyncio.gather(*(each.supervisor.stop() for each in self._all()), *self._closing)

    async def unavailable(self, agent: Agent[Any]) -> list[str]:
        """Take over the servers of an agent that is about to run, and wait a moment for those that are connecting.

        Returns:
            The names of the servers of the agent, and of agents that are its tools, that cannot be used now.
        """
        supervisors = self._started(agent, handoffs=False)
        states = await asyncio.gather(*(each.available() for each in supervisors))
        return [each.source.name for each, well in zip(supervisors, states, strict=True) if not well]

    async def listed(self, agent: Agent[Any]) -> None:
        """Wait until every server that an agent can reach has listed its tools, or has failed to, for the first time.

        For a run that goes on with calls of these tools: the Agents SDK drops those of tools that are not listed. All
        servers are waited for together, at most as long as one may take to connect.
        """
        supervisors = self._started(agent, handoffs=True)
        if self._is_open:
            await asyncio.gather(*(each.first_try() for each in supervisors))

    def health(self) -> dict[str, Any]:
        """The state of each server, by its name. Nothing in it is secret."""
        return {each.supervisor.source.name: each.supervisor.health() for each in self._all()}

    @property
    def ready(self) -> bool:
        """Whether all required servers are connected."""
        return all(
            each.supervisor.state == "connected" for each in self._all() if each.supervisor.source.required
        )

    def _started(self, agent: Agent[Any], *, handoffs: bool) -> list[Supervisor]:
        """Take over the servers of an agent and of those that it can reach, and begin to connect them."""
        self.adopt(agent)
        supervisors: dict[Supervisor, None] = {}
        for each in reachable_agents(agent, handoffs=handoffs):
            for server in each.mcp_servers:
                if isinstance(server, SupervisedServer):
                    supervisors[server.supervisor] = None
        if self._is_open:
            for supervisor in supervisors:
                supervisor.start()
        return list(supervisors)

    def _all(self) -> list[SupervisedServer]:
        return [*self._configured, *self._proxies.values()]

    def _own(self, server: MCPServer) -> SupervisedServer:
        if not isinstance(server, SupervisedServer):
            return self._proxy(server, getattr(server, "tool_filter", None))
        if any(server is each for each in self._all()):
            return server
        # The agent was served before, in this process.
        return self._proxy(server.policies.server, server.policies.tool_filter)

    def _is_configured_elsewhere(self, server: MCPServer) -> bool:
        return (
            isinstance(server, SupervisedServer)
            and server.policies.configured
            and not any(server is each for each in self._configured)
        )

    def _proxy(self, server: MCPServer, chooser: ToolFilter) -> SupervisedServer:
        if (known := self._proxies.get(id(server))) is not None:
            return known
        mark = _prepare(server)
        source = Source(name=self._unique(_label(server.name)), make=lambda: server, process_mark=mark)
        # The supervisor needs the whole list.
        if chooser is not None:
            server.tool_filter = None  # pyright: ignore[reportAttributeAccessIssue]
        policies = ToolPolicies(server=server, tool_filter=chooser)
        proxy = SupervisedServer(Supervisor(source), policies, self._reports)
        if self._is_open:
            self._close_idle()
            self._for_runs.add(id(server))
        self._proxies[id(server)] = proxy
        return proxy

    def _configured_proxy(self, configured: ConfiguredServer) -> SupervisedServer:
        mark = new_mark()

        def make() -> MCPServer:
            server = configured.make()
            _prepare(server, mark)
            return server

        source = Source(name=configured.name, make=make, required=configured.required, process_mark=mark)
        policies = ToolPolicies(server=configured.template(), rename=configured.tool_name, configured=True)
        return SupervisedServer(Supervisor(source), policies, self._reports)

    def _close_idle(self) -> None:
        now = asyncio.get_running_loop().time()
        for key in list(self._for_runs):
            supervisor = self._proxies[key].supervisor
            if now - supervisor.last_used > IDLE_SECONDS and not supervisor.busy:
                self._for_runs.discard(key)
                del self._proxies[key]
                task = asyncio.create_task(supervisor.stop())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    def _unique(self, name: str) -> str:
        names = {each.supervisor.source.name for each in self._all()}
        number = 2
        unique = name
        while unique in names:
            unique = f"{name} ({number})"
            number += 1
        return unique


def _prepare(server: MCPServer, mark: str | None = None) -> str | None:
    """Set what the Agents SDK does otherwise; the mark of the server's processes, if it is a program."""
    if getattr(server, "max_retry_attempts", 0):
        log.warning(
            "mcp_calls_may_be_repeated", server=_label(server.name), hint="max_retry_attempts is not 0"
        )
    if getattr(server, "client_session_timeout_seconds", None) == SDK_TIMEOUT_SECONDS:
        # The time-out of tools applies.
        server.client_session_timeout_seconds = None  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(server, MCPServerStreamableHttp):
        # Otherwise one person's slow call delays everybody's. There is no public option.
        server._serialize_session_requests = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    if isinstance(server, MCPServerStreamableHttp | MCPServerSse):
        server.params.setdefault("sse_read_timeout", READ_SECONDS)
    if not isinstance(server, MCPServerStdio):
        return None
    mark = mark or new_mark()
    server.params.env = {**(server.params.env or {}), VARIABLE: mark}
    return mark


async def _end_orphans() -> None:
    if ended := await end_orphans():
        log.warning("mcp_orphans_ended", processes=ended)


def _label(name: str) -> str:
    """A server's name for people and logs. The SDK's own names have the address or the path of the command."""
    kind, found, rest = name.partition(": ")
    if found and kind == "stdio":
        return PurePath(rest).name
    if "://" in name:
        address = urlsplit(rest or name)
        return address.hostname or kind
    return name
