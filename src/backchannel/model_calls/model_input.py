"""Model input in the form that every API accepts: OpenAI's, those that are compatible with it, and chat templates.

The rules, with their sources, are those of `backchannel.testing.endpoints`. They are applied to each call of a model,
so they also hold for what the Agents SDK adds during a run.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, cast

from agents import TResponseInputItem
from agents.models.fake_id import FAKE_RESPONSES_ID

from backchannel.model_calls.context_window import shorten
from backchannel.model_calls.text import valid_text
from backchannel.model_calls.tool_calls import api_name, call_id_for, history_arguments

INTERRUPTED = (
    "No result: the call was interrupted. It may or may not have taken effect; check before repeating it."
)
EMPTY_OUTPUT = "(The tool returned nothing.)"
BEGINNING = "(The conversation begins.)"
CONTINUE = "(Continue.)"
NO_ANSWER = "(No answer.)"
MAX_OUTPUT_CHARS = 100_000
"""A longer output of a tool is shortened for the model."""
MAX_CALLS = 128
"""OpenAI refuses a message with more calls. Further calls are in a message of their own."""

type Item = dict[str, Any]


def normalize_input(
    items: str | Sequence[TResponseInputItem], *, responses_api: bool = False
) -> list[TResponseInputItem]:
    """The input of one call: nothing empty, calls with unique ids followed by their outputs, roles in turn.

    Items that are correct are unchanged. Reasoning items stay before the item that they belong to.

    Args:
        responses_api: The model speaks the Responses API. For others, text before a call is given the form of an output
            item, which the Agents SDK joins with the call to one message.
    """
    given: list[Any] = [{"role": "user", "content": items}] if isinstance(items, str) else list(items)
    cleaned = [item for each in given if (item := _clean(_as_dict(each))) is not None]
    paired = _without_loose_reasoning(_pair(cleaned))
    merged = _in_turn(_merge(paired))
    return cast("list[TResponseInputItem]", merged if responses_api else _joined_with_calls(merged))


def _as_dict(item: Any) -> Item:
    if isinstance(item, dict):
        return cast("Item", item)
    return cast("Item", item.model_dump(exclude_unset=True))


def _clean(item: Item) -> Item | None:
    """A copy of an item with valid text and without empty parts; `None` if nothing is left of it."""
    item = cast("Item", _valid(item))
    if item.get("id") == FAKE_RESPONSES_ID or item.get("id") == "":
        del item["id"]
    match item.get("type"):
        case "function_call":
            item["name"] = api_name(str(item.get("name") or ""))
            item["arguments"] = history_arguments(item.get("arguments"))
            return item
        case "function_call_output":
            item["output"] = _output(item.get("output"))
            return item
        case "local_shell_call_output" | "custom_tool_call_output" | "apply_patch_call_output":
            return _shortened(item, "output")
        case "shell_call_output":
            outputs = [_shortened(each, "stdout", "stderr") for each in item.get("output") or ()]
            return {**item, "output": outputs}
        case "reasoning":
            return item
        case None | "message" if "role" in item:
            content = _content(item.get("content"))
            return {**item, "content": content} if content else None
        case _:
            return item


def _valid(value: Any) -> Any:
    """A copy with valid Unicode and without NUL, which databases and templates refuse."""
    if isinstance(value, str):
        return valid_text(value).replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {name: _valid(each) for name, each in cast("Item", value).items()}
    if isinstance(value, list | tuple):
        return [_valid(each) for each in cast("list[Any]", value)]
    return value


def _content(content: Any) -> str | list[Any]:
    if isinstance(content, str):
        return content if content.strip() else ""
    parts: list[Any] = []
    for part in cast("Iterable[Any]", content or ()):
        fields = cast("Item", part) if isinstance(part, dict) else {"type": "input_text", "text": str(part)}
        text = (
            fields.get("refusal")
            if fields.get("type") == "refusal"
            else fields.get("text", "picture or file")
        )
        if isinstance(text, str) and text.strip():
            parts.append(fields)
    return parts


def _output(output: Any) -> Any:
    if output is None:
        return EMPTY_OUTPUT
    if isinstance(output, list):
        parts = [_shortened(part, "text") for part in cast("list[Item]", _content(output))]
        return parts or EMPTY_OUTPUT
    text = output if isinstance(output, str) else str(output)
    return shorten(text, MAX_OUTPUT_CHARS) if text.strip() else EMPTY_OUTPUT


def _shortened(fields: Item, *names: str) -> Item:
    """A copy with shortened texts."""
    texts = {name: fields[name] for name in names if isinstance(fields.get(name), str)}
    return fields | {name: shorten(text, MAX_OUTPUT_CHARS) for name, text in texts.items()}


def _pair(items: Sequence[Item]) -> list[Item]:
    """Each call followed by its output, under an id that occurs once; outputs without a call are left out."""
    outputs: dict[str, deque[Item]] = {}
    for item in items:
        if item.get("type") == "function_call_output":
            outputs.setdefault(str(item.get("call_id")), deque()).append(item)
    paired: list[Item] = []
    waiting: list[Item] = []
    taken: set[str] = set()
    for item in items:
        kind = item.get("type")
        if kind == "function_call_output":
            paired += waiting
            waiting = []
            continue
        if kind != "function_call":
            if kind != "reasoning" or not waiting:
                paired += waiting
                waiting = []
            paired.append(item)
            continue
        found = outputs.get(str(item.get("call_id")))
        output = found.popleft() if found else {"type": "function_call_output", "output": INTERRUPTED}
        call_id = str(item.get("call_id") or "").strip() or call_id_for(f"call {len(taken)}")
        while call_id in taken:
            call_id = call_id_for(f"{call_id}:{len(taken)}")
        taken.add(call_id)
        paired.append({**item, "call_id": call_id})
        waiting.append({**output, "call_id": call_id})
        if len(waiting) >= MAX_CALLS:
            paired += waiting
            waiting = []
    return paired + waiting


def _without_loose_reasoning(items: Sequence[Item]) -> list[Item]:
    """Without reasoning items that nothing of the model follows: the Responses API refuses them."""
    kept: list[Item] = []
    follows = False
    for item in reversed(items):
        if item.get("type") == "reasoning":
            if follows:
                kept.append(item)
            continue
        follows = item.get("role") == "assistant" or str(item.get("type")).endswith("_call")
        kept.append(item)
    kept.reverse()
    return kept


def _merge(items: Sequence[Item]) -> list[Item]:
    """Messages of one role in sequence as one: templates require that user and assistant take turns."""
    merged: list[Item] = []
    for item in items:
        role = item.get("role")
        if role in {"system", "developer"} and merged:
            # Templates accept a system message at the beginning only.
            item = {**item, "role": "user"}  # noqa: PLW2901
            role = "user"
        last = merged[-1] if merged else {}
        if role == "user" and last.get("type") == "function_call_output":
            # Templates do not count calls and outputs: two messages of the user would follow each other.
            merged.append({"role": "assistant", "content": NO_ANSWER})
            last = merged[-1]
        if role is not None and last.get("role") == role and "id" not in item and "id" not in last:
            join = _joined_answer if role == "assistant" else _joined
            merged[-1] = {**last, "content": join(last["content"], item["content"])}
        else:
            merged.append(item)
    return merged


def _joined(first: str | list[Any], second: str | list[Any]) -> str | list[Any]:
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*_as_parts(first), *_as_parts(second)]


def _joined_answer(first: str | list[Any], second: str | list[Any]) -> str:
    # The Agents SDK's Chat Completions models accept parts of an answer only in items with an id.
    texts = [
        content
        if isinstance(content, str)
        else "".join(str(part.get("text") or part.get("refusal") or "") for part in content)
        for content in (first, second)
    ]
    return "\n\n".join(texts)


def _as_parts(content: str | list[Any]) -> list[Any]:
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else content


def _joined_with_calls(items: Sequence[Item]) -> list[Item]:
    joined: list[Item] = []
    for place, item in enumerate(items):
        following = next(
            (each.get("type") for each in items[place + 1 :] if each.get("type") != "reasoning"), None
        )
        if item.get("role") != "assistant" or "id" in item:
            joined.append(item)
            continue
        if following != "function_call":
            # Text that came after a call in the same answer stands behind the outputs now.
            joined.append({"role": "assistant", "content": _joined_answer(item["content"], "").strip()})
            continue
        text = _joined_answer(item["content"], "").strip()
        part = {"type": "output_text", "text": text, "annotations": list[Any]()}
        item_id = f"msg_{call_id_for(f'{place} {text}')}"
        joined.append(
            {"type": "message", "id": item_id, "role": "assistant", "status": "completed", "content": [part]}
        )
    return joined


def _in_turn(items: list[Item]) -> list[Item]:
    """With a message of the user first, after system messages, and a message of the user or an output last."""
    first = next(
        (place for place, item in enumerate(items) if item.get("role") not in {"system", "developer"}), None
    )
    if first is None:
        return [*items, {"role": "user", "content": BEGINNING}]
    if items[first].get("role") != "user":
        items = [*items[:first], {"role": "user", "content": BEGINNING}, *items[first:]]
    if items[-1].get("role") == "assistant":
        items = [*items, {"role": "user", "content": CONTINUE}]
    return items
