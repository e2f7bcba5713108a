"""Journals the tools that an agent calls which is itself a tool: the SDK reports them only inside that agent."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from agents import FunctionTool
from agents.tool_context import ToolContext
from chatkit.types import HiddenContextItem

from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.tool_output import output_text
from backchannel.chat.recovery import journal

INNER_FAILED = "The tool failed."

_caller: ContextVar[str | None] = ContextVar("caller", default=None)
"""The id of the call of the outermost agent that is a tool, in the task that executes it."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A journaled call of an inner agent's tool."""

    answer: AnswerContext
    item: HiddenContextItem
    entry: journal.InnerToolCall

    async def finish(self, output: str) -> None:
        entry = self.entry.model_copy(update={"output": output, "finished": True})
        await self.answer.write_journal(journal.changed(self.item, entry))


_unchecked: ContextVar[_Call | None] = ContextVar("unchecked", default=None)
"""The call in this task whose output guardrails have still to check."""


async def journaled(tool: FunctionTool, context: Any, call: Callable[[], Awaitable[Any]]) -> Any:
    """Call a tool by `call`, and journal it if an agent calls it that is itself a tool.

    The journal has the call before the tool runs, and its output before the agent gets it.
    """
    answer = getattr(context, "context", None)
    if not isinstance(context, ToolContext) or not isinstance(answer, AnswerContext):
        return await call()
    caller = _caller.get()
    if is_agent(tool) and caller is None:
        token = _caller.set(context.tool_call_id)
        try:
            return await call()
        finally:
            _caller.reset(token)
    if caller is None:
        return await call()
    entry = journal.InnerToolCall(
        caller=caller,
        agent=context.agent.name if context.agent is not None else "",
        call_id=context.tool_call_id,
        name=context.tool_name,
        arguments=context.tool_arguments,
    )
    made = _Call(answer, journal.to_item(entry, answer.thread.id), entry)
    await answer.write_journal(made.item)
    try:
        result = await call()
    except Exception:
        await made.finish(INNER_FAILED)
        raise
    if tool.tool_output_guardrails:
        _unchecked.set(made)
    else:
        await made.finish(output_text(result.output))
    return result


async def checked(check: Callable[[], Awaitable[Any]]) -> Any:
    """Have guardrails check the output of a tool by `check`. Only what they let pass, or put in its place, is journaled
    and shown of an inner agent's tool."""
    made = _unchecked.get()
    if made is None:
        return await check()
    _unchecked.set(None)
    try:
        result = await check()
    except Exception:
        await made.finish(INNER_FAILED)
        raise
    await made.finish(output_text(result.output))
    return result


def is_agent(tool: FunctionTool) -> bool:
    """Whether a tool is an agent (`Agent.as_tool`)."""
    # The SDK has no public mark.
    return getattr(tool, "_is_agent_tool", False)
