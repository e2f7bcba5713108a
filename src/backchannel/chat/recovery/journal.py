"""The journal of an answer: its tool calls and hand-offs, stored in the thread as hidden items.

Each tool call is one item, stored before the tool starts and completed under the same id before the model gets the
output. Later turns use it as model input, and a process that takes the run over uses it to find where to resume.
Hand-offs, and messages that were not the last output of their model call, are stored only for resuming.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

from chatkit.types import HiddenContextItem, ThreadItem
from pydantic import BaseModel, TypeAdapter, ValidationError

from backchannel.ids import new_id
from backchannel.stores.times import to_sdk, utc_now


class ToolCall(BaseModel):
    """A call of a tool by a model.

    Attributes:
        output: What the tool returned; `None` while it runs, and if its process died before it returned.
        finished: Whether the tool has returned.
        provider_data: What the model's provider sent with the call and expects back, such as a thought signature.
        reasoning: The reasoning items of the response that the provider expects back before the call.
        response: An id of the response with the call. Calls of one response are sent back together: Gemini signs the
            first of them only.
    """

    kind: Literal["backchannel.tool_call"] = "backchannel.tool_call"
    call_id: str
    name: str
    arguments: str
    output: Any = None
    finished: bool = False
    provider_data: dict[str, Any] | None = None
    reasoning: list[dict[str, Any]] = []
    response: str | None = None


class HandOff(BaseModel):
    """A hand-off to `agent`, which answers from here on."""

    kind: Literal["backchannel.hand_off"] = "backchannel.hand_off"
    agent: str


class IntermediateMessage(BaseModel):
    """Marks the message `item_id`, which was not the last output of its model call."""

    kind: Literal["backchannel.goes_on"] = "backchannel.goes_on"
    item_id: str


class RefusedTurn(BaseModel):
    """Marks the turn in which it stands: its message was refused, and is not shown to a model again."""

    kind: Literal["backchannel.refused_turn"] = "backchannel.refused_turn"
    code: str


class QueuedClientCall(BaseModel):
    """A client tool call that is made once the one before it in the same response has its output."""

    kind: Literal["backchannel.queued_client_call"] = "backchannel.queued_client_call"
    call_id: str
    name: str
    arguments: dict[str, Any]


type Entry = ToolCall | HandOff | IntermediateMessage | RefusedTurn | QueuedClientCall

_ENTRIES: dict[str, TypeAdapter[Any]] = {
    "backchannel.tool_call": TypeAdapter(ToolCall),
    "backchannel.hand_off": TypeAdapter(HandOff),
    "backchannel.goes_on": TypeAdapter(IntermediateMessage),
    "backchannel.refused_turn": TypeAdapter(RefusedTurn),
    "backchannel.queued_client_call": TypeAdapter(QueuedClientCall),
}


def read(item: ThreadItem) -> Entry | None:
    """The journal entry of an item, or `None` if the item is something else."""
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
    """The tool call of an item, or `None` if the item is something else."""
    entry = read(item)
    return entry if isinstance(entry, ToolCall) else None


def to_item(entry: Entry, thread_id: str) -> HiddenContextItem:
    """A new hidden item for a journal entry."""
    return HiddenContextItem(
        id=new_id("hidden_context"),
        thread_id=thread_id,
        created_at=to_sdk(utc_now()),
        # Only what is set: most calls have no data of their provider.
        content={"kind": entry.kind, **entry.model_dump(exclude_defaults=True, exclude={"kind"})},
    )


def with_output(item: HiddenContextItem, output: object) -> HiddenContextItem:
    """A copy of a tool call's item, completed with its output."""
    content = {**cast("dict[str, Any]", item.content), "output": output, "finished": True}
    return item.model_copy(update={"content": content})
