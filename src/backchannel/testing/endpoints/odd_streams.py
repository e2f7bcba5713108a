"""Odd streams: how answers begin, are written and end."""

from collections.abc import Iterator

from backchannel.testing.endpoints.odd_texts import said
from backchannel.testing.endpoints.oddity import WORDS, Context, odd
from backchannel.testing.endpoints.rules import Json
from backchannel.testing.endpoints.wire import (
    CREATED,
    DONE,
    Drop,
    Part,
    Reply,
    chat_usage,
    json_reply,
    message_item,
    responses_usage,
    sse,
)

SPECIFICATION = "https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream"
SERVER_ERROR = {"message": "The server had an error while processing your request.", "type": "server_error"}
HTML = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>"


def joined(parts: list[Part]) -> bytes:
    """The bytes of an answer in one piece."""
    return b"".join(part for part in parts if isinstance(part, bytes))


def _burst(context: Context) -> bytes:
    """400 words in one packet, without an end."""
    if context.request.api == "chat":
        return joined([context.chat.delta(role="assistant"), *map(context.chat.text, WORDS)])
    stream = context.responses
    return joined([*stream.created(), *stream.message(WORDS, "msg_1")[: 2 + len(WORDS)]])


@odd("diegosouzapw/OmniRoute#8210", "chat")
def chat_burst_then_error(context: Context) -> list[Part]:
    """400 words come in one packet, together with an error."""
    return [_burst(context) + sse({"error": {**SERVER_ERROR, "param": None, "code": None}}) + DONE]


@odd("diegosouzapw/OmniRoute#8210", "responses")
def responses_burst_then_error(context: Context) -> list[Part]:
    """400 words come in one packet, together with an error."""
    burst = _burst(context)
    return [
        burst
        + context.responses.event("error", code="server_error", message=SERVER_ERROR["message"], param=None)
    ]


@odd("openai/openai-agents-python#526")
def burst_then_drop(context: Context) -> list[Part]:
    """400 words come in one packet, and then the connection is closed."""
    return [_burst(context), Drop()]


@odd("vercel/ai#19165")
def burst_then_end(context: Context) -> list[Part]:
    """400 words come in one packet, and then the stream ends without an event that says so."""
    return [_burst(context)]


@odd("NousResearch/hermes-agent#90848", "chat")
def no_done(context: Context) -> list[Part]:
    """The stream ends without `[DONE]`."""
    return [part for part in said(context, "Rain.") if part != DONE]


@odd("cline/cline#1786", "chat")
def garbage_after_done(context: Context) -> list[Part]:
    """Something that is no JSON stands behind `[DONE]`."""
    return [*said(context, "Rain."), b"data: bye\n\n"]


@odd("https://openrouter.ai/docs/api/reference/errors-and-debugging", "chat")
def error_chunk(context: Context) -> list[Part]:
    """A chunk in mid-answer has an `error` beside a choice with the finish reason `error`, as OpenRouter sends it."""
    error = {
        "code": 502,
        "message": "Provider disconnected unexpectedly",
        "metadata": {"provider_name": "Any"},
    }
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    return [context.chat.text("Rain"), context.chat.raw(provider="Any", error=error, choices=[choice])]


@odd("mastra-ai/mastra#20302", "chat")
def reason_error(context: Context) -> list[Part]:
    """The finish reason is `error`, and no error comes with it."""
    return [context.chat.text("Rain"), *context.chat.end("error")]


@odd("edison7009/EchoBird#375")
def html(context: Context) -> Reply:
    """The answer is an HTML page with status 200."""
    return Reply([HTML], content_type="text/html; charset=utf-8")


@odd("https://platform.openai.com/docs/api-reference/chat/object", "chat")
def chat_plain_json(context: Context) -> Reply:
    """The answer to a request for a stream is one JSON object."""
    message = {"role": "assistant", "content": "Rain."}
    return json_reply(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": CREATED,
            "model": context.request.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": chat_usage(10, 5),
        }
    )


@odd("https://platform.openai.com/docs/api-reference/responses/object", "responses")
def responses_plain_json(context: Context) -> Reply:
    """The answer to a request for a stream is one JSON object."""
    return json_reply(
        context.responses.response("completed", output=[message_item("Rain.")], usage=responses_usage(10, 5))
    )


@odd("CommandCodeAI/command-code#785")
def empty(context: Context) -> list[Part]:
    """The answer has status 200 and no byte."""
    return []


@odd("easychen/openai-api-proxy#33")
def error_with_200(context: Context) -> Reply:
    """The answer is an error as JSON, with status 200."""
    return json_reply({"error": {**SERVER_ERROR, "param": None, "code": None}})


@odd("apache/rocketmq-dashboard#2178")
def error_event(context: Context) -> list[Part]:
    """The stream has an error as its only event."""
    return [sse({"error": {"message": "quota exceeded"}}), DONE]


@odd(SPECIFICATION)
def data_without_space(context: Context) -> list[Part]:
    """No space stands behind `data:`."""
    return [joined(said(context, "Rain.")).replace(b"data: ", b"data:")]


@odd("mistralai/mistral-vibe#793")
def carriage_returns(context: Context) -> list[Part]:
    """Lines end with a carriage return and a line feed."""
    return [joined(said(context, "Rain.")).replace(b"\n", b"\r\n")]


@odd("https://openrouter.ai/docs/api/reference/streaming")
def comments(context: Context) -> list[Part]:
    """Comments stand before and between the events."""
    comment = b": OPENROUTER PROCESSING\n\n"
    return [comment, *(comment + part for part in said(context, "Rain.") if isinstance(part, bytes))]


@odd(SPECIFICATION)
def data_on_two_lines(context: Context) -> list[Part]:
    """The data of an event stands on two lines."""
    return [joined(said(context, "Rain.")).replace(b"data: {", b"data: {\ndata: ")]


@odd("AbanteAI/archive-old-cli-mentat#429", "chat")
def no_choices(context: Context) -> list[Part]:
    """The first chunk has no choices, but the results of a content filter, as Azure sends it."""
    safe = {"hate": {"filtered": False, "severity": "safe"}}
    results = [{"prompt_index": 0, "content_filter_results": safe}]
    return [context.chat.raw(choices=[], prompt_filter_results=results), *said(context, "Rain.")]


@odd("uezo/aiavatarkit#124", "chat")
def no_delta(context: Context) -> list[Part]:
    """A choice has no delta."""
    return [context.chat.choice(), *said(context, "Rain.")]


@odd("bagofwords1/bagofwords#742", "chat")
def delta_null(context: Context) -> list[Part]:
    """The delta of a choice is null."""
    return [context.chat.choice(delta=None), *said(context, "Rain.")]


@odd("https://platform.openai.com/docs/api-reference/chat/streaming", "chat")
def chat_no_usage(context: Context) -> list[Part]:
    """No usage is sent."""
    return [context.chat.text("Rain."), context.chat.finish(), DONE]


@odd("https://platform.openai.com/docs/api-reference/responses/object", "responses")
def responses_no_usage(context: Context) -> list[Part]:
    """No usage is sent."""
    stream = context.responses
    done = stream.response("completed", output=[message_item("Rain.")])
    return [
        *stream.created(),
        *stream.message(["Rain."], "msg_1"),
        stream.event("response.completed", response=done),
    ]


@odd("awslabs/llmeter#34", "chat")
def usage_null(context: Context) -> list[Part]:
    """The usage of every chunk is null."""
    choice = {"index": 0, "delta": {"content": "Rain."}, "finish_reason": None}
    end: Json = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return [context.chat.raw(choices=[choice], usage=None), context.chat.raw(choices=[end], usage=None), DONE]


@odd("https://platform.openai.com/docs/api-reference/chat/object", "chat")
def reason_length(context: Context) -> list[Part]:
    """The finish reason is `length`: the text is cut off."""
    return [context.chat.text("Rain is"), *context.chat.end("length")]


@odd("https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter", "chat")
def reason_content_filter(context: Context) -> list[Part]:
    """The finish reason is `content_filter`: the text is cut off."""
    return [context.chat.text("Rain is"), *context.chat.end("content_filter")]


@odd("can1357/oh-my-pi#9433", "chat")
def no_reason(context: Context) -> list[Part]:
    """No chunk has a finish reason."""
    return [context.chat.text("Rain."), DONE]


@odd("mastra-ai/mastra#20302", "chat")
def reason_unknown(context: Context) -> list[Part]:
    """The finish reason is one that OpenAI does not have."""
    return [context.chat.text("Rain."), *context.chat.end("MALFORMED_FUNCTION_CALL")]


@odd("CommandCodeAI/command-code#785")
def slow_headers(context: Context) -> list[Part]:
    """Nothing comes, not even the status, until the test lets the answer go on."""
    return [context.pause, *said(context, "Rain.")]


@odd("CommandCodeAI/command-code#785")
def slow_first_byte(context: Context) -> list[Part]:
    """The status comes, and no event until the test lets the answer go on."""
    return [b"", context.pause, *said(context, "Rain.")]


@odd("CommandCodeAI/command-code#785")
def silence(context: Context) -> list[Part]:
    """One word comes, and no other until the test lets the answer go on."""
    parts = said(context, "Rain ", "again.")
    behind = (
        next(index for index, part in enumerate(parts) if isinstance(part, bytes) and b"Rain " in part) + 1
    )
    return [*parts[:behind], context.pause, *parts[behind:]]


@odd(SPECIFICATION)
def trickle(context: Context) -> list[Part]:
    """Every byte is sent on its own."""
    return list(_bytes(joined(said(context, "Rain, r\u00e9ally."))))


def _bytes(text: bytes) -> Iterator[bytes]:
    for index in range(len(text)):
        yield text[index : index + 1]
