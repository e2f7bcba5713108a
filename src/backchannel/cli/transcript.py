"""Builds an answer from thread events and renders it in the terminal."""

from typing import Any

from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.text import Text

_MARKS = {"loading": ("◌", "yellow"), "complete": ("✓", "green"), "none": ("·", "dim")}
_ENDS = {"Failed.": ("✗", "red"), "Not finished.": ("–", "yellow")}
"""By the beginning of the content of a task without a status: the protocol has no status for these."""
_NOTICES = {"info": "dim", "warning": "yellow", "danger": "red"}


class Transcript:
    """The items of one answer, in order. Unknown events and items are ignored."""

    def __init__(self) -> None:
        self._items: dict[str, dict[str, Any]] = {}
        self._notes: list[Text] = []

    def apply(self, event: dict[str, Any]) -> None:
        """Apply one thread event."""
        match event:
            case {"type": "thread.item.added" | "thread.item.done" | "thread.item.replaced", "item": item}:
                if item["type"] != "user_message":
                    self._items[item["id"]] = item
            case {"type": "thread.item.removed", "item_id": item_id}:
                self._items.pop(item_id, None)
            case {"type": "thread.item.updated", "item_id": item_id, "update": update}:
                if item_id in self._items:
                    _update(self._items[item_id], update)
            case {"type": "notice", "message": message, **rest}:
                self._notes.append(Text(message, style=_NOTICES.get(str(rest.get("level")), "dim")))
            case {"type": "error", **rest}:
                self._notes.append(_failure_line(rest))
            case _:
                pass

    def render(self) -> RenderableType:
        """The answer so far."""
        parts: list[RenderableType] = []
        for item in self._items.values():
            match item["type"]:
                case "assistant_message":
                    text = "\n\n".join(part["text"] for part in item["content"])
                    parts.append(Padding(Markdown(text), (1, 0, 0, 0)))
                case "workflow":
                    parts.extend(_task_line(task) for task in item["workflow"]["tasks"])
                case "client_tool_call":
                    parts.append(Text(f"◌ waits for a result of {item['name']}", style="yellow"))
                case "widget":
                    parts.append(Text(item.get("copy_text") or "(a widget; open the chat page to see it)"))
                case "generated_image":
                    parts.append(_image_line(item))
                case _:
                    pass
        return Group(*parts, *self._notes)

    @property
    def text(self) -> str:
        """The text of the assistant's messages, without formatting."""
        messages = [item for item in self._items.values() if item["type"] == "assistant_message"]
        return "\n\n".join(part["text"] for item in messages for part in item["content"])


def _update(item: dict[str, Any], update: dict[str, Any]) -> None:
    match update:
        case {"type": "assistant_message.content_part.text_delta", "content_index": index, "delta": delta}:
            _part(item, index)["text"] += delta
        case {
            "type": "assistant_message.content_part.added" | "assistant_message.content_part.done",
            "content_index": index,
            "content": content,
        }:
            _part(item, index).update(content)
        case {"type": "workflow.task.added", "task": task}:
            item["workflow"]["tasks"].append(task)
        case {"type": "workflow.task.updated", "task_index": index, "task": task}:
            item["workflow"]["tasks"][index] = task
        case _:
            pass


def _part(item: dict[str, Any], index: int) -> dict[str, Any]:
    while len(item["content"]) <= index:
        item["content"].append({"type": "output_text", "text": "", "annotations": []})
    return item["content"][index]


def _failure_line(error: dict[str, Any]) -> Text:
    message = str(error.get("message") or "The answer failed.")
    if error.get("allow_retry") and "try again" not in message.lower():
        message += " You can try again."
    line = Text(message, style="red")
    # Of most failures `code` only says that the server chose the message.
    if code := error.get("reason") or error.get("code"):
        line.append(f" ({code})", style="dim")
    return line


def _image_line(item: dict[str, Any]) -> Text:
    if item.get("image"):
        return Text("(an image; open the chat page to see it)")
    return Text("◌ makes an image", style="yellow")


def _task_line(task: dict[str, Any]) -> Text:
    status = task.get("status_indicator", "none")
    mark, style = _MARKS.get(status, _MARKS["none"])
    for beginning, end in _ENDS.items():
        if (
            status == "none"
            and task["type"] == "custom"
            and (task.get("content") or "").startswith(beginning)
        ):
            mark, style = end
    line = Text(f"{mark} ", style=style)
    line.append(task.get("title") or task["type"], style="bold dim")
    if task.get("content"):
        line.append(f"  {task['content']}", style="dim")
    return line
