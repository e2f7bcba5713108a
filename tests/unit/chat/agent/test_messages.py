"""The model's own stream as thread events: what the SDK makes of it, under ids of our own."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, override

import pytest
from agents import Agent, Runner
from chatkit import types as ck
from chatkit.agents import AgentContext, stream_agent_response  # pyright: ignore[reportUnknownVariableType]
from openai.types import responses as oai
from openai.types.responses.response_output_item import ImageGenerationCall
from openai.types.responses.response_output_text_annotation_added_event import (
    ResponseOutputTextAnnotationAddedEvent,
)

from backchannel.chat.protocol.wire import is_hidden
from backchannel.errors import AnswerRefusedError
from backchannel.testing import Say, ScriptedModel

pytestmark = pytest.mark.row("A1", "C1", "A5")

type Ask = Callable[[Agent[Any]], Awaitable[list[ck.ThreadStreamEvent]]]

PLACE: dict[str, Any] = {"output_index": 0, "sequence_number": 0}
ITEM: dict[str, Any] = {**PLACE, "item_id": "msg_model"}
PART: dict[str, Any] = {**ITEM, "content_index": 0}
URL = {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 0, "end_index": 4}
FILE = {"type": "file_citation", "file_id": "f", "filename": "plan.pdf", "index": 2}
CONTAINER = {
    "type": "container_file_citation",
    "container_id": "c",
    "file_id": "f",
    "filename": "out.csv",
    "start_index": 0,
    "end_index": 7,
}
NAMELESS = {"type": "file_citation", "file_id": "f", "filename": "", "index": 2}
PATH = {"type": "file_path", "file_id": "f", "index": 0}


class RawModel(ScriptedModel):
    """Streams given events of the Responses API, and ends the response with given items."""

    def __init__(self, events: Sequence[Any], *output: Any) -> None:
        super().__init__()
        self._events = events
        self._output = list(output)

    @override
    async def stream_response(self, *args: Any, **options: Any) -> AsyncGenerator[Any]:
        for event in self._events:
            yield event
        response = oai.Response(
            id="resp_1",
            created_at=0,
            model="raw",
            object="response",
            output=self._output,
            parallel_tool_calls=True,
            tool_choice="auto",
            tools=[],
        )
        yield oai.ResponseCompletedEvent(response=response, type="response.completed", sequence_number=0)


def message(*content: Any, status: Any = "completed") -> oai.ResponseOutputMessage:
    return oai.ResponseOutputMessage(
        id="msg_model", content=list(content), role="assistant", status=status, type="message"
    )


def text(value: str, *annotations: Any) -> oai.ResponseOutputText:
    return oai.ResponseOutputText.model_validate(
        {"text": value, "annotations": list(annotations), "type": "output_text"}
    )


def added(item: Any) -> Any:
    return oai.ResponseOutputItemAddedEvent(item=item, type="response.output_item.added", **PLACE)


def done(item: Any) -> Any:
    return oai.ResponseOutputItemDoneEvent(item=item, type="response.output_item.done", **PLACE)


def part_added(part: Any) -> Any:
    return oai.ResponseContentPartAddedEvent(part=part, type="response.content_part.added", **PART)


def delta(value: str) -> Any:
    return oai.ResponseTextDeltaEvent(delta=value, logprobs=[], type="response.output_text.delta", **PART)


def text_done(value: str) -> Any:
    return oai.ResponseTextDoneEvent(text=value, logprobs=[], type="response.output_text.done", **PART)


def annotated(annotation: Any, index: int) -> Any:
    event = ResponseOutputTextAnnotationAddedEvent(
        annotation=URL,  # pyright: ignore[reportArgumentType]
        annotation_index=index,
        type="response.output_text.annotation.added",
        **PART,
    )
    # The openai client gives dictionaries, or other classes, for some of these, whatever the type says.
    vars(event)["annotation"] = annotation
    return event


def thought(value: str, *, ended: bool = False, index: int = 0, item: str = "rs_1") -> Any:
    place: dict[str, Any] = {**PLACE, "item_id": item, "summary_index": index}
    if ended:
        return oai.ResponseReasoningSummaryTextDoneEvent(
            text=value, type="response.reasoning_summary_text.done", **place
        )
    return oai.ResponseReasoningSummaryTextDeltaEvent(
        delta=value, type="response.reasoning_summary_text.delta", **place
    )


def image(result: str | None) -> ImageGenerationCall:
    return ImageGenerationCall(
        id="ig_1", result=result, status="completed" if result else "generating", type="image_generation_call"
    )


def streamed_message(*annotations: Any) -> list[Any]:
    known = [each for each in annotations if each in (URL, FILE, CONTAINER, NAMELESS, PATH)]
    final = text("Hello you.", *known)
    return [
        added(message(status="in_progress")),
        part_added(text("")),
        delta("Hello "),
        *[annotated(annotation, index) for index, annotation in enumerate(annotations)],
        delta("you."),
        text_done("Hello you."),
        done(message(final)),
    ]


PARTIAL_IMAGE = oai.ResponseImageGenCallPartialImageEvent(
    item_id="ig_1",
    output_index=0,
    partial_image_b64="QUE=",
    partial_image_index=1,
    sequence_number=0,
    type="response.image_generation_call.partial_image",
)


ENDING = message(text("Hello you."))
"""A run goes on until the model has said something."""


async def the_sdks(agent: Agent[Any], thread: ck.ThreadMetadata, store: Any) -> list[Any]:
    context = AgentContext[Any](thread=thread, store=store, request_context=None)
    result = Runner.run_streamed(agent, "hello", context=context)
    return [event async for event in stream_agent_response(context, result)]


def is_journal(event: ck.ThreadStreamEvent) -> bool:
    return isinstance(event, ck.ThreadItemDoneEvent) and is_hidden(event.item)


def normal(events: Sequence[ck.ThreadStreamEvent]) -> list[str]:
    """Events as JSON, with dates taken out and ids numbered as they appear."""
    names: dict[str, str] = {}
    found: list[str] = []
    for event in events:
        tree = json.loads(event.model_dump_json(exclude={"item": {"created_at"}}))
        item = tree.get("item") or tree
        key = "id" if "item" in tree else "item_id"
        item[key] = names.setdefault(item[key], f"#{len(names)}")
        found.append(json.dumps(tree, sort_keys=True))
    return found


@pytest.mark.parametrize(
    "events",
    [
        streamed_message(),
        streamed_message(URL, NAMELESS, FILE, PATH, CONTAINER),
        [added(image(None)), PARTIAL_IMAGE, done(image("QUJD"))],
        [*streamed_message(), added(image(None)), done(image("QUJD")), *streamed_message(URL)],
    ],
    ids=["text", "annotations", "image", "one after the other"],
)
async def test_the_same_events_as_the_sdk_makes(
    ask: Ask, thread: ck.ThreadMetadata, store: Any, events: list[Any]
):
    replay = await ask(Agent(name="A", model=RawModel(events, ENDING)))
    ours = [event for event in replay if not is_journal(event)]
    theirs = await the_sdks(Agent(name="A", model=RawModel(events, ENDING)), thread, store)
    # The SDK calls each message by the model's id, so two of the same id are one to it.
    if events.count(events[0]) == 1:
        assert normal(ours) == normal(theirs)
    else:
        assert [event.type for event in ours] == [event.type for event in theirs]


async def test_annotations_that_cannot_be_shown_leave_no_hole(ask: Ask):
    container = text("", CONTAINER).annotations[0]
    events = streamed_message(URL, PATH, NAMELESS, FILE, {"type": "new_kind"}, None, 7, container)
    replay = await ask(Agent(name="A", model=RawModel(events, ENDING)))
    updates = [event.update for event in replay if isinstance(event, ck.ThreadItemUpdatedEvent)]
    shown = [each for each in updates if isinstance(each, ck.AssistantMessageContentPartAnnotationAdded)]
    assert [each.annotation_index for each in shown] == [0, 1, 2]
    assert [(each.annotation.source.title, each.annotation.index) for each in shown] == [
        ("X", 4),
        ("plan.pdf", 2),
        ("out.csv", 7),
    ]


@pytest.mark.row("P11")
async def test_an_id_that_comes_back_each_turn_never_means_the_same_item(ask: Ask):
    model = ScriptedModel(
        Say(["one ", "two"], item_id="__fake_id__"),
        [Say("three", item_id="__fake_id__"), Say("four", item_id="__fake_id__")],
    )
    agent = Agent(name="A", model=model)
    replay = [event for event in await ask(agent) + await ask(agent) if not is_journal(event)]
    finished = [event.item for event in replay if isinstance(event, ck.ThreadItemDoneEvent)]
    assert [item.content[0].text for item in finished if isinstance(item, ck.AssistantMessageItem)] == [
        "one two",
        "three",
        "four",
    ]
    assert len({item.id for item in finished}) == 3
    assert all(item.id.startswith("msg_") for item in finished)
    begun = [event.item.id for event in replay if isinstance(event, ck.ThreadItemAddedEvent)]
    assert begun == [item.id for item in finished]
    known: set[str] = set()
    for event in replay:
        if isinstance(event, ck.ThreadItemAddedEvent):
            known.add(event.item.id)
        elif isinstance(event, ck.ThreadItemUpdatedEvent):
            assert event.item_id in known


async def test_a_message_that_only_ends_is_shown(ask: Ask):
    replay = await ask(Agent(name="A", model=RawModel([done(ENDING)], ENDING)))
    assert [event.type for event in replay] == ["thread.item.done"]


async def test_a_refusal_is_shown_as_text_and_reported(
    answering: Callable[[Agent[Any]], AsyncGenerator[ck.ThreadStreamEvent]],
):
    refusal = oai.ResponseOutputRefusal(refusal="I can't.", type="refusal")
    events = [
        added(message(status="in_progress")),
        part_added(oai.ResponseOutputRefusal(refusal="", type="refusal")),
        oai.ResponseRefusalDeltaEvent(delta="I can't.", type="response.refusal.delta", **PART),
        done(message(refusal)),
    ]
    replay: list[ck.ThreadStreamEvent] = []

    async def read() -> None:
        async for event in answering(Agent(name="A", model=RawModel(events, message(refusal)))):
            replay.append(event)  # noqa: PERF401 - the events before the error are the result

    with pytest.raises(AnswerRefusedError):
        await read()
    deltas = [
        event.update.delta
        for event in replay
        if isinstance(event, ck.ThreadItemUpdatedEvent)
        and isinstance(event.update, ck.AssistantMessageContentPartTextDelta)
    ]
    assert deltas == ["I can't."]
    assert isinstance(replay[-1], ck.ThreadItemDoneEvent)
    assert isinstance(replay[-1].item, ck.AssistantMessageItem)
    assert replay[-1].item.content == [ck.AssistantMessageContent(text="I can't.")]


async def test_reasoning_is_one_workflow_before_the_message(ask: Ask):
    reasoning = oai.ResponseReasoningItem(id="rs_1", summary=[], type="reasoning")
    events = [
        added(reasoning),
        thought("Let "),
        thought("me see"),
        thought("Let me see.", ended=True),
        thought("So ", index=1),
        thought("So it is.", ended=True, index=1),
        thought("Said at once.", ended=True, index=2),
        done(reasoning),
        *streamed_message(),
    ]
    replay = await ask(Agent(name="A", model=RawModel(events, ENDING)))
    item_ids = [event.item.id for event in replay if isinstance(event, ck.ThreadItemAddedEvent)]
    assert len(item_ids) == 2
    first, closed = replay[0], replay[[event.type for event in replay].index("thread.item.done")]
    assert isinstance(first, ck.ThreadItemAddedEvent)
    assert isinstance(closed, ck.ThreadItemDoneEvent)
    assert isinstance(closed.item, ck.WorkflowItem)
    assert closed.item.id == first.item.id == item_ids[0]
    assert closed.item.workflow.type == "reasoning"
    assert closed.item.workflow.expanded is False
    assert isinstance(closed.item.workflow.summary, ck.DurationSummary)
    assert [task.content for task in closed.item.workflow.tasks if isinstance(task, ck.ThoughtTask)] == [
        "Let me see.",
        "So it is.",
        "Said at once.",
    ]
    # The workflow is closed before the message begins.
    assert replay.index(closed) < [getattr(getattr(e, "item", None), "id", None) for e in replay].index(
        item_ids[1]
    )


async def test_reasoning_without_a_summary_shows_nothing(ask: Ask):
    reasoning = oai.ResponseReasoningItem(id="rs_1", summary=[], type="reasoning")
    events = [added(reasoning), done(reasoning), *streamed_message()]
    replay = await ask(Agent(name="A", model=RawModel(events, ENDING)))
    assert not any(isinstance(getattr(event, "item", None), ck.WorkflowItem) for event in replay)
