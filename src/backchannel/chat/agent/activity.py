"""What the agents are doing, as a workflow that the person can watch: thoughts, tools, hand-offs.

One workflow stands before each message. Its tasks begin as loading and end as complete; it closes when the
message starts or the answer ends.
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

from backchannel.chat.recovery.workflows import settle
from backchannel.context import RequestContext
from backchannel.stores.times import to_sdk, utc_now

MAX_CONTENT_CHARS = 300
_ID = re.compile(r"[a-z]+_[0-9a-f]{32}")
"""An id of our own, which says nothing to a person."""

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

    The open workflow is `context.workflow_item`, where the SDK keeps it, so that tools may use
    `AgentContext.add_workflow_task` beside it.
    """

    def __init__(self, context: AgentContext[RequestContext]) -> None:
        self._context = context
        self._places: dict[str, tuple[WorkflowItem, int]] = {}

    def begin(self, key: str, task: CustomTask | ThoughtTask) -> Iterator[ThreadStreamEvent]:
        """Show a task; `key` names it for `change`."""
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
            self._places[key] = (item, 0)
            yield ThreadItemAddedEvent(item=item)
            return
        item.workflow.tasks.append(task)
        index = len(item.workflow.tasks) - 1
        self._places[key] = (item, index)
        yield ThreadItemUpdatedEvent(item_id=item.id, update=WorkflowTaskAdded(task=task, task_index=index))

    def change(self, key: str, task: CustomTask | ThoughtTask) -> Iterator[ThreadStreamEvent]:
        """Show what became of a task, also in a workflow that was closed by something shown after it."""
        if key not in self._places:
            return
        item, index = self._places[key]
        item.workflow.tasks[index] = task
        if item is not self._context.workflow_item:
            yield ThreadItemReplacedEvent(item=item)
            return
        yield ThreadItemUpdatedEvent(item_id=item.id, update=WorkflowTaskUpdated(task=task, task_index=index))

    def task(self, key: str) -> CustomTask | ThoughtTask | None:
        """The task as it stands."""
        if key not in self._places:
            return None
        item, index = self._places[key]
        return cast("CustomTask | ThoughtTask", item.workflow.tasks[index])

    def close(self) -> Iterator[ThreadStreamEvent]:
        """The workflow is over; the next task starts another."""
        item = self._context.workflow_item
        if item is None:
            return
        self._context.workflow_item = None
        settle(item)
        yield ThreadItemDoneEvent(item=item)


def tool_task(name: str, arguments: str) -> CustomTask:
    """A tool that is running: its name in words, and its arguments in short."""
    verb = name.partition("_")[0]
    return CustomTask(
        title=name.replace("_", " ").strip().capitalize(),
        icon=_ICONS.get(verb, "bolt"),
        content=_shorten(_describe(arguments)) or None,
        status_indicator="loading",
    )


def finished(task: CustomTask, output: object) -> CustomTask:
    """The same tool when it is done; if its output is an error, the error's message."""
    problem = _error_message(output)
    changes: dict[str, Any] = {"status_indicator": "complete"}
    if problem:
        changes["content"] = _shorten(problem)
    return task.model_copy(update=changes)


def hand_off_task(agent: str | None = None) -> CustomTask:
    """A hand-off: under way, or to `agent` when it is done."""
    if agent is None:
        return CustomTask(title="Finding the right assistant", icon="agent", status_indicator="loading")
    return CustomTask(title=f"{agent} is answering", icon="agent", status_indicator="complete")


def _describe(arguments: str) -> str:
    try:
        values = json.loads(arguments or "{}")
    except ValueError:
        return ""
    if not isinstance(values, dict):
        return ""
    given = cast("dict[str, object]", values)
    return " · ".join(
        f"{name.replace('_', ' ')}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in given.items()
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
