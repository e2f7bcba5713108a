"""Shows what a specialist does while the supervisor waits for it: one task of the workflow for each tool call.

The specialists' runs are inside a tool call of the supervisor's, so none of their events reach the stream of
the conversation by themselves. The tasks are written through hooks and not through `as_tool(on_stream=…)`,
whose events do not say in which run they happened.
"""

from typing import Any, cast, override

from agents import Agent, RunContextWrapper, RunHooks, Tool
from chatkit.agents import AgentContext
from chatkit.types import CustomTask, ThreadItemUpdatedEvent, WorkflowTaskAdded


class ToolProgress(RunHooks[Any]):
    """A task appears when a tool starts and is ticked off when the tool ends.

    It keeps nothing of its own: one object serves all runs. In a run without ChatKit's `AgentContext` it does
    nothing.
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
        # Not add_workflow_task: of two equal tasks at work it gives the index of the first for both.
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
        # Equal tasks are interchangeable, so whichever is ticked off first is right.
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
    # As the server shows the tools of an agent that answers by itself.
    return tool.name.replace("_", " ").capitalize()
