"""The journal of an answer, kept in the thread as hidden items: what it did, for the model and for whoever takes over.

Each tool call is one item: written before the tool starts, completed under the same id before the model is told the
output. So the model knows in later turns what was called and what came back, and after a crash it is known what may
have happened. Hand-offs, and messages after which the model had more to say, are noted for a take-over only.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

from chatkit.types import HiddenContextItem, ThreadItem
from pydantic import BaseModel, TypeAdapter, ValidationError

from backchannel.ids import new_id
from backchannel.stores.times import to_sdk, utc_now


class ToolCall(BaseModel):
    """A call of a tool by a model, and what came of it.

    Attributes:
        output: What the tool gave back; `None` while it runs, and for ever if its process died.
    """

    kind: Literal["backchannel.tool_call"] = "backchannel.tool_call"
    call_id: str
    name: str
    arguments: str
    output: Any = None
    finished: bool = False


class HandOff(BaseModel):
    """Another agent answers from here on."""

    kind: Literal["backchannel.hand_off"] = "backchannel.hand_off"
    agent: str


class GoesOn(BaseModel):
    """The model call that said the message `item_id` had not ended with it."""

    kind: Literal["backchannel.goes_on"] = "backchannel.goes_on"
    item_id: str


type Entry = ToolCall | HandOff | GoesOn

_ENTRIES: dict[str, TypeAdapter[Any]] = {
    "backchannel.tool_call": TypeAdapter(ToolCall),
    "backchannel.hand_off": TypeAdapter(HandOff),
    "backchannel.goes_on": TypeAdapter(GoesOn),
}


def read(item: ThreadItem) -> Entry | None:
    """The journal entry that an item keeps, or `None` if it keeps something else."""
    content: object = item.content if isinstance(item, HiddenContextItem) else None
    if not isinstance(content, dict):
        return None
    content = cast("Mapping[str, object]", content)
    adapter = _ENTRIES.get(str(content.get("kind")))
    if adapter is None:
        return None
    try:
        return adapter.validate_python(content)
    except ValidationError:
        return None


def tool_call(item: ThreadItem) -> ToolCall | None:
    """The tool call that an item keeps, or `None` if it keeps something else."""
    entry = read(item)
    return entry if isinstance(entry, ToolCall) else None


def keep(entry: Entry, thread_id: str) -> HiddenContextItem:
    """A new item that keeps an entry."""
    return HiddenContextItem(
        id=new_id("hidden_context"),
        thread_id=thread_id,
        created_at=to_sdk(utc_now()),
        content=entry.model_dump(),
    )


def ended(item: HiddenContextItem, output: object) -> HiddenContextItem:
    """The item of a tool call, now with its output."""
    content = {**cast("dict[str, Any]", item.content), "output": output, "finished": True}
    return item.model_copy(update={"content": content})
