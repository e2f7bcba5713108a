"""Which oddity (`backchannel.testing.endpoints.ODDITIES`) ends with which error code; the others are answered; and what must hold for every answer."""

import json
from typing import Any

FAILURES: dict[str, tuple[str, bool]] = {
    "empty_text": ("answer_empty", True),
    "blank_text": ("answer_empty", True),
    "nothing": ("answer_empty", True),
    "text_null": ("answer_empty", True),
    "empty_content_list": ("answer_empty", True),
    "content_null": ("answer_empty", True),
    "think_unclosed": ("answer_empty", True),
    "reason_without_calls": ("answer_empty", True),
    "refusal": ("answer_refused", False),
    "burst_then_error": ("model_unavailable", True),
    "burst_then_drop": ("answer_incomplete", True),
    "burst_then_end": ("answer_incomplete", True),
    "reason_error": ("answer_incomplete", True),
    "reason_unknown": ("answer_incomplete", True),  # `MALFORMED_FUNCTION_CALL`, of Gemini
    "reason_length": ("answer_truncated", True),
    "incomplete_length": ("answer_truncated", True),
    "reason_content_filter": ("answer_filtered", True),
    "incomplete_content_filter": ("answer_filtered", True),
    "failed": ("model_unavailable", True),
    "failed_rate_limit": ("model_rate_limited", True),
    "cancelled": ("model_unavailable", True),
    "error_in_mid_answer": ("model_unavailable", True),
    "error_chunk": ("model_unavailable", True),
    "error_with_200": ("model_unavailable", True),
    "error_event": ("model_error", True),
    "html": ("model_response_invalid", True),
    "empty": ("model_response_invalid", True),
    "http_400_azure_content_filter": ("content_filter", False),
    "http_400_openai_unsupported": ("model_not_configured", False),
    "http_429_insufficient_quota": ("model_quota", False),
}
"""By oddity. All others are answered without an error, but for statuses of HTTP."""

BY_STATUS = {
    "http_400": ("model_request_rejected", False),
    "http_401": ("model_not_configured", False),
    "http_402": ("model_quota", False),
    "http_403": ("model_not_configured", False),
    "http_404": ("model_not_configured", False),
    "http_408": ("model_unavailable", True),
    "http_409": ("model_unavailable", True),
    "http_413": ("message_too_long", False),
    "http_422": ("model_request_rejected", False),
    "http_429": ("model_rate_limited", True),
    "http_5": ("model_unavailable", True),
}


def expected_failure(name: str) -> tuple[str, bool] | None:
    """The code of the error event, and whether it may be repeated; `None` for an oddity that is answered."""
    if name in FAILURES:
        return FAILURES[name]
    if "context_length" in name:
        return "message_too_long", False
    return next((failure for start, failure in BY_STATUS.items() if name.startswith(start)), None)


def said(body: dict[str, Any]) -> list[str]:
    """What the user has said in a request of either API, oldest first; empty texts for all other entries."""
    entries: list[dict[str, Any]] = body.get("messages") or body["input"]
    return [_text_of(entry) if entry.get("role") == "user" else "" for entry in entries]


def _text_of(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def problems_of(
    events: list[dict[str, Any]], items: list[dict[str, Any]], failure: tuple[str, bool] | None
) -> list[str]:
    """What is wrong with an answer that should end with `failure`, given its events and its thread's stored items."""
    problems: list[str] = []
    open_items: set[str] = set()
    deltas: dict[str, str] = {}
    for event in events:
        match event["type"]:
            case "thread.item.added":
                open_items.add(event["item"]["id"])
            case "thread.item.removed":
                open_items.discard(event["item_id"])
                deltas.pop(event["item_id"], None)
            case "thread.item.done":
                open_items.discard(event["item"]["id"])
                if event["item"]["type"] == "assistant_message":
                    text = "".join(part["text"] for part in event["item"]["content"])
                    if deltas.pop(event["item"]["id"], None) != text or not text.strip() or "think>" in text:
                        problems.append(f"text {text[:80]!r}")
            case "thread.item.updated" if "delta" in event["update"]:
                deltas[event["item_id"]] = deltas.get(event["item_id"], "") + event["update"]["delta"]
            case _:
                pass
    failures = [(event["reason"], event["allow_retry"]) for event in events if event["type"] == "error"]
    if failures != ([failure] if failure else []):
        problems.append(f"failed with {failures}")
    if open_items or deltas:
        problems.append(f"left open: {open_items or deltas}")
    loading = [item for item in items if '"loading"' in json.dumps(item)]
    if loading or [item for item in items if item.get("status") == "pending"]:
        problems.append("a task is loading")
    shown = {event["item"]["id"]: event["item"] for event in events if event["type"] == "thread.item.done"}
    if any(
        stored != shown[stored["id"]] for stored in items if stored["id"] in shown and "image" not in stored
    ):
        problems.append("another item is stored than was shown")
    return problems
