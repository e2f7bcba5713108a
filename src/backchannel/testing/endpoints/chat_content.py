"""Checks of the order and the contents of messages, and of parameters, of the Chat Completions API."""

import json
from collections.abc import Iterator

from backchannel.testing.endpoints.chat_view import MAX_STRING, Chat, calls_of, inner, is_empty, objects
from backchannel.testing.endpoints.rules import Found

MISTRAL_FIELDS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls", "prefix"},
    "tool": {"role", "content", "tool_call_id", "name"},
}
MISTRAL_REFUSED = ("metadata", "max_completion_tokens")
THINKING_MODELS = ("deepseek-reasoner", "deepseek-v4")


def first_message_not_of_user(chat: Chat) -> Iterator[Found]:
    """A conversation that the user did not begin; system messages are not counted."""
    for message in chat.messages:
        if message.get("role") in ("system", "developer"):
            continue
        if message.get("role") != "user":
            yield {}
        return


def last_message_of_assistant(chat: Chat) -> Iterator[Found]:
    """A conversation that ends with a message of the assistant."""
    if chat.messages and chat.messages[-1].get("role") == "assistant":
        yield {}


def call_not_after_user_or_output(chat: Chat) -> Iterator[Found]:
    """A message with calls behind another one than the user's or a tool's."""
    for index, message in enumerate(chat.messages):
        if calls_of(message) and (index == 0 or chat.messages[index - 1].get("role") not in ("user", "tool")):
            yield {"index": index}


def user_after_output(chat: Chat) -> Iterator[Found]:
    """A message of the user right behind a tool's output."""
    for before, message in zip(chat.messages, chat.messages[1:], strict=False):
        if before.get("role") == "tool" and message.get("role") in ("user", "system"):
            yield {"role": message.get("role")}


def roles_do_not_alternate(chat: Chat) -> Iterator[Found]:
    """Two messages of one side in a row. Calls and their outputs are not counted, as in templates of Mistral."""
    expected = "user"
    for index, message in enumerate(chat.messages):
        role = message.get("role")
        if role == "user" or (role == "assistant" and not calls_of(message)):
            if role != expected:
                yield {"index": index}
                return
            expected = "assistant" if role == "user" else "user"


def system_message_not_first(chat: Chat) -> Iterator[Found]:
    """A system message at any place but the first."""
    for index, message in enumerate(chat.messages):
        if index and message.get("role") in ("system", "developer"):
            yield {"index": index}


def developer_role(chat: Chat) -> Iterator[Found]:
    """A message with the role `developer`."""
    for index, message in enumerate(chat.messages):
        if message.get("role") == "developer":
            yield {"index": index}


def messages_empty(chat: Chat) -> Iterator[Found]:
    """`messages: []`."""
    if chat.body.get("messages") == []:
        yield {}


def arrays_too_long(chat: Chat) -> Iterator[Found]:
    """More than 2048 messages, 128 tools, or 128 calls in a message."""
    arrays = [("messages", 2048, chat.messages), ("tools", 128, objects(chat.body.get("tools")))]
    arrays += [(f"messages[{n}].tool_calls", 128, calls_of(each)) for n, each in enumerate(chat.messages)]
    for place, limit, array in arrays:
        if len(array) > limit:
            yield {"place": place, "limit": limit, "length": len(array)}


def no_messages(chat: Chat) -> Iterator[Found]:
    """A request without messages, other than those of the system."""
    if not [each for each in chat.messages if each.get("role") not in ("system", "developer")]:
        yield {}


def assistant_without_content(chat: Chat) -> Iterator[Found]:
    """A message of the assistant with neither content nor calls. A refusal is content."""
    for index, message in enumerate(chat.messages):
        silent = message.get("content") is None and not message.get("refusal")
        if silent and message.get("role") == "assistant" and not calls_of(message):
            yield {"index": index}


def assistant_with_empty_content(chat: Chat) -> Iterator[Found]:
    """The same, where the content "" is none either."""
    for index, message in enumerate(chat.messages):
        if message.get("role") == "assistant" and not calls_of(message) and is_empty(message.get("content")):
            yield {"index": index}


def content_null(chat: Chat) -> Iterator[Found]:
    """A message of another role without content."""
    for index, message in enumerate(chat.messages):
        if message.get("role") != "assistant" and message.get("content") is None:
            yield {"index": index}


def content_empty_list(chat: Chat) -> Iterator[Found]:
    """A content that is a list without parts."""
    for index, message in enumerate(chat.messages):
        if message.get("content") == []:
            yield {"index": index}


def calls_empty_list(chat: Chat) -> Iterator[Found]:
    """`tool_calls` without calls."""
    for index, message in enumerate(chat.messages):
        if message.get("tool_calls") == []:
            yield {"index": index}


def text_empty(chat: Chat) -> Iterator[Found]:
    """A text without characters, except that of a tool's output."""
    for index, number, text in chat.texts():
        if not text and chat.messages[index].get("role") != "tool":
            yield {"index": index, "number": number}


def text_blank(chat: Chat) -> Iterator[Found]:
    """A text of white space only, except that of a tool's output."""
    for index, number, text in chat.texts():
        if text and not text.strip() and chat.messages[index].get("role") != "tool":
            yield {"index": index, "number": number}


def message_without_parts(chat: Chat) -> Iterator[Found]:
    """A message that has neither text nor calls, so that nothing is left of it."""
    for index, message in enumerate(chat.messages):
        silent = is_empty(message.get("content")) and not calls_of(message)
        if silent and message.get("role") in ("user", "assistant"):
            yield {"index": index}


def last_text_ends_blank(chat: Chat) -> Iterator[Found]:
    """A last message of the assistant that ends with white space."""
    if not chat.messages or chat.messages[-1].get("role") != "assistant":
        return
    last = len(chat.messages) - 1
    texts = [text for index, _, text in chat.texts() if index == last]
    if texts and texts[-1] != texts[-1].rstrip():
        yield {}


def text_too_long(chat: Chat) -> Iterator[Found]:
    """A text of more than 10,485,760 characters."""
    for index, _, text in chat.texts():
        if len(text) > MAX_STRING:
            yield {"index": index, "length": len(text)}


def lone_surrogates(body: object) -> Iterator[Found]:
    """Half of a surrogate pair in any text of the request."""
    text = json.dumps(body, ensure_ascii=False, default=str)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        yield {"column": error.start + 1, "char": error.start}


def lone_surrogates_in_chat(chat: Chat) -> Iterator[Found]:
    """The same, for a request of this API."""
    return lone_surrogates(chat.body)


def unknown_fields(chat: Chat) -> Iterator[Found]:
    """Parameters and fields of messages that Mistral does not know."""
    for name in MISTRAL_REFUSED:
        if name in chat.body:
            yield {"location": json.dumps(["body", name])}
    for index, message in enumerate(chat.messages):
        role = str(message.get("role"))
        for name in message.keys() - MISTRAL_FIELDS.get(role, message.keys()):
            yield {"location": json.dumps(["body", "messages", index, role, name])}


def tools_empty(chat: Chat) -> Iterator[Found]:
    """`tools: []`."""
    if chat.body.get("tools") == []:
        yield {}


def choice_without_tools(chat: Chat) -> Iterator[Found]:
    """`tool_choice` without tools."""
    if chat.body.get("tool_choice") not in (None, "none") and not chat.body.get("tools"):
        yield {}


def parallel_without_tools(chat: Chat) -> Iterator[Found]:
    """`parallel_tool_calls` without tools."""
    if chat.body.get("parallel_tool_calls") is not None and not chat.body.get("tools"):
        yield {}


def thought_signature_missing(chat: Chat) -> Iterator[Found]:
    """Gemini 3: the first call of a message of the current turn without its signature."""
    if "gemini-3" not in chat.model:
        return
    for index in range(chat.turn_start(), len(chat.messages)):
        for call in calls_of(chat.messages[index])[:1]:
            if not inner(call, "extra_content", "google", "thought_signature"):
                yield {"name": inner(call, "function", "name"), "position": index + 1}


def reasoning_missing_in_loop(chat: Chat) -> Iterator[Found]:
    """DeepSeek Reasoner: a message with calls of the current turn without its thoughts."""
    if "reasoner" in chat.model or (_thinks(chat) and "deepseek-v4" not in chat.model):
        for index in range(chat.turn_start(), len(chat.messages)):
            if calls_of(chat.messages[index]) and "reasoning_content" not in chat.messages[index]:
                yield {"index": index}


def reasoning_missing(chat: Chat) -> Iterator[Found]:
    """DeepSeek V4 with thinking: a message with calls of any turn without its thoughts."""
    if "deepseek-v4" in chat.model and _thinks(chat):
        for message in chat.messages:
            if calls_of(message) and "reasoning_content" not in message:
                yield {}


def thinking_without_signature(chat: Chat) -> Iterator[Found]:
    """A thinking block without a signature, in the content or in `thinking_blocks`."""
    for index, number, part in chat.parts():
        if part.get("type") == "thinking" and not part.get("signature"):
            yield {"index": index, "number": number}
    for index, message in enumerate(chat.messages):
        for number, block in enumerate(objects(message.get("thinking_blocks"))):
            if block.get("type") == "thinking" and not block.get("signature"):
                yield {"index": index, "number": number}


def _thinks(chat: Chat) -> bool:
    for thinking in objects([chat.body.get("thinking")]):
        return thinking.get("type") != "disabled"
    return any(name in chat.model for name in THINKING_MODELS)
