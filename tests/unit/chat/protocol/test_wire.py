"""What goes to clients is the SDK's JSON, except that dates say they are UTC, and nothing private is in it."""

import json
import re
import time
from collections.abc import Generator
from datetime import datetime
from typing import Any, get_args

import pytest
from chatkit import types as ck
from chatkit.server import ChatKitServer
from chatkit.widgets import WidgetComponent, WidgetRoot
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import AnyUrl, TypeAdapter

from backchannel.chat.protocol.failures import FailureEvent
from backchannel.chat.protocol.wire import encode, encode_event, is_hidden, items_response, thread_response

pytestmark = pytest.mark.row("C1", "A1")

NAIVE = datetime(2026, 7, 1, 14, 30, 15, 123456)
IN_UTC = "2026-07-01T12:30:15.123456Z"
BASE: dict[str, Any] = {"id": "it_1", "thread_id": "thr_1", "created_at": NAIVE}
SECRET = {"path": "/srv/secret-bucket"}
NASTY = 'say "hi"\\ \n\r\t\b\f\x00\x1f\x7f \u0085 \u2028\u2029 </script> 😀 é \ufeff \ufffe'


@pytest.fixture(autouse=True, scope="module")
def in_berlin() -> Generator[None]:
    """A server whose local time is not UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


FILE = ck.FileAttachment(id="atc_1", name="a.txt", mime_type="text/plain", thread_id="thr_1", metadata=SECRET)
IMAGE = ck.ImageAttachment(
    id="atc_2", name="b.png", mime_type="image/png", preview_url=AnyUrl("https://x/b"), metadata=SECRET
)
SOURCES = [
    ck.Annotation(source=ck.URLSource(url="https://x", title="X"), index=3),
    ck.Annotation(source=ck.FileSource(filename="f", title="f")),
    ck.Annotation(source=ck.EntitySource(id="e", title="E", data={"a": None})),
]
CONTENT = ck.AssistantMessageContent(text=NASTY, annotations=SOURCES)
TASK = ck.CustomTask(title=NASTY, icon="bolt", content="c", status_indicator="loading")
TASKS: list[Any] = [
    TASK,
    ck.SearchTask(title_query="q", queries=["a"], sources=[ck.URLSource(url="https://x", title="X")]),
    ck.ThoughtTask(content="hm"),
    ck.FileTask(sources=[ck.FileSource(filename="f", title="f")]),
    ck.ImageTask(title="i"),
]
TEXT = {"type": "Text", "value": NASTY, "id": "t"}
WIDGET: Any = TypeAdapter[Any](WidgetRoot).validate_python({"type": "Card", "children": [TEXT]})
COMPONENT: Any = TypeAdapter[Any](WidgetComponent).validate_python(TEXT)
QUESTIONS: list[Any] = [
    ck.StructuredInputFreeform(id="q1", question="Why?", answer=ck.StructuredInputAnswer(values=["so"])),
    ck.StructuredInputMultipleChoice(
        id="q2", question="Which?", options=[ck.StructuredInputMultipleChoiceOption(value="a")]
    ),
]
ITEMS: list[Any] = [
    ck.UserMessageItem(
        **BASE,
        content=[
            ck.UserMessageTextContent(text=NASTY),
            ck.UserMessageTagContent(id="t", text="T", data={"a": 1}),
        ],
        attachments=[FILE, IMAGE],
        quoted_text="q",
        inference_options=ck.InferenceOptions(model="m", tool_choice=ck.ToolChoice(id="t")),
    ),
    ck.AssistantMessageItem(**BASE, content=[CONTENT]),
    ck.ClientToolCallItem(**BASE, call_id="c", name="n", arguments={"a": None}, output={"b": [None]}),
    ck.WidgetItem(**BASE, widget=WIDGET, copy_text="copy"),
    ck.GeneratedImageItem(**BASE, image=ck.GeneratedImage(id="g", url="data:image/png;base64,AA")),
    ck.StructuredInputItem(**BASE, inputs=QUESTIONS),
    ck.WorkflowItem(
        **BASE,
        workflow=ck.Workflow(type="custom", tasks=TASKS, summary=ck.DurationSummary(duration=3)),
    ),
    ck.TaskItem(**BASE, task=TASK),
    ck.EndOfTurnItem(**BASE),
]
HIDDEN: list[Any] = [
    ck.HiddenContextItem(**BASE, content={"call": SECRET}),
    ck.SDKHiddenContextItem(**BASE, content="/srv/secret-bucket"),
]
UPDATES: list[Any] = [
    ck.AssistantMessageContentPartAdded(content_index=0, content=CONTENT),
    ck.AssistantMessageContentPartTextDelta(content_index=2, delta=NASTY),
    ck.AssistantMessageContentPartAnnotationAdded(content_index=0, annotation_index=1, annotation=SOURCES[0]),
    ck.AssistantMessageContentPartDone(content_index=0, content=CONTENT),
    ck.WidgetStreamingTextValueDelta(component_id="t", delta=NASTY, done=False),
    ck.WidgetRootUpdated(widget=WIDGET),
    ck.WidgetComponentUpdated(component_id="t", component=COMPONENT),
    ck.WorkflowTaskAdded(task_index=0, task=TASK),
    ck.WorkflowTaskUpdated(task_index=0, task=TASK),
    ck.GeneratedImageUpdated(image=ck.GeneratedImage(id="g", url="https://x/g"), progress=0.5),
]
THREAD = ck.Thread(
    id="thr_1",
    title=NASTY,
    created_at=NAIVE,
    status=ck.LockedStatus(reason="r"),
    allowed_image_domains=["x"],
    items=ck.Page[ck.ThreadItem](data=ITEMS, has_more=True, after="it_1"),
)
EVENTS: list[Any] = [
    ck.ThreadCreatedEvent(thread=THREAD),
    ck.ThreadUpdatedEvent(thread=THREAD),
    *(ck.ThreadItemAddedEvent(item=item) for item in ITEMS),
    *(ck.ThreadItemDoneEvent(item=item) for item in ITEMS),
    *(ck.ThreadItemReplacedEvent(item=item) for item in ITEMS),
    *(ck.ThreadItemUpdatedEvent(item_id='a "b" ü', update=update) for update in UPDATES),
    ck.ThreadItemRemovedEvent(item_id="it_1"),
    ck.StreamOptionsEvent(stream_options=ck.StreamOptions(allow_cancel=True)),
    ck.ProgressUpdateEvent(icon="bolt", text=NASTY),
    ck.ClientEffectEvent(name="e", data={"a": NASTY, "none": None}),
    ck.ErrorEvent(code="custom", message=NASTY, allow_retry=True),
    FailureEvent(code="custom", message="m", reason="model_error", request_id="req_1", run_id="run_1"),
    ck.NoticeEvent(level="info", message="m", title="t"),
]


def sdk_bytes(model: Any) -> bytes:
    return ChatKitServer[Any]._serialize(None, model)  # pyright: ignore[reportPrivateUsage, reportArgumentType]


def without_dates(data: bytes) -> bytes:
    return re.sub(rb'"created_at":"[^"]*"', b'"created_at":"?"', data)


def test_every_kind_of_event_item_and_update_is_tried():
    assert {type(each) for each in EVENTS} - {FailureEvent} == set(
        get_args(get_args(ck.ThreadStreamEvent)[0])
    )
    assert {type(each) for each in ITEMS + HIDDEN} == set(get_args(get_args(ck.ThreadItem)[0]))
    assert {type(each) for each in UPDATES} == set(get_args(ck.ThreadItemUpdate))


@pytest.mark.row("P12")
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_an_event_is_the_sdks_bytes_with_dates_in_utc(event: Any):
    sent, expected = encode_event(event).body(), sdk_bytes(event)
    assert without_dates(sent) == without_dates(expected)
    dates = re.findall(rb'"created_at":"([^"]*)"', sent)
    assert len(dates) == expected.count(b'"created_at"')
    assert set(dates) <= {IN_UTC.encode()}


def test_encoding_an_event_leaves_it_as_it_was():
    event = ck.ThreadItemDoneEvent(item=ITEMS[0].model_copy())
    encode_event(event)
    assert event.item.created_at == NAIVE


@given(st.text(), st.text(), st.integers(0, 1000))
@example(NASTY, NASTY, 0)
def test_a_text_delta_is_byte_for_byte_the_sdks(delta: str, item_id: str, index: int):
    update = ck.AssistantMessageContentPartTextDelta(content_index=index, delta=delta)
    event = ck.ThreadItemUpdatedEvent(item_id=item_id, update=update)
    encoded = encode_event(event)
    assert encoded.body() == sdk_bytes(event)
    assert encoded.text == delta


@given(st.text(), st.text())
def test_joined_text_deltas_are_the_sdks_bytes_of_the_joined_text(first: str, second: str):
    def event(text: str) -> ck.ThreadItemUpdatedEvent:
        update = ck.AssistantMessageContentPartTextDelta(content_index=0, delta=text)
        return ck.ThreadItemUpdatedEvent(item_id="msg_1", update=update)

    one, two = encode_event(event(first)), encode_event(event(second))
    assert one.head == two.head
    assert encode_event(event(first + second)).head == one.head
    assert type(one)(one.head, first + second).body() == sdk_bytes(event(first + second))


@pytest.mark.row("P25")
@pytest.mark.parametrize(
    "shown",
    [
        lambda: encode_event(ck.ThreadItemDoneEvent(item=ITEMS[0])).body(),
        lambda: encode_event(ck.ThreadCreatedEvent(thread=THREAD)).body(),
        lambda: encode(items_response(ck.Page[ck.ThreadItem](data=[*ITEMS, *HIDDEN]))),
        lambda: encode(thread_response(THREAD)),
        lambda: encode(IMAGE),
        lambda: encode(FILE),
    ],
)
def test_attachments_metadata_never_leaves(shown: Any):
    body = shown()
    assert b"atc_" in body
    assert b"secret" not in body


def test_hidden_items_are_in_no_page_and_no_thread():
    page = ck.Page[ck.ThreadItem](data=[HIDDEN[0], ITEMS[0], HIDDEN[1]], has_more=True, after="it_1")
    assert items_response(page).data == [ITEMS[0].model_copy(update={"created_at": _utc(NAIVE)})]
    assert (items_response(page).has_more, items_response(page).after) == (True, "it_1")
    for response in (
        thread_response(THREAD, page),
        thread_response(THREAD.model_copy(update={"items": page})),
    ):
        assert [item.type for item in response.items.data] == ["user_message"]
        assert b"secret" not in encode(response)
    assert [is_hidden(item) for item in [*ITEMS, *HIDDEN]] == [False] * len(ITEMS) + [True, True]


@pytest.mark.row("P19")
def test_a_threads_metadata_stays_on_the_server():
    thread = ck.ThreadMetadata(id="thr_1", created_at=NAIVE, metadata={"plan": "secret"})
    response = json.loads(encode(thread_response(thread)))
    assert response["metadata"] == {}
    assert response["created_at"] == IN_UTC
    assert response["items"] == {"data": [], "has_more": False}
    assert b"secret" not in encode_event(ck.ThreadUpdatedEvent(thread=thread_response(thread))).body()


def _utc(moment: datetime) -> datetime:
    return moment.astimezone()
