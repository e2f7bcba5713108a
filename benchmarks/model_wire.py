"""What OpenAI's Responses API sends, byte for byte as far as a client can tell, made as cheaply as possible."""

import json
import re
import time
from dataclasses import dataclass
from typing import Any

WORDS = (
    " The",
    " order",
    " of",
    " seven",
    " loaves",
    ",",
    " two",
    " pints",
    " of",
    " oat",
    " milk",
    " and",
    " a",
)
WORDS += (
    " small",
    " lemon",
    " cake",
    " is",
    " on",
    " its",
    " way",
    " to",
    " you",
    ".",
    " Anything",
    " else",
    "?",
)

_FLOOD = re.compile(r"\bflood (\d{1,7})\b")
_PACED = re.compile(r"\bpaced (\d{1,7}) at (\d{1,5}(?:\.\d{1,3})?)")
_DEFAULT_TOKENS = 12
_WHOLE_TOKENS = 4

_PADDING = "k3JvQ9aLx2Pz7TqB"
"""OpenAI pads deltas to the same length, so that their size does not betray the words."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks for: how many tokens, and how many a second (`None`: as fast as they are taken)."""

    tokens: int
    pace: float | None = None


def text_of(tokens: int) -> str:
    """The answer of so many tokens."""
    return "".join(WORDS[number % len(WORDS)] for number in range(tokens))


def tokens_in(text: str) -> int:
    """How many tokens the beginning of an answer has."""
    rounds, left = divmod(len(text), sum(map(len, WORDS)))
    count = rounds * len(WORDS)
    for word in WORDS:
        if left < len(word):
            break
        left -= len(word)
        count += 1
    return count


def wish_of(body: dict[str, Any]) -> Wish:
    """`flood 2000` or `paced 60 at 20`, in the model's name or in the last message of a person."""
    for said in (str(body.get("model", "")), last_words(body)):
        if found := _PACED.search(said):
            return Wish(int(found[1]), max(float(found[2]), 0.001))
        if found := _FLOOD.search(said):
            return Wish(int(found[1]))
    return Wish(_DEFAULT_TOKENS)


def last_words(body: dict[str, Any]) -> str:
    """The last message of a person, as text, or as the JSON of its parts."""
    given = body.get("input", "")
    if isinstance(given, str):
        return given
    said = [each.get("content") for each in given if each.get("role") == "user"]
    return said[-1] if said and isinstance(said[-1], str) else json.dumps(said[-1:])


class Answer:
    """The events of one answer, each as one chunk of an HTTP body.

    Args:
        number: Makes ids that no other answer has.
    """

    def __init__(self, body: dict[str, Any], number: int, tokens: int) -> None:
        self._tokens = tokens
        self._message = f"msg_{number:048x}"
        self._place = {"item_id": self._message, "output_index": 0, "content_index": 0}
        self._response = response_object(body, f"resp_{number:048x}")
        head = f'"item_id":"{self._message}","output_index":0,"content_index":0,'
        kind = "response.output_text.delta"
        self._before = f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":'.encode()
        self._after = [
            f',{head}"delta":{json.dumps(word)},"logprobs":[],"obfuscation":"{_PADDING[len(word) :]}"}}\n\n'.encode()
            for word in WORDS
        ]

    def opening(self) -> bytes:
        """Everything before the first token."""
        item = {
            "id": self._message, "type": "message", "status": "in_progress", "content": [], "role": "assistant",
        }  # fmt: skip
        events = (
            event("response.created", 0, response=self._response),
            event("response.in_progress", 1, response=self._response),
            event("response.output_item.added", 2, output_index=0, item=item),
            event("response.content_part.added", 3, **self._place, part=_part("")),
        )
        return b"".join(map(chunk, events))

    def tokens(self, first: int, end: int) -> bytes:
        """The tokens `first` to `end` (not included), counted from 0."""
        before, after, size = self._before, self._after, len(WORDS)
        return b"".join(
            chunk(b"%b%d%b" % (before, number + 4, after[number % size])) for number in range(first, end)
        )

    def closing(self) -> bytes:
        """Everything after the last token, and the end of the body."""
        text, number = text_of(self._tokens), self._tokens + 4
        message = _message(self._message, text)
        done = _completed(self._response, message, self._tokens)
        events = (
            event("response.output_text.done", number, **self._place, text=text, logprobs=[]),
            event("response.content_part.done", number + 1, **self._place, part=_part(text)),
            event("response.output_item.done", number + 2, output_index=0, item=message),
            event("response.completed", number + 3, response=done),
        )
        return b"".join(map(chunk, events)) + b"0\r\n\r\n"


def whole(body: dict[str, Any], number: int) -> bytes:
    """The answer to a request that wants no stream, such as for a title: a few tokens."""
    message = _message(f"msg_{number:048x}", text_of(_WHOLE_TOKENS))
    return json.dumps(
        _completed(response_object(body, f"resp_{number:048x}"), message, _WHOLE_TOKENS)
    ).encode()


def chunk(data: bytes) -> bytes:
    """One piece of a body in HTTP's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(kind: str, number: int, **fields: Any) -> bytes:
    """One server-sent event."""
    data = json.dumps({"type": kind, "sequence_number": number, **fields}, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode()


def response_object(body: dict[str, Any], response_id: str) -> dict[str, Any]:
    """The `response` that events carry while it is made."""
    return {
        "id": response_id, "object": "response", "created_at": int(time.time()), "status": "in_progress",
        "background": False, "error": None, "incomplete_details": None,
        "instructions": body.get("instructions"), "max_output_tokens": None, "max_tool_calls": None,
        "model": body.get("model", ""), "output": [], "parallel_tool_calls": True,
        "previous_response_id": None, "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None}, "safety_identifier": None,
        "service_tier": "auto", "store": True, "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"}, "tool_choice": "auto",
        "tools": body.get("tools") or [], "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled",
        "usage": None, "user": None, "metadata": {},
    }  # fmt: skip


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _message(message_id: str, text: str) -> dict[str, Any]:
    content = [_part(text)]
    return {
        "id": message_id, "type": "message", "status": "completed", "content": content, "role": "assistant",
    }  # fmt: skip


def _completed(response: dict[str, Any], message: dict[str, Any], tokens: int) -> dict[str, Any]:
    usage = {
        "input_tokens": 20, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": tokens, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 20 + tokens,
    }  # fmt: skip
    return {**response, "status": "completed", "output": [message], "service_tier": "default", "usage": usage}
