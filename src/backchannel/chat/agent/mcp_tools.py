"""Notices and outputs about tools of MCP servers that cannot be used, for people and models."""

from collections.abc import Sequence
from typing import Any

import structlog
from agents import Agent, RunContextWrapper
from agents.exceptions import ModelBehaviorError
from agents.tool_context import ToolContext
from chatkit.types import (
    CustomTask,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadStreamEvent,
    Workflow,
    WorkflowItem,
)

from backchannel.chat.agent.context import AnswerContext
from backchannel.mcp.proxy import CallReports
from backchannel.mcp.reasons import McpCallError
from backchannel.mcp.servers import McpServers
from backchannel.stores.times import to_sdk, utc_now

log = structlog.get_logger(__name__)


class McpNotices:
    """Shows the person, once per answer and server, that its tools are not available."""

    def __init__(self, servers: McpServers, answer: AnswerContext) -> None:
        self._servers = servers
        self._answer = answer

    async def prepare(self, agent: Agent[Any]) -> None:
        """Prepare the servers of an agent that is about to run; see `McpServers.unavailable`."""
        for event in await self.missing(agent):
            await self._answer.stream(event)

    async def missing(self, agent: Agent[Any]) -> list[ThreadStreamEvent]:
        """Prepare the servers of an agent; the events that say which of them cannot be used."""
        shown = self._answer.unavailable_servers
        missing = [each for each in await self._servers.unavailable(agent) if each not in shown]
        if not missing:
            return []
        shown.update(missing)
        item = self._notice(missing)
        return [ThreadItemAddedEvent(item=item), ThreadItemDoneEvent(item=item)]

    def _notice(self, names: Sequence[str]) -> WorkflowItem:
        tasks = [
            CustomTask(title=f"The tools of {name} are not available right now.", status_indicator="none")
            for name in names
        ]
        return WorkflowItem(
            id=self._answer.generate_id("workflow"),
            thread_id=self._answer.thread.id,
            created_at=to_sdk(utc_now()),
            workflow=Workflow(type="custom", tasks=list(tasks)),
        )


def mcp_call_reports() -> CallReports:
    """Failed calls get a failed task, and the model learns what it can act on."""
    return CallReports(_failure, _mark_failed)


def _failure(context: RunContextWrapper[Any], error: Exception) -> str:
    _mark_failed(context)
    if isinstance(error, McpCallError):
        return str(error)
    name = context.tool_name if isinstance(context, ToolContext) else "tool"
    if isinstance(error, ModelBehaviorError):
        return f"The arguments of this call of {name} are not valid: they must be one JSON object. Call it again."
    # The text of the exception may hold secrets.
    log.error("tool_failed", tool=name, error=type(error).__name__)
    return f"The tool {name} failed."


def _mark_failed(context: RunContextWrapper[Any]) -> None:
    answer: object = context.context
    if isinstance(answer, AnswerContext) and isinstance(context, ToolContext):
        answer.failed_calls.add(context.tool_call_id)
