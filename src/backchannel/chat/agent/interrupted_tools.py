"""Repeats calls of idempotent tools that were interrupted by a crash."""

from typing import Any

import structlog
from agents import Agent, FunctionTool, RunConfig, RunContextWrapper, Usage
from agents.tool import invoke_function_tool
from agents.tool_context import ToolContext
from chatkit.types import HiddenContextItem

from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.recovery import journal
from backchannel.tools import is_idempotent

log = structlog.get_logger(__name__)


async def repeat_call(
    item: HiddenContextItem, agent: Agent[Any], context: AnswerContext, run_config: RunConfig
) -> HiddenContextItem | None:
    """Repeat an interrupted tool call, if the tool is idempotent.

    Returns:
        The journal item with the output, or `None` if the tool is not idempotent or no longer exists.
    """
    call = journal.tool_call(item)
    assert call is not None
    tools = await agent.get_all_tools(RunContextWrapper(context))
    tool = next((each for each in tools if isinstance(each, FunctionTool) and each.name == call.name), None)
    if tool is None or not is_idempotent(tool):
        log.warning("tool_outcome_unknown", tool=call.name)
        return None
    log.info("tool_called_again", tool=call.name)
    tool_context = ToolContext(
        context=context,
        usage=Usage(),
        tool_name=call.name,
        tool_call_id=call.call_id,
        tool_arguments=call.arguments,
        agent=agent,
        run_config=run_config,
    )
    output = await invoke_function_tool(function_tool=tool, context=tool_context, arguments=call.arguments)
    failed = call.call_id in context.failed_calls
    return journal.with_output(item, output if isinstance(output, str) else str(output), failed=failed)
