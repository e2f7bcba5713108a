"""A run's frames in the words of the plain API: each by itself, nothing of ChatKit's left over (C2)."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any, get_args

import pytest
from chatkit.errors import ErrorCode
from chatkit.types import (
    ActiveStatus,
    Annotation,
    AssistantMessageContent,
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartAnnotationAdded,
    AssistantMessageContentPartDone,
    AssistantMessageContentPartTextDelta,
    AssistantMessageItem,
    ClientEffectEvent,
    CustomTask,
    EndOfTurnItem,
    ErrorEvent,
    GeneratedImage,
    GeneratedImageUpdated,
    HiddenContextItem,
    InferenceOptions,
    LockedStatus,
    NoticeEvent,
    Page,
    ProgressUpdateEvent,
    SDKHiddenContextItem,
    StreamOptions,
    StreamOptionsEvent,
    Thread,
    ThreadCreatedEvent,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemReplacedEvent,
    ThreadItemUpdate,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
    ThreadUpdatedEvent,
    URLSource,
    UserMessageItem,
    UserMessageTagContent,
    UserMessageTextContent,
    WidgetComponentUpdated,
    WidgetItem,
    WidgetRootUpdated,
    WidgetStreamingTextValueDelta,
    Workflow,
    WorkflowItem,
    WorkflowTaskAdded,
    WorkflowTaskUpdated,
)
from chatkit.widgets import Card, Text
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.chat.protocol.failures import FailureEvent
from backchannel.chat.protocol.wire import encode_event
from backchannel.client import ServerSentEvent, parse_events
from backchannel.event_logs.base import Event, Frame
from backchannel.plain import DELTAS, EVENTS, MAX_OUTPUT_CHARS, done, encode

pytestmark = pytest.mark.row("C2")

RUN = "run_0198"
WHEN = datetime(2026, 1, 2, 3, 4, 5)
BASE = {"thread_id": "thr_1", "created_at": WHEN}
SHOWN = {"thread_id": "thr_1", "created_at": "2026-01-02T03:04:05Z"}


def read(sent: bytes) -> list[ServerSentEvent]:
    """What a spec-conforming client gets."""

    async def chunks() -> AsyncGenerator[bytes]:
        yield sent

    async def parse() -> list[ServerSentEvent]:
        return [event async for event in parse_events(chunks())]

    return asyncio.run(parse())


def told(event: ThreadStreamEvent | Event) -> dict[str, Any] | None:
    """What a program is told of one event, without its type, or `None`; the frame around it is checked."""
    kept = event if isinstance(event, Event) else encode_event(event)
    sent = encode(RUN, [Frame(7, kept)])
    if not sent:
        return None
    assert sent.count(b"\n") == 4
    assert sent.endswith(b"\n\n")
    [received] = read(sent)
    assert received.id == "run_0198:7"
    data = json.loads(received.data)
    assert data["type"] == received.event
    return data


def updated(update: ThreadItemUpdate) -> ThreadItemUpdatedEvent:
    return ThreadItemUpdatedEvent(item_id="msg_1", update=update)


def said(text: str) -> AssistantMessageItem:
    return AssistantMessageItem(id="msg_1", content=[AssistantMessageContent(text=text)], **BASE)


def assistant(text: str) -> dict[str, Any]:
    part = {"type": "text", "text": text, "annotations": []}
    return {"id": "msg_1", "type": "assistant_message", "content": [part], **SHOWN}


def thread(title: str | None = None, status: Any = None) -> Thread:
    return Thread(
        id="thr_1",
        title=title,
        created_at=WHEN,
        status=status or ActiveStatus(),
        metadata={"secret": 1},
        items=Page(data=[said("x")]),
    )


USER = UserMessageItem(
    id="msg_2",
    content=[
        UserMessageTextContent(text="Ask "),
        UserMessageTagContent(id="u1", text="Ada", data={"role": "boss"}),
    ],
    quoted_text="as agreed",
    inference_options=InferenceOptions(model="gpt"),
    **BASE,
)
WIDGET = WidgetItem(id="wig_1", widget=Card(children=[Text(value="hi")]), copy_text="hi", **BASE)
WORKFLOW = WorkflowItem(
    id="wf_1", workflow=Workflow(type="custom", tasks=[CustomTask(title="Count")], expanded=True), **BASE
)
SOURCE = Annotation(source=URLSource(title="Docs", url="https://example.com"), index=3)

EXPECTED: list[tuple[ThreadStreamEvent, dict[str, Any] | None]] = [
    (
        ThreadCreatedEvent(thread=thread()),
        {
            "type": "conversation.created",
            "thread_id": "thr_1",
            "thread": {
                "id": "thr_1",
                "title": None,
                "created_at": "2026-01-02T03:04:05Z",
                "status": {"type": "active"},
            },
        },
    ),
    (
        ThreadUpdatedEvent(thread=thread("Milk", LockedStatus(reason="audit"))),
        {
            "type": "conversation.updated",
            "thread_id": "thr_1",
            "thread": {
                "id": "thr_1",
                "title": "Milk",
                "created_at": "2026-01-02T03:04:05Z",
                "status": {"type": "locked", "reason": "audit"},
            },
        },
    ),
    (
        ThreadItemDoneEvent(item=USER),
        {
            "type": "conversation.item.completed",
            "thread_id": "thr_1",
            "item": {
                "id": "msg_2",
                "type": "user_message",
                "content": [
                    {"type": "text", "text": "Ask "},
                    {
                        "type": "tag",
                        "id": "u1",
                        "text": "Ada",
                        "data": {"role": "boss"},
                        "interactive": False,
                    },
                ],
                "attachments": [],
                "quoted_text": "as agreed",
                **SHOWN,
            },
        },
    ),
    (
        ThreadItemAddedEvent(item=said("")),
        {"type": "conversation.item.created", "thread_id": "thr_1", "item": assistant("")},
    ),
    (
        ThreadItemDoneEvent(item=said("Hello")),
        {"type": "conversation.item.completed", "thread_id": "thr_1", "item": assistant("Hello")},
    ),
    (
        ThreadItemReplacedEvent(item=said("Hello!")),
        {"type": "conversation.item.completed", "thread_id": "thr_1", "item": assistant("Hello!")},
    ),
    (ThreadItemRemovedEvent(item_id="msg_1"), {"type": "conversation.item.deleted", "item_id": "msg_1"}),
    (
        updated(AssistantMessageContentPartTextDelta(content_index=2, delta="Hel")),
        {"type": "text", "content_index": 2, "text": "Hel"},
    ),
    (
        updated(
            AssistantMessageContentPartAdded(content_index=1, content=AssistantMessageContent(text="So "))
        ),
        {"type": "text", "content_index": 1, "text": "So "},
    ),
    (
        updated(AssistantMessageContentPartAdded(content_index=0, content=AssistantMessageContent(text=""))),
        None,
    ),
    (
        updated(AssistantMessageContentPartDone(content_index=0, content=AssistantMessageContent(text="x"))),
        None,
    ),
    (
        updated(
            AssistantMessageContentPartAnnotationAdded(content_index=0, annotation_index=1, annotation=SOURCE)
        ),
        {
            "type": "annotation",
            "content_index": 0,
            "annotation_index": 1,
            "annotation": {
                "type": "annotation",
                "index": 3,
                "source": {"type": "url", "title": "Docs", "url": "https://example.com"},
            },
        },
    ),
    (
        updated(WorkflowTaskAdded(task_index=1, task=CustomTask(title="Count"))),
        {
            "type": "task",
            "task_index": 1,
            "task": {"type": "custom", "title": "Count", "status_indicator": "none"},
        },
    ),
    (
        updated(WorkflowTaskUpdated(task_index=1, task=CustomTask(title="3", status_indicator="complete"))),
        {
            "type": "task",
            "task_index": 1,
            "task": {"type": "custom", "title": "3", "status_indicator": "complete"},
        },
    ),
    (
        updated(GeneratedImageUpdated(image=GeneratedImage(id="i", url="data:x"), progress=0.5)),
        {"type": "image", "image": {"id": "i", "url": "data:x"}, "progress": 0.5},
    ),
    (
        updated(GeneratedImageUpdated(image=GeneratedImage(id="i", url="data:x"))),
        {"type": "image", "image": {"id": "i", "url": "data:x"}, "progress": None},
    ),
    (
        updated(WidgetRootUpdated(widget=Card(children=[]))),
        {"type": "widget", "widget": {"type": "Card", "children": []}},
    ),
    (
        updated(WidgetComponentUpdated(component_id="c", component=Text(value="hi"))),
        {"type": "widget.component", "component_id": "c", "component": {"type": "Text", "value": "hi"}},
    ),
    (
        updated(WidgetStreamingTextValueDelta(component_id="c", delta="hi", done=False)),
        {"type": "widget.text", "component_id": "c", "text": "hi", "done": False},
    ),
    (ProgressUpdateEvent(text="Looking", icon="search"), {"type": "progress", "text": "Looking"}),
    (
        NoticeEvent(level="warning", message="Nearly used up."),
        {"type": "notice", "level": "warning", "title": None, "message": "Nearly used up."},
    ),
    (
        FailureEvent(
            code="custom",
            message="The model failed.",
            allow_retry=True,
            reason="model_error",
            request_id="req_1",
            run_id=RUN,
        ),
        {
            "type": "error",
            "code": "model_error",
            "message": "The model failed.",
            "allow_retry": True,
            "request_id": "req_1",
            "run_id": RUN,
        },
    ),
    (
        FailureEvent(
            code="custom", message="x", reason="internal_error", request_id="r", run_id=RUN, detail="why"
        ),
        {
            "type": "error",
            "code": "internal_error",
            "message": "x",
            "allow_retry": False,
            "request_id": "r",
            "run_id": RUN,
            "detail": "why",
        },
    ),
    (
        ErrorEvent(code=ErrorCode.STREAM_ERROR, allow_retry=True),
        {
            "type": "error",
            "code": "stream.error",
            "message": "The answer could not be completed.",
            "allow_retry": True,
            "request_id": None,
            "run_id": RUN,
        },
    ),
    (StreamOptionsEvent(stream_options=StreamOptions(allow_cancel=True)), None),
    (ClientEffectEvent(name="confetti"), None),
    (ThreadItemDoneEvent(item=HiddenContextItem(id="h", content="secret", **BASE)), None),
    (ThreadItemDoneEvent(item=SDKHiddenContextItem(id="h", content="secret", **BASE)), None),
    (ThreadItemAddedEvent(item=HiddenContextItem(id="h", content={"secret": 1}, **BASE)), None),
]


@pytest.mark.parametrize(
    ("event", "expected"), EXPECTED, ids=[f"{each[0].type}-{n}" for n, each in enumerate(EXPECTED)]
)
def test_what_programs_are_told(event: ThreadStreamEvent, expected: dict[str, Any] | None):
    if expected is not None and isinstance(event, ThreadItemUpdatedEvent):
        assert set(expected) - {"type"} == fields(DELTAS[expected["type"]])
        expected = {"type": "conversation.item.updated", "item_id": "msg_1", "delta": expected}
    assert told(event) == expected
    if expected is not None:
        assert set(expected) - {"type", "detail"} == fields(EVENTS[expected["type"]])


def fields(described: str) -> set[str]:
    """The fields that a description names before its colon."""
    return {
        part
        for part in described.partition(":")[0].split("`")[1::2]
        if part not in {"info", "warning", "danger"}
    }


def test_every_event_of_the_sdk_is_decided_on():
    """A new kind of event or update in a later SDK must be given its place here, not lost in silence."""
    members = [*get_args(get_args(ThreadStreamEvent)[0]), *get_args(ThreadItemUpdate)]
    tried = [event for event, _ in EXPECTED]
    tried += [event.update for event in tried if isinstance(event, ThreadItemUpdatedEvent)]
    assert [member for member in members if not any(isinstance(each, member) for each in tried)] == []


def test_every_word_of_the_vocabulary_is_used():
    events = {data["type"] for event, _ in EXPECTED if (data := told(event)) is not None}
    deltas = {data["delta"]["type"] for event, _ in EXPECTED if (data := told(event)) and "delta" in data}
    assert deltas == set(DELTAS)
    assert events | {"agent_call.started", "tool_call.started", "tool_call.completed", "done"} == set(EVENTS)


@pytest.mark.parametrize(
    "item", [WIDGET, WORKFLOW, EndOfTurnItem(id="end_1", **BASE)], ids=lambda item: item.type
)
def test_other_items_are_as_they_are_kept(item: Any):
    data = told(ThreadItemDoneEvent(item=item))
    assert data is not None
    kept = json.loads(encode_event(ThreadItemDoneEvent(item=item)).body())["item"]
    assert data["item"] == kept


def plain(**content: Any) -> Event:
    return Event(json.dumps(content).encode(), plain=True)


@pytest.mark.parametrize(
    "content",
    [
        {"type": "agent_call.started", "agent": "Triage 🤖"},
        {"type": "tool_call.started", "call_id": "c", "name": "count", "arguments": {"what": ["a", None]}},
        {"type": "tool_call.started", "call_id": "c", "name": "count", "arguments": "{not json"},
        {"type": "my_app.step", "anything": {"at": "all\n\r\u2028"}},
    ],
)
def test_what_is_said_to_programs_only_is_passed_on(content: dict[str, Any]):
    assert told(plain(**content)) == content
    named = {name for name in content if name != "type"}
    assert named == fields(EVENTS.get(content["type"], "`anything`"))


@pytest.mark.parametrize("kind", [None, 7, "", "a\nevent: b", "a\rb"])
def test_what_cannot_be_the_type_of_an_event_is_left_out(kind: Any):
    event = plain(type=kind) if kind != "" else Event(b"{}", plain=True)
    assert encode(RUN, [Frame(1, event)]) == b""


def output_of(output: Any) -> tuple[Any, bool]:
    data = told(plain(type="tool_call.completed", call_id="c", name="n", output=output))
    assert data is not None
    assert set(data) - {"type"} == fields(EVENTS["tool_call.completed"])
    return data["output"], data["truncated"]


@pytest.mark.parametrize(
    "output", ["", "3 apples", None, 3, False, {"a": [1, "é"]}, [], "x" * MAX_OUTPUT_CHARS]
)
def test_a_tools_output_comes_as_it_is(output: Any):
    assert output_of(output) == (output, False)


def test_a_long_output_is_cut_and_says_so():
    text = "😀é" * MAX_OUTPUT_CHARS
    assert output_of(text) == (text[:MAX_OUTPUT_CHARS], True)
    rows = {"rows": [{"n": n} for n in range(MAX_OUTPUT_CHARS)]}
    assert output_of(rows) == (json.dumps(rows)[:MAX_OUTPUT_CHARS], True)
    half = "x" * (MAX_OUTPUT_CHARS - 1) + "\ud83d\ude00"
    assert output_of(half) == (half.encode("utf-16", "surrogatepass").decode("utf-16"), False)


def test_what_is_json_to_nobody_but_python_becomes_null():
    sent = encode(
        RUN, [Frame(1, plain(type="tool_call.completed", call_id="c", name="n", output=[float("nan")]))]
    )
    [event] = read(sent)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    assert json.loads(event.data, parse_constant=refuse)["output"] == [None]


def test_half_a_surrogate_pair_of_a_tool_does_not_end_the_stream():
    assert told(plain(type="agent_call.started", agent="a\ud83dz")) == {
        "type": "agent_call.started",
        "agent": "a?z",
    }


@pytest.mark.parametrize("event", [said("a\ud83dz"), said("\x00\n\r\u2028")])
def test_no_text_of_an_item_breaks_the_stream(event: AssistantMessageItem):
    assert told(ThreadItemDoneEvent(item=event)) is not None


@given(st.text(), st.integers(0, 3), st.text(max_size=8))
@example("\r\n\x00\x85\u2028\u2029 data: x\n\nid: 1", 0, '"}}')
def test_text_comes_through(text: str, index: int, item_id: str):
    update = AssistantMessageContentPartTextDelta(content_index=index, delta=text)
    event = encode_event(ThreadItemUpdatedEvent(item_id=item_id, update=update))
    data = told(event)
    assert data is not None
    assert (data["item_id"], data["delta"]) == (
        item_id,
        {"type": "text", "content_index": index, "text": text},
    )


def test_half_a_surrogate_pair_does_not_end_the_stream():
    data = told(updated(AssistantMessageContentPartTextDelta(content_index=0, delta="a\ud83dz")))
    assert data is not None
    assert data["delta"]["text"] == "a?z"


def test_frames_on_the_wire():
    frames = [
        Frame(1, encode_event(ThreadItemRemovedEvent(item_id="msg_1"))),
        Frame(2, encode_event(StreamOptionsEvent(stream_options=StreamOptions(allow_cancel=True)))),
        Frame(9, encode_event(updated(AssistantMessageContentPartTextDelta(content_index=0, delta="é")))),
    ]
    assert encode(RUN, frames).decode() == (
        "event: conversation.item.deleted\n"
        'data: {"type":"conversation.item.deleted","item_id":"msg_1"}\n'
        "id: run_0198:1\n\n"
        "event: conversation.item.updated\n"
        'data: {"type":"conversation.item.updated","item_id":"msg_1",'
        '"delta":{"type":"text","content_index":0,"text":"é"}}\n'
        "id: run_0198:9\n\n"
    )
    assert encode(RUN, []) == b""


def test_the_end():
    [event] = read(done(RUN, 24, "completed"))
    assert (event.id, event.event) == ("run_0198:25", "done")
    assert json.loads(event.data) == {"type": "done", "run_id": RUN, "status": "completed"}


events = st.sampled_from(
    [encode_event(event) for event, _ in EXPECTED] + [plain(type="agent_call.started", agent="A")]
)


@pytest.mark.row("C4")
@given(st.lists(events, max_size=20), st.integers(0, 20))
def test_a_reader_that_starts_anywhere_gets_what_everybody_gets_from_there(sent: Sequence[Event], cut: int):
    frames = [Frame(seq, event) for seq, event in enumerate(sent, 1)]
    assert encode(RUN, frames[:cut]) + encode(RUN, frames[cut:]) == encode(RUN, frames)
