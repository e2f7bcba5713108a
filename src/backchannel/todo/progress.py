"""Shows the tool calls of specialists as workflow tasks, while the supervisor waits for them.

A specialist runs within a tool call of the supervisor, so its events are not in the supervisor's stream. Hooks are used
and not `as_tool(on_stream=…)`, whose events do not identify the run.
"""

from typing import Any, cast, override

from agents import Agent, RunContextWrapper, RunHooks, Tool
from chatkit.agents import AgentContext
from chatkit.types import CustomTask, ThreadItemUpdatedEvent, WorkflowTaskAdded


class ToolProgress(RunHooks[Any]):
    """Adds a workflow task when a tool starts, and completes it when the tool ends.

    Has no state, so one object serves all runs. Does nothing in runs without ChatKit's `AgentContext`.
    """

    @override
    async def on_tool_start(self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Tool) -> None:
        chat = _chat(context)
        if chat is None:
            return
        task = CustomTask(title=_title(tool), status_indicator="loading")
        item = chat.workflow_item
        if item is None or not item.workflow.tasks:
            await chat.add_workflow_task(task)
            return
        # Not `add_workflow_task`: for two equal tasks in progress it uses the index of the first for both.
        item.workflow.tasks.append(task)
        added = WorkflowTaskAdded(task=task, task_index=len(item.workflow.tasks) - 1)
        await chat.stream(ThreadItemUpdatedEvent(item_id=item.id, update=added))

    @override
    async def on_tool_end(
        self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Tool, result: object
    ) -> None:
        chat = _chat(context)
        if chat is None or chat.workflow_item is None:
            return
        # Equal tasks are interchangeable, so complete the first of them.
        for index, task in enumerate(chat.workflow_item.workflow.tasks):
            if isinstance(task, CustomTask) and (task.title, task.status_indicator) == (
                _title(tool),
                "loading",
            ):
                done = task.model_copy(update={"status_indicator": "complete"})
                await chat.update_workflow_task(done, index)
                return


def _chat(context: RunContextWrapper[Any]) -> AgentContext[Any] | None:
    chat: Any = context.context
    return cast("AgentContext[Any]", chat) if isinstance(chat, AgentContext) else None


def _title(tool: Tool) -> str:
    # The same title as for tools of the answering agent; see `chat.agent.activity`.
    return tool.name.replace("_", " ").capitalize()
