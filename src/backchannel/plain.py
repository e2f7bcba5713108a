"""Encodes the frames of a run's event log as plain events, for clients that do not use ChatKit. Performs no I/O.

`EVENTS` and `DELTAS` list all event types; docs/reference/plain-api.md explains them. Each frame becomes one event or
none, independently of other frames, so that a stream can be resumed after any event.
"""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from backchannel.event_logs.base import Event, Frame
from backchannel.sse import escape_line_ends

MAX_OUTPUT_CHARS = 32_000
"""Longer tool outputs are truncated. In characters of the output if it is a string, else of its JSON."""

EVENTS: Mapping[str, str] = {
    "conversation.created": "`thread_id`, `thread`: a new conversation.",
    "conversation.updated": "`thread_id`, `thread`: the conversation's new state, such as a new title.",
    "conversation.item.created": "`thread_id`, `item`: an unfinished item, which is not stored yet.",
    "conversation.item.updated": "`item_id`, `delta`: an addition to an unfinished item.",
    "conversation.item.completed": "`thread_id`, `item`: a complete item, as stored. Some items, such as the user's "
    "message, have only this event. An item that changes later is sent again with the same id.",
    "conversation.item.deleted": "`item_id`: the item was deleted.",
    "agent_call.started": "`agent`: the agent that answers from here on.",
    "tool_call.started": "`call_id`, `name`, `arguments`: a tool call was started.",
    "tool_call.completed": "`call_id`, `name`, `output`, `truncated`: the output of a tool call.",
    "progress": "`text`: the server's current activity, as text for the user. Not stored.",
    "notice": "`level` (`info`, `warning`, `danger`), `title`, `message`: a message for the user. Not stored.",
    "error": "`code`, `message`, `allow_retry`, `request_id`, `run_id`: the answer failed; its partial items are "
    "stored.",
    "done": "`run_id`, `status`: the run has ended with that status. Always the last event.",
}
"""Every event type, with its fields besides `type`."""

DELTAS: Mapping[str, str] = {
    "text": "`content_index`, `text`: text to append to the content part; the first delta creates the part.",
    "annotation": "`content_index`, `annotation_index`, `annotation`: a source cited by the content part.",
    "task": "`task_index`, `task`: a workflow task, new or replaced.",
    "image": "`image`, `progress`: a preview of the image.",
    "widget": "`widget`: the new state of the widget.",
    "widget.component": "`component_id`, `component`: the new state of the component.",
    "widget.text": "`component_id`, `text`, `done`: text to append to the component.",
}
"""Every type of `delta`, with its fields besides `type`."""

_NAMES = {
    "thread.created": "conversation.created",
    "thread.updated": "conversation.updated",
    "thread.item.added": "conversation.item.created",
    "thread.item.updated": "conversation.item.updated",
    "thread.item.done": "conversation.item.completed",
    "thread.item.replaced": "conversation.item.completed",
    "thread.item.removed": "conversation.item.deleted",
    "progress_update": "progress",
    "notice": "notice",
    "error": "error",
}
_PARTS = {"input_text": "text", "output_text": "text", "input_tag": "tag"}
_HIDDEN = {"hidden_context_item", "sdk_hidden_context"}
_FAILED = "The answer could not be completed."


def encode(run_id: str, frames: Iterable[Frame]) -> bytes:
    """The frames as a chunk of an event stream. ChatKit-only events are left out, so the numbers have gaps.

    Joined text deltas are one event, with the number of the last of them.
    """
    return escape_line_ends(b"".join(_encode(run_id, frame) for frame in frames))


def done(run_id: str, seq: int, status: str) -> bytes:
    """The `done` event, which follows the event `seq`. It is not in the log: every resumed stream sends it again."""
    return _framed(run_id, seq + 1, {"type": "done", "run_id": run_id, "status": status})


def _framed(run_id: str, seq: int, content: dict[str, Any]) -> bytes:
    return _line(run_id, seq, content["type"], _json(content))


def _line(run_id: str, seq: int, kind: str, body: bytes) -> bytes:
    # The id comes last, as in `sse.encode`.
    return f"event: {kind}\ndata: ".encode() + body + f"\nid: {run_id}:{seq}\n\n".encode()


def _encode(run_id: str, frame: Frame) -> bytes:
    event = frame.event
    if event.text is not None:
        body = Event(_text_head(event.head), event.text).body()
        return _line(run_id, frame.seq, "conversation.item.updated", body)
    # Tool outputs may contain NaN, which is not valid JSON.
    content: dict[str, Any] = json.loads(event.head, parse_constant=lambda _: None)
    converted = _plain_event(content) if event.plain else _from_chatkit(content, run_id)
    return b"" if converted is None else _framed(run_id, frame.seq, converted)


@lru_cache(maxsize=1024)
def _text_head(head: bytes) -> bytes:
    # All text deltas of a content part have the same head, so it is converted once and not for each token.
    update = json.loads(head + b'""}}')
    index = update["update"]["content_index"]
    opening = {
        "type": "conversation.item.updated",
        "item_id": update["item_id"],
        "delta": {"type": "text", "content_index": index, "text": ""},
    }
    return _json(opening).removesuffix(b'""}}')


def _plain_event(content: dict[str, Any]) -> dict[str, Any] | None:
    """An event that was published for the plain API, by the server or by a tool."""
    kind = content.get("type")
    if not isinstance(kind, str) or not kind.isprintable():
        return None
    if kind == "tool_call.completed":
        return {**content, **_output(content.get("output"))}
    return content


def _from_chatkit(content: dict[str, Any], run_id: str) -> dict[str, Any] | None:
    """The plain event for a ChatKit event, or `None` if there is none."""
    kind = _NAMES.get(content.get("type", ""))
    match kind:
        case None:
            return None
        case "conversation.created" | "conversation.updated":
            fields = _conversation(content["thread"])
        case "conversation.item.created" | "conversation.item.completed":
            fields = _item(content["item"])
        case "conversation.item.updated":
            fields = _update(content["item_id"], content["update"])
        case "conversation.item.deleted":
            fields = {"item_id": content["item_id"]}
        case "progress":
            fields = {"text": content["text"]}
        case "notice":
            fields = {name: content.get(name) for name in ("level", "title", "message")}
        case _:
            fields = _error(content, run_id)
    return None if fields is None else {"type": kind, **fields}


def _conversation(thread: dict[str, Any]) -> dict[str, Any]:
    fields = {name: thread.get(name) for name in ("id", "title", "created_at", "status")}
    return {"thread_id": thread["id"], "thread": fields}


def _item(item: dict[str, Any]) -> dict[str, Any] | None:
    if item["type"] in _HIDDEN:
        return None
    # Settings of ChatKit's composer, not part of the message.
    item.pop("inference_options", None)
    if isinstance(item.get("content"), list):
        item["content"] = [_part(part) for part in item["content"]]
    return {"thread_id": item["thread_id"], "item": item}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    kind = part.pop("type")
    return {"type": _PARTS.get(kind, kind), "text": part.get("text"), **part}


def _update(item_id: str, update: dict[str, Any]) -> dict[str, Any] | None:
    match update:
        case {"type": "assistant_message.content_part.added", "content": {"text": str(text)}} if text:
            delta = {"type": "text", "content_index": update["content_index"], "text": text}
        case {"type": "assistant_message.content_part.annotation_added"}:
            delta = {**update, "type": "annotation"}
        case {"type": "workflow.task.added" | "workflow.task.updated"}:
            delta = {**update, "type": "task"}
        case {"type": "generated_image.updated"}:
            delta = {"type": "image", "image": update["image"], "progress": update.get("progress")}
        case {"type": "widget.root.updated"}:
            delta = {**update, "type": "widget"}
        case {"type": "widget.component.updated"}:
            delta = {**update, "type": "widget.component"}
        case {"type": "widget.streaming_text.value_delta", "delta": text, **rest}:
            delta = {**rest, "type": "widget.text", "text": text}
        case _:
            # The end of a content part adds nothing to its text and the completed item.
            return None
    return {"item_id": item_id, "delta": delta}


def _output(output: object) -> dict[str, Any]:
    text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    if len(text) <= MAX_OUTPUT_CHARS:
        return {"output": output, "truncated": False}
    return {"output": text[:MAX_OUTPUT_CHARS], "truncated": True}


def _error(content: dict[str, Any], run_id: str) -> dict[str, Any]:
    fields = {
        # For ChatKit clients `code` is `custom`, and `reason` has the error code.
        "code": content.get("reason") or content["code"],
        "message": content.get("message") or _FAILED,
        "allow_retry": content.get("allow_retry", False),
        "request_id": content.get("request_id"),
        "run_id": run_id,
    }
    return {**fields, "detail": content["detail"]} if "detail" in content else fields


def _json(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    # Lone surrogates cannot be encoded as UTF-8; see `Event.body`.
    return text.encode(errors="replace")
