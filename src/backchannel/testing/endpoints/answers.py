"""Well-formed answers to requests of both APIs."""

import json
import secrets
from collections.abc import Sequence

from backchannel.models.response_events import Call
from backchannel.testing.endpoints.chat_view import inner
from backchannel.testing.endpoints.requests import ReceivedRequest
from backchannel.testing.endpoints.rules import Json, Profile
from backchannel.testing.endpoints.tokens import tokens_of
from backchannel.testing.endpoints.wire import (
    CREATED,
    DONE,
    ChatStream,
    Drop,
    Part,
    Pause,
    Reply,
    ResponsesStream,
    call_item,
    chat_usage,
    json_reply,
    message_item,
    random_id,
    responses_usage,
)
from backchannel.testing.model import Say

type Said = Say | Call
COMPLETION_TOKENS = 5


def answer(said: Sequence[Said], request: ReceivedRequest, profile: Profile) -> Reply:
    """The answer of a model that says and calls these, streamed if the request asks for it."""
    if request.api == "chat":
        return _chat_stream(said, request, profile) if request.stream else _chat(said, request, profile)
    return _responses_stream(said, request) if request.stream else _responses(said, request)


def call_id(profile: Profile) -> str:
    """A call id as the API makes them."""
    if profile in ("mistral", "strictest"):
        return "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(9))
    return random_id("toolu_" if profile == "anthropic" else "call_")


def _arguments(call: Call) -> str:
    return call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)


def _calls(said: Sequence[Said], request: ReceivedRequest, profile: Profile) -> list[Json]:
    found: list[Json] = []
    for part in said:
        if isinstance(part, Call):
            call: Json = {
                "id": call_id(profile),
                "type": "function",
                "function": {"name": part.name, "arguments": _arguments(part)},
            }
            if "gemini-3" in request.model.lower() and not found:
                call["extra_content"] = {"google": {"thought_signature": secrets.token_urlsafe(16)}}
            found.append(call)
    return found


def _thoughts(request: ReceivedRequest) -> Json:
    return {"reasoning_content": "Let me think."} if "deepseek" in request.model.lower() else {}


def _chat(said: Sequence[Said], request: ReceivedRequest, profile: Profile) -> Reply:
    calls = _calls(said, request, profile)
    text = "".join("".join(part.deltas) for part in said if isinstance(part, Say))
    message: Json = {"role": "assistant", "content": text or None, **_thoughts(request)}
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    return json_reply(
        {
            "id": random_id("chatcmpl-"),
            "object": "chat.completion",
            "created": CREATED,
            "model": request.model,
            "choices": [choice],
            "usage": chat_usage(tokens_of(request.body), COMPLETION_TOKENS),
        }
    )


def _chat_stream(said: Sequence[Said], request: ReceivedRequest, profile: Profile) -> Reply:
    stream = ChatStream(request.model)
    parts: list[Part] = [stream.delta(role="assistant", content="")]
    if thoughts := _thoughts(request):
        parts.append(stream.delta(**thoughts))
    for part in said:
        if isinstance(part, Say):
            parts += _spoken(part, [stream.text(text) for text in part.deltas])
    calls = _calls(said, request, profile)
    for index, call in enumerate(calls):
        function = call["function"]
        opened = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
        parts.append(stream.delta(tool_calls=[opened]))
        parts.append(
            stream.delta(tool_calls=[{"index": index, "function": {"arguments": function["arguments"]}}])
        )
    parts.append(stream.finish("tool_calls" if calls else "stop"))
    if inner(request.body, "stream_options", "include_usage"):
        parts.append(stream.usage(tokens_of(request.body), COMPLETION_TOKENS))
    return Reply([*parts, DONE])


def _spoken(say: Say, deltas: Sequence[bytes]) -> list[Part]:
    """A message's deltas, with what is to happen before the last one."""
    last: Part = Drop() if say.error else deltas[-1]
    return [*deltas[:-1], *([Pause(say.until)] if say.until else []), last]


def _items(said: Sequence[Said]) -> list[Json]:
    return [
        message_item("".join(part.deltas), part.item_id or random_id("msg_"))
        if isinstance(part, Say)
        else call_item(part.name, _arguments(part))
        for part in said
    ]


def _responses(said: Sequence[Said], request: ReceivedRequest) -> Reply:
    used = responses_usage(tokens_of(request.body), COMPLETION_TOKENS)
    return json_reply(ResponsesStream(request.model).response("completed", output=_items(said), usage=used))


def _responses_stream(said: Sequence[Said], request: ReceivedRequest) -> Reply:
    stream = ResponsesStream(request.model)
    parts = stream.created()
    items = _items(said)
    for index, (part, item) in enumerate(zip(said, items, strict=True)):
        if isinstance(part, Call):
            parts += stream.call(item, index)
            continue
        events = stream.message(part.deltas, item["id"], index)
        first, count = 2, len(part.deltas)
        deltas = [each for each in events[first : first + count] if isinstance(each, bytes)]
        parts += [*events[:first], *_spoken(part, deltas), *events[first + count :]]
    return Reply([*parts, stream.completed(items, tokens_of(request.body), COMPLETION_TOKENS)])
