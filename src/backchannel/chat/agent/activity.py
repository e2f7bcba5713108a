"""The agents' reasoning, tool calls and hand-offs as ChatKit workflow items.

Each message is preceded by at most one workflow. A task begins as `loading` and ends as `complete`. The workflow is
closed when the message starts or the answer ends.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, cast

from chatkit.agents import AgentContext
from chatkit.types import (
    CustomTask,
    ThoughtTask,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemReplacedEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
    Workflow,
    WorkflowItem,
    WorkflowTaskAdded,
    WorkflowTaskUpdated,
)

from backchannel.chat.recovery.workflows import close_workflow
from backchannel.context import RequestContext
from backchannel.stores.times import to_sdk, utc_now

MAX_CONTENT_CHARS = 300
FAILED = "Failed."
DECLINED = "Declined."
STOPPED = "Not finished."
_ID = re.compile(r"[a-z]+_[0-9a-f]{32}")
"""An id made by this server. It is left out of task descriptions."""

_ICONS: dict[str, Literal["search", "write", "check", "agent", "bolt"]] = {
    "search": "search",
    "find": "search",
    "list": "search",
    "create": "write",
    "add": "write",
    "update": "write",
    "complete": "check",
}


class Activity:
    """The workflow of the answer in progress.

    The open workflow is the SDK's `context.workflow_item`, so tools can also call `AgentContext.add_workflow_task`.
    """

    def __init__(self, context: AgentContext[RequestContext]) -> None:
        self._context = context
        self._positions: dict[str, tuple[WorkflowItem, int]] = {}
        self._tools: dict[str, str] = {}

    def begin(
        self, key: str, task: CustomTask | ThoughtTask, *, tool: str | None = None
    ) -> Iterator[ThreadStreamEvent]:
        """Add a task, in a new workflow if none is open. `key` identifies it for `change` and `task`.

        Args:
            tool: The name of the tool that runs.
        """
        if tool is not None:
            self._tools[key] = tool
        item = self._context.workflow_item
        if item is None:
            reasoning = isinstance(task, ThoughtTask)
            item = WorkflowItem(
                id=self._context.generate_id("workflow"),
                thread_id=self._context.thread.id,
                created_at=to_sdk(utc_now()),
                workflow=Workflow(type="reasoning" if reasoning else "custom", tasks=[task]),
            )
            self._context.workflow_item = item
            self._positions[key] = (item, 0)
            yield ThreadItemAddedEvent(item=item)
            return
        item.workflow.tasks.append(task)
        index = len(item.workflow.tasks) - 1
        self._positions[key] = (item, index)
        yield ThreadItemUpdatedEvent(item_id=item.id, update=WorkflowTaskAdded(task=task, task_index=index))

    def change(
        self, key: str, task: CustomTask | ThoughtTask, *, passing: bool = False
    ) -> Iterator[ThreadStreamEvent]:
        """Replace a task, in a closed workflow too. An unknown `key` is ignored.

        Args:
            passing: Another change follows, so that readers need not see this one. A closed workflow, which is stored
                with each change, is then not sent.
        """
        if key not in self._positions:
            return
        item, index = self._positions[key]
        item.workflow.tasks[index] = task
        if item is not self._context.workflow_item:
            if not passing:
                yield ThreadItemReplacedEvent(item=item)
            return
        yield ThreadItemUpdatedEvent(item_id=item.id, update=WorkflowTaskUpdated(task=task, task_index=index))

    def task(self, key: str) -> CustomTask | ThoughtTask | None:
        """The current task of that key, or `None`."""
        if key not in self._positions:
            return None
        item, index = self._positions[key]
        return cast("CustomTask | ThoughtTask", item.workflow.tasks[index])

    def fail(self, tool: str | None) -> Iterator[ThreadStreamEvent]:
        """Close the open workflow after a failed run, and end the running tasks of earlier ones.

        Args:
            tool: The name of the tool that ended the run, or empty if it is not known which of the running ones;
                `None` if it was no tool. Its task says so.
        """
        for key, (item, index) in self._positions.items():
            task = item.workflow.tasks[index]
            if task.status_indicator != "loading" or not isinstance(task, CustomTask):
                continue
            named = tool is not None and tool in {"", self._tools.get(key)}
            yield from self.change(key, ended_task(task, FAILED if named else STOPPED))
        yield from self.close()

    def close(self) -> Iterator[ThreadStreamEvent]:
        """Close the open workflow, if any. The next task opens another."""
        item = self._context.workflow_item
        if item is None:
            return
        self._context.workflow_item = None
        close_workflow(item)
        yield ThreadItemDoneEvent(item=item)


def tool_task(name: str, arguments: str) -> CustomTask:
    """The task of a running tool: its name as a title, and its shortened arguments."""
    verb = name.partition("_")[0]
    return CustomTask(
        title=name.replace("_", " ").strip().capitalize(),
        icon=_ICONS.get(verb, "bolt"),
        content=_shorten(_describe_arguments(arguments)) or None,
        status_indicator="loading",
    )


def inner_tool_task(agent: str, name: str, arguments: str) -> CustomTask:
    """The task of a tool that an agent runs which is itself a tool."""
    task = tool_task(name, arguments)
    return task.model_copy(update={"title": f"{agent}: {task.title}"})


def inner_hand_off_task(agent: str, target: str) -> CustomTask:
    """The task of a hand-off inside an agent that is a tool."""
    return CustomTask(title=f"{agent}: {target} takes over", icon="agent", status_indicator="complete")


def completed_tool_task(task: CustomTask, output: object, *, failed: bool = False) -> CustomTask:
    """The task of a tool that has returned. Shows the error's message if the output is a JSON error.

    Args:
        failed: Whether the tool raised an exception, of which only the model was informed.
    """
    if failed:
        return ended_task(task, FAILED)
    message = _error_message(output)
    changes: dict[str, Any] = {"status_indicator": "complete"}
    if message:
        changes["content"] = _shorten(message)
    return task.model_copy(update=changes)


def declined_tool_task(task: CustomTask) -> CustomTask:
    """The task of a tool that did not run because a person declined its call."""
    return ended_task(task, DECLINED)


def ended_task(task: CustomTask, how: str) -> CustomTask:
    """The task of something that did not complete. Its content begins with `how` it ended."""
    # The protocol has no status for it: tasks are `loading`, `complete` or `none`.
    space = "\n" if (task.content or "").startswith("```") else " "
    content = f"{how}{space}{task.content}" if task.content else how
    return task.model_copy(update={"status_indicator": "none", "content": content})


def hand_off_task(agent: str | None = None) -> CustomTask:
    """The task of a hand-off: in progress, or completed to `agent`."""
    if agent is None:
        return CustomTask(title="Finding the right assistant", icon="agent", status_indicator="loading")
    return CustomTask(title=f"{agent} is answering", icon="agent", status_indicator="complete")


def _describe_arguments(arguments: str) -> str:
    try:
        values = json.loads(arguments or "{}")
    except ValueError:
        return ""
    if not isinstance(values, dict):
        return ""
    arguments_by_name = cast("dict[str, object]", values)
    return " · ".join(
        f"{name.replace('_', ' ')}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in arguments_by_name.items()
        if value not in (None, "", [], {}) and not (isinstance(value, str) and _ID.fullmatch(value))
    )


def _error_message(output: object) -> str | None:
    if not isinstance(output, str) or not output.startswith("{"):
        return None
    try:
        error = json.loads(output).get("error")
    except ValueError:
        return None
    if isinstance(error, dict):
        error = cast("dict[str, object]", error).get("message")
    return error if isinstance(error, str) else None


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_CONTENT_CHARS else text[: MAX_CONTENT_CHARS - 1] + "…"
