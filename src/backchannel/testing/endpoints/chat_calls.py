"""Checks of tool calls and their outputs in requests of the Chat Completions API."""

import json
import re
from collections.abc import Iterator

from backchannel.testing.endpoints.chat_view import NAME, Chat, calls_of, function_of, kind_of, objects
from backchannel.testing.endpoints.rules import Found, Json

MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")
GEMINI_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
MAX_CALL_ID = 40
MAX_NAME = 64
ANTHROPIC_MAX_NAME = 128


def calls_without_output(chat: Chat) -> Iterator[Found]:
    """Calls of an assistant message that the tool messages right behind it do not answer."""
    for index, message in enumerate(chat.messages):
        calls = calls_of(message)
        if not calls:
            continue
        answered = {str(chat.messages[each].get("tool_call_id")) for each in _run_after(chat, index)}
        missing = [str(call.get("id")) for call in calls if str(call.get("id")) not in answered]
        if missing:
            yield {"index": index, "ids": ", ".join(missing)}


def outputs_without_call(chat: Chat) -> Iterator[Found]:
    """Tool messages that do not stand right behind the assistant message with their call."""
    open_ids: set[str] = set()
    previous = "none"
    for index, message in enumerate(chat.messages):
        role = str(message.get("role"))
        if role == "tool":
            if str(message.get("tool_call_id")) not in open_ids:
                yield {"index": index, "id": message.get("tool_call_id"), "previous": previous}
        else:
            open_ids = {str(call.get("id")) for call in calls_of(message)}
        previous = role


def repeated_outputs(chat: Chat) -> Iterator[Found]:
    """Two tool messages with one id behind one assistant message."""
    seen: dict[str, int] = {}
    for index, message in enumerate(chat.messages):
        if message.get("role") != "tool":
            seen = {}
            continue
        call_id = str(message.get("tool_call_id"))
        if call_id in seen:
            yield {"index": index, "first": seen[call_id], "id": call_id}
        seen.setdefault(call_id, index)


def repeated_call_ids(chat: Chat) -> Iterator[Found]:
    """Two calls with one id, anywhere in the request."""
    seen: set[str] = set()
    for index, number, call in chat.calls():
        if str(call.get("id")) in seen:
            yield {"index": index, "number": number, "id": call.get("id")}
        seen.add(str(call.get("id")))


def call_ids_missing(chat: Chat) -> Iterator[Found]:
    """Calls whose id is not a string, or empty."""
    for index, number, call in chat.calls():
        if not isinstance(call.get("id"), str) or not call["id"]:
            yield {"index": index, "number": number}


def call_ids_too_long(chat: Chat) -> Iterator[Found]:
    """Calls whose id has more than 40 characters."""
    for index, number, call in chat.calls():
        call_id = call.get("id")
        if isinstance(call_id, str) and len(call_id) > MAX_CALL_ID:
            yield {"index": index, "number": number, "length": len(call_id)}


def call_ids_not_of_nine_characters(chat: Chat) -> Iterator[Found]:
    """Calls whose id Mistral's own API refuses."""
    for _, _, call in chat.calls():
        if not MISTRAL_ID.fullmatch(str(call.get("id"))):
            yield {"id": call.get("id")}


def call_ids_with_other_characters(chat: Chat) -> Iterator[Found]:
    """Calls whose id has other characters than letters, digits, `_` and `-`."""
    for index, number, call in chat.calls():
        if not NAME.fullmatch(str(call.get("id") or "")):
            yield {"index": index, "number": number}


def names_missing(chat: Chat) -> Iterator[Found]:
    """Calls and tools with the name ""."""
    for place, name in _names(chat):
        if not name:
            yield {"place": place}


def names_with_other_characters(chat: Chat) -> Iterator[Found]:
    """Calls and tools whose name has other characters than letters, digits, `_` and `-`."""
    for place, name in _names(chat):
        if name and not NAME.fullmatch(name):
            yield {"place": place, "name": name}


def names_too_long(chat: Chat) -> Iterator[Found]:
    """Calls and tools whose name has more than 64 characters."""
    for place, name in _names(chat):
        if len(name) > MAX_NAME:
            yield {"place": place, "name": name, "length": len(name)}


def names_that_anthropic_refuses(chat: Chat) -> Iterator[Found]:
    """Calls and tools whose name has other characters, or more than 128."""
    named = [
        (f"messages.{index}.content.{number}.tool_use.name", function_of(call))
        for index, number, call in chat.calls()
    ]
    named += [(f"tools.{index}.custom.name", function_of(tool)) for index, tool in _functions(chat)]
    for place, function in named:
        name = str(function.get("name") or "")
        if not NAME.fullmatch(name) or len(name) > ANTHROPIC_MAX_NAME:
            yield {"place": place}


def names_of_tools_repeated(chat: Chat) -> Iterator[Found]:
    """Two tools with one name."""
    names = [str(function_of(tool).get("name")) for _, tool in _functions(chat)]
    if len(set(names)) < len(names):
        yield {}


def names_that_gemini_refuses(chat: Chat) -> Iterator[Found]:
    """Tools whose name does not begin with a letter or `_`, is too long, or has other characters."""
    for number, tool in enumerate(objects(chat.body.get("tools"))):
        if not GEMINI_NAME.fullmatch(str(function_of(tool).get("name"))):
            yield {"number": number}


def arguments_no_string(chat: Chat) -> Iterator[Found]:
    """Arguments that are an object instead of its JSON text."""
    for index, number, call in chat.calls():
        arguments = function_of(call).get("arguments")
        if not isinstance(arguments, str):
            yield {"index": index, "number": number, "kind": kind_of(arguments)}


def arguments_no_json(chat: Chat) -> Iterator[Found]:
    """Arguments that cannot be parsed."""
    for index, number, call in chat.calls():
        arguments = function_of(call).get("arguments")
        if isinstance(arguments, str):
            try:
                json.loads(arguments)
            except ValueError as error:
                yield {"index": index, "number": number, "error": str(error), "arguments": arguments}


def arguments_no_object(chat: Chat) -> Iterator[Found]:
    """Arguments that are anything but a JSON object."""
    for index, number, call in chat.calls():
        arguments = function_of(call).get("arguments")
        try:
            value = json.loads(arguments) if isinstance(arguments, str) else None
        except ValueError:
            value = None
        if not isinstance(value, dict):
            yield {"index": index, "number": number}


def _run_after(chat: Chat, index: int) -> Iterator[int]:
    for each in range(index + 1, len(chat.messages)):
        if chat.messages[each].get("role") != "tool":
            return
        yield each


def _names(chat: Chat) -> Iterator[tuple[str, str]]:
    for index, number, call in chat.calls():
        yield (
            f"messages[{index}].tool_calls[{number}].function.name",
            str(function_of(call).get("name") or ""),
        )
    for number, tool in _functions(chat):
        yield f"tools[{number}].function.name", str(function_of(tool).get("name") or "")


def _functions(chat: Chat) -> Iterator[tuple[int, Json]]:
    for number, tool in enumerate(objects(chat.body.get("tools"))):
        if "function" in tool:
            yield number, tool
