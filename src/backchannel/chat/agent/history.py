"""The model's input from a thread: the newest turns that fit the token budget, with complete tool calls.

Model APIs reject a tool call without its output, and an output without its call; every later request in the thread
would fail. A call that a crash or a stop left without an output therefore gets one here.
"""

import json
from collections.abc import Sequence
from typing import Any, override

from agents import TResponseInputItem
from chatkit.agents import ThreadItemConverter
from chatkit.store import Store
from chatkit.types import (
    AssistantMessageItem,
    Attachment,
    ClientToolCallItem,
    HiddenContextItem,
    ThreadItem,
    UserMessageItem,
    UserMessageTagContent,
    WorkflowItem,
)
from openai.types.responses import ResponseInputTextParam
from openai.types.responses.response_input_message_content_list_param import ResponseInputContentParam

from backchannel.chat.protocol.paging import newest_items
from backchannel.chat.recovery import journal

CHARS_PER_TOKEN = 4
"""OpenAI's rule of thumb for English. Exact counts would need each model's tokenizer."""

INTERRUPTED = (
    "No result: the call was interrupted. It may or may not have taken effect; check before repeating it."
)


class HistoryConverter(ThreadItemConverter):
    """Converts thread items to model input. `Application.converter` can replace it."""

    @override
    async def hidden_context_to_input(
        self, item: HiddenContextItem
    ) -> TResponseInputItem | list[TResponseInputItem] | None:
        call = journal.tool_call(item)
        if call is not None:
            return _call_and_output(call)
        if not isinstance(item.content, str):
            item = item.model_copy(update={"content": json.dumps(item.content, default=str)})
        return await super().hidden_context_to_input(item)

    @override
    async def workflow_to_input(
        self, item: WorkflowItem
    ) -> TResponseInputItem | list[TResponseInputItem] | None:
        # The journal's tool calls give the model the same information in full.
        return None

    @override
    async def assistant_message_to_input(self, item: AssistantMessageItem) -> TResponseInputItem:
        # Plain text: the Agents SDK's Chat Completions models reject output content parts.
        return {"role": "assistant", "content": "\n\n".join(part.text for part in item.content)}

    @override
    async def tag_to_message_content(self, tag: UserMessageTagContent) -> ResponseInputContentParam:
        data = json.dumps({"id": tag.id, "text": tag.text, **tag.data}, ensure_ascii=False, default=str)
        return ResponseInputTextParam(type="input_text", text=f"@{tag.text}: {data}")

    @override
    async def attachment_to_message_content(self, attachment: Attachment) -> ResponseInputContentParam:
        return ResponseInputTextParam(
            type="input_text", text=f"[The person attached {attachment.name} ({attachment.mime_type}).]"
        )


def _call_and_output(call: journal.ToolCall) -> list[TResponseInputItem]:
    output = call.output if call.finished else INTERRUPTED
    return [
        {
            "type": "function_call",
            "call_id": call.call_id,
            "name": call.name,
            "arguments": call.arguments or "{}",
        },
        {
            "type": "function_call_output",
            "call_id": call.call_id,
            "output": output
            if isinstance(output, str)
            else json.dumps(output, ensure_ascii=False, default=str),
        },
    ]


async def load_history(
    store: Store[Any], thread_id: str, context: object, *, max_tokens: int
) -> list[ThreadItem]:
    """The newest items of a thread, oldest first, up to about `max_tokens`.

    Consists of whole turns, each starting at a user message. The newest turn is always included, whatever its size.
    """
    budget = max_tokens * CHARS_PER_TOKEN
    turns: list[list[ThreadItem]] = []
    turn: list[ThreadItem] = []
    async for item in newest_items(store, thread_id, context):
        turn.append(item)
        budget -= _size(item)
        if budget < 0 and turns:
            break
        if isinstance(item, UserMessageItem):
            turns.append(turn)
            turn = []
    else:
        # Items before the first user message, such as a greeting from the server.
        turns.append(turn)
    return [item for each in reversed(turns) for item in reversed(each)]


async def to_model_input(
    items: Sequence[ThreadItem], converter: ThreadItemConverter
) -> list[TResponseInputItem]:
    """Convert thread items to model input. Each tool call occurs exactly once, with its output."""
    client_call_ids = {item.call_id for item in items if isinstance(item, ClientToolCallItem)}
    included = [item for item in items if not _is_excluded(item, client_call_ids)]
    return await converter.to_agent_input(included)


def _is_excluded(item: ThreadItem, client_call_ids: set[str]) -> bool:
    entry = journal.read(item)
    if isinstance(entry, journal.ToolCall):
        # A client tool call is journaled when its server part runs. Its output is in the `ClientToolCallItem`.
        return entry.call_id in client_call_ids
    return entry is not None


def _size(item: ThreadItem) -> int:
    # In characters of what the model receives.
    match item:
        case WorkflowItem():
            return 0
        case HiddenContextItem():
            return len(json.dumps(item.content, default=str))
        case _:
            return len(item.model_dump_json(exclude_none=True, include=_TEXTUAL))


_TEXTUAL = {"content", "widget", "arguments", "output", "inputs", "quoted_text", "task"}
