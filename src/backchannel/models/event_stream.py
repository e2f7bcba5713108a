"""Server-sent events of a model, read event by event where the client reads them line by line."""

from collections.abc import AsyncIterator
from typing import Any, override

from openai._streaming import ServerSentEvent, SSEDecoder  # pyright: ignore[reportPrivateImportUsage]
from pydantic_core import from_json


class EventStreamDecoder(SSEDecoder):
    """Gives the same events as the client's own decoder, in a fraction of its time where lines end in line feeds only,
    as most servers have it."""

    @override
    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[ServerSentEvent]:
        begun = bytearray()
        try:
            async for chunk in iterator:
                if b"\r" in chunk:
                    async for event in super().aiter_bytes(_again(bytes(begun) + chunk, iterator)):
                        yield event
                    return
                # The blank line may have begun with the chunk before.
                looked = max(len(begun) - 1, 0)
                begun += chunk
                if (end := begun.rfind(b"\n\n", looked)) < 0:
                    continue
                whole = bytes(begun[:end])
                del begun[: end + 2]
                for lines in whole.split(b"\n\n"):
                    for event in self._events_of(lines.decode()):
                        yield event
        finally:
            self._reset()

    def _events_of(self, lines: str) -> list[ServerSentEvent]:
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
            # The other one is more lenient, and its errors are those that are known.
            return super().json()


async def _again(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
