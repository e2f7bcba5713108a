"""Ids of calls that the application executes: unique, so that no call takes the place of another."""

import pytest
from openai.types.responses import ResponseCustomToolCall, ResponseFunctionShellToolCall
from openai.types.responses.response_function_shell_tool_call_output import (
    ResponseFunctionShellToolCallOutput,
)

from backchannel.model_calls.output_items import clean_call_ids

pytestmark = pytest.mark.row("M3", "B10")


def custom(call_id: str) -> ResponseCustomToolCall:
    return ResponseCustomToolCall(type="custom_tool_call", call_id=call_id, name="calc", input="")


def test_an_id_that_occurred_before_is_replaced() -> None:
    output, taken = [custom("call_0"), custom("call_0"), custom(""), custom("call_7")], {"call_7"}
    clean_call_ids(output, taken)
    ids = [call.call_id for call in output]
    assert ids[0] == "call_0"
    assert len({*ids, ""}) == 5
    assert "call_7" not in ids
    assert taken == {*ids, "call_7"}


def test_a_call_that_the_provider_has_answered_keeps_its_id() -> None:
    shell = ResponseFunctionShellToolCall.model_construct(type="shell_call", call_id="call_0")
    answer = ResponseFunctionShellToolCallOutput.model_construct(type="shell_call_output", call_id="call_0")
    clean_call_ids([shell, answer], {"call_0"})
    assert (shell.call_id, answer.call_id) == ("call_0", "call_0")
