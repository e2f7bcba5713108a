"""Odd streams of the Responses API."""

from typing import Any

from backchannel.testing.endpoints.oddity import Context, odd
from backchannel.testing.endpoints.rules import Json
from backchannel.testing.endpoints.wire import Part, ResponsesStream, message_item, random_id, text_part

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4AWIqLy//DwAAAP//yTrGDgAAAAZJREFUAwAFPQJnTO97"
    "5gAAAABJRU5ErkJggg=="
)
JPEG = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAP//////////////////////////////////////////////////////////////////"
    "////////////////////2wBDAf//////////////////////////////////////////////////////////////////////////"
    "////////////wAARCAABAAEDASIAAhEBAxEB/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/xAAU"
    "AQEAAAAAAAAAAAAAAAAAAAAA/8QAFBEBAAAAAAAAAAAAAAAAAAAAAP/aAAwDAQACEQMRAD8AAA//2Q=="
)
WEBP = "UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoBAAEADMDOJaQAA3AA/gAAAAA="
EVENTS = "https://platform.openai.com/docs/api-reference/responses-streaming"


def _message(context: Context, leave_out: str = "") -> list[Part]:
    """A well-formed answer, without the events of one kind."""
    stream = context.responses
    parts = [
        *stream.created(),
        *stream.message(["Rain ", "again."], "msg_1"),
        stream.completed([message_item("Rain again.")]),
    ]
    return [
        part for part in parts if not (leave_out and isinstance(part, bytes) and leave_out.encode() in part)
    ]


def _item(context: Context, item: Json) -> list[Part]:
    stream = context.responses
    return [*stream.created(), stream.added(item), stream.done(item), stream.completed([item])]


@odd("router-for-me/CLIProxyAPI#4860", "responses")
def no_item_added(context: Context) -> list[Part]:
    """Deltas come without an event that their item begins."""
    return [
        part
        for part in _message(context, "event: response.output_item.added")
        if not (isinstance(part, bytes) and b"event: response.content_part.added" in part)
    ]


@odd("router-for-me/CLIProxyAPI#4860", "responses")
def no_item_done(context: Context) -> list[Part]:
    """No event says that an item is done."""
    return _message(context, "event: response.output_item.done")


@odd("BerriAI/litellm#41185", "responses")
def only_completed(context: Context) -> list[Part]:
    """The only event is `response.completed`, with the output."""
    return [context.responses.completed([message_item("Rain again.")])]


@odd("BerriAI/litellm#41009", "responses")
def completed_empty(context: Context) -> list[Part]:
    """The output of `response.completed` is empty, although a message was streamed."""
    return [*_message(context, "event: response.completed"), context.responses.completed([])]


@odd("ENTERPILOT/GoModel#831", "responses")
def completed_without_output(context: Context) -> list[Part]:
    """`response.completed` has no `output`."""
    stream = context.responses
    response = stream.response("completed")
    del response["output"]
    parts = _message(context, "event: response.completed")
    return [*parts, stream.event("response.completed", response=response)]


@odd("BerriAI/litellm#30072", "responses")
def ids_change(context: Context) -> list[Part]:
    """Every event of one message has another id."""
    stream = context.responses
    parts = stream.created()
    for part in stream.message(["Rain ", "again."], "msg_1"):
        if isinstance(part, bytes):
            parts.append(part.replace(b'"msg_1"', f'"{random_id("msg_")}"'.encode()))
    return [*parts, stream.completed([message_item("Rain again.", random_id("msg_"))])]


@odd("BerriAI/litellm#30072", "responses")
def ids_of_thoughts_change(context: Context) -> list[Part]:
    """Every event of one summary of thoughts has another id of some hundred characters."""
    stream = context.responses
    summary = {"type": "summary_text", "text": "It is autumn."}

    def at(**more: Any) -> Json:
        return {"item_id": random_id("rs_") * 16, "output_index": 0, "summary_index": 0, **more}

    def thought(**more: Any) -> Json:
        return {"id": random_id("rs_") * 16, "type": "reasoning", "summary": [], **more}

    kind = "response.reasoning_summary"
    done = thought(summary=[summary])
    return [
        *stream.created(),
        stream.added(thought()),
        stream.event(f"{kind}_part.added", part={**summary, "text": ""}, **at()),
        stream.event(f"{kind}_text.delta", delta="It is ", **at()),
        stream.event(f"{kind}_text.delta", delta="autumn.", **at()),
        stream.event(f"{kind}_text.done", text=summary["text"], **at()),
        stream.event(f"{kind}_part.done", part=summary, **at()),
        stream.done(done),
        *stream.message(["Rain."], "msg_1", 1),
        stream.completed([done, message_item("Rain.")]),
    ]


@odd("openai/openai-python#2822", "responses")
def no_annotations(context: Context) -> list[Part]:
    """The text of a message has no annotations."""
    item = {**message_item(""), "content": [{"type": "output_text", "text": "Rain."}]}
    return _item(context, item)


@odd("openai/openai-python#2822", "responses")
def text_null(context: Context) -> list[Part]:
    """The text of a message is null."""
    return _item(context, {**message_item(""), "content": [{**text_part(""), "text": None}]})


@odd(EVENTS, "responses")
def unknown_item(context: Context) -> list[Part]:
    """An item has a type that clients do not know, and no content."""
    stream = context.responses
    item = {"id": "tp_1", "type": "telepathy_call", "status": "completed"}
    return [
        *stream.created(),
        stream.added(item),
        stream.done(item),
        *stream.message(["Rain."], "msg_1", 1),
        stream.completed([item, message_item("Rain.")]),
    ]


@odd(EVENTS, "responses")
def unknown_event(context: Context) -> list[Part]:
    """An event has a type that clients do not know."""
    parts = _message(context)
    return [*parts[:3], context.responses.event("response.telepathy.delta", delta="?"), *parts[3:]]


@odd("BerriAI/litellm#39965", "responses")
def deltas_twice(context: Context) -> list[Part]:
    """Every delta comes twice, with the same number."""
    doubled: list[Part] = []
    for part in _message(context):
        twice = isinstance(part, bytes) and b"event: response.output_text.delta" in part
        doubled += [part, part] if twice else [part]
    return doubled


def _ended(context: Context, status: str, **fields: Any) -> list[Part]:
    """Half a message, and an end other than `response.completed`."""
    stream = context.responses
    item = {**message_item("Rain is"), "status": "incomplete"}
    events = stream.message(["Rain ", "is"], "msg_1")[:4]
    response = stream.response(status, output=[item], **fields)
    return [*stream.created(), *events, stream.event(f"response.{status}", response=response)]


@odd(EVENTS, "responses")
def incomplete_length(context: Context) -> list[Part]:
    """`response.incomplete`: the text is cut off at `max_output_tokens`."""
    return _ended(context, "incomplete", incomplete_details={"reason": "max_output_tokens"})


@odd(EVENTS, "responses")
def incomplete_content_filter(context: Context) -> list[Part]:
    """`response.incomplete`: the text is cut off by a content filter."""
    return _ended(context, "incomplete", incomplete_details={"reason": "content_filter"})


@odd(EVENTS, "responses")
def failed(context: Context) -> list[Part]:
    """`response.failed` in mid-answer."""
    error = {"code": "server_error", "message": "The model failed to generate a response."}
    return _ended(context, "failed", error=error)


@odd("openai/openai-agents-python#4515", "responses")
def failed_rate_limit(context: Context) -> list[Part]:
    """`response.failed` in mid-answer, because of a rate limit."""
    error = {
        "code": "rate_limit_exceeded",
        "message": "Rate limit reached for gpt-5. Please try again in 1.2s.",
    }
    return _ended(context, "failed", error=error)


@odd(EVENTS, "responses")
def cancelled(context: Context) -> list[Part]:
    """`response.cancelled` in mid-answer."""
    return _ended(context, "cancelled")


@odd(EVENTS, "responses")
def error_in_mid_answer(context: Context) -> list[Part]:
    """An `error` event in mid-answer."""
    stream = context.responses
    events = stream.message(["Rain ", "is"], "msg_1")[:4]
    error = {"code": "server_error", "message": "The server had an error.", "param": None}
    return [*stream.created(), *events, stream.event("error", **error)]


def _images(context: Context, *images: Json) -> list[Part]:
    stream: ResponsesStream = context.responses
    parts = stream.created()
    for index, image in enumerate(images):
        at = {"item_id": image["id"], "output_index": index}
        parts.append(stream.added({**image, "status": "in_progress", "result": None}, index))
        parts.append(stream.event("response.image_generation_call.in_progress", **at))
        parts.append(stream.event("response.image_generation_call.generating", **at))
    for index, image in enumerate(images):
        if image["status"] == "completed":
            at = {"item_id": image["id"], "output_index": index}
            parts.append(stream.event("response.image_generation_call.completed", **at))
        parts.append(stream.done(image, index))
    return [*parts, stream.completed(images)]


def _image(item_id: str = "ig_1", result: str | None = PIXEL, status: str = "completed", **more: Any) -> Json:
    return {"id": item_id, "type": "image_generation_call", "status": status, "result": result, **more}


@odd("orangeboyChen/codebuddy2api#156", "responses")
def image_failed(context: Context) -> list[Part]:
    """The generation of an image fails."""
    return _images(context, _image(result=None, status="failed"))


@odd("Wei-Shaw/sub2api#4051", "responses")
def image_generating(context: Context) -> list[Part]:
    """An image is done and has its result, but its status is `generating`."""
    return _images(context, _image(status="generating"))


@odd("openai/chatkit-python#86", "responses")
def image_jpeg(context: Context) -> list[Part]:
    """An image is a JPEG."""
    return _images(context, _image(result=JPEG, output_format="jpeg"))


@odd("openai/chatkit-python#86", "responses")
def image_webp(context: Context) -> list[Part]:
    """An image is a WebP."""
    return _images(context, _image(result=WEBP, output_format="webp"))


@odd("openai/chatkit-python#86", "responses")
def two_images(context: Context) -> list[Part]:
    """Two images are generated at once."""
    return _images(context, _image(), _image("ig_2"))
