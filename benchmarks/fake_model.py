"""A model server that answers at once, at any pace, for nothing: OpenAI's Responses API without a model.

    uv run python -m benchmarks.fake_model --port 9000
    OPENAI_BASE_URL=http://127.0.0.1:9000/v1 OPENAI_API_KEY=none uv run backchannel serve

`flood 2000` in the last message, or in the model's name, gets 2,000 tokens as fast as they are taken; `paced 60 at 20`
gets 60 tokens at 20 a second; anything else gets a dozen. A request that wants no stream gets four.

`GET /stats` tells what was asked for and written, and who hung up when; `GET /streams` lists the newest streams. A
client that hangs up is written to until the connection refuses, as by servers that do not look; what was written in
between is counted apart.
"""

import argparse
import asyncio
import contextlib
import json
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, cast, override

import uvloop

from benchmarks.model_wire import Answer, Wish, last_words, whole, wish_of

SLICE = 50
"""Tokens of a flood that are written at once."""

KEPT_STREAMS = 1_000

_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


@dataclass(slots=True)
class ReaderState:
    """One stream, as `/streams` tells of it. Times are seconds since the epoch.

    Attributes:
        asked: The last message of a person.
        after_hangup: Tokens written after the client had hung up, which are not in `tokens`.
        state: `open`, `completed` or `hung up`.
    """

    number: int
    model: str
    asked: str
    wanted: int
    began: float = field(default_factory=time.time)
    ended: float | None = None
    tokens: int = 0
    after_hangup: int = 0
    state: str = "open"


class Counts:
    """What this server has done."""

    def __init__(self) -> None:
        self.requests = 0
        self.tokens = 0
        self.after_hangup = 0
        self.completed = 0
        self.open: set[int] = set()
        self.disconnects: deque[ReaderState] = deque(maxlen=KEPT_STREAMS)
        self.streams: deque[ReaderState] = deque(maxlen=KEPT_STREAMS)

    def stats(self) -> dict[str, Any]:
        """`GET /stats`."""
        return {
            "now": time.time(),
            "requests": self.requests,
            "open": len(self.open),
            "completed": self.completed,
            "tokens": self.tokens,
            "tokens_after_hangup": self.after_hangup,
            "disconnects": [
                {"stream": told.number, "at": told.ended, "tokens": told.tokens, "wanted": told.wanted}
                for told in self.disconnects
            ],
        }


class Stream:
    """Writes one answer."""

    def __init__(self, connection: "Connection", answer: Answer, wish: Wish, told: ReaderState) -> None:
        self._connection = connection
        self._answer = answer
        self._wish = wish
        self._told = told
        self._sent = 0
        self._paused = False
        self._timer: asyncio.Handle | None = None
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    def begin(self) -> None:
        """Write what can be written, now and from now on."""
        self._connection.counts.open.add(self._told.number)
        self._connection.transport.write(_STREAM_HEAD + self._answer.opening())
        self._go_on()

    def _go_on(self) -> None:
        left, pace = self._wish.tokens - self._sent, self._wish.pace
        if left == 0:
            self._finish()
        elif pace is not None:
            self._write(1)
            self._timer = self._loop.call_at(self._began + self._sent / pace, self._go_on)
        elif not self._paused:
            self._write(min(SLICE, left))
            # Whether the client takes more is known only when the loop has come round.
            self._timer = self._loop.call_soon(self._go_on)

    def _write(self, count: int) -> None:
        # Counted first: what is written may pause or end this stream before `write` returns.
        first, self._sent = self._sent, self._sent + count
        counts = self._connection.counts
        if self._told.state == "hung up":
            self._told.after_hangup += count
            counts.after_hangup += count
        else:
            self._told.tokens += count
            counts.tokens += count
        self._connection.transport.write(self._answer.tokens(first, self._sent))

    def _finish(self) -> None:
        self._connection.stream = None
        self._connection.transport.write(self._answer.closing())
        if self._told.state == "hung up":
            self._connection.transport.close()
            return
        self._told.state, self._told.ended = "completed", time.time()
        self._connection.counts.completed += 1
        self._connection.counts.open.discard(self._told.number)

    def pause(self) -> None:
        """The client takes no more for now."""
        self._paused = True

    def resume(self) -> None:
        """The client takes more."""
        self._paused = False
        if self._wish.pace is None:
            self._cancel()
            self._go_on()

    def hung_up(self) -> None:
        """The client went away. Only the first call counts."""
        if self._told.state == "open":
            self._told.state, self._told.ended = "hung up", time.time()
            self._connection.counts.open.discard(self._told.number)
            self._connection.counts.disconnects.append(self._told)

    def stop(self) -> None:
        """Nothing more can be written."""
        self.hung_up()
        self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Connection(asyncio.Protocol):
    """One client, one request at a time."""

    transport: asyncio.Transport

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.stream: Stream | None = None
        self._buffer = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        line, *headers = head.decode("latin-1").split("\r\n")
        values = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in headers)}
        length = int(values.get("content-length", 0))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        method, path, _ = line.split(" ", 2)
        self._answer(method, path.partition("?")[0], rest[:length])

    def _answer(self, method: str, path: str, body: bytes) -> None:
        match method, path:
            case "POST", "/v1/responses":
                self._respond(json.loads(body))
            case "GET", "/stats":
                self._send(json.dumps(self.counts.stats()).encode())
            case "GET", "/streams":
                self._send(json.dumps([asdict(told) for told in self.counts.streams]).encode())
            case _:
                self._send(
                    b'{"error": {"message": "There is nothing here.", "type": "not_found"}}', b"404 Not Found"
                )

    def _respond(self, body: dict[str, Any]) -> None:
        counts = self.counts
        counts.requests += 1
        number = counts.requests
        if not body.get("stream"):
            self._send(whole(body, number))
            return
        wish = wish_of(body)
        told = ReaderState(number, str(body.get("model", "")), last_words(body)[:200], wish.tokens)
        counts.streams.append(told)
        self.stream = Stream(self, Answer(body, number, wish.tokens), wish, told)
        self.stream.begin()

    def _send(self, body: bytes, status: bytes = b"200 OK") -> None:
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % (status, len(body)) + body)

    @override
    def pause_writing(self) -> None:
        if self.stream is not None:
            self.stream.pause()

    @override
    def resume_writing(self) -> None:
        if self.stream is not None:
            self.stream.resume()

    @override
    def eof_received(self) -> bool:
        if self.stream is None:
            return False
        self.stream.hung_up()
        return True

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self.stream is not None:
            self.stream.stop()


async def serve(port: int) -> None:
    """Serve until cancelled."""
    counts = Counts()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(counts), "127.0.0.1", port)
    async with server:
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0, help="0 for any free one; the address is printed")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(options.port))


if __name__ == "__main__":
    main()
