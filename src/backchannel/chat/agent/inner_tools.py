"""Journals the tools that an agent calls which is itself a tool: the SDK reports them only inside that agent."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

from agents import AgentBase, FunctionTool, default_tool_error_function
from agents.tool_context import ToolContext
from chatkit.types import HiddenContextItem

from backchannel.budgets.scope import for_purpose
from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.inner_runs import InnerCall, current_call
from backchannel.chat.agent.tool_output import output_text
from backchannel.chat.recovery import journal

INNER_FAILED = "The tool failed."


@dataclass(frozen=True, slots=True)
class JournaledCall:
    """A journaled call of an inner agent's tool."""

    answer: AnswerContext
    item: HiddenContextItem
    entry: journal.InnerToolCall

    async def finish(self, output: str, *, failed: bool = False, why: str = "") -> None:
        """Journal what the tool returned."""
        calls = self.answer.failed_calls
        failed = failed or self.entry.call_id in calls
        # Ids of calls are not unique: those of an inner agent may be the same as its caller's.
        calls.discard(self.entry.call_id)
        changes = {"output": output, "finished": True, "failed": failed, "why": why}
        entry = self.entry.model_copy(update=changes)
        await self.answer.write_journal(journal.changed(self.item, entry))

    async def fail(self) -> None:
        """Journal that the tool raised an exception which ended its agent."""
        await self.finish(INNER_FAILED, failed=True)


_unchecked: ContextVar[JournaledCall | None] = ContextVar("unchecked", default=None)
"""The call in this task whose output guardrails have still to check."""


async def journaled(tool: FunctionTool, context: Any, call: Callable[[], Awaitable[Any]]) -> Any:
    """Call a tool by `call`, and journal it if an agent calls it that is itself a tool.

    The journal has the call before the tool runs, and its output before the agent gets it.
    """
    answer = getattr(context, "context", None)
    if not isinstance(context, ToolContext) or not isinstance(answer, AnswerContext):
        return await call()
    context = cast("ToolContext[Any]", context)
    outer = current_call.get()
    if outer is None:
        called = context.tool_call_id
        return await (_within(_inner_call(tool, context, called, called), call) if is_agent(tool) else call())
    made = await begin_inner(
        answer, context.agent, context.tool_call_id, context.tool_name, context.tool_arguments
    )
    assert made is not None
    try:
        if is_agent(tool):
            inner = _inner_call(tool, context, made.item.id, outer.caller, speaks=outer.speaks)
            result = await _within(inner, call)
        else:
            result = await call()
    except Exception:
        await made.fail()
        raise
    if tool.tool_output_guardrails:
        _unchecked.set(made)
    else:
        await made.finish(output_text(result.output))
    return result


async def begin_inner(
    answer: AnswerContext,
    agent: AgentBase[Any] | None,
    call_id: str,
    name: str,
    arguments: str,
    *,
    item_type: str | None = None,
) -> JournaledCall | None:
    """Journal a call that begins; `None` if no agent makes it that is itself a tool.

    Args:
        item_type: As in `journal.InnerToolCall`.
    """
    outer = current_call.get()
    if outer is None:
        return None
    entry = journal.InnerToolCall(
        caller=outer.caller,
        agent=agent.name if agent is not None else "",
        call_id=call_id,
        name=name,
        arguments=arguments,
        item_type=item_type,
    )
    made = JournaledCall(answer, journal.to_item(entry, answer.thread.id), entry)
    await answer.write_journal(made.item)
    return made


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
        await made.fail()
        raise
    await made.finish(output_text(result.output))
    return result


def _inner_call(
    tool: FunctionTool, context: ToolContext[Any], task: str, caller: str, *, speaks: bool = True
) -> InnerCall:
    if getattr(tool, "_failure_error_function", None) is default_tool_error_function:
        # As the default of `function_tool`: the failure is logged and shown (`report_tool_error`).
        cast("Any", tool)._use_default_failure_error_function = True  # noqa: SLF001
    return InnerCall(
        task=task,
        caller=caller,
        call_id=context.tool_call_id,
        agent=getattr(tool, "_agent_instance", None),
        speaks=speaks and not tool.tool_output_guardrails,
    )


async def _within(inner: InnerCall, call: Callable[[], Awaitable[Any]]) -> Any:
    token = current_call.set(inner)
    try:
        with for_purpose("inner_agent"):
            return await call()
    finally:
        current_call.reset(token)


def is_agent(tool: FunctionTool) -> bool:
    """Whether a tool is an agent (`Agent.as_tool`)."""
    # The SDK has no public mark.
    return getattr(tool, "_is_agent_tool", False)
