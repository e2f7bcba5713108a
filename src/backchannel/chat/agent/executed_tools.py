"""Tools that the application executes and that are no function tools: shells, patches, computers, custom tools.

The Responses API has an item type of its own for a call of each, and for its output. This module says what they are for
people (a task), for programs (a name with arguments, and a text), and for the models of later inputs, which get them as
calls of functions: other APIs, and agents without such a tool, refuse these items.
"""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from agents.items import ToolCallOutputItem
from chatkit.types import CustomTask

from backchannel.chat.agent.activity import FAILED, MAX_CONTENT_CHARS, ended_task, tool_task

SCREENSHOT = "(The model got a screenshot. It is not kept.)"
NO_OUTPUT = "(No output.)"
MAX_CODE_CHARS = MAX_CONTENT_CHARS - 60
"""Less than a task's content, which may begin with how the call ended."""
COMPUTER = "computer"
"""The name of every computer tool, as in traces. The SDK names them after their version."""

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExecutedCall:
    """A call of such a tool.

    Attributes:
        item_type: The type of its item in the Responses API.
        name: That of the tool.
        arguments: What it was called with, as for a function.
        provider_data: What the model's provider sent with the call and expects back.
    """

    item_type: str
    call_id: str
    name: str
    arguments: Json
    provider_data: Json | None = None

    @property
    def json(self) -> str:
        """The arguments as JSON."""
        return json.dumps(self.arguments, ensure_ascii=False, default=str)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call.

    Attributes:
        text: The output, as text for programs and models.
        failed: Whether it failed.
        why: What is known of the reason, as a sentence.
    """

    text: str
    failed: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the items of a type have in common.

    Attributes:
        name: That of the tool, if the call does not say.
        title: Of a task; `None` for the name of the tool.
        arguments: The arguments in a call's item.
        subject: What a call does, from its arguments, for people.
        details: The names of further arguments that a person who approves a call has to see.
    """

    name: str
    title: str | None
    icon: str
    arguments: Callable[[Json], Json]
    subject: Callable[[Json], str]
    details: tuple[str, ...] = ()
    outputs: str = field(kw_only=True)


def _action(item: Json) -> Json:
    return {name: value for name, value in _as_dict(item.get("action")).items() if name != "type" and value}


def _operations(item: Json) -> Json:
    operations = item.get("operations")
    return {"operations": operations} if operations else _as_dict(item.get("operation"))


def _computer_actions(item: Json) -> Json:
    actions: list[Any] = item.get("actions") or ([item["action"]] if item.get("action") else [])
    checks = [str(_as_dict(each).get("message") or "") for each in item.get("pending_safety_checks") or ()]
    return {"actions": actions, **({"safety_checks": checks} if checks else {})}


def _commands(arguments: Json) -> str:
    # A local shell has one command, in words.
    command: Any = arguments.get("command")
    if command is not None:
        return command if isinstance(command, str) else shlex.join(map(str, command))
    commands: Any = arguments.get("commands") or ()
    return commands if isinstance(commands, str) else "\n".join(map(str, commands))


def _patches(arguments: Json) -> str:
    operations = [_as_dict(each) for each in arguments.get("operations") or [arguments]]
    return "\n".join(_patch(each) for each in operations)


def _patch(operation: Json) -> str:
    verb = str(operation.get("type") or "patch").removesuffix("_file")
    path, moved = operation.get("path") or "?", operation.get("move_to")
    return f"{verb} {path} → {moved}" if moved else f"{verb} {path}"


def _computer_steps(arguments: Json) -> str:
    actions: list[Any] = arguments.get("actions") or []
    checks: list[Any] = arguments.get("safety_checks") or []
    return "\n".join(
        [
            *(_computer_step(_as_dict(each)) for each in actions),
            *(f"safety check: {each}" for each in checks),
        ]
    )


def _computer_step(action: Json) -> str:
    kind = str(action.get("type") or "action")
    words: list[str] = []
    if action.get("path"):
        points = [_as_dict(each) for each in action["path"]]
        words.append(" → ".join(f"{each.get('x')}, {each.get('y')}" for each in points))
    elif "x" in action:
        words.append(f"{action['x']}, {action.get('y')}")
    if "scroll_x" in action or "scroll_y" in action:
        words.append(f"by {action.get('scroll_x', 0)}, {action.get('scroll_y', 0)}")
    if action.get("button") not in {None, "left"}:
        words.append(f"({action['button']})")
    if action.get("keys"):
        words.append("+".join(map(str, action["keys"])))
    if action.get("text"):
        words.append(str(action["text"]))
    return " ".join([kind.replace("_", " "), *words])


_KINDS = {
    "shell_call": _Kind(
        "shell", "Running a command", "square-code", _action, _commands, ("timeout_ms",),
        outputs="shell_call_output",
    ),
    "local_shell_call": _Kind(
        "local_shell", "Running a command", "square-code", _action, _commands,
        ("working_directory", "user", "env", "timeout_ms"), outputs="local_shell_call_output",
    ),
    "apply_patch_call": _Kind(
        "apply_patch", "Applying a patch", "write", _operations, _patches, ("diff",),
        outputs="apply_patch_call_output",
    ),
    "computer_call": _Kind(
        COMPUTER, "Using the computer", "desktop", _computer_actions, _computer_steps,
        outputs="computer_call_output",
    ),
    "custom_tool_call": _Kind(
        "custom_tool", None, "bolt", lambda item: {"input": str(item.get("input") or "")},
        lambda arguments: str(arguments.get("input") or ""), outputs="custom_tool_call_output",
    ),
}  # fmt: skip
_OUTPUTS = {kind.outputs for kind in _KINDS.values()}
CALL_TYPES = frozenset({"function_call", *_KINDS})
"""The types of items of the Responses API that are calls of tools which the application executes. Hand-offs are
`function_call`s, too."""


def read_call(item: object, name: str | None = None) -> ExecutedCall | None:
    """The call of an item; `None` if it is of another type.

    Args:
        name: The name of the tool, if it is known.
    """
    values = _values(item)
    kind = _KINDS.get(str(values.get("type")))
    call_id = values.get("call_id") or values.get("id")
    if kind is None or not isinstance(call_id, str):
        return None
    name = kind.name if kind.name == COMPUTER else str(name or values.get("name") or kind.name)
    return ExecutedCall(
        str(values["type"]),
        call_id,
        name,
        kind.arguments(values),
        _as_dict(values.get("provider_data")) or None,
    )


def read_outcome(item: ToolCallOutputItem) -> Outcome | None:
    """What came of a call; `None` if it is of another tool."""
    raw = _values(item.raw_item)
    text = item.output if isinstance(item.output, str) else None
    match raw.get("type"):
        case "shell_call_output":
            return _shell_outcome(raw, text)
        case "computer_call_output":
            return Outcome(SCREENSHOT)
        case "apply_patch_call_output":
            failed = raw.get("status") == "failed"
            return Outcome(text or ("Failed." if failed else "Done."), failed=failed)
        case "local_shell_call_output" | "custom_tool_call_output":
            return Outcome(str(item.output) or NO_OUTPUT)
        case _:
            return None


def output_item(call: ExecutedCall, text: str) -> Json:
    """The item of an output that is known as text."""
    raw: Json = {"type": _KINDS[call.item_type].outputs, "call_id": call.call_id, "output": text}
    if call.item_type == "shell_call":
        raw["output"] = [{"stdout": text, "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
    elif call.item_type == "apply_patch_call":
        raw["status"] = "completed"
    return raw


def call_task(item_type: str | None, name: str, arguments: str, agent: str | None = None) -> CustomTask:
    """The task of a call that runs.

    Args:
        item_type: As in `ExecutedCall`; `None` for the call of a function.
        arguments: As JSON.
        agent: The name of the agent that makes it, if that is itself a tool.
    """
    task = tool_task(name, arguments)
    kind = _KINDS.get(item_type or "")
    if kind is not None:
        subject = kind.subject(_parsed(arguments))
        changes = {"title": kind.title or task.title, "icon": kind.icon, "content": _as_code(subject) or None}
        task = task.model_copy(update=changes)
    return task.model_copy(update={"title": f"{agent}: {task.title}"}) if agent is not None else task


def finished_task(task: CustomTask, item_type: str | None, outcome: Outcome) -> CustomTask:
    """The task of a call that has returned, or failed."""
    if outcome.failed:
        return ended_task(task, f"{FAILED} {outcome.why}".strip())
    if item_type != "custom_tool_call":
        return task.model_copy(update={"status_indicator": "complete"})
    parts = [part for part in (task.content, _as_code(outcome.text)) if part]
    content = ("\n" if any("\n" in part for part in parts) else " → ").join(parts)
    return task.model_copy(update={"status_indicator": "complete", "content": content})


def subject(item_type: str, arguments: str) -> str:
    """All that a call would do, for a person who approves or declines it.

    Args:
        arguments: As JSON.
    """
    kind = _KINDS[item_type]
    values = _parsed(arguments)
    parts = [_as_dict(each) for each in values.get("operations") or [values]]
    details = [f"{name}: {_as_text(part[name])}" for part in parts for name in kind.details if part.get(name)]
    return "\n".join([kind.subject(values), *details])


def _shell_outcome(raw: Json, text: str | None) -> Outcome:
    entries = [_as_dict(each) for each in raw.get("output") or ()]
    outcomes = [_as_dict(entry.get("outcome")) for entry in entries]
    codes = [each.get("exit_code") for each in outcomes if each.get("exit_code")]
    if text is None:
        # The provider ran it.
        text = "\n\n".join(chunk for entry in entries if (chunk := "\n".join(_chunk(entry))))
    if raw.get("status") == "failed":
        # The executor raised an exception. The SDK writes an exit code for it.
        return Outcome(text or NO_OUTPUT, failed=True)
    if any(each.get("type") == "timeout" for each in outcomes):
        return Outcome(text or NO_OUTPUT, failed=True, why="Timed out.")
    if codes:
        return Outcome(text or NO_OUTPUT, failed=True, why=f"Exit code {codes[-1]}.")
    return Outcome(text or NO_OUTPUT)


def _chunk(entry: Json) -> Iterator[str]:
    if entry.get("stdout"):
        yield str(entry["stdout"]).rstrip("\n")
    if entry.get("stderr"):
        yield f"stderr:\n{entry['stderr']}".rstrip("\n")
    outcome = _as_dict(entry.get("outcome"))
    if outcome.get("type") == "timeout":
        yield "status: timeout"
    elif outcome.get("exit_code"):
        yield f"exit code: {outcome['exit_code']}"


def _as_code(text: str) -> str:
    """A text as code in Markdown, which front ends render: commands have stars and underscores."""
    text = text.strip()
    if not text:
        return ""
    if len(text) > MAX_CODE_CHARS:
        text = text[: MAX_CODE_CHARS - 1] + "…"
    block = "\n" in text
    ticks = "```" if block else "`"
    while ticks in text:
        ticks += "`"
    if block:
        return f"{ticks}\n{text}\n{ticks}"
    space = " " if "`" in {text[0], text[-1]} else ""
    return f"{ticks}{space}{text}{space}{ticks}"


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _parsed(arguments: str) -> Json:
    try:
        return _as_dict(json.loads(arguments or "{}"))
    except ValueError:
        return {}


def _values(item: object) -> Json:
    """The fields of an item that is a model or a mapping, as it is after a restart."""
    dump = getattr(item, "model_dump", None)
    if dump is not None:
        return {**cast("Json", dump(exclude_none=True, warnings=False)), **_extra(item)}
    return dict(cast("Mapping[str, Any]", item)) if isinstance(item, Mapping) else {}


def _extra(item: object) -> Json:
    data = getattr(item, "provider_data", None)
    return {"provider_data": data} if data else {}


def _as_dict(value: object) -> Json:
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return cast("Json", dump(exclude_none=True, warnings=False))
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else {}
