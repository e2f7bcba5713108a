"""What each oddity's answer must be like, by its bytes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass
class Seen:
    """An answer, as a client received it."""

    status: int
    content_type: str
    headers: dict[str, str]
    raw: bytes
    complete: bool

    @property
    def events(self) -> list[Any]:
        """The data of each event, parsed where it is JSON."""
        found = []
        for block in self.raw.replace(b"\r\n", b"\n").lstrip(b"\xef\xbb\xbf").split(b"\n\n"):
            lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
            if lines:
                data = b"\n".join(lines)
                found.append(json.loads(data) if data.startswith(b"{") else data.decode())
        return found

    @property
    def deltas(self) -> list[Any]:
        """The deltas of Chat Completions."""
        return [
            choice.get("delta")
            for event in self.events
            if isinstance(event, dict)
            for choice in event.get("choices", [])
        ]

    @property
    def calls(self) -> list[Json]:
        """The tool calls of both APIs, as they were sent."""
        found = [call for delta in self.deltas if delta for call in delta.get("tool_calls", [])]
        items = [event["item"] for event in self.events if self.is_event(event, "response.output_item.done")]
        return found + [item for item in items if item["type"] == "function_call"]

    @staticmethod
    def is_event(event: Any, kind: str) -> bool:
        return isinstance(event, dict) and event.get("type") == kind

    def kinds(self) -> list[str]:
        return [event.get("type", "") for event in self.events if isinstance(event, dict)]

    def of(self, kind: str) -> list[Json]:
        return [event for event in self.events if self.is_event(event, kind)]

    @property
    def reasons(self) -> list[str]:
        return [
            choice["finish_reason"]
            for event in self.events
            if isinstance(event, dict)
            for choice in event.get("choices", [])
            if choice.get("finish_reason")
        ]

    @property
    def text(self) -> str:
        """The text of both APIs, as its deltas say it."""
        said = [delta.get("content") or "" for delta in self.deltas if delta]
        said += [event["delta"] for event in self.of("response.output_text.delta")]
        return "".join(said)

    @property
    def last(self) -> Json:
        """The response of the last event of the Responses API."""
        return self.events[-1]["response"]


def name_of(call: Json) -> Any:
    return call["function"].get("name") if "function" in call else call["name"]


def arguments_of(call: Json) -> Any:
    return call["function"].get("arguments") if "function" in call else call["arguments"]


def id_of(call: Json) -> Any:
    return call.get("call_id") if "call_id" in call else call.get("id")


def arguments(expected: Any) -> Callable[[Seen], bool]:
    return lambda seen: [arguments_of(call) for call in seen.calls] == [expected]


def names(*expected: Any) -> Callable[[Seen], bool]:
    return lambda seen: [name_of(call) for call in seen.calls] == list(expected)


def ids(*expected: Any) -> Callable[[Seen], bool]:
    return lambda seen: [id_of(call) for call in seen.calls] == list(expected)


def says(text: str) -> Callable[[Seen], bool]:
    return lambda seen: seen.text == text


def ends(status: str, **fields: Any) -> Callable[[Seen], bool]:
    def check(seen: Seen) -> bool:
        kind = seen.events[-1]["type"] == f"response.{status}" and seen.last["status"] == status
        return (
            kind
            and all(seen.last[name] == value for name, value in fields.items())
            and seen.text == "Rain is"
        )

    return check


def lacks(kind: str) -> Callable[[Seen], bool]:
    return lambda seen: kind not in seen.kinds() and "response.output_text.delta" in seen.kinds()


def parts(seen: Seen) -> list[Json]:
    return [part for item in seen.last["output"] for part in item.get("content", [])]


def statuses(*expected: str) -> Callable[[Seen], bool]:
    return lambda seen: (
        [event["item"]["status"] for event in seen.of("response.output_item.done")] == list(expected)
    )


BURST = "".join(f"word{number} " for number in range(400))

EXPECTED: dict[str, Callable[[Seen], bool]] = {
    "cut_arguments": arguments('{"q": "x'),
    "empty_arguments": arguments(""),
    "arguments_no_object": arguments('""'),
    "arguments_after_braces": arguments('{}{"q": "x"}'),
    "arguments_object": arguments({"q": "x"}),
    "template_tokens_in_name": names("weather<|channel|>commentary"),
    "functions_prefix": names("functions.weather"),
    "unknown_tool": names("multi_tool_use.parallel"),
    "empty_name": names(""),
    "call_0": ids("call_0"),
    "empty_id": ids(""),
    "long_id": ids("x" * 1324),
    "other_characters_in_id": ids("functions.weather:0"),
    "no_id": lambda seen: "id" not in seen.calls[0],
    "null_id": lambda seen: seen.calls[0]["id"] is None,
    "same_id_twice": ids("call_same", "call_same"),
    "no_index": lambda seen: "index" not in seen.calls[0],
    "index_always_0": lambda seen: (
        [call["index"] for call in seen.calls] == [0, 0] and seen.calls[0] != seen.calls[1]
    ),
    "index_from_1": lambda seen: [call["index"] for call in seen.calls] == [1],
    "name_in_every_delta": names("weather", "weather", "weather"),
    "name_in_pieces": names("wea", "ther"),
    "arguments_before_name": names(None, "weather"),
    "call_with_reason_stop": lambda seen: (
        seen.reasons == ["stop"] and len(seen.deltas) == len(seen.calls) == 1
    ),
    "reason_without_calls": lambda seen: seen.reasons == ["tool_calls"] and seen.calls == [],
    "empty_text_beside_call": lambda seen: (
        b'"content": ' in seen.raw and seen.text == "" and len(seen.calls) == 1
    ),
    "blank_text_beside_call": lambda seen: seen.text == "\n\n" and len(seen.calls) == 1,
    "signature_with_call": lambda seen: seen.calls[0]["extra_content"]["google"]["thought_signature"] != "",
    "thoughts_with_call": lambda seen: "reasoning_content" in seen.deltas[0] and len(seen.calls) == 1,
    "empty_text": says(""),
    "blank_text": says(" \n\u00a0"),
    "nothing": lambda seen: seen.text == "" and seen.calls == [] and b"message" not in seen.raw,
    "empty_content_list": lambda seen: seen.last["output"][0]["content"] == [],
    "content_null": lambda seen: [delta["content"] for delta in seen.deltas[:2]] == [None, None],
    "content_list": lambda seen: (
        [delta["content"][0]["type"] for delta in seen.deltas[:2]] == ["thinking", "text"]
    ),
    "refusal": lambda seen: b'refusal": "I cannot help with that."' in seen.raw and seen.text == "",
    "split_emoji": lambda seen: b'Rain \\ud83d"' in seen.raw and b'"\\ude00."' in seen.raw,
    "lone_surrogate": lambda seen: b'Rain \\ud83d"' in seen.raw and b"\\ude" not in seen.raw,
    "cut_json": says('{"answer": "Rain'),
    "nul": lambda seen: b"Ra\\u0000in." in seen.raw,
    "byte_order_mark": lambda seen: seen.raw.startswith(b"\xef\xbb\xbf") and seen.text == "\ufeffRain.",
    "reasoning_content": lambda seen: (
        [d.get("reasoning_content") for d in seen.deltas[:2]] == ["It is ", "autumn."]
    ),
    "reasoning": lambda seen: [d.get("reasoning") for d in seen.deltas[:2]] == ["It is ", "autumn."],
    "reasoning_details": lambda seen: seen.deltas[0]["reasoning_details"][0]["type"] == "reasoning.text",
    "thoughts_beside_text": lambda seen: {"reasoning_content", "content"} == set(seen.deltas[0]),
    "think_tags": says("<think>It is autumn.</think>Rain."),
    "think_tags_split": lambda seen: (
        seen.text == "<think>It is autumn.</think>\n\nRain."
        and b"<think>" not in seen.raw.partition(b"output_text.done")[0]
    ),
    "think_unclosed": says("<think>It is autumn."),
    "think_closing_only": says("It is autumn.</think>Rain."),
    "burst_then_error": lambda seen: seen.text == BURST and b'"server_error"' in seen.raw and seen.complete,
    "burst_then_drop": lambda seen: seen.text == BURST and not seen.complete,
    "burst_then_end": lambda seen: (
        seen.text == BURST
        and seen.complete
        and seen.reasons == []
        and "response.completed" not in seen.kinds()
    ),
    "no_done": lambda seen: seen.text == "Rain." and b"[DONE]" not in seen.raw and seen.reasons == ["stop"],
    "garbage_after_done": lambda seen: seen.raw.endswith(b"data: [DONE]\n\ndata: bye\n\n"),
    "error_chunk": lambda seen: seen.events[-1]["error"]["code"] == 502 and seen.reasons == ["error"],
    "reason_error": lambda seen: seen.reasons == ["error"] and b'"error":' not in seen.raw,
    "html": lambda seen: (
        seen.content_type.startswith("text/html") and seen.raw.startswith(b"<!DOCTYPE html>")
    ),
    "plain_json": lambda seen: seen.content_type == "application/json" and b"Rain." in seen.raw,
    "empty": lambda seen: seen.raw == b"" and seen.complete,
    "error_with_200": lambda seen: json.loads(seen.raw)["error"]["type"] == "server_error",
    "error_event": lambda seen: seen.events == [{"error": {"message": "quota exceeded"}}, "[DONE]"],
    "data_without_space": lambda seen: b"data: " not in seen.raw and seen.text == "Rain.",
    "carriage_returns": lambda seen: (
        seen.raw.count(b"\r\n") == seen.raw.count(b"\n") and seen.text == "Rain."
    ),
    "comments": lambda seen: seen.raw.startswith(b": OPENROUTER") and seen.text == "Rain.",
    "data_on_two_lines": lambda seen: b"data: {\ndata: " in seen.raw and seen.text == "Rain.",
    "no_choices": lambda seen: seen.events[0]["choices"] == [] and "prompt_filter_results" in seen.events[0],
    "no_delta": lambda seen: "delta" not in seen.events[0]["choices"][0],
    "delta_null": lambda seen: seen.events[0]["choices"][0]["delta"] is None,
    "no_usage": lambda seen: b"usage" not in seen.raw and seen.text == "Rain.",
    "usage_null": lambda seen: all(event["usage"] is None for event in seen.events[:-1]),
    "reason_length": lambda seen: seen.reasons == ["length"],
    "reason_content_filter": lambda seen: seen.reasons == ["content_filter"],
    "no_reason": lambda seen: seen.reasons == [] and seen.text == "Rain.",
    "reason_unknown": lambda seen: seen.reasons == ["MALFORMED_FUNCTION_CALL"],
    "slow_headers": says("Rain."),
    "slow_first_byte": says("Rain."),
    "silence": says("Rain again."),
    "trickle": says("Rain, r\u00e9ally."),
    "no_item_added": lacks("response.output_item.added"),
    "no_item_done": lacks("response.output_item.done"),
    "only_completed": lambda seen: (
        seen.kinds() == ["response.completed"] and parts(seen)[0]["text"] == "Rain again."
    ),
    "completed_empty": lambda seen: seen.last["output"] == [] and seen.text == "Rain again.",
    "completed_without_output": lambda seen: "output" not in seen.last and seen.text == "Rain again.",
    "ids_change": lambda seen: len({e["item_id"] for e in seen.events if "item_id" in e}) == 5,
    "ids_of_thoughts_change": lambda seen: (
        len({e["item_id"] for e in seen.events if "summary_index" in e}) == 5
        and min(len(e["item_id"]) for e in seen.events if "summary_index" in e) > 300
    ),
    "no_annotations": lambda seen: "annotations" not in parts(seen)[0],
    "text_null": lambda seen: parts(seen)[0]["text"] is None,
    "unknown_item": lambda seen: seen.last["output"][0]["type"] == "telepathy_call",
    "unknown_event": lambda seen: "response.telepathy.delta" in seen.kinds() and seen.text == "Rain again.",
    "deltas_twice": says("Rain Rain again.again."),
    "incomplete_length": ends("incomplete", incomplete_details={"reason": "max_output_tokens"}),
    "incomplete_content_filter": ends("incomplete", incomplete_details={"reason": "content_filter"}),
    "failed": lambda seen: ends("failed")(seen) and seen.last["error"]["code"] == "server_error",
    "failed_rate_limit": lambda seen: (
        ends("failed")(seen) and seen.last["error"]["code"] == "rate_limit_exceeded"
    ),
    "cancelled": ends("cancelled"),
    "error_in_mid_answer": lambda seen: seen.kinds()[-1] == "error" and seen.text == "Rain is",
    "image_failed": statuses("failed"),
    "image_generating": lambda seen: statuses("generating")(seen) and seen.last["output"][0]["result"] != "",
    "image_jpeg": lambda seen: seen.last["output"][0]["result"].startswith("/9j/"),
    "image_webp": lambda seen: seen.last["output"][0]["result"].startswith("UklGR"),
    "two_images": statuses("completed", "completed"),
}
