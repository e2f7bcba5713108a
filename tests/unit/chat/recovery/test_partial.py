"""What is known of an answer in the middle is what the SDK would keep of it."""

from datetime import datetime
from typing import Any, override

import pytest
from chatkit.server import ChatKitServer
from chatkit.types import (
    Annotation,
    AssistantMessageContent,
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartAnnotationAdded,
    AssistantMessageContentPartDone,
    AssistantMessageContentPartTextDelta,
    AssistantMessageItem,
    CustomTask,
    GeneratedImage,
    GeneratedImageItem,
    GeneratedImageUpdated,
    ThoughtTask,
    ThreadItem,
    ThreadItemUpdatedEvent,
    URLSource,
    WidgetItem,
    WidgetRootUpdated,
    Workflow,
    WorkflowItem,
    WorkflowTaskAdded,
    WorkflowTaskUpdated,
)
from chatkit.widgets import WidgetRoot
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from backchannel.chat.recovery.partial import PartialItems

pytestmark = pytest.mark.row("C4", "C5")

MOMENT = datetime(2026, 11, 22)


class Sdk(ChatKitServer[Any]):
    """The SDK's own bookkeeping of what is pending."""

    def __init__(self) -> None: ...

    @override
    def respond(self, thread: Any, input_user_message: Any, context: Any) -> Any: ...

    def keep(self, pending: dict[str, ThreadItem], event: ThreadItemUpdatedEvent) -> None:
        self._update_pending_items(pending, event)


SDK = Sdk()


def base(item_id: str) -> dict[str, Any]:
    return {"id": item_id, "thread_id": "thr_1", "created_at": MOMENT}


def message(item_id: str = "msg_1", *texts: str) -> AssistantMessageItem:
    return AssistantMessageItem(
        **base(item_id), content=[AssistantMessageContent(text=text) for text in texts]
    )


def workflow(item_id: str = "wf_1", *contents: str) -> WorkflowItem:
    tasks: list[Any] = [ThoughtTask(content=content) for content in contents]
    return WorkflowItem(**base(item_id), workflow=Workflow(type="custom", tasks=tasks))


def card(*children: Any) -> Any:
    return TypeAdapter[Any](WidgetRoot).validate_python({"type": "Card", "children": list(children)})


def delta(text: str, index: int = 0, item_id: str = "msg_1") -> ThreadItemUpdatedEvent:
    update = AssistantMessageContentPartTextDelta(content_index=index, delta=text)
    return ThreadItemUpdatedEvent(item_id=item_id, update=update)


def texts(partial: PartialItems) -> list[list[str]]:
    return [
        [part.text for part in item.content]
        for item in partial.items()
        if isinstance(item, AssistantMessageItem)
    ]


indexes = st.integers(0, 1)
words = st.text("abc ", max_size=3)
contents = st.builds(AssistantMessageContent, text=words)
sources = st.builds(URLSource, url=st.just("https://x"), title=st.text("xyz", max_size=2))
annotations = st.builds(Annotation, source=sources)
message_updates = st.one_of(
    st.builds(AssistantMessageContentPartAdded, content_index=indexes, content=contents),
    st.builds(AssistantMessageContentPartTextDelta, content_index=indexes, delta=words),
    st.builds(AssistantMessageContentPartDone, content_index=indexes, content=contents),
    st.builds(
        AssistantMessageContentPartAnnotationAdded,
        content_index=indexes,
        annotation_index=st.integers(0, 4),
        annotation=annotations,
    ),
)
tasks = st.one_of(st.builds(CustomTask, title=words), st.builds(ThoughtTask, content=words))
# The SDK fails on an update of a task that does not exist; ours passes over it.
workflow_updates = st.one_of(
    st.builds(WorkflowTaskAdded, task_index=indexes, task=tasks),
    st.builds(WorkflowTaskUpdated, task_index=st.integers(0, 1), task=tasks),
)
updates = st.lists(
    st.one_of(
        st.tuples(st.just("msg_1"), message_updates),
        st.tuples(st.sampled_from(["msg_2", "msg_9"]), message_updates),
        st.tuples(st.sampled_from(["wf_1"]), workflow_updates),
        st.tuples(st.sampled_from(["msg_1", "wf_1"]), st.one_of(message_updates, workflow_updates)),
    ),
    max_size=25,
)


@settings(max_examples=300)
@given(updates, st.integers(0, 25))
@example(
    [
        ("msg_1", AssistantMessageContentPartTextDelta(content_index=2, delta="a")),
        (
            "msg_1",
            AssistantMessageContentPartDone(content_index=2, content=AssistantMessageContent(text="b")),
        ),
        ("msg_1", AssistantMessageContentPartTextDelta(content_index=2, delta="c")),
    ],
    25,
)
def test_any_updates_leave_what_the_sdk_would_keep(sent: list[tuple[str, Any]], look_at: int):
    begun = [message("msg_1"), message("msg_2", "begun "), workflow("wf_1", "first", "second")]
    partial = PartialItems()
    expected: dict[str, ThreadItem] = {}
    for item in begun:
        partial.begin(item)
        expected[item.id] = item.model_copy(deep=True)
    for number, (item_id, update) in enumerate(sent):
        event = ThreadItemUpdatedEvent(item_id=item_id, update=update)
        partial.update(event)
        SDK.keep(expected, event.model_copy(deep=True))
        if number == look_at:
            # Looking in the middle changes nothing.
            assert partial.items() == list(expected.values())
    assert partial.items() == list(expected.values())
    assert partial.items() == list(expected.values())


def test_items_come_in_the_order_they_began_and_leave_when_they_end():
    partial = PartialItems()
    for item in (message("a", "x"), workflow("b"), message("c", "y")):
        partial.begin(item)
    partial.update(delta("!", item_id="a"))
    partial.end("a")
    partial.end("nobody")
    assert [item.id for item in partial.items()] == ["b", "c"]
    # The same id again is a new item, without the old one's text.
    partial.begin(message("a"))
    partial.update(delta("new", item_id="a"))
    assert [item.id for item in partial.items()] == ["b", "c", "a"]
    assert texts(partial) == [["y"], ["new"]]


def test_the_events_own_items_stay_untouched():
    item = message("msg_1", "begun")
    part = AssistantMessageContent(text="part")
    partial = PartialItems()
    partial.begin(item)
    partial.update(delta(" more"))
    added = AssistantMessageContentPartAdded(content_index=1, content=part)
    partial.update(ThreadItemUpdatedEvent(item_id="msg_1", update=added))
    partial.update(delta(" more", 1))
    assert texts(partial) == [["begun more", "part more"]]
    assert (item.content[0].text, len(item.content), part.text) == ("begun", 1, "part")


def test_a_task_that_does_not_exist_is_passed_over():
    partial = PartialItems()
    partial.begin(workflow("wf_1", "first"))
    update = WorkflowTaskUpdated(task_index=3, task=ThoughtTask(content="x"))
    partial.update(ThreadItemUpdatedEvent(item_id="wf_1", update=update))
    assert partial.items() == [workflow("wf_1", "first")]


def test_images_and_widgets_follow_their_updates():
    partial = PartialItems()
    partial.begin(GeneratedImageItem(**base("img")))
    partial.begin(WidgetItem(**base("wdg"), widget=card()))
    image = GeneratedImage(id="g", url="data:image/png;base64,AA")
    changed = card({"type": "Text", "value": "x"})
    partial.update(ThreadItemUpdatedEvent(item_id="img", update=GeneratedImageUpdated(image=image)))
    partial.update(ThreadItemUpdatedEvent(item_id="wdg", update=WidgetRootUpdated(widget=changed)))
    partial.update(ThreadItemUpdatedEvent(item_id="wdg", update=GeneratedImageUpdated(image=image)))
    assert partial.items() == [
        GeneratedImageItem(**base("img"), image=image),
        WidgetItem(**base("wdg"), widget=changed),
    ]
