"""The bytes of streamed answers: chunks of Chat Completions, and events of the Responses API."""

import asyncio
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backchannel.testing.endpoints.rules import Json

STREAM = "text/event-stream; charset=utf-8"
JSON = "application/json"
DONE = b"data: [DONE]\n\n"
CREATED = 1_700_000_000


@dataclass(frozen=True, slots=True)
class Pause:
    """A place in an answer at which the endpoint waits for an event, for at most its `patience`.

    At the beginning of an answer it waits before the status is sent.
    """

    event: asyncio.Event


@dataclass(frozen=True, slots=True)
class Drop:
    """A place in an answer at which the endpoint closes the connection, without an end of the answer."""


type Part = bytes | Pause | Drop


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, part by part.

    Attributes:
        parts: The bytes, each sent on its own, and what happens between them.
        status: The HTTP status.
        content_type: The content type.
        headers: More headers.
    """

    parts: Sequence[Part]
    status: int = 200
    content_type: str = STREAM
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def json_reply(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer of JSON."""
    return Reply([json.dumps(body).encode()], status, JSON, headers or {})


def sse(data: object) -> bytes:
    """One event without a name. JSON is escaped to ASCII, so that halves of surrogate pairs can be sent."""
    return f"data: {json.dumps(data)}\n\n".encode()


def random_id(prefix: str) -> str:
    """An id with 24 hexadecimal digits."""
    return f"{prefix}{secrets.token_hex(12)}"


class ChatStream:
    """The chunks of one answer of Chat Completions.

    Args:
        model: The model's name in the chunks.
    """

    def __init__(self, model: str) -> None:
        self._top: Json = {
            "id": random_id("chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": model,
        }

    def raw(self, **fields: Any) -> bytes:
        """A chunk with these fields beside its id and its model."""
        return sse({**self._top, **fields})

    def choice(self, **fields: Any) -> bytes:
        """A chunk with one choice of these fields."""
        return self.raw(choices=[{"index": 0, "finish_reason": None, **fields}])

    def delta(self, **delta: Any) -> bytes:
        """A chunk whose delta has these fields."""
        return self.choice(delta=delta)

    def text(self, text: str | None) -> bytes:
        """A chunk with a piece of the text."""
        return self.delta(content=text)

    def call(
        self, name: str, arguments: Any, call_id: str | None = None, index: int = 0, **more: Any
    ) -> bytes:
        """A chunk with a whole tool call."""
        function = {"name": name, "arguments": arguments}
        call = {"index": index, "id": call_id or random_id("call_"), "type": "function", "function": function}
        return self.delta(tool_calls=[{**call, **more}])

    def finish(self, reason: str | None = "stop") -> bytes:
        """The last chunk with a choice."""
        return self.choice(delta={}, finish_reason=reason)

    def usage(self, prompt: int = 10, completion: int = 5) -> bytes:
        """The chunk with the usage, which has no choice."""
        return self.raw(choices=[], usage=chat_usage(prompt, completion))

    def end(self, reason: str | None = "stop") -> list[Part]:
        """What ends a well-formed stream."""
        return [self.finish(reason), self.usage(), DONE]


def chat_usage(prompt: int, completion: int) -> Json:
    """Token counts, as Chat Completions names them."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def responses_usage(prompt: int, completion: int) -> Json:
    """Token counts, as the Responses API names them."""
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + completion,
    }


class ResponsesStream:
    """The events of one answer of the Responses API, numbered from 0.

    Args:
        model: The model's name in the response.
    """

    def __init__(self, model: str) -> None:
        self._number = -1
        self._response: Json = {
            "id": random_id("resp_"),
            "object": "response",
            "created_at": int(time.time()),
            "model": model,
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }

    def event(self, kind: str, **fields: Any) -> bytes:
        """One event with its name."""
        self._number += 1
        data = json.dumps({"type": kind, "sequence_number": self._number, **fields})
        return f"event: {kind}\ndata: {data}\n\n".encode()

    def response(self, status: str, **fields: Any) -> Json:
        """The response object."""
        return {"error": None, "incomplete_details": None, **self._response, "status": status, **fields}

    def created(self) -> list[Part]:
        """What begins a stream."""
        return [
            self.event("response.created", response=self.response("in_progress")),
            self.event("response.in_progress", response=self.response("in_progress")),
        ]

    def added(self, item: Json, index: int = 0) -> bytes:
        """An item begins."""
        return self.event("response.output_item.added", output_index=index, item=item)

    def done(self, item: Json, index: int = 0) -> bytes:
        """An item is done."""
        return self.event("response.output_item.done", output_index=index, item=item)

    def text_delta(self, text: str, item_id: str, index: int = 0) -> bytes:
        """A piece of a message's text."""
        return self.event("response.output_text.delta", delta=text, logprobs=[], **_position(item_id, index))

    def message(self, texts: Sequence[str], item_id: str, index: int = 0) -> list[Part]:
        """All events of a message."""
        whole = "".join(texts)
        at = _position(item_id, index)
        return [
            self.added({**message_item("", item_id), "content": [], "status": "in_progress"}, index),
            self.event("response.content_part.added", part=text_part(""), **at),
            *(self.text_delta(text, item_id, index) for text in texts),
            self.event("response.output_text.done", text=whole, logprobs=[], **at),
            self.event("response.content_part.done", part=text_part(whole), **at),
            self.done(message_item(whole, item_id), index),
        ]

    def call(self, item: Json, index: int = 0) -> list[Part]:
        """All events of a function call."""
        at = {"item_id": item["id"], "output_index": index}
        arguments = item["arguments"]
        return [
            self.added({**item, "arguments": "", "status": "in_progress"}, index),
            self.event("response.function_call_arguments.delta", delta=arguments, **at),
            self.event("response.function_call_arguments.done", arguments=arguments, name=item["name"], **at),
            self.done(item, index),
        ]

    def completed(self, output: Sequence[Json], prompt: int = 10, completion: int = 5) -> bytes:
        """The end of a well-formed stream."""
        done = self.response("completed", output=list(output), usage=responses_usage(prompt, completion))
        return self.event("response.completed", response=done)


def text_part(text: str) -> Json:
    """The content part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def message_item(text: str, item_id: str = "msg_1") -> Json:
    """A completed message."""
    return {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [text_part(text)],
    }


def call_item(name: str, arguments: str, call_id: str | None = None, item_id: str | None = None) -> Json:
    """A completed function call."""
    return {
        "id": item_id or random_id("fc_"),
        "type": "function_call",
        "call_id": call_id or random_id("call_"),
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }


def _position(item_id: str, index: int) -> Json:
    return {"item_id": item_id, "output_index": index, "content_index": 0}
