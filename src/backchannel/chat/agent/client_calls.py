"""The calls of client tools that an answer ends with. The client answers one at a time."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

from agents import Agent, StopAtTools
from chatkit.types import ClientToolCallItem, ThreadItemDoneEvent
from openai.types.responses import ResponseFunctionToolCall

from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.recovery import journal
from backchannel.ids import new_id
from backchannel.stores.times import to_sdk, utc_now


def client_calls(
    agent: Agent[Any],
    context: AnswerContext,
    made: Sequence[ResponseFunctionToolCall],
    queued: Collection[str] = (),
) -> Iterator[ThreadItemDoneEvent]:
    """Queue every client tool call but the first, then make the first: it must be the last item of the thread.

    Args:
        made: The calls of tools in the answer.
        queued: The ids of client tool calls that are queued already.
    """
    calls = list(made)
    entries: list[journal.QueuedClientCall] = []
    for requested in context.client_calls:
        several = len(context.client_calls) > 1
        call = _find_call(agent, requested.name, calls, first=several)
        if call is not None:
            calls.remove(call)
        call_id = call.call_id if call else new_id("tool_call")
        entries.append(
            journal.QueuedClientCall(call_id=call_id, name=requested.name, arguments=requested.arguments)
        )
    for entry in entries[1:]:
        if entry.call_id in queued:
            continue
        yield ThreadItemDoneEvent(item=journal.to_item(entry, context.thread.id))
    for entry in entries[:1]:
        yield ThreadItemDoneEvent(item=client_call_item(entry, context.thread.id))


def client_call_item(call: journal.QueuedClientCall, thread_id: str) -> ClientToolCallItem:
    """The thread item of a client tool call, which waits for its output."""
    return ClientToolCallItem(
        id=new_id("tool_call"),
        thread_id=thread_id,
        created_at=to_sdk(utc_now()),
        name=call.name,
        arguments=call.arguments,
        call_id=call.call_id,
    )


def _find_call(
    agent: Agent[Any], name: str, calls: Sequence[ResponseFunctionToolCall], *, first: bool
) -> ResponseFunctionToolCall | None:
    # The SDK does not expose which tool made the client tool call: it is one that the agent stops at.
    behavior = agent.tool_use_behavior
    stops = cast("StopAtTools", behavior)["stop_at_tool_names"] if isinstance(behavior, dict) else []
    same_name = [call for call in calls if call.name == name]
    stopping = [call for call in calls if call.name in stops]
    found = same_name or stopping or calls
    return found[0 if first else -1] if found else None
