"""A run's frames as events for programs that are not ChatKit: the same log, another vocabulary. Pure, like `sse`.

`EVENTS` and `DELTAS` are the whole vocabulary; docs/reference/plain-api.md explains it. Each frame is translated by
itself, and into one event or none, so that a reader who starts anywhere gets what everybody gets from there on.
"""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from backchannel.event_logs.base import Event, Frame

MAX_OUTPUT_CHARS = 32_000
"""The longest output of a tool that is sent whole, in characters of its text or else of its JSON."""

EVENTS: Mapping[str, str] = {
    "conversation.created": "`thread_id`, `thread`: a new conversation.",
    "conversation.updated": "`thread_id`, `thread`: as it is now, such as after it was given a title.",
    "conversation.item.created": "`thread_id`, `item`: an item that is still being made; it is not kept yet.",
    "conversation.item.updated": "`item_id`, `delta`: what was added to an item that is being made.",
    "conversation.item.completed": "`thread_id`, `item`: the whole item, as it is kept. Items that are made at once, "
    "such as the person's message, come only so. One that changes later comes again under the same id.",
    "conversation.item.deleted": "`item_id`: the item is gone.",
    "agent_call.started": "`agent`: this agent answers from here on.",
    "tool_call.started": "`call_id`, `name`, `arguments`: a tool is called.",
    "tool_call.completed": "`call_id`, `name`, `output`, `truncated`: what the tool gave back.",
    "progress": "`text`: what the server is doing, for a person to read now. Not kept.",
    "notice": "`level` (`info`, `warning`, `danger`), `title`, `message`: for a person to read. Not kept.",
    "error": "`code`, `message`, `allow_retry`, `request_id`, `run_id`: the answer failed; what was said is kept.",
    "done": "`run_id`, `status`: the run has ended so. Always the last event.",
}
"""Every type of event, with its fields beside `type`."""

DELTAS: Mapping[str, str] = {
    "text": "`content_index`, `text`: append to the text of that content part; the first one begins it.",
    "annotation": "`content_index`, `annotation_index`, `annotation`: a source of that content part.",
    "task": "`task_index`, `task`: that task of a workflow, new or as it is now.",
    "image": "`image`, `progress`: the image so far.",
    "widget": "`widget`: the whole widget as it is now.",
    "widget.component": "`component_id`, `component`: that component as it is now.",
    "widget.text": "`component_id`, `text`, `done`: append to the text of that component.",
}
"""Every type of `delta`, with its fields beside `type`."""

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
    """The frames as one piece of an event stream. What is for ChatKit only is left out, so numbers have holes.

    A text delta that was joined from several is one event with the last one's number.
    """
    return b"".join(_encode(run_id, frame) for frame in frames)


def done(run_id: str, seq: int, status: str) -> bytes:
    """The last event: how a run has ended, after its event `seq`. It is no frame of the log; whoever resumes after any
    event gets it again."""
    return _framed(run_id, seq + 1, {"type": "done", "run_id": run_id, "status": status})


def _framed(run_id: str, seq: int, content: dict[str, Any]) -> bytes:
    return _line(run_id, seq, content["type"], _json(content))


def _line(run_id: str, seq: int, kind: str, body: bytes) -> bytes:
    return f"id: {run_id}:{seq}\nevent: {kind}\ndata: ".encode() + body + b"\n\n"


def _encode(run_id: str, frame: Frame) -> bytes:
    event = frame.event
    if event.text is not None:
        body = Event(_text_head(event.head), event.text).body()
        return _line(run_id, frame.seq, "conversation.item.updated", body)
    # Tools may put NaN into their output, which is JSON to nobody but Python.
    content: dict[str, Any] = json.loads(event.head, parse_constant=lambda _: None)
    told = _passed_on(content) if event.plain else _translated(content, run_id)
    return b"" if told is None else _framed(run_id, frame.seq, told)


@lru_cache(maxsize=1024)
def _text_head(head: bytes) -> bytes:
    # All text deltas of a message part share their head, so it is translated once and not for each token.
    update = json.loads(head + b'""}}')
    index = update["update"]["content_index"]
    opening = {
        "type": "conversation.item.updated",
        "item_id": update["item_id"],
        "delta": {"type": "text", "content_index": index, "text": ""},
    }
    return _json(opening).removesuffix(b'""}}')


def _passed_on(content: dict[str, Any]) -> dict[str, Any] | None:
    """An event that was written for the plain API, by the server or by one of its tools."""
    kind = content.get("type")
    if not isinstance(kind, str) or not kind.isprintable():
        return None
    if kind == "tool_call.completed":
        return {**content, **_output(content.get("output"))}
    return content


def _translated(content: dict[str, Any], run_id: str) -> dict[str, Any] | None:
    """An event that was written for ChatKit, or `None` if it is for nobody else."""
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
    shown = {name: thread.get(name) for name in ("id", "title", "created_at", "status")}
    return {"thread_id": thread["id"], "thread": shown}


def _item(item: dict[str, Any]) -> dict[str, Any] | None:
    if item["type"] in _HIDDEN:
        return None
    # What the person chose in ChatKit's composer; nothing that was said.
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
            # The end of a content part says nothing that its text and the completed item do not.
            return None
    return {"item_id": item_id, "delta": delta}


def _output(output: object) -> dict[str, Any]:
    text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    if len(text) <= MAX_OUTPUT_CHARS:
        return {"output": output, "truncated": False}
    return {"output": text[:MAX_OUTPUT_CHARS], "truncated": True}


def _error(content: dict[str, Any], run_id: str) -> dict[str, Any]:
    told = {
        # ChatKit shows words only under the code `custom`, so the real one stands beside it.
        "code": content.get("reason") or content["code"],
        "message": content.get("message") or _FAILED,
        "allow_retry": content.get("allow_retry", False),
        "request_id": content.get("request_id"),
        "run_id": run_id,
    }
    return {**told, "detail": content["detail"]} if "detail" in content else told


def _json(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    # Half a surrogate pair has no UTF-8, as in `Event.body`.
    return text.encode(errors="replace")
