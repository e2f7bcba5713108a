"""Sees to it that the journal knows of a tool call before the tool starts, and of its output before the model does."""

from typing import Any, override

from agents import Agent, RunContextWrapper, RunHooks, Tool
from agents.tool_context import ToolContext
from chatkit.types import HiddenContextItem

from backchannel.chat.recovery import journal
from backchannel.chat.agent.context import AnswerContext


class Witness(RunHooks[Any]):
    """Hooks of one run. Each waits until what it noted is kept: what happens next may not be undone by a crash."""

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._calls: dict[str, HiddenContextItem] = {}

    @override
    async def on_tool_start(self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Tool) -> None:
        if not isinstance(context, ToolContext):
            return
        call = journal.ToolCall(
            call_id=context.tool_call_id, name=context.tool_name, arguments=context.tool_arguments
        )
        item = journal.keep(call, self._context.thread.id)
        self._calls[call.call_id] = item
        await self._context.keep(item)

    @override
    async def on_tool_end(
        self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Tool, result: object
    ) -> None:
        item = self._calls.get(context.tool_call_id) if isinstance(context, ToolContext) else None
        if item is not None:
            await self._context.keep(journal.ended(item, result if isinstance(result, str) else str(result)))

    @override
    async def on_handoff(
        self, context: RunContextWrapper[Any], from_agent: Agent[Any], to_agent: Agent[Any]
    ) -> None:
        await self._context.keep(journal.keep(journal.HandOff(agent=to_agent.name), self._context.thread.id))
