"""The journal of an answer: its tool calls and hand-offs, stored in the thread as hidden items.

Each tool call is one item, stored before the tool starts and completed under the same id before the model gets the
output. Later turns use it as model input, and a process that takes the run over uses it to find where to resume.
Hand-offs, and messages that were not the last output of their model call, are stored only for resuming.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from chatkit.types import HiddenContextItem, ThreadItem
from pydantic import BaseModel, TypeAdapter, ValidationError

from backchannel.ids import new_id
from backchannel.stores.times import to_sdk, utc_now


class ClientRequest(BaseModel):
    """A call of a client tool that a tool has asked for."""

    name: str
    arguments: dict[str, Any]


class ToolCall(BaseModel):
    """A call of a tool by a model.

    Attributes:
        output: What the tool returned; `None` while it runs, and if its process died before it returned.
        finished: Whether the tool has returned.
        failed: Whether the tool raised an exception, of which the model is informed.
        client_calls: The calls of client tools that are to be made when the answer has ended.
        provider_data: What the model's provider sent with the call and expects back, such as a thought signature.
        reasoning: The reasoning items of the response that the provider expects back before the call.
        response: An id of the response with the call. Calls of one response are sent back together: Gemini signs the
            first of them only.
        response_calls: How many calls that response has; 0 if that is not known.
    """

    kind: Literal["backchannel.tool_call"] = "backchannel.tool_call"
    call_id: str
    name: str
    arguments: str
    output: Any = None
    finished: bool = False
    failed: bool = False
    client_calls: list[ClientRequest] = []
    provider_data: dict[str, Any] | None = None
    reasoning: list[dict[str, Any]] = []
    response: str | None = None
    response_calls: int = 0


class InnerToolCall(BaseModel):
    """A call of a tool by an agent that is itself a tool. Models of other agents never see it, unless a crash cut off
    the call of that agent: then they see what it had done.

    Attributes:
        caller: The id of the call of the outermost agent that is a tool.
        agent: The name of the agent that makes the call.
        output: As in `ToolCall`, as text.
        finished: As in `ToolCall`.
        failed: Whether the tool failed.
        why: What is known of the reason, as a sentence.
        item_type: The type of the call's item in the Responses API; `None` for a call of a function.
    """

    kind: Literal["backchannel.inner_tool_call"] = "backchannel.inner_tool_call"
    caller: str
    agent: str
    call_id: str
    name: str
    arguments: str
    output: str | None = None
    finished: bool = False
    failed: bool = False
    why: str = ""
    item_type: str | None = None


class HandOff(BaseModel):
    """A hand-off to `agent`, which answers from here on.

    Attributes:
        tool: The name of the tool with which a model made it.
        call_id: The id of that call. This and the other attributes are as in `ToolCall`.
    """

    kind: Literal["backchannel.hand_off"] = "backchannel.hand_off"
    agent: str
    tool: str | None = None
    call_id: str | None = None
    arguments: str = "{}"
    provider_data: dict[str, Any] | None = None
    reasoning: list[dict[str, Any]] = []
    response: str | None = None


class AnsweringAgent(BaseModel):
    """An answer begins with `agent`, which answered the message before."""

    kind: Literal["backchannel.answering_agent"] = "backchannel.answering_agent"
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


class RequestedCall(BaseModel):
    """A call of a tool that needs a person's approval.

    Attributes:
        question: The id of the question about it, in the item `ApprovalRequest.item_id`.
        call_id: The id that its model gave it.
        agent: The name of the agent that makes it.
        kind: Who makes it: an agent of the run, an agent that is a tool (whose own call is in the journal), or the
            model's provider.
        provider_data: As in `ToolCall`.
        item_type: As in `InnerToolCall`.
        decided: Whether it is approved or refused without a question; `None` if the person decides.
        refusal: What the model is told of a call that is refused without a question.
    """

    question: str
    call_id: str
    name: str
    arguments: str
    agent: str
    kind: Literal["function", "nested", "hosted"] = "function"
    provider_data: dict[str, Any] | None = None
    item_type: str | None = None
    description: str | None = None
    decided: bool | None = None
    refusal: str | None = None


class ApprovalRequest(BaseModel):
    """The answer waits until a person has approved or declined calls of tools.

    Attributes:
        item_id: The structured input item with a question for each call.
        state: The run as the Agents SDK's `RunState` serializes it, without its input; `None` once the answer has gone
            on.
        input_until: The id of the newest item in that input.
        reasoning: As in `ToolCall`, for the first of the calls.
        response: As in `ToolCall`.
    """

    kind: Literal["backchannel.approval_request"] = "backchannel.approval_request"
    item_id: str
    calls: list[RequestedCall]
    state: dict[str, Any] | None = None
    input_until: str = ""
    reasoning: list[dict[str, Any]] = []
    response: str | None = None


class ApprovalDecision(BaseModel):
    """What a person decided about the calls of an `ApprovalRequest`.

    Attributes:
        item_id: That of the request.
        user: The id of the user who decided.
        decided_at: When, in ISO 8601.
        approved: The ids of the questions about calls that were approved. All others were declined.
        reasons: Why calls were declined, by the ids of the questions, as far as the person said so.
    """

    kind: Literal["backchannel.approval_decision"] = "backchannel.approval_decision"
    item_id: str
    user: str
    decided_at: str
    approved: list[str] = []
    reasons: dict[str, str] = {}


class ShownAnswer(BaseModel):
    """Marks the message `item_id`, which shows a final answer in another form.

    Attributes:
        said: What was said: the model's JSON, or what a function made of the results of tools.
        call: In place of that, the id of the item of the tool call whose result is the answer.
    """

    kind: Literal["backchannel.shown_answer"] = "backchannel.shown_answer"
    item_id: str
    said: str | None = None
    call: str | None = None


APPROVAL_REQUEST = "backchannel.approval_request"
INNER_TOOL_CALL = "backchannel.inner_tool_call"

type Entry = (
    ToolCall
    | InnerToolCall
    | HandOff
    | AnsweringAgent
    | IntermediateMessage
    | RefusedTurn
    | QueuedClientCall
    | ApprovalRequest
    | ApprovalDecision
    | ShownAnswer
)

_ENTRIES: dict[str, TypeAdapter[Any]] = {
    "backchannel.tool_call": TypeAdapter(ToolCall),
    "backchannel.inner_tool_call": TypeAdapter(InnerToolCall),
    "backchannel.hand_off": TypeAdapter(HandOff),
    "backchannel.answering_agent": TypeAdapter(AnsweringAgent),
    "backchannel.goes_on": TypeAdapter(IntermediateMessage),
    "backchannel.refused_turn": TypeAdapter(RefusedTurn),
    "backchannel.queued_client_call": TypeAdapter(QueuedClientCall),
    "backchannel.approval_request": TypeAdapter(ApprovalRequest),
    "backchannel.approval_decision": TypeAdapter(ApprovalDecision),
    "backchannel.shown_answer": TypeAdapter(ShownAnswer),
}


def kind(item: ThreadItem) -> str | None:
    """The kind of an item's journal entry, or `None` if the item is something else. Cheaper than `read`."""
    content: object = item.content if isinstance(item, HiddenContextItem) else None
    return str(cast("Mapping[str, object]", content).get("kind")) if isinstance(content, dict) else None


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


def agent_of(item: ThreadItem) -> str | None:
    """The name of the agent that answers from an item on, or `None` if the item does not say."""
    entry = read(item)
    return entry.agent if isinstance(entry, HandOff | AnsweringAgent) else None


def to_item(entry: Entry, thread_id: str) -> HiddenContextItem:
    """A new hidden item for a journal entry."""
    return HiddenContextItem(
        id=new_id("hidden_context"),
        thread_id=thread_id,
        created_at=to_sdk(utc_now()),
        content=_content(entry),
    )


def changed(item: HiddenContextItem, entry: Entry) -> HiddenContextItem:
    """A copy of an item with another entry."""
    return item.model_copy(update={"content": _content(entry)})


def with_output(
    item: HiddenContextItem,
    output: object,
    *,
    failed: bool = False,
    client_calls: Sequence[ClientRequest] = (),
) -> HiddenContextItem:
    """A copy of a tool call's item, completed with its output."""
    content = {**cast("dict[str, Any]", item.content), "output": output, "finished": True}
    if failed:
        content["failed"] = True
    if client_calls:
        content["client_calls"] = [each.model_dump() for each in client_calls]
    return item.model_copy(update={"content": content})


def _content(entry: Entry) -> dict[str, Any]:
    # Only what is set: most calls have no data of their provider.
    return {"kind": entry.kind, **entry.model_dump(exclude_defaults=True, exclude={"kind"})}
