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


CHECK = {"id": "cu_sc_1", "code": "malicious_instructions", "message": "Careful."}
CLICK = {
    "type": "computer_call",
    "id": "cu_1",
    "call_id": "call_1",
    "status": "completed",
    "pending_safety_checks": [],
    "action": {"type": "click", "x": 1, "y": 2, "button": "left"},
}
SCREENSHOT = {
    "type": "computer_call_output",
    "call_id": "call_1",
    "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,aGk="},
}
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
    "name_of_tool_repeated": (
        chat(USER, tools=[tool("a"), tool("a")]),
        chat(USER, tools=[tool("a"), tool("b"), {"type": "custom", "name": "a"}]),
    ),
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
    "messages_empty": (chat(), chat(USER)),
    "array_too_long": (chat(USER, tools=129 * [tool("weather")]), chat(USER, tools=128 * [tool("weather")])),
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
    "safety_check_not_acknowledged": (
        items(USER, {**CLICK, "pending_safety_checks": [CHECK]}, SCREENSHOT),
        items(
            USER,
            {**CLICK, "pending_safety_checks": [CHECK]},
            {**SCREENSHOT, "acknowledged_safety_checks": [CHECK]},
        ),
    ),
    "reasoning_without_item": (items(USER, REASONING, ASKED), items(USER, REASONING, *ANSWERED)),
    "reasoning_with_content": (
        items(USER, {**REASONING, "content": [{"type": "reasoning_text", "text": "Hm."}]}, message()),
        items(USER, {**REASONING, "content": []}, message()),
    ),
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

BLANK = {"role": "user", "content": " "}
SHELL = {"type": "local_shell_call", "id": "lsh_1", "call_id": "call_9", "action": {}, "status": "completed"}
SHELL_OUTPUT = {"type": "local_shell_call_output", "call_id": "call_9", "output": "a"}
CUSTOM = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_9", "name": "calc", "input": "6*7"}
CUSTOM_OUTPUT = {"type": "custom_tool_call_output", "call_id": "call_9", "output": "42"}

ALSO_BAD: list[tuple[str, Json, list[str]]] = [
    ("openai-chat", chat(USER, {"role": "assistant"}, ASKED), ["assistant_without_content"]),
    (
        "openai-chat",
        chat(USER, calls(call()), {"role": "tool", "tool_call_id": "abcDEF123"}),
        ["content_null"],
    ),
    ("openai-chat", chat(USER, calls(call(), call("2nd")), output("2nd")), ["call_without_output"]),
    (
        "openai-chat",
        chat(USER, calls(call()), SAID, output()),
        ["call_without_output", "output_without_call"],
    ),
    ("openai-chat", called(call_id=None), ["call_id_missing"]),
    ("openai-chat", called(arguments=None), ["arguments_no_string"]),
    ("deepseek", chat(USER, {"role": "assistant", "content": []}, ASKED), ["assistant_with_empty_content"]),
    ("anthropic", chat(SYSTEM, calls(call()), output()), ["first_message_not_of_user"]),
    ("anthropic", called(arguments="[1]"), ["arguments_no_object"]),
    ("anthropic", called(name="x" * 129), ["name_of_tool_use"]),
    ("anthropic", chat(BLANK), ["text_blank"]),
    (
        "anthropic",
        chat(USER, {**SAID, "thinking_blocks": [{"type": "thinking", "thinking": "Hm."}]}, ASKED),
        ["thinking_without_signature"],
    ),
    ("mistral", chat(USER, calls(call()), output(), SYSTEM), ["user_after_output"]),
    ("mistral", chat(USER, metadata={}), ["unknown_field"]),
    ("gemini", chat(calls(call()), output()), ["call_not_after_user_or_output"]),
    ("llama.cpp", chat(SYSTEM, SAID), ["roles_do_not_alternate"]),
    ("llama.cpp", chat(SYSTEM, SYSTEM, USER), ["system_message_not_first"]),
    (
        "deepseek",
        {**called(), "model": "deepseek-chat", "thinking": {"type": "enabled"}},
        ["reasoning_missing_in_loop"],
    ),
    ("openai-responses", items(USER, REASONING), ["reasoning_without_item"]),
    ("openai-responses", items(USER, REASONING, USER), ["reasoning_without_item"]),
    ("openai-responses", items(fcall(), REASONING, foutput()), ["reasoning_without_item"]),
    (
        "openai-responses",
        items(USER, REASONING, {"type": "item_reference", "id": "msg_9"}),
        ["reasoning_without_item"],
    ),
    ("openai-responses", items({**REASONING, "id": "msg_1"}, message(item_id="msg_2")), ["id_prefix"]),
    ("openai-responses", items({"type": "item_reference", "id": ""}), ["id_characters"]),
    ("openai-responses", items(fcall("x" * 65), foutput("x" * 65)), ["id_too_long", "id_too_long"]),
    ("openai-responses", items(fcall(name=""), foutput()), ["string_empty"]),
    ("openai-responses", items(USER, tools=[{"type": "function", "name": "a.b"}]), ["name_characters"]),
    ("openai-responses", items(USER, tools=[{"type": "function", "name": "x" * 65}]), ["name_too_long"]),
    ("openai-responses", items(fcall(arguments={}), foutput()), ["value_of_other_type"]),
    ("openai-responses", items({"role": "user", "content": None}), ["value_of_other_type"]),
    ("openai-responses", items(message(None)), ["value_of_other_type"]),
    ("openai-responses", items({**REASONING, "status": "completed"}, message()), ["field_unknown"]),
    ("openai-responses", items(USER, SHELL), ["call_without_output"]),
    (
        "openai-responses",
        items(USER, SHELL, foutput("call_9")),
        ["call_without_output", "output_without_call"],
    ),
    ("openai-responses", items(USER, CUSTOM_OUTPUT), ["output_without_call"]),
    ("openai-responses", items(USER, {**CUSTOM, "id": "fc_1"}, CUSTOM_OUTPUT), ["id_prefix"]),
    ("openai-responses", items(USER, {**CUSTOM, "arguments": "{}"}, CUSTOM_OUTPUT), ["field_unknown"]),
    (
        "openai-responses",
        items(USER, {**CUSTOM, "call_id": ""}, {**CUSTOM_OUTPUT, "call_id": ""}),
        2 * ["string_empty"],
    ),
    ("openai-responses", items(USER, SHELL, {**SHELL_OUTPUT, "output": ["a"]}), ["value_of_other_type"]),
    ("openai-responses", items(USER, CLICK, {**SCREENSHOT, "output": "a"}), ["value_of_other_type"]),
    (
        "openai-responses",
        items(
            USER,
            {"type": "shell_call", "call_id": "call_9", "action": {"commands": ["ls"]}},
            {"type": "shell_call_output", "call_id": "call_9", "output": "a"},
        ),
        ["value_of_other_type"],
    ),
    (
        "openai-responses",
        items(
            USER,
            {"type": "apply_patch_call", "call_id": "call_9", "operation": {}, "status": "completed"},
            {"type": "apply_patch_call_output", "call_id": "call_9"},
        ),
        ["field_missing"],
    ),
    ("openai-responses", items({"type": "message", "role": "user", "content": LONG}), ["string_too_long"]),
    ("openai-responses", items(message(LONG)), ["string_too_long"]),
]
ALSO_BAD += [
    ("openai-chat", chat(*(2049 * [USER])), ["array_too_long"]),
    (
        "openai-chat",
        chat(USER, calls(*(call(f"c{n}") for n in range(129))), *(output(f"c{n}") for n in range(129))),
        ["array_too_long"],
    ),
    (
        "openai-responses",
        items({k: v for k, v in fcall().items() if k != "arguments"}, foutput()),
        ["field_missing"],
    ),
    (
        "openai-responses",
        items(fcall(), {"type": "function_call_output", "call_id": "call_1"}),
        ["field_missing"],
    ),
    (
        "deepseek",
        {**called(), "model": "deepseek-v4-pro", "thinking": {"type": "enabled"}},
        ["reasoning_missing"],
    ),
]
ALSO_GOOD: list[tuple[str, Json]] = [
    ("openai-chat", chat(*(2048 * [USER]))),
    ("openai-chat", chat({"role": "user", "content": []})),
    ("strictest", chat(SYSTEM, USER, calls(call()), output(content=""), SAID, ASKED)),
    ("strictest", chat(SYSTEM, USER, calls(call()), output(content=" "))),
    ("anthropic", chat(USER, {"role": "assistant", "content": [{"type": "text", "text": "It "}]}, ASKED)),
    ("openai-chat", chat(USER, tools=[tool("weather")], tool_choice="none", parallel_tool_calls=True)),
    ("openai-chat", chat(USER, tool_choice="none")),
    ("openai-chat", chat(USER, calls(call()), output(), ASKED)),
    ("llama.cpp", chat(USER, calls(call()), output())),
    ("gemini", {**called(), "model": "gemini-2.5-pro"}),
    ("deepseek", {**called(), "model": "deepseek-chat"}),
    ("deepseek", {**chat(USER, SAID, ASKED), "model": "deepseek-v4-pro"}),
    (
        "deepseek",
        {**chat(USER, calls(call(), reasoning_content="Hm."), output()), "model": "deepseek-v4-pro"},
    ),
    (
        "anthropic",
        chat(USER, {**SAID, "thinking_blocks": [{"type": "redacted_thinking", "data": "x"}]}, ASKED),
    ),
    ("openai-responses", {"model": "m", "input": "Hi"}),
    ("openai-responses", items(USER, REASONING, {**REASONING, "id": "rs_2"}, message())),
    ("openai-responses", items(USER, {"type": "reasoning", "summary": []}, ASKED)),
    ("openai-responses", items(USER, SAID, ASKED)),
    ("openai-responses", items(*ANSWERED, fcall("call_2", None), foutput("call_2"))),
    ("openai-responses", items(USER, tools=[{"type": "web_search"}])),
    ("openai-responses", items(USER, tools=[])),
    ("openai-responses", items({"type": "item_reference", "id": "tp_1"})),
    (
        "openai-responses",
        items({"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]}),
    ),
    ("openai-responses", items(USER, SHELL, SHELL_OUTPUT)),
    ("openai-responses", items(USER, {**CUSTOM, "name": "a.b"}, CUSTOM_OUTPUT)),
    ("openai-responses", items(USER, CLICK, SCREENSHOT)),
    ("openai-responses", items(USER, tools=[{"type": "mcp", "name": "x.y" * 30}])),
    ("openai-responses", items({"type": "mcp_call", "id": "mcp_1", "arguments": None, "output": None})),
    (
        "anthropic",
        chat(
            USER,
            {**SAID, "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}]},
            ASKED,
        ),
    ),
]
