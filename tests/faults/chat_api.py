"""The model server's requests and answers in the form of Chat Completions."""

from typing import Any

from backchannel.testing.endpoints.wire import DONE, ChatStream


def as_input(body: dict[str, Any]) -> dict[str, Any]:
    """A request of Chat Completions with its messages as the items of a request of the Responses API."""
    items: list[dict[str, Any]] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            output = message["content"]
            items.append(
                {"type": "function_call_output", "call_id": message["tool_call_id"], "output": output}
            )
            continue
        if message.get("content"):
            items.append({"role": message["role"], "content": message["content"]})
        calls = message.get("tool_calls") or ()
        items += [{"type": "function_call", "call_id": call["id"], **call["function"]} for call in calls]
    return {**body, "input": items}


class ChatWire:
    """The chunks of one answer, under the names of the events of the Responses API."""

    def __init__(self, number: int, step: int | None, model: str) -> None:
        self._number, self._step = number, step
        self._stream = ChatStream(model)
        self._calls = 0

    def begin(self) -> bytes:
        return self._stream.delta(role="assistant", content="")

    def message(self) -> bytes:
        return b""

    def deltas(self, tokens: list[str]) -> bytes:
        return b"".join(self._stream.text(token) for token in tokens)

    def message_done(self, text: str) -> bytes:
        return b""

    def tool_call(self, name: str, arguments: str) -> bytes:
        index = self._calls
        self._calls += 1
        return self._stream.call(name, arguments, f"call_{self._number}_{index}_step{self._step}", index)

    def completed(self) -> bytes:
        reason = "tool_calls" if self._calls else "stop"
        return b"".join((self._stream.finish(reason), self._stream.usage(), DONE))
