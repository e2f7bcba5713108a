"""Repairs chunks of Chat Completions as compatible endpoints send them."""

import json
from typing import Any, cast

from backchannel.models.token_counts import count

_CHOICE: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": None}


class ChunkRepair:
    """Repairs the chunks of one stream, in order.

    Attributes:
        finish_reason: The last finish reason of choice 0, in OpenAI's words.
        usage: The last usage, as input and output tokens.
    """

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.usage: tuple[int, int] | None = None
        self._ids: dict[int, str] = {}
        self._names: dict[int, str] = {}
        self._last = -1

    def repair(self, chunk: dict[str, Any]) -> dict[str, Any]:
        """The chunk with the fields that the client and the Agents SDK read. Modifies `chunk`."""
        choices: Any = chunk.get("choices")
        if choices is None:
            if "usage" not in chunk or "error" in chunk:
                return _error(chunk)
            choices = []
        usage = chunk.get("usage")
        if usage is not None:
            chunk["usage"] = counts = _usage(usage)
            if counts is not None:
                self.usage = counts["prompt_tokens"], counts["completion_tokens"]
        if choices.__class__ is list and len(choices) == 1 and self._is_plain(choices[0]):
            return chunk
        chunk["choices"] = [
            self._choice(cast("dict[str, Any]", each))
            for each in cast("list[Any]", choices if isinstance(choices, list) else [choices])
            if isinstance(each, dict)
        ]
        for name, value in (
            ("id", "chatcmpl"),
            ("created", 0),
            ("model", ""),
            ("object", "chat.completion.chunk"),
        ):
            if chunk.get(name) is None:
                chunk[name] = value
        return chunk

    def _is_plain(self, choice: Any) -> bool:
        """Whether a choice is a text delta like OpenAI's: nearly all chunks are."""
        if (
            choice.__class__ is not dict
            or choice.get("finish_reason") is not None
            or choice.get("index") != 0
        ):
            return False
        delta = choice.get("delta")
        return (
            delta.__class__ is dict
            and delta.get("content").__class__ is str
            and (len(delta) == 1 or (len(delta) == 2 and "role" in delta))
        )

    def _choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        index = choice.get("index")
        delta: Any = choice.get("delta") or choice.get("message") or {}
        if not delta and isinstance(choice.get("text"), str):
            delta = {"content": choice["text"]}
        repaired: dict[str, Any] = {**_CHOICE, **choice, "index": index if isinstance(index, int) else 0}
        repaired.pop("message", None)
        repaired["delta"] = (
            self._delta(dict(cast("dict[str, Any]", delta))) if isinstance(delta, dict) else {}
        )
        repaired["finish_reason"] = openai_finish_reason(choice.get("finish_reason"))
        if repaired["index"] == 0:
            self.finish_reason = repaired["finish_reason"] or self.finish_reason
        return repaired

    def _delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        content = delta.get("content")
        if isinstance(content, list):
            text, thought = _content_parts(cast("list[Any]", content))
            delta["content"] = text or None
            if thought:
                delta["reasoning_content"] = thought
        elif content is not None and not isinstance(content, str):
            delta["content"] = json.dumps(content, ensure_ascii=False)
        audio: Any = delta.pop("audio", None)
        if isinstance(audio, dict) and not delta.get("content"):
            # The Agents SDK fails for audio; the transcript is what can be shown.
            transcript = cast("dict[str, Any]", audio).get("transcript")
            delta["content"] = transcript if isinstance(transcript, str) else None
        _repair_reasoning(delta)
        calls: Any = delta.pop("tool_calls", None)
        function: Any = delta.pop("function_call", None)
        if isinstance(function, dict):
            # The API before tools.
            calls = [{"index": 0, "id": self._ids.get(0) or "call_0", "function": function}]
        if isinstance(calls, dict):
            calls = [calls]
        if isinstance(calls, list) and calls:
            delta["tool_calls"] = [
                self._call(cast("dict[str, Any]", each))
                for each in cast("list[Any]", calls)
                if isinstance(each, dict)
            ]
        return delta

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        function: Any = call.get("function")
        function = dict(cast("dict[str, Any]", function)) if isinstance(function, dict) else {}
        call_id = call.get("id")
        call_id = call_id if isinstance(call_id, str) and call_id else None
        name = function.get("name") if isinstance(function.get("name"), str) else None
        index = self._index(call.get("index"), call_id, name)
        if call_id is not None:
            self._ids.setdefault(index, call_id)
        if name:
            known = self._names.get(index, "")
            # Some servers repeat the name with each delta, some send it in pieces. The Agents SDK takes the last.
            name = self._names[index] = name if name.startswith(known) else known + name
        arguments = function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        # Some servers repeat the id with each delta, some send another: the first is the call's.
        return {
            **call,
            "index": index,
            "id": self._ids[index] if call_id is not None else None,
            "type": "function",
            "function": {**function, "name": name or None, "arguments": arguments or ""},
        }

    def _index(self, index: object, call_id: str | None, name: str | None) -> int:
        """The index of a delta's call. Servers omit it, or send 0 for each of several calls."""
        if not isinstance(index, int):
            if call_id is not None and call_id in self._ids.values():
                index = next(place for place, known in self._ids.items() if known == call_id)
            else:
                index = self._last + 1 if call_id is not None or name or self._last < 0 else self._last
        elif (
            index in self._names
            and name
            and call_id is not None
            and self._ids.get(index) not in {call_id, None}
        ):
            known = [place for place, each in self._ids.items() if each == call_id]
            index = known[0] if known else self._last + 1
        self._last = max(self._last, index)
        return index


def openai_finish_reason(reason: object) -> str | None:
    """The finish reason in OpenAI's words; `None` if there is none."""
    if not isinstance(reason, str) or not reason:
        return None
    words = {
        "max_tokens": "length",
        "model_length": "length",
        "max_output_tokens": "length",
        "safety": "content_filter",
        "recitation": "content_filter",
        "prohibited_content": "content_filter",
        "blocklist": "content_filter",
        "sensitive": "content_filter",
        "refusal": "content_filter",
        "guardrail_intervened": "content_filter",
        "tool_use": "tool_calls",
        "function_call": "tool_calls",
        "end_turn": "stop",
        "eos": "stop",
    }
    return words.get(reason.lower(), reason.lower())


def _repair_reasoning(delta: dict[str, Any]) -> None:
    """Keep one of the fields that carry the same thought, as text."""
    for name in ("reasoning_content", "reasoning", "thinking", "thought"):
        value = delta.get(name)
        if value is None:
            delta.pop(name, None)
        elif isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            delta[name] = str(fields.get("content") or fields.get("text") or fields.get("thinking") or "")
        elif isinstance(value, list):
            delta[name] = "".join(_content_parts(cast("list[Any]", value)))
        elif not isinstance(value, str):
            delta[name] = str(value)
    for other in ("thinking", "thought"):
        if other in delta and "reasoning_content" not in delta and "reasoning" not in delta:
            delta["reasoning_content"] = delta[other]
    if "reasoning" in delta and "reasoning_content" in delta:
        # vLLM and LiteLLM send both names during the change from one to the other.
        del delta["reasoning"]
    details = delta.get("reasoning_details")
    if isinstance(details, list) and not delta.get("reasoning") and not delta.get("reasoning_content"):
        texts = [
            str(cast("dict[str, Any]", each).get("text") or cast("dict[str, Any]", each).get("summary") or "")
            for each in cast("list[Any]", details)
            if isinstance(each, dict)
        ]
        if any(texts):
            delta["reasoning"] = "".join(texts)


def _content_parts(parts: list[Any]) -> tuple[str, str]:
    """Text and thought of content that is a list of parts, as Mistral's reasoning models send it."""
    text, thought = "", ""
    for part in parts:
        if isinstance(part, str):
            text += part
        elif isinstance(part, dict):
            fields = cast("dict[str, Any]", part)
            if fields.get("type") in {"thinking", "reasoning"}:
                inner = fields.get("thinking") or fields.get("text") or ""
                thought += inner if isinstance(inner, str) else _content_parts(cast("list[Any]", inner))[0]
            else:
                text += str(fields.get("text") or "")
    return text, thought


def _usage(usage: object) -> dict[str, Any] | None:
    if not isinstance(usage, dict):
        return None
    counts = cast("dict[str, Any]", usage)
    sent = count(counts.get("prompt_tokens")) or count(counts.get("input_tokens"))
    received = count(counts.get("completion_tokens")) or count(counts.get("output_tokens"))
    total = count(counts.get("total_tokens")) or sent + received
    return {**counts, "prompt_tokens": sent, "completion_tokens": received, "total_tokens": total}


def _error(data: dict[str, Any]) -> dict[str, Any]:
    """An error in one of the forms that carry no `error` object, in the form that the client recognises."""
    if data.get("error"):
        return data
    message = data.get("message") or data.get("detail")
    if message is None and data.get("object") != "error":
        return data
    return {"error": {"message": str(message or "error"), "code": data.get("code"), "type": data.get("type")}}
