"""Repairs events of the Responses API whose required fields are missing or null."""

import json
from typing import Any, cast

from backchannel.models.token_counts import count

_TEXT_FIELDS = {
    "response.output_text.delta": "delta",
    "response.output_text.done": "text",
    "response.refusal.delta": "delta",
    "response.refusal.done": "refusal",
    "response.function_call_arguments.delta": "delta",
    "response.function_call_arguments.done": "arguments",
    "response.reasoning_text.delta": "delta",
    "response.reasoning_text.done": "text",
    "response.reasoning_summary_text.delta": "delta",
    "response.reasoning_summary_text.done": "text",
}
_ENDS = {"response.completed", "response.incomplete", "response.failed"}
_INDEXES = ("output_index", "content_index", "summary_index")


def repair_event(event: dict[str, Any]) -> dict[str, Any]:
    """Fill in what later code reads. Modifies and returns `event`."""
    kind = event.get("type")
    field = _TEXT_FIELDS.get(cast("str", kind))
    if field is not None:
        if not isinstance(event.get(field), str):
            event[field] = "" if event.get(field) is None else str(event[field])
        event.setdefault("item_id", None)
        event.setdefault("output_index", None)
        for name in _INDEXES[1:]:
            if event.get(name) is None:
                event[name] = 0
        event.setdefault("logprobs", [])
        event.setdefault("sequence_number", 0)
        return event
    if isinstance(kind, str) and kind.startswith("response."):
        event.setdefault("sequence_number", 0)
        event.setdefault("output_index", None)
        for name in ("item", "part"):
            if isinstance(event.get(name), dict):
                _repair_item(event[name])
        if isinstance(event.get("response"), dict):
            _repair_response(event["response"])
        elif kind in _ENDS:
            # What was said before is the answer.
            event["response"] = {"object": "response", "output": list[Any]()}
    elif kind == "error" and "error" not in event:
        event.setdefault("sequence_number", 0)
    return event


def _repair_response(response: dict[str, Any]) -> None:
    output = response.get("output")
    response["output"] = output if isinstance(output, list) else []
    for item in cast("list[Any]", response["output"]):
        if isinstance(item, dict):
            _repair_item(cast("dict[str, Any]", item))
    usage = response.get("usage")
    if usage is not None:
        response["usage"] = _usage(cast("dict[str, Any]", usage)) if isinstance(usage, dict) else None


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    sent = count(usage.get("input_tokens")) or count(usage.get("prompt_tokens"))
    received = count(usage.get("output_tokens")) or count(usage.get("completion_tokens"))
    repaired = {**usage, "input_tokens": sent, "output_tokens": received}
    repaired["total_tokens"] = count(usage.get("total_tokens")) or sent + received
    for name, names in (
        ("input_tokens_details", ("cached_tokens", "cache_write_tokens")),
        ("output_tokens_details", ("reasoning_tokens",)),
    ):
        details: Any = usage.get(name)
        known = cast("dict[str, Any]", details) if isinstance(details, dict) else {}
        repaired[name] = {**known, **{each: count(known.get(each)) for each in names}}
    return repaired


def _repair_item(item: dict[str, Any]) -> None:
    kind = item.get("type")
    if kind in {"message", "reasoning"} or "content" in item:
        content = item.get("content")
        if isinstance(content, str):
            content = [{"type": "output_text", "text": content}]
        item["content"] = content if isinstance(content, list) else []
        for part in cast("list[Any]", item["content"]):
            if isinstance(part, dict):
                _repair_part(cast("dict[str, Any]", part))
    if kind == "message":
        item.setdefault("role", "assistant")
        item.setdefault("status", "completed")
    elif kind == "reasoning":
        summary = item.get("summary")
        item["summary"] = summary if isinstance(summary, list) else []
    elif kind == "function_call":
        if isinstance(item.get("arguments"), dict | list):
            # Read as text later, so that the tool gets it as any other.
            item["arguments"] = json.dumps(item["arguments"], ensure_ascii=False)
        for name in ("arguments", "name", "call_id"):
            if not isinstance(item.get(name), str):
                item[name] = ""
    elif kind in {"output_text", "refusal"}:
        _repair_part(item)


def _repair_part(part: dict[str, Any]) -> None:
    if part.get("type") == "refusal":
        part["refusal"] = part.get("refusal") or ""
        return
    part["text"] = part.get("text") or ""
    if part.get("type") in {"output_text", "text"}:
        part["type"] = "output_text"
        annotations = part.get("annotations")
        part["annotations"] = annotations if isinstance(annotations, list) else []
