"""Output items and stream events as the Responses API documents them; how they are ordered is in `test_offline`."""

import pytest
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputItemAddedEvent,
)

from backchannel.models.response_events import Call, ResponseEvents, function_call, message, usage

pytestmark = pytest.mark.row("B7")


def test_ids_are_random_unless_given() -> None:
    assert message("a").id != message("a").id
    assert message("a", "msg_1").id == "msg_1"
    first, second = function_call(Call("f")), function_call(Call("f"))
    assert len({first.id, first.call_id, second.id, second.call_id}) == 4


def test_arguments_are_json_or_text_that_is_sent_unchecked() -> None:
    assert function_call(Call("f", {"a": ["é", None]})).arguments == '{"a": ["é", null]}'
    assert function_call(Call("f", "{")).arguments == "{"


def test_a_started_call_has_no_arguments_yet_and_the_item_keeps_them() -> None:
    item = function_call(Call("f", {"a": 1}))
    added, delta, done = ResponseEvents("m").call_started(0, item)
    assert isinstance(added, ResponseOutputItemAddedEvent)
    assert isinstance(added.item, ResponseFunctionToolCall)
    assert (added.item.arguments, added.item.status) == ("", "in_progress")
    assert (delta.type, done.type) == (
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
    )
    assert (item.arguments, item.status) == ('{"a": 1}', "completed")


def test_events_are_numbered_and_belong_to_one_response() -> None:
    events = ResponseEvents("m")
    item = message("Hi")
    sent = [*events.started(), *events.message_started(0, item), events.text_delta(0, item, "Hi")]
    last = events.completed([item], usage(3, 1))
    assert [event.sequence_number for event in [*sent, last]] == [0, 1, 2, 3, 4, 5]
    assert isinstance(last, ResponseCompletedEvent)
    assert (last.response.model, last.response.status, last.response.output) == ("m", "completed", [item])
    assert last.response.id == sent[0].response.id
    assert last.response.usage is not None
    assert last.response.usage.total_tokens == 4
