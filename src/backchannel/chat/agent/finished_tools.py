"""Ends a resumed answer whose tools had all returned, if the result of one is the answer.

An agent's `tool_use_behavior` says so, for example `"stop_on_first_tool"`. The model would not have been called again,
and is not after a crash.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from agents import Agent, FunctionTool, FunctionToolResult, RunContextWrapper, ToolsToFinalOutputResult
from agents.items import ToolCallOutputItem
from agents.run_internal.turn_resolution import check_for_final_output_from_tools
from chatkit.agents import ClientToolCall
from chatkit.types import HiddenContextItem, ThreadStreamEvent
from openai.types.responses import ResponseFunctionToolCall

from backchannel.chat.agent.client_calls import client_calls
from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.final_output import FinalOutput
from backchannel.chat.recovery import journal
from backchannel.chat.recovery.resume_point import ResumePoint
from backchannel.errors import ToolFailedError

log = structlog.get_logger(__name__)


async def final_result(
    calls: Sequence[HiddenContextItem], agent: Agent[Any], context: AnswerContext
) -> ToolsToFinalOutputResult | None:
    """What the calls of a response make the final output; `None` if the model has to be called again.

    Args:
        calls: Their journal items, in order.
    """
    entries = [call for item in calls if (call := journal.tool_call(item)) is not None]
    complete = len(entries) == len(calls) and all(entry.finished for entry in entries)
    if not complete or not entries or entries[0].response_calls != len(entries):
        return None
    if agent.tool_use_behavior == "run_llm_again":
        return None
    wrapper = RunContextWrapper(context)
    tools = {each.name: each for each in await agent.get_all_tools(wrapper) if isinstance(each, FunctionTool)}
    if not all(entry.name in tools for entry in entries):
        return None
    results = [_result(entry, tools[entry.name], agent) for entry in entries]
    try:
        final = await check_for_final_output_from_tools(agent, results, wrapper)
    except Exception:
        # A function of the application. It gets text in place of the objects that tools have returned.
        log.exception("tool_use_behavior_failed", agent=agent.name)
        return None
    return final if final.is_final_output else None


def end_answer(
    final: ToolsToFinalOutputResult,
    calls: Sequence[HiddenContextItem],
    point: ResumePoint,
    context: AnswerContext,
) -> Iterator[ThreadStreamEvent]:
    """The end of an answer with that result: its message, or the calls of client tools.

    Raises:
        ToolFailedError: The tool failed.
    """
    entries = {item.id: call for item in calls if (call := journal.tool_call(item)) is not None}
    for entry in entries.values():
        for request in entry.client_calls:
            context.client_calls.append(ClientToolCall(name=request.name, arguments=request.arguments))
        if entry.failed:
            context.failed_calls.add(entry.call_id)
    made = [_call(entry) for entry in entries.values()]
    by_call = {entries[item.id].call_id: item for item in calls}
    of_tool = next((entry for entry in entries.values() if entry.output == final.final_output), None)
    answer = FinalOutput(context, shown_by_tools=point.shown_by_tools)
    yield from answer.of_tool(final.final_output, of_tool.call_id if of_tool is not None else None, by_call)
    if answer.tool_failed:
        raise ToolFailedError
    yield from client_calls(point.agent, context, made, point.queued_client_calls)


def _result(entry: journal.ToolCall, tool: FunctionTool, agent: Agent[Any]) -> FunctionToolResult:
    raw = {"type": "function_call_output", "call_id": entry.call_id, "output": entry.output}
    item = ToolCallOutputItem(agent=agent, raw_item=raw, output=entry.output)
    return FunctionToolResult(tool=tool, output=entry.output, run_item=item)


def _call(entry: journal.ToolCall) -> ResponseFunctionToolCall:
    return ResponseFunctionToolCall(
        type="function_call", call_id=entry.call_id, name=entry.name, arguments=entry.arguments
    )
