"""Hosted tools as tasks and entries of the journal, from what servers send of them."""

from typing import Any

import pytest
from chatkit import types as ck
from chatkit.store import Store
from openai.types.responses import (
    ResponseCodeInterpreterToolCall,
    ResponseCompletedEvent,
    ResponseFileSearchToolCall,
    ResponseFunctionWebSearch,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
)
from openai.types.responses.response_output_item import McpCall

from backchannel.chat.agent.activity import Activity
from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.hosted_tools import NO_OUTPUT, NOT_KEPT, HostedTools
from backchannel.chat.recovery import journal
from backchannel.context import RequestContext

pytestmark = pytest.mark.row("M25")


@pytest.fixture
def hosted(store: Store[Any], thread: ck.ThreadMetadata, request_context: RequestContext) -> HostedTools:
    context = AnswerContext(thread=thread, store=store, request_context=request_context)
    return HostedTools(context, Activity(context))


def done(item: Any, index: int = 0) -> Any:
    return ResponseOutputItemDoneEvent.model_construct(
        type="response.output_item.done", item=item, output_index=index, sequence_number=0
    )


def added(item: Any, index: int = 0) -> Any:
    return ResponseOutputItemAddedEvent.model_construct(
        type="response.output_item.added", item=item, output_index=index, sequence_number=0
    )


def calls(events: list[Any]) -> list[journal.ToolCall]:
    items = [event.item for event in events if isinstance(event, ck.ThreadItemDoneEvent)]
    return [call for item in items if (call := journal.tool_call(item)) is not None]


@pytest.mark.parametrize(
    ("item", "arguments", "output"),
    [
        (ResponseFunctionWebSearch.model_construct(type="web_search_call"), "{}", NOT_KEPT),
        (ResponseFunctionWebSearch.model_construct(
            type="web_search_call", action={"type": "search", "queries": ["a", "b"], "sources": [{"url": None}]}),
         '{"queries": ["a", "b"]}', NOT_KEPT),
        (ResponseFileSearchToolCall.model_construct(type="file_search_call", queries=None, results=None), "{}", NOT_KEPT),
        (ResponseFileSearchToolCall.model_construct(
            type="file_search_call", queries=["a"], results=[{"text": "x"}, {"filename": "b.txt", "text": None}]),
         '{"queries": ["a"]}', "File:\nx\n\nb.txt:"),
        (ResponseCodeInterpreterToolCall.model_construct(type="code_interpreter_call", code="1", outputs=[]),
         '{"code": "1"}', NO_OUTPUT),
        (ResponseCodeInterpreterToolCall.model_construct(
            type="code_interpreter_call", code=None, outputs=[{"type": "image", "url": "data:image/png;base64,AAAA"}]),
         "{}", "[An image.]"),
        (McpCall.model_construct(type="mcp_call", name="f", arguments="[1]", output=None), '{"arguments": [1]}', NO_OUTPUT),
        (McpCall.model_construct(type="mcp_call", name="f", arguments='{"a', output="x"), '{"arguments": "{\\"a"}', "x"),
        (McpCall.model_construct(type="mcp_call", name="f", arguments=None, error="no"), "{}", "The tool failed. no"),
    ],
)  # fmt: skip
def test_servers_leave_out_fields(hosted: HostedTools, item: Any, arguments: str, output: str) -> None:
    (call,) = calls(list(hosted.translate(done(item))))
    assert (call.arguments, call.output, call.finished) == (arguments, output, True)


def test_an_item_that_is_sent_twice_is_shown_once_and_again_in_the_next_response(hosted: HostedTools) -> None:
    item = ResponseFunctionWebSearch.model_construct(type="web_search_call", id="ws_1", action=None)
    sent = [added(item), added(item), done(item), done(item), added(item)]
    events = [each for event in sent for each in hosted.translate(event)]
    (first,) = calls(events)
    assert list(hosted.translate(ResponseCompletedEvent.model_construct(type="response.completed"))) == []
    (second,) = calls(list(hosted.translate(done(item))))
    assert first.call_id != second.call_id


def test_other_items_are_not_of_hosted_tools(hosted: HostedTools) -> None:
    for kind in ("function_call", "image_generation_call", "message", "mcp_list_tools"):
        item = McpCall.model_construct(type=kind, id="x")  # pyright: ignore[reportArgumentType]
        assert list(hosted.translate(done(item))) == []
