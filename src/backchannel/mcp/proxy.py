"""The MCP server that agents get in place of their own."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, override

import structlog
from agents import AgentBase, Handoff, RunContextWrapper, default_tool_error_function
from agents.mcp import (
    MCPServer,
    MCPToolCustomDataContext,
    MCPToolMetaContext,
    ToolFilter,
    ToolFilterContext,
)
from agents.tool import ToolErrorFunction
from mcp.types import (
    CallToolResult,
    GetPromptResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ReadResourceResult,
    Tool,
)

from backchannel.mcp.names import tool_name as usable_name
from backchannel.mcp.reasons import McpCallError
from backchannel.mcp.results import readable
from backchannel.mcp.schemas import plain_object
from backchannel.mcp.supervisor import Supervisor

log = structlog.get_logger(__name__)

MAX_TOOLS = 128
"""The most tools of one agent: providers refuse every request that has more."""


@dataclass(frozen=True, slots=True)
class CallReports:
    """Where failed calls are reported.

    Attributes:
        failure: Gets the exception of a call; returns the output that the model gets.
        error_result: Gets the context of a call whose result says that it is an error.
    """

    failure: ToolErrorFunction = default_tool_error_function
    error_result: Callable[[RunContextWrapper[Any]], None] = lambda context: None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPolicies:
    """What is particular to the tools of one server.

    Attributes:
        tool_filter: Chooses the tools that an agent gets; as in the Agents SDK.
        rename: The name that agents get for the server's own name of a tool.
        configured: Whether it is one of `BACKCHANNEL_MCP_SERVERS`.
        server: The server from which the other options are taken: approval, guardrails, structured content and so on.
    """

    server: MCPServer
    tool_filter: ToolFilter = None
    rename: Callable[[str], str] = usable_name
    configured: bool = False


class SupervisedServer(MCPServer):
    """An MCP server whose connection belongs to a supervisor.

    `list_tools` never fails: it returns the tools that the server listed last. `connect` and `cleanup` do nothing.
    """

    def __init__(self, supervisor: Supervisor, policies: ToolPolicies, reports: CallReports) -> None:
        server = policies.server
        super().__init__(
            use_structured_content=server.use_structured_content,
            tool_meta_resolver=None if server.tool_meta_resolver is None else self._resolve_meta,
            tool_input_guardrails=server.tool_input_guardrails,
            tool_output_guardrails=server.tool_output_guardrails,
        )
        self.supervisor = supervisor
        self.policies = policies
        self._reports = reports
        self._warned: set[str] = set()
        self.custom_data_extractor = self._extract

    @property
    @override
    def name(self) -> str:
        return self.policies.server.name

    @override
    async def connect(self) -> None:
        """Does nothing: the supervisor connects."""

    @override
    async def cleanup(self) -> None:
        """Does nothing: the supervisor closes."""

    @override
    async def list_tools(
        self, run_context: RunContextWrapper[Any] | None = None, agent: AgentBase | None = None
    ) -> list[Tool]:
        if self.supervisor.tools is None:
            await self.supervisor.available()
        else:
            await self.supervisor.settled()
        if agent is None:
            return await self.chosen(run_context, agent)
        return await self._offered(run_context, agent)

    @override
    async def call_tool(
        self, tool_name: str, arguments: dict[str, Any] | None, meta: dict[str, Any] | None = None
    ) -> CallToolResult:
        own = self._own_name(tool_name)
        if own is None:
            raise McpCallError(f"{self.supervisor.source.name} has no tool {tool_name} any more.")
        return readable(await self.supervisor.call(own, arguments, meta))

    @override
    async def list_prompts(self) -> ListPromptsResult:
        return await self.supervisor.request("prompts", lambda server: server.list_prompts())

    @override
    async def get_prompt(self, name: str, arguments: dict[str, Any] | None = None) -> GetPromptResult:
        return await self.supervisor.request("prompt", lambda server: server.get_prompt(name, arguments))

    @override
    async def list_resources(self, cursor: str | None = None) -> ListResourcesResult:
        return await self.supervisor.request("resources", lambda server: server.list_resources(cursor))

    @override
    async def list_resource_templates(self, cursor: str | None = None) -> ListResourceTemplatesResult:
        return await self.supervisor.request(
            "resource templates", lambda server: server.list_resource_templates(cursor)
        )

    @override
    async def read_resource(self, uri: str) -> ReadResourceResult:
        return await self.supervisor.request("resource", lambda server: server.read_resource(uri))

    async def chosen(self, run_context: RunContextWrapper[Any] | None, agent: AgentBase | None) -> list[Tool]:
        """The tools that the server listed last and its filter lets through, each name once."""
        chosen: dict[str, Tool] = {}
        for tool in self.supervisor.tools or ():
            if await self._passes(tool, run_context, agent):
                name = self.policies.rename(tool.name)
                schema = plain_object(tool.input_schema)
                chosen.setdefault(name, tool.model_copy(update={"name": name, "input_schema": schema}))
        return list(chosen.values())

    async def _offered(self, run_context: RunContextWrapper[Any] | None, agent: AgentBase) -> list[Tool]:
        """Those that fit beside the agent's other tools.

        The agent's own come first, then each server's in order. Of two with one name the first is kept, since the
        Agents SDK would end the run."""
        prefixed = bool(agent.mcp_config.get("include_server_in_tool_names"))
        taken = {tool.name for tool in agent.tools}
        handoffs = [_handoff_name(each) for each in getattr(agent, "handoffs", ())]
        left = MAX_TOOLS - len(taken) - len(handoffs)
        taken.update(handoffs)
        dropped: list[str] = []
        for server in agent.mcp_servers:
            if not isinstance(server, SupervisedServer):
                continue
            offered: list[Tool] = []
            for tool in await server.chosen(run_context, agent):
                if left <= 0 or (tool.name in taken and not prefixed):
                    dropped.append(tool.name)
                    continue
                taken.add(tool.name)
                left -= 1
                offered.append(tool)
            if server is self:
                self._warn(agent, dropped)
                return offered
            dropped = []
        return []

    def _warn(self, agent: AgentBase, dropped: Sequence[str]) -> None:
        if new := sorted(set(dropped) - self._warned):
            self._warned.update(new)
            log.warning(
                "mcp_tools_left_out",
                agent=agent.name,
                server=self.supervisor.source.name,
                tools=new,
                hint=f"another tool has the name, or there are more than {MAX_TOOLS}; use a tool filter",
            )

    async def _passes(
        self, tool: Tool, run_context: RunContextWrapper[Any] | None, agent: AgentBase | None
    ) -> bool:
        chooser = self.policies.tool_filter
        if chooser is None:
            return True
        if not callable(chooser):
            allowed = chooser.get("allowed_tool_names")
            return (allowed is None or tool.name in allowed) and tool.name not in chooser.get(
                "blocked_tool_names", ()
            )
        if run_context is None or agent is None:
            return False
        try:
            passes = chooser(ToolFilterContext(run_context, agent, self.name), tool.model_copy(deep=True))
            return bool(await passes if inspect.isawaitable(passes) else passes)
        except Exception as error:
            log.error("mcp_tool_filter_failed", server=self.supervisor.source.name, exc_info=error)
            return False

    def _own_name(self, public: str) -> str | None:
        """The server's own name for a name that agents have; `None` if there is no such tool."""
        names = (tool.name for tool in self.supervisor.tools or ())
        return next((name for name in names if self.policies.rename(name) == public), None)

    def _extract(self, context: MCPToolCustomDataContext) -> Any:
        if context.is_error:
            self._reports.error_result(context.run_context)
        extract = self.policies.server.custom_data_extractor
        if extract is None:
            return None
        return extract(replace(context, tool_name=self._own_name(context.tool_name) or context.tool_name))

    def _resolve_meta(self, context: MCPToolMetaContext) -> Any:
        resolve = self.policies.server.tool_meta_resolver
        if resolve is None:
            return None
        return resolve(replace(context, tool_name=self._own_name(context.tool_name) or context.tool_name))

    # These two have no public form.
    @override
    def _get_needs_approval_for_tool(self, tool: Tool, agent: AgentBase | None) -> Any:
        own = self._own_name(tool.name) or tool.name
        own_tool = tool.model_copy(update={"name": own})
        return self.policies.server._get_needs_approval_for_tool(own_tool, agent)  # noqa: SLF001

    @override
    def _get_failure_error_function(
        self, agent_failure_error_function: ToolErrorFunction | None
    ) -> ToolErrorFunction | None:
        ours = agent_failure_error_function
        if ours is default_tool_error_function:
            ours = self._reports.failure
        return self.policies.server._get_failure_error_function(ours)  # noqa: SLF001


def _handoff_name(handoff: Any) -> str:
    return handoff.tool_name if isinstance(handoff, Handoff) else Handoff.default_tool_name(handoff)
