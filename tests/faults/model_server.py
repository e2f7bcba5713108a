"""A model server of its own on a real port, which does what the last message says.

A message is `label: step then step …`. Each call of the model does one step, the first that has no outcome yet:

- `say hello there`: one token a word.
- `tokens 200 pace 50`: that many tokens, that many a second; without a pace as fast as they are taken.
  `hold GATE at 10` waits before the token with that number (from 0) until the test opens the gate. `cut 6` ends the
  stream after six tokens, without its end.
- `call TOOL VALUE`, or several with ` & ` between them: calls of tools that take one `value`. `shell` has an item of its
  own, in the Responses API only.
- `hand off to AGENT`.
- `fail 500`: no stream, but that status.

Each token of `tokens` names the label and the call that it came from, so that two halves of different attempts are
never taken for one answer; see `whole`. As OpenAI's API does, it refuses a tool call without its output. It speaks both
APIs, by the path of the request.
"""

import asyncio
import json
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from backchannel.testing.endpoints import Reply
from faults.chat_api import ChatWire, as_input
from faults.replies import call_item, send
from processes import until

MODEL = "fake"
TOGETHER = 50
"""How many tokens of one that are not paced go out at once."""


@dataclass
class ModelCall:
    """One call of the model.

    Attributes:
        number: Of all calls, from 1.
        label: Of the message that it answers.
        step: Which of the message's steps it does, from 0; `None` if nothing is left to do.
        body: What was asked; its `input` is there with both APIs.
        api: `responses` or `chat`.
        oddity: The name of the oddity that it was answered with.
        tokens: How many were written.
        ended: Whether it came to its end.
        hung_up: When the client closed the connection before that (`time.monotonic`).
        tokens_after: How many tokens were written after that.
    """

    number: int
    label: str
    step: int | None
    body: dict[str, Any]
    api: str = "responses"
    oddity: str = ""
    tokens: int = 0
    ended: bool = False
    hung_up: float | None = None
    tokens_after: int = 0

    @property
    def open(self) -> bool:
        """Whether it is still being answered."""
        return not self.ended and self.hung_up is None

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of tools that it was shown, by the id of the call."""
        return {each["call_id"]: _text(each["output"]) for each in _input(self.body, "_call_output")}

    @property
    def texts(self) -> list[str]:
        """The messages that it was shown, whoever said them."""
        return [_text(each["content"]) for each in self.body["input"] if "content" in each]


@dataclass
class ModelServer:
    """The server.

    Attributes:
        calls: Every call so far.
        url: What `OPENAI_BASE_URL` has to be.
        odd: Gives the odd answer to a call, and names it in the call; `None` for an ordinary answer.
    """

    calls: list[ModelCall] = field(default_factory=list)
    url: str = ""
    odd: Callable[[ModelCall], Reply | None] = lambda _: None
    _gates: dict[str, asyncio.Event] = field(default_factory=dict)

    def gate(self, name: str) -> asyncio.Event:
        """What `hold` waits for."""
        return self._gates.setdefault(name, asyncio.Event())

    def of(self, label: str) -> list[ModelCall]:
        """The calls that answered one message."""
        return [call for call in self.calls if call.label == label]

    async def reached(self, label: str, tokens: int, *, calls: int = 1) -> ModelCall:
        """Wait until the call number `calls` of a message has written so many tokens."""

        def there() -> bool:
            found = self.of(label)
            return len(found) >= calls and found[calls - 1].tokens >= tokens

        await until(there, f"{tokens} tokens of call {calls} for {label}", 20)
        return self.of(label)[calls - 1]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, which is one call."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = re.search(r"content-length: (\d+)", head)
            body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
            api = "chat" if "/chat/completions " in head else "responses"
            await self._respond(api, body if api == "responses" else as_input(body), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _respond(
        self, api: str, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        label, steps, done = _script(body)
        step = done if done < len(steps) else None
        call = ModelCall(len(self.calls) + 1, label, step, body, api)
        self.calls.append(call)
        what = steps[step] if step is not None else "say nothing is left to do"
        if (fault := _unanswered(body)) is not None:
            call.ended = True
            return await _refuse(writer, 400, f"No tool output found for function call {fault}.")
        if (reply := self.odd(call)) is not None:
            await send(writer, reply)
            call.ended = True
            return None
        if what.startswith("fail "):
            call.ended = True
            return await _refuse(writer, int(what.split()[1]), "told to fail")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        hung_up = asyncio.create_task(_until_closed(reader, call))
        try:
            async for piece, tokens in self._pieces(call, what, hung_up):
                if hung_up.done():
                    return None
                if not piece:
                    # An empty chunk would be the last one.
                    continue
                writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                await writer.drain()
                call.tokens += tokens
                call.tokens_after += tokens * (call.hung_up is not None)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            call.ended = True
        finally:
            hung_up.cancel()
        return None

    async def _pieces(
        self, call: ModelCall, what: str, hung_up: asyncio.Task[None]
    ) -> AsyncIterator[tuple[bytes, int]]:
        """Pieces of the stream, and how many tokens each has."""
        wire = Wire(call) if call.api == "responses" else ChatWire(call.number, call.step, MODEL)
        yield wire.begin(), 0
        if what.startswith(("call ", "hand off to ")):
            for name, value in _calls(what):
                yield wire.tool_call(name, value), 0
        else:
            yield wire.message(), 0
            began = time.monotonic()
            tokens, pace, gate, hold, cut = _saying(what, call)
            together = TOGETHER if pace is None else math.ceil(pace / 100)
            for start in range(0, len(tokens), together):
                some = tokens[start : start + together]
                if hold is not None and start <= hold < start + len(some):
                    before, some = some[: hold - start], some[hold - start :]
                    yield wire.deltas(before), len(before)
                    await _either(self.gate(gate).wait(), hung_up)
                yield wire.deltas(some), len(some)
                if pace is not None:
                    began += together / pace
                    await asyncio.sleep(began - time.monotonic())
            if cut:
                return
            yield wire.message_done("".join(tokens)), 0
        yield wire.completed(), 0


@asynccontextmanager
async def model_server() -> AsyncIterator[ModelServer]:
    """A model server on a free port."""
    model = ModelServer()
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await model.answer(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            connections.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=2**24, backlog=1024)
    model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield model
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        if connections:
            await asyncio.wait(connections, timeout=10)


def whole(text: str, label: str, count: int) -> bool:
    """Whether a text is what `tokens <count>` says in one call of the model: all of it, once, in order."""
    first = re.match(rf"{re.escape(label)}\.\d+:", text)
    return first is not None and text == "".join(f"{first[0]}{number} " for number in range(count))


class Wire:
    """The events of one response."""

    def __init__(self, call: ModelCall) -> None:
        self._call = call
        self._sequence = 0
        self._output: list[dict[str, Any]] = []
        self._id = f"msg_{call.number}"
        self._response = {
            "id": f"resp_{call.number}", "object": "response", "created_at": 0, "model": MODEL, "output": [],
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "in_progress",
        }  # fmt: skip

    def _event(self, kind: str, **fields: Any) -> bytes:
        self._sequence += 1
        data = json.dumps({"type": kind, "sequence_number": self._sequence, **fields})
        return f"event: {kind}\ndata: {data}\n\n".encode()

    def begin(self) -> bytes:
        return self._event("response.created", response=self._response)

    def message(self) -> bytes:
        item = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": [],
        }
        part = {"type": "output_text", "text": "", "annotations": []}
        return self._event("response.output_item.added", output_index=0, item=item) + self._event(
            "response.content_part.added", part=part, **self._place
        )

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": 0, "content_index": 0}

    def deltas(self, tokens: list[str]) -> bytes:
        return b"".join(
            self._event("response.output_text.delta", delta=token, logprobs=[], **self._place)
            for token in tokens
        )

    def message_done(self, text: str) -> bytes:
        part = {"type": "output_text", "text": text, "annotations": []}
        item = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [part],
        }
        self._output.append(item)
        return self._event("response.output_text.done", text=text, logprobs=[], **self._place) + self._event(
            "response.output_item.done", output_index=0, item=item
        )

    def tool_call(self, name: str, arguments: str) -> bytes:
        index = len(self._output)
        item = call_item(name, arguments, f"{self._call.number}_{index}", self._call.step)
        self._output.append(item)
        begun = {**item, "status": "in_progress", **({"arguments": ""} if "arguments" in item else {})}
        events = [self._event("response.output_item.added", output_index=index, item=begun)]
        if "arguments" in item:
            done = {"item_id": item["id"], "output_index": index, "arguments": arguments, "name": name}
            events.append(self._event("response.function_call_arguments.done", **done))
        return b"".join((*events, self._event("response.output_item.done", output_index=index, item=item)))

    def completed(self) -> bytes:
        usage = {
            "input_tokens": 10, "output_tokens": self._call.tokens, "total_tokens": 10 + self._call.tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        }  # fmt: skip
        response = {**self._response, "status": "completed", "output": self._output, "usage": usage}
        return self._event("response.completed", response=response)


def _input(body: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each for each in body["input"] if str(each.get("type")).endswith(kind)]


def _text(content: Any) -> str:
    return (
        content
        if isinstance(content, str)
        else "".join(part.get("text") or part.get("stdout", "") for part in content)
    )


def _script(body: dict[str, Any]) -> tuple[str, list[str], int]:
    """The label and the steps of the last message that has any, and how many have an outcome."""
    # Messages without an answer between them are sent as one, in parts; what the server adds ends with a tag.
    script, place = "", 0
    for index, each in enumerate(body["input"]):
        if each.get("role") == "user":
            said = each["content"]
            parts = [said] if isinstance(said, str) else [part.get("text", "") for part in said]
            for line in "\n".join(parts).replace("</HiddenContext>", "\n").splitlines():
                if ": " in line:
                    script, place = line, index
    label, _, steps = script.partition(": ")
    after = _input({"input": body["input"][place:]}, "_call_output")
    numbers = [int(found[1]) for each in after if (found := re.search(r"_step(\d+)$", each["call_id"]))]
    return label, steps.split(" then "), max(numbers, default=-1) + 1


def _unanswered(body: dict[str, Any]) -> str | None:
    """A call without its output, or an output without its call."""
    # What the provider runs itself has no such id, and its output in the call.
    calls = {each["call_id"] for each in _input(body, "_call") if "call_id" in each}
    outputs = {each["call_id"] for each in _input(body, "_call_output")}
    return next(iter(calls ^ outputs), None)


def _calls(what: str) -> Iterator[tuple[str, str]]:
    if what.startswith("hand off to "):
        yield f"transfer_to_{what.removeprefix('hand off to ')}", "{}"
        return
    for each in what.split(" & "):
        _, name, value = each.split(maxsplit=2)
        yield name, json.dumps({"value": value})


def _saying(what: str, call: ModelCall) -> tuple[list[str], float | None, str, int | None, bool]:
    """The tokens, how many a second, the gate to wait for before the token with that number, and whether the stream
    ends after them without its end."""
    words = what.split()
    if words[0] == "say":
        return [f"{word} " for word in words[1:]], None, "", None, False
    assert words[0] == "tokens", what
    options = dict(zip(words[2::2], words[3::2], strict=True))
    count = int(options.get("cut", words[1]))
    tokens = [f"{call.label}.{call.number}:{number} " for number in range(count)]
    pace = float(options["pace"]) if "pace" in options else None
    hold = int(options["at"]) if "at" in options else None
    return tokens, pace, options.get("hold", ""), hold, "cut" in options


async def _refuse(writer: asyncio.StreamWriter, status: int, message: str) -> None:
    body = json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()
    writer.write(
        f"HTTP/1.1 {status} No\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n\r\n".encode()
        + body
    )
    await writer.drain()


async def _until_closed(reader: asyncio.StreamReader, call: ModelCall) -> None:
    try:
        while await reader.read(1024):
            pass
    except ConnectionError:
        pass
    call.hung_up = time.monotonic()


async def _either(waiting: Any, other: asyncio.Task[None]) -> None:
    first = asyncio.ensure_future(waiting)
    try:
        await asyncio.wait((first, other), return_when=asyncio.FIRST_COMPLETED)
    finally:
        first.cancel()
