"""A faster SSE decoder for the OpenAI client, which also reads what compatible endpoints send in place of a stream."""

import codecs
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast, override

from openai._streaming import ServerSentEvent, SSEDecoder  # pyright: ignore[reportPrivateImportUsage]
from pydantic_core import from_json

from backchannel.errors import ModelResponseError
from backchannel.models.chat_chunks import ChunkRepair, openai_finish_reason
from backchannel.models.event_repair import repair_event
from backchannel.models.response_body import body_event, check_body

BOM = b"\xef\xbb\xbf"
MAX_BODY_BYTES = 10_000_000
"""A longer response that is no event stream is not parsed."""


@dataclass(slots=True)
class StreamRecord:
    """What the Agents SDK's events do not say of a stream of Chat Completions.

    Attributes:
        chunks: Whether any chunk came.
        finish_reason: The last finish reason of choice 0.
        ended: Whether the server sent `[DONE]`, or the answer as one body.
        usage: Input and output tokens.
    """

    chunks: bool = False
    finish_reason: str | None = None
    ended: bool = False
    usage: tuple[int, int] | None = None


current_record: ContextVar[StreamRecord | None] = ContextVar("current_record", default=None)
"""The record of the model call of this task. A decoder fills the record that is set when it is made."""


async def record_chunks(stream: AsyncIterator[Any]) -> AsyncGenerator[Any]:
    """The chunks of a client that is not OpenAI's, such as LiteLLM's. Fills the record of this task's model call."""
    record = current_record.get() or StreamRecord()
    try:
        async for chunk in stream:
            record.chunks = True
            for choice in getattr(chunk, "choices", None) or ():
                reason = openai_finish_reason(getattr(choice, "finish_reason", None))
                record.finish_reason = reason or record.finish_reason
            yield chunk
        record.ended = True
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


class EventStreamDecoder(SSEDecoder):
    """Decodes the same events as the client's own decoder. Faster if all lines end in LF; else it uses that decoder.

    Each event is repaired (`chat_chunks`, `event_repair`) when its JSON is read.

    Raises:
        ModelResponseError: The response is HTML, or JSON without an answer, or empty.
    """

    def __init__(self) -> None:
        super().__init__()
        self._record = current_record.get() or StreamRecord()
        self._chunks = ChunkRepair()
        self._at_end = False

    @override
    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[ServerSentEvent]:
        first, stream = await _first_bytes(iterator)
        if first[:1] in {b"<", b"{", b"["}:
            yield await self._whole_body(first, stream)
            return
        count = 0
        async for event in self._events(self._terminated(_prepend(first, stream))):
            said = event.data if event.data[:1] == "{" else event.data.strip(" ")
            if said[:6].upper() == "[DONE]":
                self._record.ended = True
                if not event.data.startswith("[DONE]"):
                    event = ServerSentEvent(event=event.event, data="[DONE]", id=event.id)  # noqa: PLW2901
            elif (self._at_end and not _is_json(said)) or (said[:1] != "{" and _is_no_object(said)):
                continue
            count += 1
            yield event
        if not count:
            check_body(first)

    async def _events(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[ServerSentEvent]:
        buffer = bytearray()
        try:
            async for chunk in iterator:
                if b"\r" in chunk:
                    rest = _valid_utf8(_prepend(bytes(buffer) + chunk, iterator))
                    async for event in super().aiter_bytes(rest):
                        yield self._repaired(event)
                    return
                # The first line feed of a blank line may be the previous chunk's last byte.
                searched = max(len(buffer) - 1, 0)
                buffer += chunk
                if (end := buffer.rfind(b"\n\n", searched)) < 0:
                    continue
                complete = bytes(buffer[:end])
                del buffer[: end + 2]
                for lines in complete.split(b"\n\n"):
                    for event in self._decode_event(lines.decode(errors="replace")):
                        yield event
        finally:
            self._reset()

    async def _terminated(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The chunks with a blank line behind them: without one, the specification drops the last event, and what it
        says would be lost."""
        async for chunk in iterator:
            yield chunk
        self._at_end = True
        yield b"\n\n"

    def _decode_event(self, lines: str) -> list[ServerSentEvent]:
        before, newline, last = lines.rpartition("\n")
        named = before.startswith("event: ") and "\n" not in before
        if last.startswith("data: ") and (named or not newline):
            return [_Event(self._repair, event=before[7:], data=last[6:], id=self._last_event_id)]
        # An empty line ends an event.
        return [
            self._repaired(event)
            for line in (*lines.split("\n"), "")
            if (event := self.decode(line)) is not None
        ]

    def _repaired(self, event: ServerSentEvent) -> ServerSentEvent:
        return _Event(self._repair, event=event.event, data=event.data, id=event.id)

    def _repair(self, data: Any) -> Any:
        if isinstance(data, list) and data:
            # Gemini wraps its errors in a list.
            data = cast("list[Any]", data)[0]
        if not isinstance(data, dict):
            raise ModelResponseError("The model's endpoint sent JSON that is not an answer. Try again.")
        data = cast("dict[str, Any]", data)
        if "type" in data and "choices" not in data:
            return repair_event(data)
        chunk = self._chunks.repair(data)
        if "choices" in chunk:
            self._record.chunks = True
            self._record.finish_reason = self._chunks.finish_reason
            self._record.usage = self._chunks.usage
        return chunk

    async def _whole_body(self, first: bytes, rest: AsyncIterator[bytes]) -> ServerSentEvent:
        body = bytearray(first)
        async for chunk in rest:
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                break
        data = body_event(bytes(body))
        self._record.ended = True
        return _Body(self._repair(data))


class _Event(ServerSentEvent):
    def __init__(
        self, repair: Callable[[Any], Any], *, event: str | None, data: str | None, id: str | None
    ) -> None:
        super().__init__(event=event, data=data, id=id)
        self._repair = repair

    @override
    def json(self) -> Any:
        try:
            data = from_json(self.data)
        except ValueError:
            # The standard parser is more lenient, and callers expect its errors.
            try:
                data = super().json()
            except json.JSONDecodeError:
                raise
            except (ValueError, RecursionError):
                # Nested too deeply, or a number with thousands of digits.
                raise ModelResponseError("The model's endpoint sent broken JSON. Try again.") from None
        return self._repair(data)


class _Body(ServerSentEvent):
    def __init__(self, value: Any) -> None:
        super().__init__(data="{}")
        self._value = value

    @override
    def json(self) -> Any:
        return self._value


def _is_no_object(data: str) -> bool:
    """Whether the data of an event is blank, or JSON without meaning: `null`, a number, a text, an empty list."""
    if not data.strip():
        return True
    try:
        value = from_json(data)
    except ValueError:
        return False
    return not isinstance(value, dict) and not (isinstance(value, list) and value)


def _is_json(data: str) -> bool:
    try:
        from_json(data)
    except ValueError:
        return False
    return True


async def _first_bytes(iterator: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """The response's beginning up to its first byte that is neither blank nor a byte order mark."""
    first = b""
    async for chunk in iterator:
        first += chunk
        if first.removeprefix(BOM).strip():
            break
    first = first.removeprefix(BOM)
    return (first.lstrip() if first.lstrip()[:1] in {b"<", b"{", b"["} else first), iterator


async def _valid_utf8(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The bytes with U+FFFD in place of what is no UTF-8, which the client's decoder refuses."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    async for chunk in chunks:
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


async def _prepend(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
