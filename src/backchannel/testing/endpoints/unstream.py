"""Makes one JSON object of a stream, for requests that ask for none."""

import json
from collections.abc import Sequence
from typing import Any

from backchannel.testing.endpoints.chat_view import inner, objects
from backchannel.testing.endpoints.rules import Api, Json
from backchannel.testing.endpoints.wire import CREATED, JSON, STREAM, Drop, Part, Pause, Reply, random_id


def unstreamed(reply: Reply, api: Api) -> Reply:
    """The answer as one JSON object: the response of the last event, or the message that the chunks make.

    What does not fit into one object, such as lines without spaces, is gone. Pauses come before the object; where the
    stream breaks off, half of the object is sent. Answers that are no stream are returned as they are.
    """
    if reply.content_type != STREAM:
        return reply
    events = _events(reply.parts)
    body = _response(events) if api == "responses" else _completion(events)
    text = b"" if body is None else json.dumps(body).encode()
    pauses: list[Part] = [part for part in reply.parts if isinstance(part, Pause)]
    if any(isinstance(part, Drop) for part in reply.parts):
        return Reply([*pauses, text[: len(text) // 2], Drop()], content_type=JSON)
    return Reply([*pauses, text], content_type=JSON)


def _events(parts: Sequence[Part]) -> list[Json]:
    raw = b"".join(part for part in parts if isinstance(part, bytes)).replace(b"\r\n", b"\n")
    found: list[Json] = []
    for block in raw.split(b"\n\n"):
        lines = [line[5:] for line in block.split(b"\n") if line.startswith(b"data:")]
        try:
            found += objects([json.loads(b"\n".join(lines))])
        except ValueError:
            continue
    return found


def _response(events: Sequence[Json]) -> Json | None:
    for event in reversed(events):
        for response in objects([event.get("response")]):
            return response
        if "error" in event:
            return event
    return None


def _completion(events: Sequence[Json]) -> Json | None:
    if not events:
        return None
    for event in events:
        if "error" in event:
            return {"error": event["error"]}
    message: Json = {"role": "assistant", "content": None}
    reason: object = None
    usage: object = None
    for event in events:
        usage = event.get("usage") or usage
        for choice in objects(event.get("choices")):
            reason = choice.get("finish_reason") or reason
            for delta in objects([choice.get("delta")]):
                _add(message, delta)
    choice = {"index": 0, "message": message, "finish_reason": reason}
    top = {"id": random_id("chatcmpl-"), "object": "chat.completion", "created": CREATED}
    return {
        **top,
        "model": events[0].get("model"),
        "choices": [choice],
        **({"usage": usage} if usage else {}),
    }


def _add(message: Json, delta: Json) -> None:
    """Add a delta to a message: texts and lists are joined, calls are merged by their index."""
    for name, value in delta.items():
        if name == "tool_calls":
            for call in objects(value):
                _add_call(message.setdefault(name, []), call)
        elif name != "role" and value is not None:
            known = message.get(name)
            message[name] = value if known is None or type(known) is not type(value) else known + value


def _add_call(calls: list[Json], piece: Json) -> None:
    given = {name: value for name, value in piece.items() if name != "index"}
    same = bool(calls) and piece.get("id") in (None, calls[-1].get("id")) and piece.get("index") != len(calls)
    if not same:
        calls.append(given)
        return
    function: Any = calls[-1].setdefault("function", {})
    for name in ("name", "arguments"):
        value = inner(piece, "function", name)
        if isinstance(value, str) and not (name == "name" and function.get(name) == value):
            function[name] = function.get(name, "") + value
