"""The workflow that shows what the agents do: tasks begin, change and end, and close before the next item."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from chatkit.agents import AgentContext
from chatkit.store import Store
from chatkit.types import (
    CustomSummary,
    CustomTask,
    DurationSummary,
    ThoughtTask,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemReplacedEvent,
    ThreadItemUpdatedEvent,
    ThreadMetadata,
    ThreadStreamEvent,
    Workflow,
    WorkflowItem,
    WorkflowTaskAdded,
    WorkflowTaskUpdated,
)
from hypothesis import given
from hypothesis import strategies as st

from backchannel.chat.agent.activity import (
    MAX_CONTENT_CHARS,
    Activity,
    completed_tool_task,
    hand_off_task,
    tool_task,
)
from backchannel.chat.recovery.workflows import close_workflow
from backchannel.context import RequestContext

pytestmark = pytest.mark.row("B5")


@pytest.fixture
def agent_context(
    thread: ThreadMetadata, store: Store[Any], request_context: RequestContext
) -> AgentContext[RequestContext]:
    return AgentContext(thread=thread, store=store, request_context=request_context)


@pytest.fixture
def activity(agent_context: AgentContext[RequestContext]) -> Activity:
    return Activity(agent_context)


def workflow_of(events: Iterable[ThreadStreamEvent]) -> WorkflowItem:
    (event,) = events
    assert isinstance(event, ThreadItemAddedEvent | ThreadItemDoneEvent)
    assert isinstance(event.item, WorkflowItem)
    return event.item


def update_of(events: Iterable[ThreadStreamEvent]) -> WorkflowTaskAdded | WorkflowTaskUpdated:
    (event,) = events
    assert isinstance(event, ThreadItemUpdatedEvent)
    assert isinstance(event.update, WorkflowTaskAdded | WorkflowTaskUpdated)
    return event.update


def test_tasks_begin_and_change_where_they_stand(activity: Activity):
    one, two = tool_task("add_todo", "{}"), hand_off_task()
    first = workflow_of(activity.begin("one", one))
    assert (first.workflow.type, first.workflow.tasks) == ("custom", [one])
    assert first.id.startswith("wf_")
    added = update_of(activity.begin("two", two))
    assert (type(added), added.task_index, added.task) == (WorkflowTaskAdded, 1, two)
    changed = update_of(activity.change("one", completed_tool_task(one, "ok")))
    assert (type(changed), changed.task_index) == (WorkflowTaskUpdated, 0)
    assert changed.task.status_indicator == "complete"
    assert activity.task("one") == changed.task
    done = workflow_of(activity.close())
    assert done.id == first.id
    assert [task.status_indicator for task in done.workflow.tasks] == ["complete", "none"]
    assert isinstance(done.workflow.summary, DurationSummary)
    assert list(activity.close()) == []


def test_each_workflow_is_an_item_of_its_own(activity: Activity):
    first = workflow_of(activity.begin("one", tool_task("a", "{}")))
    list(activity.close())
    second = workflow_of(activity.begin("two", tool_task("b", "{}")))
    assert first.id != second.id
    # A tool whose widget closed its workflow is still seen to end.
    (replay,) = activity.change("one", hand_off_task("B"))
    assert isinstance(replay, ThreadItemReplacedEvent)
    assert replay.item is first
    assert isinstance(replay.item, WorkflowItem)
    assert replay.item.workflow.tasks == [hand_off_task("B")]
    assert activity.task("nobody") is None
    assert list(activity.change("nobody", hand_off_task())) == []


def test_thoughts_make_a_reasoning_workflow(activity: Activity):
    item = workflow_of(activity.begin("t", ThoughtTask(content="hm")))
    assert item.workflow.type == "reasoning"


async def test_a_tool_may_add_tasks_by_the_sdks_own_helper(
    activity: Activity, agent_context: AgentContext[RequestContext]
):
    list(activity.begin("one", tool_task("a", "{}")))
    await agent_context.add_workflow_task(CustomTask(title="by the tool"))
    added = update_of(activity.begin("two", tool_task("b", "{}")))
    assert added.task_index == 2
    assert isinstance(activity.task("one"), CustomTask)


def test_settling_ends_what_looks_busy_and_keeps_a_summary_that_is_there():
    begun = datetime.now() - timedelta(seconds=65)
    tasks: list[Any] = [
        CustomTask(title="a", status_indicator="loading"),
        CustomTask(title="b", status_indicator="complete"),
    ]
    workflow = Workflow(type="custom", tasks=tasks, expanded=True)
    item = WorkflowItem(id="wf_1", thread_id="thr_1", created_at=begun, workflow=workflow)
    close_workflow(item)
    assert [task.status_indicator for task in item.workflow.tasks] == ["none", "complete"]
    assert item.workflow.expanded is False
    assert isinstance(item.workflow.summary, DurationSummary)
    assert 65 <= item.workflow.summary.duration < 120
    item.workflow.summary = CustomSummary(title="Mine")
    close_workflow(item)
    assert item.workflow.summary == CustomSummary(title="Mine")
    # A clock that was set back gives no negative duration.
    item.workflow.summary, item.created_at = None, datetime.now() + timedelta(hours=1)
    close_workflow(item)
    assert item.workflow.summary == DurationSummary(duration=0)


@pytest.mark.parametrize(
    ("name", "arguments", "title", "icon", "content"),
    [
        (
            "list_todos",
            '{"status": "pending", "limit": 5}',
            "List todos",
            "search",
            "status: pending · limit: 5",
        ),
        ("create_todo", '{"title": "Milk", "due_date": null}', "Create todo", "write", "title: Milk"),
        ("complete_todo", '{"todo_ids": [1, 2]}', "Complete todo", "check", "todo ids: [1, 2]"),
        ("find_it", "{}", "Find it", "search", None),
        ("reboot", "", "Reboot", "bolt", None),
        ("_odd_", '{"a": "", "b": [], "c": {}, "d": false}', "Odd", "bolt", "d: false"),
        ("x", "not json", "X", "bolt", None),
        ("x", "[1]", "X", "bolt", None),
        ("x", '"text"', "X", "bolt", None),
        ("tag", '{"names": ["Käse"]}', "Tag", "bolt", 'names: ["Käse"]'),
    ],
)
def test_a_tool_is_told_in_words(name: str, arguments: str, title: str, icon: str, content: str | None):
    task = tool_task(name, arguments)
    assert (task.title, task.icon, task.content) == (title, icon, content)
    assert task.status_indicator == "loading"


def test_long_arguments_are_cut():
    task = tool_task("note", json.dumps({"text": "x" * 1000}))
    assert task.content is not None
    assert len(task.content) == MAX_CONTENT_CHARS
    assert task.content.endswith("…")


@pytest.mark.parametrize(
    ("output", "content"),
    [
        ('{"error": {"message": "No such todo."}}', "No such todo."),
        ('{"error": "No such todo."}', "No such todo."),
        ('{"error": null, "todo": {}}', "limit: 5"),
        ('{"error": {"code": 7}}', "limit: 5"),
        ('{"todos": []}', "limit: 5"),
        ("{not json", "limit: 5"),
        ("done", "limit: 5"),
        ("", "limit: 5"),
        (None, "limit: 5"),
        ([{"type": "input_text", "text": "x"}], "limit: 5"),
    ],
)
def test_a_tool_that_is_done_shows_its_error_if_it_has_one(output: object, content: str):
    before = tool_task("list_todos", '{"limit": 5}')
    after = completed_tool_task(before, output)
    assert (after.status_indicator, after.content, after.title) == ("complete", content, "List todos")
    assert before.status_indicator == "loading"


@given(st.text(), st.text())
def test_nothing_a_model_says_breaks_a_task(arguments: str, output: str):
    task = completed_tool_task(tool_task("t", arguments), output)
    assert task.content is None or len(task.content) <= MAX_CONTENT_CHARS


def test_hand_offs():
    assert hand_off_task().status_indicator == "loading"
    assert hand_off_task("Search").title == "Search is answering"
    assert hand_off_task("Search").status_indicator == "complete"
