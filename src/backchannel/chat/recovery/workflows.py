"""Closes workflow items: at the end of an answer, or after a crash."""

from datetime import datetime

from chatkit.types import DurationSummary, WorkflowItem


def close_workflow(item: WorkflowItem) -> None:
    """Collapse a workflow, set its summary, and end its `loading` tasks. Modifies `item`."""
    item.workflow.expanded = False
    if item.workflow.summary is None:
        elapsed = datetime.now() - item.created_at  # noqa: DTZ005 - the SDK's dates are naive
        item.workflow.summary = DurationSummary(duration=max(0, int(elapsed.total_seconds())))
    for task in item.workflow.tasks:
        if task.status_indicator == "loading":
            task.status_indicator = "none"
