"""What the model is shown of a thread: the newest turns that fit, with their tool calls, made whole.

A model's API refuses a call without its output and an output without its call, and then the thread can never
be answered again. So both are repaired here, from whatever a crash, a stop or another version left behind.
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
"""The rule of thumb for English that OpenAI gives; exact counts would need each model's tokenizer."""

INTERRUPTED = (
    "No result: the call was interrupted. It may or may not have taken effect; check before repeating it."
)


class HistoryConverter(ThreadItemConverter):
    """Turns thread items into model input. A user's own converter can replace it."""

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
        # A workflow shows the person what the journal tells the model in full.
        return None

    @override
    async def assistant_message_to_input(self, item: AssistantMessageItem) -> TResponseInputItem:
        # Plain text: the SDK's content parts are refused by the SDK's own Chat Completions models.
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
    """The newest items of a thread that fit the budget, oldest first.

    Whole turns only: it starts at a person's message. The newest turn is always there, however long.
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
        # What precedes the first message, such as a greeting that the server made.
        turns.append(turn)
    return [item for each in reversed(turns) for item in reversed(each)]


async def to_model_input(
    items: Sequence[ThreadItem], converter: ThreadItemConverter
) -> list[TResponseInputItem]:
    """Thread items as model input, each tool call exactly once and with its output."""
    by_client = {item.call_id for item in items if isinstance(item, ClientToolCallItem)}
    kept = [item for item in items if not _is_for_others(item, by_client)]
    return await converter.to_agent_input(kept)


def _is_for_others(item: ThreadItem, by_client: set[str]) -> bool:
    entry = journal.read(item)
    if isinstance(entry, journal.ToolCall):
        # A client tool is journaled when the server's half of it runs; its real output is the client's item.
        return entry.call_id in by_client
    return entry is not None


def _size(item: ThreadItem) -> int:
    # What a person sees of a workflow or a widget costs the model little; text and tool outputs cost it most.
    match item:
        case WorkflowItem():
            return 0
        case HiddenContextItem():
            return len(json.dumps(item.content, default=str))
        case _:
            return len(item.model_dump_json(exclude_none=True, include=_TEXTUAL))


_TEXTUAL = {"content", "widget", "arguments", "output", "inputs", "quoted_text", "task"}
