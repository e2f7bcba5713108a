"""The model's input from a thread: the newest turns that fit the token budget, with complete tool calls.

Model APIs reject a tool call without its output, and an output without its call; every later request in the thread
would fail. A call that a crash or a stop left without an output therefore gets one here. What every call of a model
needs beyond that is in `backchannel.model_calls.model_input`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, cast

from agents import TResponseInputItem
from chatkit.agents import ThreadItemConverter
from chatkit.store import Store
from chatkit.types import (
    Attachment,
    ClientToolCallItem,
    GeneratedImageItem,
    HiddenContextItem,
    ThreadItem,
    UserMessageItem,
    WorkflowItem,
)

from backchannel.chat.agent.hand_offs import hand_off_call
from backchannel.chat.agent.shown_answers import as_said
from backchannel.chat.agent.tool_output import history_output
from backchannel.chat.protocol.paging import newest_items
from backchannel.chat.recovery import journal
from backchannel.model_calls.context_window import shorten
from backchannel.model_calls.model_input import INTERRUPTED
from backchannel.model_calls.tokens import estimate_tokens
from backchannel.model_calls.tool_calls import api_name, call_id_for, history_arguments

NOT_APPROVED = "This call needed a person's approval, which was not given. It did not run."
NOT_MADE = "The person approved this call, but it could not be made any more. It did not run; call it again if needed."

MAX_EARLIER_OUTPUT_CHARS = 8_000
"""A longer output of a tool is shortened in the turns after its own, and so are longer arguments."""
MAX_EARLIER_TEXT_CHARS = 2_000
"""A longer text in arguments that are too long is shortened: a patch, or a file that was written."""


async def load_history(
    store: Store[Any], thread_id: str, context: object, *, max_tokens: int
) -> list[ThreadItem]:
    """The newest items of a thread, oldest first, up to about `max_tokens`.

    Consists of whole turns, each starting at a user message. Turns that were refused are left out, but not the names of
    the tools that were called in them, so that the model does not repeat what they did. The newest turn is always
    included, whatever its size.
    """
    budget = max_tokens
    turns: list[list[ThreadItem]] = []
    turn: list[ThreadItem] = []
    size = 0
    async for item in newest_items(store, thread_id, context):
        turn.append(item)
        size += _tokens(item)
        refused = bool(turns) and _is_refused(turn)
        if turns and size > budget and not refused:
            break
        if isinstance(item, UserMessageItem):
            if not refused:
                turns.append(turn)
                budget -= size
            elif (note := _tools_note(turn)) is not None:
                turns[-1].append(note)
            turn, size = [], 0
    else:
        # Items before the first user message, such as a greeting from the server.
        turns.append(turn)
    return [item for each in reversed(turns) for item in reversed(each)]


def up_to(items: Sequence[ThreadItem], item_id: str) -> list[ThreadItem]:
    """The items up to the one with that id; up to the newest message of the person, if it was deleted."""
    places = [place for place, item in enumerate(items) if item.id == item_id]
    newest = max((place for place, item in enumerate(items) if isinstance(item, UserMessageItem)), default=-1)
    return list(items[: (places[0] if places else newest) + 1])


async def to_model_input(
    items: Sequence[ThreadItem], converter: ThreadItemConverter
) -> list[TResponseInputItem]:
    """Convert thread items to model input.

    Each tool call occurs once, with its output. In earlier turns it has an id of its own, as the ids that models give
    repeat in every turn; in the newest turn it has the provider's.
    """
    items = as_said(items)
    newest = max((place for place, item in enumerate(items) if isinstance(item, UserMessageItem)), default=0)
    entries = [journal.read(item) for item in items]
    journaled = {entry.call_id: entry for entry in entries if isinstance(entry, journal.ToolCall)}
    client_calls = {item.call_id for item in items if isinstance(item, ClientToolCallItem)}
    client_calls |= {entry.call_id for entry in entries if isinstance(entry, journal.QueuedClientCall)}
    questions = {entry.item_id for entry in entries if isinstance(entry, journal.ApprovalRequest)}
    inner = [entry for entry in entries if isinstance(entry, journal.InnerToolCall)]
    pieces: list[_Piece] = []
    waiting: list[ThreadItem] = []
    for place, (item, entry) in enumerate(zip(items, entries, strict=True)):
        if item.id in questions or isinstance(entry, journal.InnerToolCall):
            continue
        if entry is None and not isinstance(item, ClientToolCallItem):
            waiting.append(item)
            continue
        if isinstance(entry, journal.ToolCall) and entry.call_id not in client_calls:
            done = [call for call in inner if call.caller == entry.call_id]
            calls = call_and_output(entry, item.id, in_newest_turn=place > newest, inner=done)
            piece = _Piece(calls, entry.response)
        elif isinstance(entry, journal.HandOff):
            calls = call_and_output(hand_off_call(entry, item.id), item.id, in_newest_turn=place > newest)
            piece = _Piece(calls, entry.response)
        elif isinstance(item, ClientToolCallItem):
            # It was journaled when its server part ran. Its output is here.
            known = journaled.get(item.call_id)
            converted = cast("list[dict[str, Any]]", await converter.to_agent_input([item]))
            calls = _as_call(converted, None if place > newest else item.id, known)
            if known is not None and place > newest:
                calls = [*known.reasoning, *calls]
            piece = _Piece(calls, known.response if known else None)
        elif isinstance(entry, journal.ApprovalRequest):
            calls = _calls_not_made(entry, item.id, items[place + 1 :], in_newest_turn=place > newest)
            piece = _Piece(calls, entry.response)
        else:
            continue
        pieces += [_Piece(cast("list[dict[str, Any]]", await converter.to_agent_input(waiting))), piece]
        waiting = []
    pieces.append(_Piece(cast("list[dict[str, Any]]", await converter.to_agent_input(waiting))))
    return cast("list[TResponseInputItem]", _by_response(pieces))


@dataclass(frozen=True, slots=True)
class _Piece:
    """Input items of one thread item, or of several without calls.

    Attributes:
        response: The id of the response with the call, if it is one.
    """

    items: list[dict[str, Any]]
    response: str | None = None


def _by_response(pieces: Sequence[_Piece]) -> list[dict[str, Any]]:
    """The items in order, but with all calls of a response before their outputs."""
    together: dict[str, list[dict[str, Any]]] = {}
    for piece in pieces:
        if piece.response is not None:
            together.setdefault(piece.response, []).extend(piece.items)
    items: list[dict[str, Any]] = []
    for piece in pieces:
        if piece.response is None:
            items += piece.items
            continue
        group = together.pop(piece.response, [])
        outputs = [item for item in group if item.get("type") == "function_call_output"]
        items += [item for item in group if item not in outputs]
        items += outputs
    return items


def next_client_call(items: Sequence[ThreadItem]) -> journal.QueuedClientCall | None:
    """The client tool call of the newest turn that is still to be made, if all before it have their outputs."""
    made = [item for item in items if isinstance(item, ClientToolCallItem)]
    if not made or items[-1] is not made[-1] or made[-1].status == "pending":
        return None
    known = {item.call_id for item in made}
    queued = [entry for item in items if isinstance(entry := journal.read(item), journal.QueuedClientCall)]
    return next((call for call in queued if call.call_id not in known), None)


def call_and_output(
    call: journal.ToolCall,
    item_id: str,
    *,
    in_newest_turn: bool,
    inner: Sequence[journal.InnerToolCall] = (),
) -> list[dict[str, Any]]:
    """The input items of a journaled tool call.

    Args:
        item_id: The id of the journal's item. The call's id in later turns is derived from it.
        in_newest_turn: The model is still answering: it gets the whole output, its reasoning and its ids back.
        inner: What the called tool had done, if it is an agent.
    """
    call_id = call.call_id if in_newest_turn else call_id_for(item_id)
    request: dict[str, Any] = {
        "type": "function_call",
        "call_id": call_id,
        "name": call.name,
        "arguments": history_arguments(call.arguments),
    }
    if call.provider_data:
        request["provider_data"] = call.provider_data
    elif not in_newest_turn:
        request["arguments"] = _shortened_arguments(request["arguments"])
    output = history_output(call.output) if call.finished else _interrupted(inner)
    if not in_newest_turn:
        output = shorten(output, MAX_EARLIER_OUTPUT_CHARS)
    result = {"type": "function_call_output", "call_id": call_id, "output": output}
    return [*(call.reasoning if in_newest_turn else ()), request, result]


def _shortened_arguments(arguments: str) -> str:
    if len(arguments) <= MAX_EARLIER_OUTPUT_CHARS:
        return arguments
    shorter = json.dumps(_shortened(json.loads(arguments)), ensure_ascii=False)
    if len(shorter) <= MAX_EARLIER_OUTPUT_CHARS:
        return shorter
    return json.dumps({"arguments": _shortened(shorter)}, ensure_ascii=False)


def _shortened(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_EARLIER_TEXT_CHARS:
        half = MAX_EARLIER_TEXT_CHARS // 2
        return f"{value[:half]}[… {len(value) - 2 * half:,} characters …]{value[-half:]}"
    if isinstance(value, dict):
        return {name: _shortened(each) for name, each in cast("dict[str, Any]", value).items()}
    return [_shortened(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value


def _interrupted(inner: Sequence[journal.InnerToolCall]) -> str:
    lines = [
        f"- {call.name}({call.arguments}): {call.output if call.finished else 'no result'}" for call in inner
    ]
    return "\n".join([INTERRUPTED, "It had called:", *lines]) if lines else INTERRUPTED


def _calls_not_made(
    request: journal.ApprovalRequest, item_id: str, later: Sequence[ThreadItem], *, in_newest_turn: bool
) -> list[dict[str, Any]]:
    """The input items of the calls that needed approval and did not run."""
    turn = list(takewhile(lambda item: not isinstance(item, UserMessageItem), later))
    made = {call.call_id for item in turn if (call := journal.tool_call(item)) is not None}
    decisions = [entry for item in turn if isinstance(entry := journal.read(item), journal.ApprovalDecision)]
    approved = {each for entry in decisions if entry.item_id == request.item_id for each in entry.approved}
    calls: list[dict[str, Any]] = []
    for each in request.calls:
        if each.kind == "function" and each.call_id not in made:
            call = journal.ToolCall(
                call_id=each.call_id,
                name=each.name,
                arguments=each.arguments,
                output=NOT_MADE if each.question in approved else NOT_APPROVED,
                finished=True,
                provider_data=each.provider_data,
            )
            calls += call_and_output(call, f"{item_id} {each.question}", in_newest_turn=in_newest_turn)
    return calls


def _as_call(
    converted: list[dict[str, Any]], item_id: str | None, known: journal.ToolCall | None
) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    for each in converted:
        if "call_id" in each:
            each = {**each, "call_id": call_id_for(item_id) if item_id else each["call_id"]}  # noqa: PLW2901
            if each.get("type") == "function_call" and known is not None:
                # As the model made it. The item has the name and the arguments for the client.
                each |= {"name": known.name, "arguments": history_arguments(known.arguments)}
                if known.provider_data:
                    each["provider_data"] = known.provider_data
        calls.append(each)
    return calls


def _tools_note(turn: Sequence[ThreadItem]) -> HiddenContextItem | None:
    """A note for the model of the tools that ran in a turn that is left out; `turn` has its newest item first."""
    calls = [(item, call) for item in reversed(turn) if (call := journal.tool_call(item)) is not None]
    names = list(dict.fromkeys(api_name(call.name) for _, call in calls))
    if not names:
        return None
    first = calls[0][0]
    text = f"A message was refused, and is left out here. These tools had been called for it: {', '.join(names)}."
    return HiddenContextItem(
        id=first.id, thread_id=first.thread_id, created_at=first.created_at, content=text
    )


def _is_refused(turn: Sequence[ThreadItem]) -> bool:
    return any(isinstance(journal.read(item), journal.RefusedTurn) for item in turn)


def _tokens(item: ThreadItem) -> int:
    # Of what the model receives.
    match item:
        case WorkflowItem():
            return 0
        case GeneratedImageItem():
            return 50
        case HiddenContextItem() if journal.kind(item) == journal.APPROVAL_REQUEST:
            # Without the state of the run.
            entry = journal.read(item)
            calls = entry.calls if isinstance(entry, journal.ApprovalRequest) else []
            return sum(estimate_tokens(call.arguments) for call in calls)
        case HiddenContextItem() if journal.kind(item) == journal.INNER_TOOL_CALL:
            return 0
        case HiddenContextItem():
            text = json.dumps(item.content, ensure_ascii=False, default=str)
        case _:
            text = item.model_dump_json(exclude_none=True, include=_TEXTUAL)
    attached = sum(_tokens_of(each) for each in item.attachments) if isinstance(item, UserMessageItem) else 0
    return attached + estimate_tokens(
        text[: 2 * MAX_EARLIER_OUTPUT_CHARS] if isinstance(item, HiddenContextItem) else text
    )


def _tokens_of(attachment: Attachment) -> int:
    # As the file was examined, so that the history's size is known without reading files.
    tokens = (attachment.metadata or {}).get("tokens", 0)
    return tokens if isinstance(tokens, int) else 0


_TEXTUAL = {"content", "widget", "arguments", "output", "inputs", "quoted_text", "task"}
