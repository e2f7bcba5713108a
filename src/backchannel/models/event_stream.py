"""A faster SSE decoder for the OpenAI client, which splits at events and not at lines."""

from collections.abc import AsyncIterator
from typing import Any, override

from openai._streaming import ServerSentEvent, SSEDecoder  # pyright: ignore[reportPrivateImportUsage]
from pydantic_core import from_json


class EventStreamDecoder(SSEDecoder):
    """Decodes the same events as the client's own decoder. Faster if all lines end in LF; else it uses that decoder."""

    @override
    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[ServerSentEvent]:
        buffer = bytearray()
        try:
            async for chunk in iterator:
                if b"\r" in chunk:
                    async for event in super().aiter_bytes(_prepend(bytes(buffer) + chunk, iterator)):
                        yield event
                    return
                # The first line feed of a blank line may be the previous chunk's last byte.
                searched = max(len(buffer) - 1, 0)
                buffer += chunk
                if (end := buffer.rfind(b"\n\n", searched)) < 0:
                    continue
                complete = bytes(buffer[:end])
                del buffer[: end + 2]
                for lines in complete.split(b"\n\n"):
                    for event in self._decode_event(lines.decode()):
                        yield event
        finally:
            self._reset()

    def _decode_event(self, lines: str) -> list[ServerSentEvent]:
        before, newline, last = lines.rpartition("\n")
        named = before.startswith("event: ") and "\n" not in before
        if last.startswith("data: ") and (named or not newline):
            return [_Event(event=before[7:], data=last[6:], id=self._last_event_id)]
        # An empty line ends an event.
        return [event for line in (*lines.split("\n"), "") if (event := self.decode(line)) is not None]


class _Event(ServerSentEvent):
    @override
    def json(self) -> Any:
        try:
            return from_json(self.data)
        except ValueError:
            # The standard parser is more lenient, and callers expect its errors.
            return super().json()


async def _prepend(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
