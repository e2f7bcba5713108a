"""People who talk to a ChatKit server over raw sockets, so that they cost next to nothing while it is measured."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self, override
from urllib.parse import urlsplit

from benchmarks.model_wire import text_of, tokens_in

ANSWER_SECONDS = 120
PATH = "/api/chatkit"

_END = b"\r\n0\r\n\r\n"


class WrongAnswerError(Exception):
    """A server did not answer as it should; what it cost says nothing."""


class Answer:
    """One answer as it comes in.

    Attributes:
        size: How many bytes have come so far.
        first_byte: When the first byte of the body came, in seconds after the request was sent.
        first_token: When the first text came.
        seconds: When the last byte came.
        began: Done with the first text.
        ended: Done with the last byte.
    """

    def __init__(self) -> None:
        self._sent = time.perf_counter()
        self._pieces: list[bytes] = []
        self.size = 0
        self._tail = b""
        self._body_from = 0
        self._length: int | None = None
        self.first_byte = 0.0
        self.first_token = 0.0
        self.seconds = 0.0
        loop = asyncio.get_running_loop()
        self.began: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()

    def take(self, data: bytes) -> None:
        """Something came in."""
        now = time.perf_counter() - self._sent
        self._pieces.append(data)
        self.size += len(data)
        if not self._body_from:
            self._read_head()
        if not self.first_byte and self._body_from and self.size > self._body_from:
            self.first_byte = now
        if not self.first_token and b'text_delta"' in data:
            self.first_token = now
            self.began.set_result(None)
        self._tail = (self._tail + data)[-len(_END) :]
        if self._is_whole():
            self.seconds = now
            self.ended.set_result(None)
            if not self.began.done():
                self.began.set_result(None)

    def broken(self, error: Exception) -> None:
        """The connection was lost."""
        for future in (self.began, self.ended):
            if not future.done():
                future.set_exception(error)
                # One of the two is not asked for.
                future.exception()

    def headers(self) -> dict[str, str]:
        """The response's headers, by lower-case name."""
        lines = self._whole()[: self._body_from].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def events(self) -> list[dict[str, Any]]:
        """The events of the stream.

        Raises:
            WrongAnswerError: There is no stream.
        """
        whole = self._whole()
        if not whole.startswith(b"HTTP/1.1 200 "):
            raise WrongAnswerError(whole[:2_000].decode(errors="replace"))
        return _events(whole[self._body_from :])

    def tokens_until(self, size: int) -> int:
        """How many tokens there were in the first bytes, when there were so many."""
        return tokens_in("".join(_streamed(_events(self._whole()[self._body_from : size]))))

    def _whole(self) -> bytes:
        return b"".join(self._pieces)

    def _read_head(self) -> None:
        head, separator, _ = self._whole().partition(b"\r\n\r\n")
        if not separator:
            return
        self._body_from = len(head) + 4
        length = self.headers().get("content-length")
        self._length = int(length) if length is not None else None

    def _is_whole(self) -> bool:
        if not self._body_from:
            return False
        if self._length is not None:
            return self.size >= self._body_from + self._length
        return self._tail == _END


class Person(asyncio.Protocol):
    """One conversation: a connection, a cookie jar, a thread. Use as `async with`.

    Args:
        headers: What each request carries; with a cookie among them, the jar stays empty.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        address = urlsplit(url)
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self._host, self._port = address.hostname or "", address.port or 80
        self._cookies: dict[str, str] = {}
        self._thread_id: str | None = None
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(lambda: self, self._host, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport is not None:
            self._transport.close()

    def ask(self, text: str) -> Answer:
        """Say something, in a thread of one's own; the answer is still to come."""
        assert self._transport is not None, "not connected"
        message = {
            "content": [{"type": "input_text", "text": text}], "attachments": [], "inference_options": {},
        }  # fmt: skip
        if self._thread_id is None:
            request: Mapping[str, Any] = {"type": "threads.create", "params": {"input": message}}
        else:
            params = {"thread_id": self._thread_id, "input": message}
            request = {"type": "threads.add_user_message", "params": params}
        body = json.dumps(request).encode()
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
            f"Accept: text/event-stream\r\nContent-Length: {len(body)}\r\n"
            + self._headers
            + (f"Cookie: {cookies}\r\n" if cookies else "")
            + "\r\n"
        )
        self._answer = answer = Answer()
        self._transport.write(head.encode() + body)
        return answer

    async def hear(self, answer: Answer, tokens: int) -> Answer:
        """Wait for the end of an answer, and see that it is right.

        Raises:
            WrongAnswerError: It is not, or does not come.
        """
        try:
            await asyncio.wait_for(answer.ended, ANSWER_SECONDS)
        except (TimeoutError, ConnectionError) as error:
            raise WrongAnswerError(f"The answer broke off: {error!r}") from error
        if (cookie := answer.headers().get("set-cookie")) is not None:
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        self._thread_id = _check(answer.events(), tokens) or self._thread_id
        return answer

    async def say(self, text: str, tokens: int) -> Answer:
        """Say something and wait for an answer of so many tokens."""
        return await self.hear(self.ask(text), tokens)

    @override
    def data_received(self, data: bytes) -> None:
        if self._answer is not None:
            self._answer.take(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None:
            self._answer.broken(exc or ConnectionResetError("The server closed the connection."))


def _events(body: bytes) -> list[dict[str, Any]]:
    whole, _, _ = b"".join(_chunks(body)).rpartition(b"\n\n")
    return [json.loads(line[6:]) for line in whole.split(b"\n") if line.startswith(b"data: ")]


def _chunks(body: bytes) -> Iterator[bytes]:
    """The chunks that are there in full."""
    place = 0
    while (end := body.find(b"\r\n", place)) > 0:
        size = int(body[place:end], 16)
        begin, place = end + 2, end + 2 + size + 2
        if size == 0 or place > len(body):
            return
        yield body[begin : begin + size]


def _streamed(events: list[dict[str, Any]]) -> Iterator[str]:
    for event in events:
        match event:
            case {"type": "thread.item.updated", "update": {"delta": str(delta)}}:
                yield delta
            case _:
                pass


def _check(events: list[dict[str, Any]], tokens: int) -> str | None:
    """The thread's id, if it was made. What streamed and what was kept must be the text that the model sent."""
    done, thread_id = list[str](), None
    for event in events:
        match event:
            case {"type": "thread.created", "thread": {"id": str(thread_id)}}:
                pass
            case {"type": "thread.item.done", "item": {"type": "assistant_message", "content": content}}:
                done = [part["text"] for part in content]
            case {"type": "error"}:
                raise WrongAnswerError(f"The answer ends with {event}.")
            case _:
                pass
    expected = text_of(tokens)
    if "".join(_streamed(events)) != expected or "".join(done) != expected:
        raise WrongAnswerError(f"{tokens} tokens were asked for; the answer is {''.join(done)[:200]!r}.")
    return thread_id
