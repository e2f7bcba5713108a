"""Tool calls kept in a thread are read back, and nothing else is taken for one."""

from datetime import datetime
from typing import Any

import pytest
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    HiddenContextItem,
    SDKHiddenContextItem,
    ThreadItem,
)

from backchannel.chat.recovery.journal import HandOff, IntermediateMessage, ToolCall, read, to_item, tool_call

pytestmark = pytest.mark.row("H7", "H1")

KIND = "backchannel.tool_call"
BASE: dict[str, Any] = {"id": "hcx_1", "thread_id": "thr_1", "created_at": datetime(2026, 11, 22)}


def test_a_call_comes_back_as_it_was_kept():
    for call in (
        ToolCall(call_id="c1", name="list_todos", arguments='{"limit": 5}'),
        ToolCall(call_id="c1", name="list_todos", arguments="{}", output={"todos": [None]}, finished=True),
        ToolCall(call_id="c1", name="list_todos", arguments="", output=None, finished=True),
    ):
        item = HiddenContextItem(**BASE, content=call.model_dump())
        assert read(HiddenContextItem.model_validate_json(item.model_dump_json())) == call


@pytest.mark.parametrize(
    "item",
    [
        HiddenContextItem(**BASE, content="a string"),
        HiddenContextItem(**BASE, content=None),
        HiddenContextItem(**BASE, content=["kind", KIND]),
        HiddenContextItem(**BASE, content={}),
        HiddenContextItem(**BASE, content={"kind": "somebody.elses", "call_id": "c"}),
        HiddenContextItem(**BASE, content={"kind": KIND}),
        HiddenContextItem(**BASE, content={"kind": "backchannel.hand_off"}),
        HiddenContextItem(**BASE, content={"kind": KIND, "call_id": 7, "name": None, "arguments": {}}),
        SDKHiddenContextItem(**BASE, content=KIND),
        AssistantMessageItem(**BASE, content=[AssistantMessageContent(text=KIND)]),
    ],
)
def test_anything_else_is_not_a_call(item: ThreadItem):
    assert read(item) is None


def test_a_call_of_a_later_version_with_more_fields_is_read():
    content = {**ToolCall(call_id="c", name="n", arguments="{}").model_dump(), "approved_by": "ann"}
    call = read(HiddenContextItem(**BASE, content=content))
    assert isinstance(call, ToolCall)
    assert call.call_id == "c"


def test_what_is_no_call_is_not_taken_for_one():
    for entry in (HandOff(agent="Todo"), IntermediateMessage(item_id="msg_1")):
        item = to_item(entry, "thr_1")
        assert read(HiddenContextItem.model_validate_json(item.model_dump_json())) == entry
        assert tool_call(item) is None
