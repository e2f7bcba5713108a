"""Checks of the input items of the Responses API."""

import re
from collections.abc import Iterator
from typing import get_args, get_type_hints

from openai.types import responses as types
from openai.types.responses import response_input_item_param as params

from backchannel.testing.endpoints.chat_content import lone_surrogates
from backchannel.testing.endpoints.chat_view import MAX_STRING, NAME, kind_of, objects
from backchannel.testing.endpoints.rules import Found, Json

ITEM_ID = re.compile(r"[A-Za-z0-9_]+")
MAX_ID = 64
MAX_NAME = 64
PREFIXES = {"message": "msg", "function_call": "fc", "reasoning": "rs", "custom_tool_call": "ctc"}
FIELDS = {
    "message": types.ResponseOutputMessageParam.__annotations__.keys()
    | types.EasyInputMessageParam.__annotations__.keys(),
    "function_call": types.ResponseFunctionToolCallParam.__annotations__.keys(),
    "function_call_output": params.FunctionCallOutput.__annotations__.keys(),
    "reasoning": types.ResponseReasoningItemParam.__annotations__.keys() - {"status"},
    "custom_tool_call": types.ResponseCustomToolCallParam.__annotations__.keys() | {"status"},
    "custom_tool_call_output": types.ResponseCustomToolCallOutputParam.__annotations__.keys(),
    "computer_call": types.ResponseComputerToolCallParam.__annotations__.keys(),
    "computer_call_output": params.ComputerCallOutput.__annotations__.keys(),
    "local_shell_call": params.LocalShellCall.__annotations__.keys(),
    # The package lacks `call_id` (openai/openai-python#3923).
    "local_shell_call_output": params.LocalShellCallOutput.__annotations__.keys() | {"call_id"},
    "shell_call": params.ShellCall.__annotations__.keys(),
    "shell_call_output": params.ShellCallOutput.__annotations__.keys(),
    "apply_patch_call": params.ApplyPatchCall.__annotations__.keys(),
    "apply_patch_call_output": params.ApplyPatchCallOutput.__annotations__.keys(),
}
WANTED = {
    "reasoning": ("summary",),
    "function_call": ("arguments",),
    "function_call_output": ("output",),
    "custom_tool_call": ("input", "name"),
    "custom_tool_call_output": ("output",),
    "computer_call_output": ("output",),
    "local_shell_call": ("action",),
    "local_shell_call_output": ("output",),
    "shell_call": ("action",),
    "shell_call_output": ("output",),
    "apply_patch_call": ("operation", "status"),
    "apply_patch_call_output": ("status",),
}
CALLS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "computer_call": "computer_call_output",
    "local_shell_call": "local_shell_call_output",
    "shell_call": "shell_call_output",
    "apply_patch_call": "apply_patch_call_output",
}
OUTPUTS = {output: call for call, output in CALLS.items()}
_OUTPUT_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "function_call_output": ((str, list), "one of an array of objects or string"),
    "custom_tool_call_output": ((str, list), "one of an array of objects or string"),
    "local_shell_call_output": ((str,), "a string"),
    "apply_patch_call_output": ((str,), "a string"),
    "shell_call_output": ((list,), "an array of objects"),
    "computer_call_output": ((dict,), "an object"),
}


def _item_types() -> set[str]:
    found: set[str] = {"message"}
    for each in get_args(types.ResponseInputItemParam):
        hint = get_type_hints(each, include_extras=False).get("type")
        found |= {value for value in get_args(hint) if isinstance(value, str)}
        found |= {value for inner in get_args(hint) for value in get_args(inner) if isinstance(value, str)}
    return found


ITEM_TYPES = _item_types()


class Input:
    """The body of a request, with its items.

    Attributes:
        body: The whole body.
        items: The input items, each with a `type`, a text; a text as the input is one message.
    """

    __slots__ = ("body", "items")

    def __init__(self, body: Json) -> None:
        self.body = body
        given: object = body.get("input")
        items: list[Json] = [{"role": "user", "content": given}] if isinstance(given, str) else objects(given)
        self.items: list[Json] = [{**each, "type": str(each.get("type") or "message")} for each in items]


def calls_without_output(request: Input) -> Iterator[Found]:
    """Calls that no item of their kind answers."""
    answered = {(OUTPUTS[item["type"]], _call_id(item)) for item in request.items if item["type"] in OUTPUTS}
    for item in request.items:
        if item["type"] in CALLS and (item["type"], _call_id(item)) not in answered:
            yield {"id": _call_id(item), "what": item["type"].replace("_", " ")}


def outputs_without_call(request: Input) -> Iterator[Found]:
    """Outputs before which no item of their kind calls."""
    called: set[tuple[str, str]] = set()
    for item in request.items:
        if item["type"] in CALLS:
            called.add((item["type"], _call_id(item)))
        elif item["type"] in OUTPUTS and (OUTPUTS[item["type"]], _call_id(item)) not in called:
            yield {"id": _call_id(item), "what": OUTPUTS[item["type"]].replace("_", " ")}


def safety_checks_not_acknowledged(request: Input) -> Iterator[Found]:
    """Safety checks of a computer call that its output does not acknowledge."""
    acknowledged = {
        str(check.get("id"))
        for item in request.items
        if item["type"] == "computer_call_output"
        for check in objects(item.get("acknowledged_safety_checks"))
    }
    for item in request.items:
        for check in objects(item.get("pending_safety_checks")):
            if str(check.get("id")) not in acknowledged:
                yield {"id": check.get("id")}


def repeated_call_ids(request: Input) -> Iterator[Found]:
    """Two calls, or two outputs, with one id."""
    seen: set[tuple[bool, str]] = set()
    for index, item in enumerate(request.items):
        if item["type"] in CALLS or item["type"] in OUTPUTS:
            key = (item["type"] in CALLS, _call_id(item))
            if key in seen:
                yield {"index": index, "id": _call_id(item)}
            seen.add(key)


def reasoning_without_item(request: Input) -> Iterator[Found]:
    """Reasoning that is not followed by what the model made of it."""
    items = request.items
    for index, item in enumerate(items):
        if item["type"] != "reasoning" or not item.get("id"):
            continue
        behind = [each for each in items[index + 1 :] if each.get("type") != "reasoning"][:1]
        if not behind or not _of_model(behind[0]):
            yield {"id": item["id"]}


def reasoning_with_content(request: Input) -> Iterator[Found]:
    """Reasoning with the thoughts themselves in `content`, as other providers send them."""
    for index, item in enumerate(request.items):
        content = objects(item.get("content"))
        if item["type"] == "reasoning" and content:
            yield {"index": index, "length": len(content)}


def repeated_ids(request: Input) -> Iterator[Found]:
    """Two items with one id."""
    seen: set[str] = set()
    for item in request.items:
        if item.get("id"):
            if str(item["id"]) in seen:
                yield {"id": item["id"]}
            seen.add(str(item["id"]))


def ids_with_other_prefix(request: Input) -> Iterator[Found]:
    """Ids that do not begin with `msg`, `fc` or `rs`, as their type wants it."""
    for index, item in enumerate(request.items):
        prefix = PREFIXES.get(item["type"])
        if prefix and item.get("id") and not str(item["id"]).startswith(prefix):
            yield {"index": index, "id": item["id"], "prefix": prefix}


def ids_with_other_characters(request: Input) -> Iterator[Found]:
    """Ids that are empty or have other characters than letters, digits and `_`."""
    for index, item in enumerate(request.items):
        if item.get("id") is not None and not ITEM_ID.fullmatch(str(item["id"])):
            yield {"index": index, "id": item["id"]}


def ids_too_long(request: Input) -> Iterator[Found]:
    """Ids and call ids of more than 64 characters."""
    for index, item in enumerate(request.items):
        for name in ("id", "call_id"):
            if len(str(item.get(name) or "")) > MAX_ID:
                yield {"index": index, "name": name, "length": len(str(item[name]))}


def strings_empty(request: Input) -> Iterator[Found]:
    """Empty call ids and names."""
    for index, item in enumerate(request.items):
        names = ("call_id", "name") if item["type"] == "function_call" else ("call_id",)
        if item["type"] in CALLS or item["type"] in OUTPUTS:
            for name in names:
                if not item.get(name):
                    yield {"index": index, "name": name}


def names_with_other_characters(request: Input) -> Iterator[Found]:
    """Calls and tools whose name has other characters than letters, digits, `_` and `-`."""
    for index, item in enumerate(request.items):
        if item["type"] == "function_call" and item.get("name") and not NAME.fullmatch(str(item["name"])):
            yield {"place": f"input[{index}].name"}
    for index, tool in enumerate(objects(request.body.get("tools"))):
        if tool.get("type") == "function" and not NAME.fullmatch(str(tool.get("name"))):
            yield {"place": f"tools[{index}].name"}


def names_too_long(request: Input) -> Iterator[Found]:
    """Calls and tools whose name has more than 64 characters."""
    named = [(f"input[{index}].name", item) for index, item in enumerate(request.items)]
    named += [(f"tools[{index}].name", tool) for index, tool in enumerate(objects(request.body.get("tools")))]
    for place, each in named:
        length = len(str(each.get("name") or ""))
        if each.get("type") in ("function", "function_call") and length > MAX_NAME:
            yield {"place": place, "length": length}


def fields_missing(request: Input) -> Iterator[Found]:
    """Items without what their type cannot be without."""
    for index, item in enumerate(request.items):
        for name in WANTED.get(item["type"], ()):
            if name not in item:
                yield {"index": index, "name": name}


def fields_unknown(request: Input) -> Iterator[Found]:
    """Fields that an item of its type does not have."""
    for index, item in enumerate(request.items):
        known = FIELDS.get(item["type"])
        if known is not None and not item.keys() <= known:
            for name in sorted(item.keys() - known):
                yield {"index": index, "name": name}


def types_unknown(request: Input) -> Iterator[Found]:
    """Items whose type the API does not know."""
    for index, item in enumerate(request.items):
        if item["type"] not in ITEM_TYPES:
            yield {"index": index, "type": item["type"]}


def content_of_other_role(request: Input) -> Iterator[Found]:
    """Messages of the assistant with the parts of a user's message."""
    for index, item in enumerate(request.items):
        if item.get("role") == "assistant":
            for number, part in enumerate(objects(item.get("content"))):
                if part.get("type") not in ("output_text", "refusal"):
                    yield {"index": index, "number": number, "type": part.get("type")}


def values_of_other_type(request: Input) -> Iterator[Found]:
    """Arguments, outputs, contents and texts that are neither text nor list."""
    for index, item in enumerate(request.items):
        kind = item["type"]
        if kind == "function_call" and "arguments" in item and not isinstance(item["arguments"], str):
            yield _other(f"input[{index}].arguments", "a string", item["arguments"])
        wanted, expected = _OUTPUT_TYPES.get(kind, ((object,), ""))
        output: object = item.get("output")
        if "output" in item and not isinstance(output, wanted):
            yield _other(f"input[{index}].output", expected, output)
        if kind == "message" and not isinstance(item.get("content"), str | list):
            yield _other(
                f"input[{index}].content", "one of an array of objects or string", item.get("content")
            )
        for number, part in enumerate(objects(item.get("content"))):
            if str(part.get("type")).endswith("_text") and not isinstance(part.get("text"), str):
                yield _other(f"input[{index}].content[{number}].text", "a string", part.get("text"))


def strings_too_long(request: Input) -> Iterator[Found]:
    """Texts, arguments and outputs of more than 10,485,760 characters."""
    for index, item in enumerate(request.items):
        texts = [(name, item.get(name)) for name in ("arguments", "output", "content")]
        texts += [
            (f"content[{number}].text", part.get("text"))
            for number, part in enumerate(objects(item.get("content")))
        ]
        for name, text in texts:
            if isinstance(text, str) and len(text) > MAX_STRING:
                yield {"index": index, "name": name, "length": len(text)}


def lone_surrogates_in_input(request: Input) -> Iterator[Found]:
    """Half of a surrogate pair in any text of the request."""
    return lone_surrogates(request.body)


def _call_id(item: Json) -> str:
    return str(item.get("call_id"))


def _of_model(item: Json) -> bool:
    return item.get("role") == "assistant" or (
        item["type"] not in ("message", "item_reference") and item["type"] not in OUTPUTS
    )


def _other(place: str, expected: str, value: object) -> Found:
    return {"place": place, "expected": expected, "kind": kind_of(value)}
