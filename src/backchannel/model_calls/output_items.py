"""The output items of a response, in the form that the Agents SDK processes and every API accepts back."""

from collections.abc import Collection, Iterable
from typing import Any, cast

from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
)

from backchannel.model_calls.text import valid_text
from backchannel.model_calls.thought_tags import split_thoughts
from backchannel.model_calls.tool_calls import usable_arguments, usable_call_id, usable_name

type Part = ResponseOutputText | ResponseOutputRefusal

_PROCESSED = frozenset({
    "message", "function_call", "reasoning", "image_generation_call", "file_search_call", "web_search_call",
    "computer_call", "code_interpreter_call", "local_shell_call", "shell_call", "apply_patch_call", "mcp_call",
    "mcp_list_tools", "mcp_approval_request", "custom_tool_call", "compaction", "tool_search_call",
    "tool_search_output", "shell_call_output", "apply_patch_call_output", "program", "program_output",
})  # fmt: skip
"""The types that the Agents SDK processes. It fails for others, or sends them back to endpoints that refuse them."""
_EXECUTED = frozenset({
    "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"
})  # fmt: skip


def is_processed(item: object) -> bool:
    """Whether an output item has a type that the Agents SDK processes."""
    return getattr(item, "type", None) in _PROCESSED


def message_parts(item: object, *, strip_thoughts: bool = True) -> list[Part]:
    """The parts of a message that have text, as valid objects. Servers omit annotations, or send `null` as text."""
    parts: list[Part] = []
    for raw in cast("Iterable[object]", getattr(item, "content", None) or ()):
        refusal = _field(raw, "refusal")
        if isinstance(refusal, str) and refusal.strip():
            parts.append(ResponseOutputRefusal(type="refusal", refusal=valid_text(refusal)))
            continue
        text = _field(raw, "text")
        if not isinstance(text, str):
            continue
        text = valid_text(text)
        if strip_thoughts:
            text = split_thoughts(text)[1]
        if text.strip():
            parts.append(_text_part(raw, text))
    return parts


def clean_message(item: ResponseOutputMessage, parts: list[Part]) -> ResponseOutputMessage:
    """Set the parts and the missing fields of a message. Modifies and returns `item`."""
    item.content = parts
    item.role = "assistant"
    if getattr(item, "status", None) is None:
        item.status = "completed"
    return item


def clean_call(
    call: ResponseFunctionToolCall, tool_names: Collection[str], taken: set[str]
) -> ResponseFunctionToolCall:
    """Clean name, arguments and call id of a function call, and add the id to `taken`. Modifies and returns `call`."""
    call.name = usable_name(getattr(call, "name", None), tool_names)
    call.arguments = valid_text(usable_arguments(getattr(call, "arguments", None)))
    call.call_id = usable_call_id(getattr(call, "call_id", None), taken)
    taken.add(call.call_id)
    return call


def clean_call_ids(output: Iterable[Any], taken: set[str]) -> None:
    """Make the ids of calls unique that the application executes and that are not of functions, as those of shells; and
    add them to `taken`. Modifies the items."""
    items = list(output)
    answered = {getattr(item, "call_id", None) for item in items if str(item.type).endswith("_output")}
    for item in items:
        if item.type in _EXECUTED and getattr(item, "call_id", None) not in answered:
            item.call_id = usable_call_id(getattr(item, "call_id", None), taken)
            taken.add(item.call_id)


def clean_output(output: Iterable[Any], tool_names: Collection[str], taken: set[str]) -> list[Any]:
    """The items of a complete response, cleaned. Items of unknown types and messages without text are left out."""
    cleaned: list[Any] = []
    for item in output:
        match getattr(item, "type", None):
            case "message":
                if parts := message_parts(item):
                    cleaned.append(clean_message(item, parts))
            case "function_call":
                cleaned.append(clean_call(item, tool_names, taken))
            case _ if is_processed(item):
                cleaned.append(item)
            case _:
                pass
    clean_call_ids(cleaned, taken)
    return cleaned


def _text_part(raw: object, text: str) -> ResponseOutputText:
    if isinstance(raw, ResponseOutputText) and isinstance(getattr(raw, "annotations", None), list):
        raw.text = text
        return raw
    annotations = _field(raw, "annotations")
    return ResponseOutputText.model_construct(
        type="output_text",
        text=text,
        annotations=annotations if isinstance(annotations, list) else [],
        logprobs=[],
    )


def _field(value: object, name: str) -> object:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).get(name)
    return getattr(value, name, None)
