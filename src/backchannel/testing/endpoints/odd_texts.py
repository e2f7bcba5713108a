"""Odd texts and thoughts."""

from collections.abc import Sequence
from typing import Any

from backchannel.testing.endpoints.oddity import Context, odd
from backchannel.testing.endpoints.wire import Part, message_item

REFUSAL = "I cannot help with that."


def said(context: Context, *texts: str) -> list[Part]:
    """A well-formed answer of these deltas in the API of the request."""
    if context.request.api == "chat":
        return [
            context.chat.delta(role="assistant"),
            *(context.chat.text(text) for text in texts),
            *context.chat.end(),
        ]
    stream = context.responses
    message = message_item("".join(texts))
    return [*stream.created(), *stream.message(texts, "msg_1"), stream.completed([message])]


def _thought(context: Context, **fields: Any) -> list[Part]:
    return [context.chat.delta(**fields), context.chat.text("Rain."), *context.chat.end()]


@odd("BerriAI/litellm#29078")
def empty_text(context: Context) -> list[Part]:
    """The whole text is empty."""
    return said(context, "")


@odd("open-webui/open-webui#25083")
def blank_text(context: Context) -> list[Part]:
    """The whole text is white space."""
    return said(context, " ", "\n", "\u00a0")


@odd("BerriAI/litellm#24442", "chat")
def chat_nothing(context: Context) -> list[Part]:
    """The answer ends well and holds nothing."""
    return context.chat.end()


@odd("BerriAI/litellm#24442", "responses")
def responses_nothing(context: Context) -> list[Part]:
    """The answer ends well and holds nothing."""
    return [*context.responses.created(), context.responses.completed([])]


@odd("BerriAI/litellm#24442", "responses")
def empty_content_list(context: Context) -> list[Part]:
    """The content of the only message is an empty list."""
    stream = context.responses
    item = message_item("")
    item["content"] = []
    return [*stream.created(), stream.added(item), stream.done(item), stream.completed([item])]


@odd("simonw/llm#988", "chat")
def content_null(context: Context) -> list[Part]:
    """The content of every delta is null."""
    return [context.chat.text(None), context.chat.text(None), *context.chat.end()]


@odd("https://docs.mistral.ai/capabilities/reasoning/", "chat")
def content_list(context: Context) -> list[Part]:
    """The content of a delta is a list of parts: thoughts, then text."""
    thoughts = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    return [
        context.chat.delta(content=[thoughts]),
        context.chat.delta(content=[{"type": "text", "text": "Rain."}]),
        *context.chat.end(),
    ]


@odd("openai/openai-agents-python#526", "chat")
def chat_refusal(context: Context) -> list[Part]:
    """A refusal comes in one packet, with the end of the stream."""
    ends = [context.chat.delta(refusal=REFUSAL), *context.chat.end()]
    return [b"".join(each for each in ends if isinstance(each, bytes))]


@odd("openai/openai-agents-python#526", "responses")
def responses_refusal(context: Context) -> list[Part]:
    """A refusal comes in one packet, with the end of the stream."""
    stream = context.responses
    item = {**message_item(""), "content": [{"type": "refusal", "refusal": REFUSAL}]}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events: Sequence[Part] = [
        *stream.created(),
        stream.added({**item, "content": [], "status": "in_progress"}),
        stream.event("response.content_part.added", part={"type": "refusal", "refusal": ""}, **at),
        stream.event("response.refusal.delta", delta=REFUSAL, **at),
        stream.event("response.refusal.done", refusal=REFUSAL, **at),
        stream.event("response.content_part.done", part=item["content"][0], **at),
        stream.done(item),
        stream.completed([item]),
    ]
    return [b"".join(each for each in events if isinstance(each, bytes))]


@odd("elizaOS/eliza#30904")
def split_emoji(context: Context) -> list[Part]:
    """An emoji comes as two halves of a surrogate pair, in two deltas."""
    return said(context, "Rain \ud83d", "\ude00.")


@odd("elizaOS/eliza#30904")
def lone_surrogate(context: Context) -> list[Part]:
    """A delta has half of a surrogate pair, without the other half."""
    return said(context, "Rain \ud83d", " again.")


@odd("BerriAI/litellm#21884")
def nul(context: Context) -> list[Part]:
    """A text has a NUL, which databases do not store."""
    return said(context, "Ra\x00in.")


@odd("openai/openai-agents-python#526")
def cut_json(context: Context) -> list[Part]:
    """The text is JSON, as for a structured output, and is cut off."""
    return said(context, '{"answer": ', '"Rain')


@odd("https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream")
def byte_order_mark(context: Context) -> list[Part]:
    """The stream begins with a byte order mark, and so does the text."""
    return [b"\xef\xbb\xbf", *said(context, "\ufeffRain.")]


@odd("continuedev/continue#10193", "chat")
def reasoning_content(context: Context) -> list[Part]:
    """Thoughts come in `reasoning_content`, as DeepSeek sends them."""
    return [context.chat.delta(reasoning_content="It is "), *_thought(context, reasoning_content="autumn.")]


@odd("https://docs.vllm.ai/en/latest/features/reasoning_outputs.html", "chat")
def reasoning(context: Context) -> list[Part]:
    """Thoughts come in `reasoning`, as vLLM and OpenRouter send them."""
    return [context.chat.delta(reasoning="It is "), *_thought(context, reasoning="autumn.")]


@odd("https://openrouter.ai/docs/use-cases/reasoning-tokens", "chat")
def reasoning_details(context: Context) -> list[Part]:
    """Thoughts come in `reasoning_details` and in `reasoning`, as OpenRouter sends them."""
    details = [{"type": "reasoning.text", "text": "It is autumn.", "signature": None, "index": 0}]
    return _thought(context, reasoning="It is autumn.", reasoning_details=details)


@odd("vllm-project/vllm#43933", "chat")
def thoughts_beside_text(context: Context) -> list[Part]:
    """The last thoughts and the first text come in one delta."""
    return _thought(context, reasoning_content="It is autumn.", content="Well: ")


@odd("langchain-ai/langchainjs#9726")
def think_tags(context: Context) -> list[Part]:
    """Thoughts stand between `<think>` and `</think>` in the text, in one delta."""
    return said(context, "<think>It is autumn.</think>Rain.")


@odd("waybarrios/vllm-mlx#677")
def think_tags_split(context: Context) -> list[Part]:
    """The tags around the thoughts in the text are split over deltas."""
    return said(context, "<th", "ink>It is", " autumn.</thi", "nk>", "\n\nRain.")


@odd("raullenchai/Rapid-MLX#1570")
def think_unclosed(context: Context) -> list[Part]:
    """Thoughts in the text begin with `<think>` and do not end."""
    return said(context, "<think>", "It is autumn.")


@odd("tonyd2wild/DeepSeek-v4-Flash-Vision-Exp-DSpark-1M-NVFP4-KV-2x-DGX-Spark#16")
def think_closing_only(context: Context) -> list[Part]:
    """Thoughts in the text end with `</think>` and have no tag before them."""
    return said(context, "It is autumn.", "</think>", "Rain.")
