"""Odd tool calls."""

from collections.abc import Sequence
from typing import Any

from backchannel.testing.endpoints.oddity import Context, odd
from backchannel.testing.endpoints.rules import Json
from backchannel.testing.endpoints.wire import DONE, Part, call_item, random_id

ARGUMENTS = '{"q": "x"}'
TEMPLATE_TOKENS = "<|channel|>commentary"


def _call(
    context: Context, arguments: Any = ARGUMENTS, *, name: str | None = None, call_id: str | None = None
) -> list[Part]:
    """A call in the API of the request."""
    called = context.tool if name is None else name
    if context.request.api == "chat":
        given = random_id("call_") if call_id is None else call_id
        chunk = context.chat.choice(
            delta={"role": "assistant", "tool_calls": [_chat_call(called, arguments, given)]}
        )
        return [chunk, *context.chat.end("tool_calls")]
    item = {**call_item(called, arguments), **({} if call_id is None else {"call_id": call_id})}
    return _items(context, [item])


def _chat_call(name: str, arguments: Any, call_id: Any, index: int = 0) -> Json:
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": call_id, "type": "function", "function": function}


def _items(context: Context, items: Sequence[Json]) -> list[Part]:
    stream = context.responses
    parts = stream.created()
    for index, item in enumerate(items):
        parts += stream.call(item, index)
    return [*parts, stream.completed(items)]


def _deltas(context: Context, calls: Sequence[Json], reason: str = "tool_calls") -> list[Part]:
    """Chunks of Chat Completions, each with one piece of a call."""
    return [*(context.chat.delta(tool_calls=[call]) for call in calls), *context.chat.end(reason)]


@odd("vllm-project/vllm#48922")
def cut_arguments(context: Context) -> list[Part]:
    """The arguments of a call are cut off: `{"q": "x`."""
    return _call(context, '{"q": "x')


@odd("vercel/ai#6687")
def empty_arguments(context: Context) -> list[Part]:
    """The arguments of a call are an empty text."""
    return _call(context, "")


@odd("CopilotKit/CopilotKit#3300")
def arguments_no_object(context: Context) -> list[Part]:
    """The arguments of a call are a JSON text, and no object."""
    return _call(context, '""')


@odd("BerriAI/litellm#4537")
def arguments_after_braces(context: Context) -> list[Part]:
    """The arguments of a call have an empty object before them."""
    return _call(context, "{}" + ARGUMENTS)


@odd("ggml-org/llama.cpp#20198", "chat")
def arguments_object(context: Context) -> list[Part]:
    """The arguments of a call are an object instead of its text."""
    return _call(context, {"q": "x"})


@odd("vllm-project/vllm#32587")
def template_tokens_in_name(context: Context) -> list[Part]:
    """The name of a called tool ends with tokens of the chat template."""
    return _call(context, name=context.tool + TEMPLATE_TOKENS)


@odd("vllm-project/vllm#32587")
def functions_prefix(context: Context) -> list[Part]:
    """The name of a called tool begins with `functions.`."""
    return _call(context, name=f"functions.{context.tool}")


@odd("vercel/ai#2786")
def unknown_tool(context: Context) -> list[Part]:
    """A tool is called that is not among those of the request."""
    return _call(context, name="multi_tool_use.parallel")


@odd("continuedev/continue#11645")
def empty_name(context: Context) -> list[Part]:
    """A call has an empty name."""
    return _call(context, name="")


@odd("NousResearch/hermes-agent#102629")
def call_0(context: Context) -> list[Part]:
    """A call has the id `call_0`, like that of every other turn."""
    return _call(context, call_id="call_0")


@odd("lmstudio-ai/lmstudio-bug-tracker#830")
def empty_id(context: Context) -> list[Part]:
    """A call has an empty id."""
    return _call(context, call_id="")


@odd("openai/codex#14355")
def long_id(context: Context) -> list[Part]:
    """A call has an id of 1324 characters."""
    return _call(context, call_id="x" * 1324)


@odd("BlockRunAI/ClawRouter#17")
def other_characters_in_id(context: Context) -> list[Part]:
    """A call has an id with a point and a colon: `functions.lookup:0`."""
    return _call(context, call_id=f"functions.{context.tool}:0")


@odd("vllm-project/vllm#18412", "chat")
def no_id(context: Context) -> list[Part]:
    """A call has no id."""
    call = _chat_call(context.tool, ARGUMENTS, None)
    del call["id"]
    return _deltas(context, [call])


@odd("BerriAI/litellm#11407", "chat")
def null_id(context: Context) -> list[Part]:
    """The id of a call is null."""
    return _deltas(context, [_chat_call(context.tool, ARGUMENTS, None)])


@odd("can1357/oh-my-pi#2055", "chat")
def chat_same_id_twice(context: Context) -> list[Part]:
    """Two calls of one answer have the same id."""
    calls = [_chat_call(context.tool, f'{{"q": "{number}"}}', "call_same", number) for number in range(2)]
    return _deltas(context, calls)


@odd("can1357/oh-my-pi#2055", "responses")
def responses_same_id_twice(context: Context) -> list[Part]:
    """Two calls of one answer have the same id."""
    return _items(context, [call_item(context.tool, f'{{"q": "{n}"}}', "call_same") for n in range(2)])


@odd("openai/openai-python#2806", "chat")
def no_index(context: Context) -> list[Part]:
    """A call has no index."""
    call = _chat_call(context.tool, ARGUMENTS, random_id("call_"))
    del call["index"]
    return _deltas(context, [call])


@odd("su-kaka/gcli2api#406", "chat")
def index_always_0(context: Context) -> list[Part]:
    """Two calls of one answer both have the index 0."""
    return _deltas(
        context, [_chat_call(context.tool, f'{{"q": "{n}"}}', random_id("call_")) for n in range(2)]
    )


@odd("BerriAI/litellm#11407", "chat")
def index_from_1(context: Context) -> list[Part]:
    """The only call of an answer has the index 1."""
    return _deltas(context, [_chat_call(context.tool, ARGUMENTS, random_id("call_"), 1)])


@odd("NousResearch/hermes-agent#11984", "chat")
def name_in_every_delta(context: Context) -> list[Part]:
    """The name of a called tool comes again with every piece of the arguments."""
    call_id = random_id("call_")
    return _deltas(context, [_chat_call(context.tool, piece, call_id) for piece in ('{"q"', ': "x', '"}')])


@odd("continuedev/continue#5849", "chat")
def name_in_pieces(context: Context) -> list[Part]:
    """The name of a called tool comes in two pieces."""
    half = len(context.tool) // 2
    first = _chat_call(context.tool[:half], "", random_id("call_"))
    return _deltas(
        context, [first, {"index": 0, "function": {"name": context.tool[half:], "arguments": ARGUMENTS}}]
    )


@odd("vercel/ai#14760", "chat")
def arguments_before_name(context: Context) -> list[Part]:
    """The arguments of a call come before its name."""
    first = {"index": 0, "id": random_id("call_"), "type": "function", "function": {"arguments": ARGUMENTS}}
    return _deltas(context, [first, {"index": 0, "function": {"name": context.tool}}])


@odd("BerriAI/litellm#35663", "chat")
def call_with_reason_stop(context: Context) -> list[Part]:
    """A whole call comes in one chunk, and the finish reason is `stop`."""
    call = _chat_call(context.tool, ARGUMENTS, random_id("call_"))
    return [context.chat.choice(delta={"tool_calls": [call]}, finish_reason="stop"), DONE]


@odd("jjang-ai/vmlx#219", "chat")
def reason_without_calls(context: Context) -> list[Part]:
    """The finish reason is `tool_calls`, and nothing is called."""
    return [context.chat.delta(role="assistant", content=""), *context.chat.end("tool_calls")]


@odd("BerriAI/litellm#29078", "chat")
def chat_empty_text_beside_call(context: Context) -> list[Part]:
    """An empty text stands before a call."""
    return [context.chat.delta(role="assistant", content=""), *_call(context)]


@odd("BerriAI/litellm#29078", "responses")
def responses_empty_text_beside_call(context: Context) -> list[Part]:
    """An empty text stands before a call."""
    stream = context.responses
    item = call_item(context.tool, ARGUMENTS)
    message = stream.message([""], "msg_1")
    done: Json = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": []}
    return [*stream.created(), *message, *stream.call(item, 1), stream.completed([done, item])]


@odd("open-webui/open-webui#25083", "chat")
def chat_blank_text_beside_call(context: Context) -> list[Part]:
    """A text of line breaks stands before a call."""
    return [context.chat.text("\n\n"), *_call(context)]


@odd("google-gemini/gemini-cli#11814", "chat")
def signature_with_call(context: Context) -> list[Part]:
    """A call has a thought signature in `extra_content`, which has to be sent back."""
    call = _chat_call(context.tool, ARGUMENTS, random_id("call_"))
    return _deltas(context, [{**call, "extra_content": {"google": {"thought_signature": "c2lnbmF0dXJl"}}}])


@odd("hotovo/aider-desk#529", "chat")
def thoughts_with_call(context: Context) -> list[Part]:
    """Thoughts in `reasoning_content` stand before a call, and have to be sent back with it."""
    return [context.chat.delta(reasoning_content="I look it up."), *_call(context)]
