"""How large a request is for a model, and how each API refuses one that is too large."""

import json
from collections.abc import Mapping
from math import ceil

from backchannel.testing.endpoints.rules import Json, Profile, Violation, Wording, violation

BYTES_PER_TOKEN = 4

_OPENAI = Wording(
    "This model's maximum context length is {limit} tokens. However, your messages resulted in {tokens} tokens. "
    "Please reduce the length of the messages.",
    "crewAIInc/crewAI-examples#121",
    "messages",
    "context_length_exceeded",
)
_RESPONSES = Wording(
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "the-open-agent/openagent#2344",
    "input",
    "context_length_exceeded",
)
WORDINGS: Mapping[Profile, Wording] = {
    "openai-chat": _OPENAI,
    "openai-responses": _RESPONSES,
    "azure": _OPENAI,
    "gemini": Wording(
        "The input token count ({tokens}) exceeds the maximum number of tokens allowed ({limit}).",
        "google-gemini/gemini-cli#6678",
    ),
    "anthropic": Wording("prompt is too long: {tokens} tokens > {limit} maximum", "crmne/ruby_llm#755"),
    "mistral": Wording(
        "Prompt contains {tokens} tokens, too large for model with {limit} maximum context length",
        "https://docs.mistral.ai/resources/known-limitations",
        code="3051",
    ),
    "vllm": Wording(
        "This model's maximum context length is {limit} tokens. However, you requested {tokens} tokens ({tokens} in "
        "the messages, 0 in the completion). Please reduce the length of the messages or completion.",
        "vllm-project/vllm#20409",
        code=400,
    ),
    "deepseek": Wording(
        "This model's maximum context length is {limit} tokens. However, you requested {tokens} tokens ({tokens} in "
        "the messages, 0 in the completion). Please reduce the length of the messages or completion.",
        "anomalyco/models.dev#1295",
    ),
    "llama.cpp": Wording(
        "the request exceeds the available context size. try increasing the context size or enable context shift",
        "oobabooga/textgen#7257",
        code=400,
        type="exceed_context_size_error",
    ),
    "strictest": _OPENAI,
}


def tokens_of(body: Json) -> int:
    """The tokens of a request, roughly: one for every four bytes of its messages or items, instructions and tools.

    The bytes are those of the compact JSON in UTF-8. Real tokenizers need fewer for English, and more for data.
    """
    counted = {
        name: body.get(name) for name in ("messages", "input", "instructions", "tools") if body.get(name)
    }
    text = json.dumps(counted, ensure_ascii=False, separators=(",", ":"), default=str)
    return ceil(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN)


def too_many_tokens(profile: Profile, body: Json, limit: int) -> Violation | None:
    """How a profile refuses a request of more tokens than its model has room for; None if it fits."""
    tokens = tokens_of(body)
    if tokens <= limit:
        return None
    wording = _RESPONSES if "input" in body and profile in ("azure", "strictest") else WORDINGS[profile]
    return violation("context_length", wording, {"tokens": tokens, "limit": limit})
