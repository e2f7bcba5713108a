"""Closing a workflow whose tasks can no longer change: at the end of an answer, or after a crash."""

from datetime import datetime

from chatkit.types import DurationSummary, WorkflowItem


def settle(item: WorkflowItem) -> None:
    """Give a workflow its summary and end what still looks busy."""
    item.workflow.expanded = False
    if item.workflow.summary is None:
        elapsed = datetime.now() - item.created_at  # noqa: DTZ005 - the SDK's dates are naive
        item.workflow.summary = DurationSummary(duration=max(0, int(elapsed.total_seconds())))
    for task in item.workflow.tasks:
        if task.status_indicator == "loading":
            task.status_indicator = "none"
