"""Tools that a model's provider runs itself: web search, file search, code interpreter, tools of hosted MCP servers.

They are shown and journaled like any other tool. Later inputs have them as calls with outputs: the provider's own items
have ids that other endpoints, and often the same one a day later, refuse.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

from chatkit.types import CustomTask, ThreadItemDoneEvent, ThreadStreamEvent
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
)

from backchannel.chat.agent.activity import Activity, completed_tool_task, inner_tool_task, tool_task
from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.tool_output import without_data
from backchannel.chat.recovery import journal
from backchannel.ids import new_id
from backchannel.model_calls.tool_calls import call_id_for

NOT_KEPT = "(The results were used for the answer. The provider does not send them.)"
NO_OUTPUT = "(No output.)"
FAILED = "The tool failed."
_FAILED = {"failed", "incomplete"}
_ICONS = {"web_search": "globe", "file_search": "search", "code_interpreter": "square-code"}


@dataclass(frozen=True, slots=True)
class Origin:
    """The agent that is a tool, or to which one has handed off.

    Attributes:
        agent: Its name.
        caller: The id of the call of the outermost agent that is a tool.
    """

    agent: str
    caller: str


class HostedTools:
    """Shows and journals the hosted tools of one answer.

    Args:
        origin: The inner agent whose tools they are.
    """

    def __init__(self, context: AnswerContext, activity: Activity, origin: Origin | None = None) -> None:
        self._context = context
        self._activity = activity
        self._origin = origin
        self._running: dict[str, str] = {}
        self._done: set[str] = set()

    def translate(self, event: object) -> Iterator[ThreadStreamEvent]:
        """The thread events for one response event of the model."""
        match event:
            case ResponseOutputItemAddedEvent() if (call := _read(event.item)) is not None:
                yield from self._begin(_key(event), call)
            case ResponseOutputItemDoneEvent() if (call := _read(event.item)) is not None:
                yield from self._end(_key(event), call)
            case ResponseCompletedEvent():
                # Servers may give the items of every response the same ids.
                self._running.clear()
                self._done.clear()
            case _:
                pass

    def _begin(self, key: str, call: "_HostedCall") -> Iterator[ThreadStreamEvent]:
        if key in self._running or key in self._done:
            return
        call_id = self._running[key] = call_id_for(new_id("tool_call"))
        started = {"call_id": call_id, "name": call.name, "arguments": call.arguments, **self._fields()}
        self._context.request_context.publish({"type": "tool_call.started", **started})
        yield from self._activity.begin(call_id, self._task(call), tool=call.name)

    def _end(self, key: str, call: "_HostedCall") -> Iterator[ThreadStreamEvent]:
        if key in self._done:
            return
        yield from self._begin(key, call)
        call_id = self._running.pop(key)
        self._done.add(key)
        # Only now it is known what was searched.
        task = completed_tool_task(self._task(call), call.output, failed=call.failed)
        yield from self._activity.change(call_id, task)
        ended = {"call_id": call_id, "name": call.name, "output": call.output, **self._fields()}
        self._context.request_context.publish({"type": "tool_call.completed", **ended})
        values = {
            "call_id": call_id,
            "name": call.name,
            "arguments": json.dumps(call.arguments, ensure_ascii=False),
            "output": call.output,
            "finished": True,
        }
        if self._origin is None:
            entry = journal.ToolCall.model_validate(values)
        else:
            entry = journal.InnerToolCall.model_validate({**values, **self._fields()})
        yield ThreadItemDoneEvent(item=journal.to_item(entry, self._context.thread.id))

    def _fields(self) -> dict[str, str]:
        origin = self._origin
        return {} if origin is None else {"agent": origin.agent, "caller": origin.caller}

    def _task(self, call: "_HostedCall") -> CustomTask:
        task = _task(call)
        if self._origin is None:
            return task
        return task.model_copy(update={"title": f"{self._origin.agent}: {task.title}"})


@dataclass(frozen=True, slots=True)
class _HostedCall:
    """What is known of a call.

    Attributes:
        name: Of the tool.
        arguments: What it was called with; empty before the call is done.
        output: What it returned, as text for people and models.
        failed: Whether it failed.
        server: The label of its MCP server, if it is of one.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    output: str = NOT_KEPT
    failed: bool = False
    server: str | None = None


def _read(item: object) -> _HostedCall | None:
    """The call of an output item of the model; `None` if it is none of a hosted tool. Servers leave out fields."""
    dump = getattr(item, "model_dump", None)
    if not str(getattr(item, "type", "")).endswith("_call") or dump is None:
        return None
    values = cast("dict[str, Any]", dump(exclude_none=True, warnings=False))
    match values.get("type"):
        case "web_search_call":
            call = _web_search(values)
        case "file_search_call":
            call = _file_search(values)
        case "code_interpreter_call":
            call = _code_interpreter(values)
        case "mcp_call":
            call = _mcp_call(values)
        case _:
            return None
    return call


def _web_search(values: dict[str, Any]) -> _HostedCall:
    action = _as_dict(values.get("action"))
    arguments = {name: action[name] for name in ("query", "url", "pattern") if action.get(name)}
    if "query" not in arguments and action.get("queries"):
        arguments["queries"] = action["queries"]
    urls = [
        str(source["url"]) for each in action.get("sources") or () if (source := _as_dict(each)).get("url")
    ]
    found = "Sources:\n" + "\n".join(urls) if urls else NOT_KEPT
    return _call("web_search", arguments, found, values)


def _file_search(values: dict[str, Any]) -> _HostedCall:
    queries: list[Any] = values.get("queries") or []
    results = [_as_dict(each) for each in values.get("results") or ()]
    texts = [f"{each.get('filename') or 'File'}:\n{each.get('text') or ''}".strip() for each in results]
    return _call(
        "file_search", {"queries": queries} if queries else {}, "\n\n".join(texts) or NOT_KEPT, values
    )


def _code_interpreter(values: dict[str, Any]) -> _HostedCall:
    code = values.get("code")
    outputs = values.get("outputs")
    parts = [_as_dict(each) for each in outputs or ()]
    texts = [str(each.get("logs") or "") if each.get("type") == "logs" else "[An image.]" for each in parts]
    nothing = NOT_KEPT if outputs is None else NO_OUTPUT
    output = without_data("\n".join(texts)).strip() or nothing
    return _call("code_interpreter", {"code": code} if code else {}, output, values)


def _mcp_call(values: dict[str, Any]) -> _HostedCall:
    raw = values.get("arguments") or "{}"
    try:
        arguments: Any = json.loads(raw)
    except ValueError:
        arguments = raw
    if not isinstance(arguments, dict):
        arguments = {"arguments": arguments} if arguments else {}
    arguments = cast("dict[str, Any]", arguments)
    name, server = str(values.get("name") or "mcp_tool"), str(values.get("server_label") or "MCP")
    error = values.get("error")
    if error:
        text = _as_dict(error).get("message") or _as_dict(error).get("content") or error
        text = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False, default=str)
        return _HostedCall(name, arguments, f"{FAILED} {text}", failed=True, server=server)
    output = without_data(str(values.get("output") or "")) or NO_OUTPUT
    return replace(_call(name, arguments, output, values), server=server)


def _call(name: str, arguments: dict[str, Any], output: str, values: dict[str, Any]) -> _HostedCall:
    failed = values.get("status") in _FAILED
    return _HostedCall(name, arguments, FAILED if failed else output, failed=failed)


def _task(call: _HostedCall) -> CustomTask:
    arguments = json.dumps(
        {name: _as_words(value) for name, value in call.arguments.items()}, ensure_ascii=False
    )
    if call.server is not None:
        return inner_tool_task(call.server, call.name, arguments)
    task = tool_task(call.name, arguments)
    return task.model_copy(update={"icon": _ICONS.get(call.name, task.icon)})


def _as_words(value: Any) -> Any:
    """A list of searches as people read it."""
    return " · ".join(map(str, cast("list[Any]", value))) if isinstance(value, list) else value


def _key(event: ResponseOutputItemAddedEvent | ResponseOutputItemDoneEvent) -> str:
    return getattr(event.item, "id", None) or f"item {event.output_index}"


def _as_dict(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
