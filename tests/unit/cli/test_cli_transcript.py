"""An answer on a terminal: messages, tools, hand-offs and errors, in their order."""

import io
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest
from rich.console import Console

from backchannel.cli.transcript import Transcript

pytestmark = pytest.mark.row("H4", "B5")


def message(item_id: str, *texts: str) -> dict[str, Any]:
    content: list[dict[str, Any]] = [
        {"type": "output_text", "text": text, "annotations": []} for text in texts
    ]
    return {"id": item_id, "type": "assistant_message", "content": content}


def task(title: str | None, state: str, content: str | None = None) -> dict[str, Any]:
    return {"type": "custom", "title": title, "status_indicator": state, "content": content}


def workflow(*tasks: dict[str, Any]) -> dict[str, Any]:
    return {"id": "wf", "type": "workflow", "workflow": {"type": "custom", "tasks": list(tasks)}}


def added(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "thread.item.added", "item": item}


def done(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "thread.item.done", "item": item}


def update(item_id: str, kind: str, **rest: Any) -> dict[str, Any]:
    return {"type": "thread.item.updated", "item_id": item_id, "update": {"type": kind, **rest}}


def delta(text: str, index: int = 0) -> dict[str, Any]:
    return update("m", "assistant_message.content_part.text_delta", content_index=index, delta=text)


def shown(events: Sequence[dict[str, Any]]) -> list[str]:
    """The lines that a terminal of 100 columns shows, without empty ones."""
    transcript = Transcript()
    for event in events:
        transcript.apply(deepcopy(event))
        transcript.render()
    console = Console(width=100, record=True, force_terminal=False, file=io.StringIO())
    console.print(transcript.render())
    return [line.strip() for line in console.export_text().splitlines() if line.strip()]


def test_a_message_as_it_streams():
    begun = [
        added(message("m")),
        update(
            "m",
            "assistant_message.content_part.added",
            content_index=0,
            content={"type": "output_text", "text": "", "annotations": []},
        ),
        delta("Hello "),
        delta("**you**."),
    ]
    assert shown(begun) == ["Hello you."]
    assert shown([*begun, done(message("m", "Hello all."))]) == ["Hello all."]
    assert shown([added(message("m")), delta("second", 1), delta("first")]) == ["first", "second"]


def test_tools_and_hand_offs_are_lines_with_marks():
    begun = [
        added(workflow(task("Add todo", "loading", "title: Milk"))),
        update("wf", "workflow.task.added", task=task("Finding", "loading"), task_index=1),
    ]
    assert shown(begun) == ["◌ Add todo  title: Milk", "◌ Finding"]
    changed = [
        *begun,
        update("wf", "workflow.task.updated", task_index=1, task=task("Search is answering", "complete")),
        update("wf", "workflow.task.updated", task_index=0, task=task("Add todo", "none")),
    ]
    assert shown(changed) == ["· Add todo", "✓ Search is answering"]


def test_items_stay_in_the_order_they_came_and_leave_when_removed():
    events = [
        added(workflow(task("Look", "complete"))),
        done(message("a", "First")),
        done({"id": "w", "type": "widget", "widget": {}, "copy_text": "A card"}),
        done(message("b", "Second")),
        done({"id": "c", "type": "client_tool_call", "name": "pick"}),
    ]
    assert shown(events) == ["✓ Look", "First", "A card", "Second", "◌ waits for a result of pick"]
    assert shown([*events, {"type": "thread.item.removed", "item_id": "a"}])[1] == "A card"
    image = {"id": "i", "type": "generated_image", "image": None}
    assert shown([added(image)]) == ["◌ makes an image"]
    assert shown([done({**image, "image": {"id": "ig", "url": "data:"}})])[0].startswith("(an image")
    assert shown([done({"id": "w", "type": "widget", "widget": {}})])[0].startswith("(a widget")


@pytest.mark.row("M23b")
def test_errors_and_notices_come_last():
    events = [
        {"type": "notice", "level": "info", "message": "Careful."},
        {"type": "error", "message": "It failed.", "allow_retry": True},
        {
            "type": "error",
            "code": "custom",
            "reason": "answer_empty",
            "message": "Empty. Try again.",
            "allow_retry": True,
        },
        {"type": "error", "code": "stream.error", "allow_retry": False},
        done(message("a", "Partly")),
    ]
    assert shown(events) == [
        "Partly",
        "Careful.",
        "It failed. You can try again.",
        "Empty. Try again. (answer_empty)",
        "The answer failed. (stream.error)",
    ]


@pytest.mark.row("M16b")
def test_tools_that_failed_and_that_did_not_finish_have_marks_of_their_own():
    thought = {**task(None, "none", "Failed. I try again."), "type": "thought"}
    tasks = [task("Look", "none", "Failed. city: Rome"), task("Add", "none", "Not finished."), thought]
    assert shown([done(workflow(*tasks))]) == [
        "✗ Look  Failed. city: Rome",
        "– Add  Not finished.",
        "· thought  Failed. I try again.",
    ]


def test_what_is_not_known_is_passed_over():
    assert (
        shown(
            [
                {"type": "thread.created", "thread": {"id": "thr_1"}},
                {"type": "stream_options", "stream_options": {}},
                {"type": "something.new"},
                done({"id": "u", "type": "user_message", "content": []}),
                done({"id": "n", "type": "new_kind"}),
                delta("to nobody"),
                update("m", "new.update"),
                {"type": "thread.item.removed", "item_id": "nobody"},
            ]
        )
        == []
    )


def test_marks_of_rich_in_what_people_say_are_only_text():
    assert shown([{"type": "error", "message": "[red]no[/blue]"}]) == ["[red]no[/blue]"]
    assert shown([done(message("m", "use [bold]x[/bold]"))]) == ["use [bold]x[/bold]"]
    assert shown([added(workflow(task("[/red]", "complete", "[/]")))]) == ["✓ [/red]  [/]"]


def test_the_plain_text_of_an_answer():
    transcript = Transcript()
    for event in (
        added(workflow(task("Look", "complete"))),
        done(message("a", "One", "Two")),
        done(message("b", "Three")),
    ):
        transcript.apply(event)
    assert transcript.text == "One\n\nTwo\n\nThree"
