"""For each rule a request that breaks it, and one like it that does not."""

from typing import Any

Json = dict[str, Any]
USER = {"role": "user", "content": "What is the weather?"}
ASKED = {"role": "user", "content": "And tomorrow?"}
SAID = {"role": "assistant", "content": "It rains."}
SYSTEM = {"role": "system", "content": "Be brief."}


def call(call_id: Any = "abcDEF123", name: Any = "weather", arguments: Any = "{}", **more: Any) -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def calls(*given: Json, **more: Any) -> Json:
    return {"role": "assistant", "content": None, "tool_calls": list(given), **more}


def output(call_id: Any = "abcDEF123", content: Any = "Rain") -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def chat(*messages: Json, **more: Any) -> Json:
    return {"model": "m", "messages": list(messages), **more}


def called(**changes: Any) -> Json:
    """A request with a call of a tool and its output."""
    given = call(**changes)
    return chat(USER, calls(given), output(given["id"]))


def tool(name: str) -> Json:
    return {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": {}}},
    }


def items(*given: Json, **more: Any) -> Json:
    return {"model": "m", "input": list(given), **more}


def fcall(call_id: Any = "call_1", item_id: Any = "fc_1", **more: Any) -> Json:
    return {
        "type": "function_call",
        "id": item_id,
        "call_id": call_id,
        "name": "weather",
        "arguments": "{}",
        **more,
    }


def foutput(call_id: Any = "call_1", given: Any = "Rain", **more: Any) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": given, **more}


def message(text: Any = "It rains.", item_id: str = "msg_1", kind: str = "output_text") -> Json:
    part = {"type": kind, "text": text, "annotations": []}
    return {"type": "message", "id": item_id, "role": "assistant", "status": "completed", "content": [part]}


REASONING = {"type": "reasoning", "id": "rs_1", "summary": []}
SIGNED = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
LONG = "x" * 10_485_761

CHAT: dict[str, tuple[Json, Json]] = {
    "call_without_output": (chat(USER, calls(call()), ASKED), called()),
    "output_without_call": (chat(USER, output()), called()),
    "repeated_output": (
        chat(USER, calls(call()), output(), output()),
        chat(USER, calls(call(), call("other1234")), output(), output("other1234")),
    ),
    "repeated_call_id": (
        chat(USER, calls(call()), output(), SAID, ASKED, calls(call()), output()),
        chat(USER, calls(call()), output(), SAID, ASKED, calls(call("other1234")), output("other1234")),
    ),
    "call_id_missing": (called(call_id=""), called()),
    "call_id_too_long": (called(call_id="x" * 41), called(call_id="x" * 40)),
    "call_id_format": (called(call_id="call_abcd"), called(call_id="abcdEFG12")),
    "call_id_characters": (called(call_id="functions.weather:0"), called(call_id="toolu_A-1")),
    "name_missing": (called(name=""), called()),
    "name_characters": (called(name="lookup<|channel|>commentary"), called(name="look-up_2")),
    "name_too_long": (chat(USER, tools=[tool("x" * 65)]), chat(USER, tools=[tool("x" * 64)])),
    "name_of_tool_use": (called(name="functions.weather"), called(name="x" * 128)),
    "name_of_declaration": (chat(USER, tools=[tool("2nd")]), chat(USER, tools=[tool("_a.b:c-d")])),
    "arguments_no_string": (called(arguments={"city": "Rome"}), called(arguments='{"city": "Rome"}')),
    "arguments_no_json": (called(arguments='{"q": "x'), called(arguments="[]")),
    "arguments_no_object": (called(arguments='""'), called(arguments="{}")),
    "first_message_not_of_user": (chat(SYSTEM, SAID, USER), chat(SYSTEM, USER)),
    "last_message_of_assistant": (chat(USER, SAID), chat(USER, SAID, ASKED)),
    "call_not_after_user_or_output": (chat(USER, SAID, calls(call()), output()), called()),
    "user_after_output": (
        chat(USER, calls(call()), output(), ASKED),
        chat(USER, calls(call()), output(), SAID, ASKED),
    ),
    "roles_do_not_alternate": (
        chat(SYSTEM, USER, ASKED),
        chat(SYSTEM, USER, calls(call()), output(), SAID, ASKED),
    ),
    "system_message_not_first": (chat(USER, SYSTEM), chat(SYSTEM, USER)),
    "developer_role": (chat({"role": "developer", "content": "Be brief."}, USER), chat(SYSTEM, USER)),
    "no_messages": (chat(SYSTEM), chat(SYSTEM, USER)),
    "assistant_without_content": (
        chat(USER, {"role": "assistant", "content": None}, ASKED),
        chat(USER, {"role": "assistant", "refusal": "No."}, ASKED),
    ),
    "assistant_with_empty_content": (
        chat(USER, {"role": "assistant", "content": ""}, ASKED),
        chat(USER, calls(call()), output()),
    ),
    "content_null": (chat({"role": "user", "content": None}), chat(USER, calls(call()), output())),
    "content_empty_list": (
        chat({"role": "user", "content": []}),
        chat({"role": "user", "content": [{"type": "text", "text": "Hi"}]}),
    ),
    "calls_empty_list": (chat(USER, {**SAID, "tool_calls": []}, ASKED), chat(USER, SAID, ASKED)),
    "text_empty": (
        chat(USER, {**calls(call()), "content": ""}, output()),
        chat(USER, calls(call()), output(content="")),
    ),
    "text_blank": (
        chat(USER, {"role": "assistant", "content": [{"type": "text", "text": " \n"}]}, ASKED),
        chat({"role": "user", "content": " . "}),
    ),
    "message_without_parts": (chat({"role": "user", "content": ""}), chat(USER, calls(call()), output())),
    "last_text_ends_blank": (
        chat(USER, {"role": "assistant", "content": "It "}),
        chat(USER, {"role": "assistant", "content": "It "}, ASKED),
    ),
    "text_too_long": (chat({"role": "user", "content": LONG}), chat({"role": "user", "content": LONG[1:]})),
    "lone_surrogate": (
        chat({"role": "user", "content": "half \ud83d"}),
        chat({"role": "user", "content": "whole \U0001f600"}),
    ),
    "unknown_field": (
        chat(USER, {**SAID, "reasoning_content": "Hm."}, ASKED),
        chat(USER, SAID, ASKED, temperature=0),
    ),
    "tools_empty": (chat(USER, tools=[]), chat(USER)),
    "choice_without_tools": (
        chat(USER, tool_choice="auto"),
        chat(USER, tools=[tool("weather")], tool_choice="auto"),
    ),
    "parallel_without_tools": (
        chat(USER, parallel_tool_calls=False),
        chat(USER, tools=[tool("weather")], parallel_tool_calls=False),
    ),
    "thought_signature_missing": (
        {**called(), "model": "gemini-3-pro"},
        # Only the first call of a message, and only those of the current turn.
        {
            **chat(
                USER,
                calls(call("old123456")),
                output("old123456"),
                SAID,
                ASKED,
                calls(call(**SIGNED), call("2nd123456")),
                output(),
                output("2nd123456"),
            ),
            "model": "gemini-3-pro",
        },
    ),
    "reasoning_missing_in_loop": (
        {**called(), "model": "deepseek-reasoner"},
        {
            **chat(
                USER,
                calls(call()),
                output(),
                SAID,
                ASKED,
                calls(call("2nd123456"), reasoning_content=""),
                output("2nd123456"),
            ),
            "model": "deepseek-reasoner",
        },
    ),
    "reasoning_missing": (
        {**chat(USER, calls(call()), output(), SAID, ASKED), "model": "deepseek-v4-pro"},
        {**called(), "model": "deepseek-v4-pro", "thinking": {"type": "disabled"}},
    ),
    "thinking_without_signature": (
        chat(USER, {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}]}, ASKED),
        chat(
            USER,
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}]},
            ASKED,
        ),
    ),
}

ANSWERED = (fcall(), foutput())
RESPONSES: dict[str, tuple[Json, Json]] = {
    "call_without_output": (items(USER, fcall()), items(USER, *ANSWERED)),
    "output_without_call": (items(USER, foutput(), fcall()), items(USER, *ANSWERED)),
    "repeated_call_id": (
        items(*ANSWERED, fcall(item_id="fc_2"), foutput()),
        items(*ANSWERED, fcall("call_2", "fc_2"), foutput("call_2")),
    ),
    "reasoning_without_item": (items(USER, REASONING, ASKED), items(USER, REASONING, *ANSWERED)),
    "repeated_id": (items(message(), message()), items(message(), message(item_id="msg_2"))),
    "id_prefix": (items(fcall(item_id="msg_1"), foutput()), items(*ANSWERED)),
    "id_characters": (items(message(item_id="msg-1")), items(message(item_id="msg_1"))),
    "id_too_long": (items(message(item_id="msg_" + 61 * "1")), items(message(item_id="msg_" + 60 * "1"))),
    "string_empty": (items(fcall(call_id=""), foutput("")), items(*ANSWERED)),
    "name_characters": (items(fcall(name="functions.weather"), foutput()), items(*ANSWERED)),
    "name_too_long": (items(fcall(name="x" * 65), foutput()), items(fcall(name="x" * 64), foutput())),
    "field_missing": (
        items(USER, {"type": "reasoning", "id": "rs_1"}, message()),
        items(USER, REASONING, message()),
    ),
    "field_unknown": (items(fcall(provider_data={}), foutput()), items(fcall(status="completed"), foutput())),
    "type_unknown": (items({"type": "telepathy"}), items({"type": "item_reference", "id": "msg_1"})),
    "content_of_other_role": (items(message(kind="input_text")), items(message())),
    "value_of_other_type": (
        items(fcall(), foutput(given={"rain": True})),
        items(fcall(), foutput(given=[{"type": "input_text", "text": "Rain"}])),
    ),
    "string_too_long": (items(fcall(), foutput(given=LONG)), items(fcall(), foutput(given=LONG[1:]))),
    "lone_surrogate": (items(fcall(arguments='{"q": "\udc00"}'), foutput()), items(*ANSWERED)),
}
