"""A ChatKit client for programs: sends operations, reads event streams, and resumes them after connection errors."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Self, override

import httpx2

from backchannel.sse import HEARTBEAT_HEADER, parse_heartbeat, silence_limit

REQUEST_SECONDS = 60.0
"""How long to wait for a response to begin, unless the client was made with a `timeout`."""

RESUME_ATTEMPTS = 5
RESUME_SECONDS = 0.1
"""The wait before the first attempt to resume, unless the server sends `retry`; the n-th attempt waits n times as
long."""

MAX_RETRY_SECONDS = 30
"""The upper limit for `retry`."""


PASSING = {502, 503, 504}
"""Temporary statuses of a restarting server or of its proxy, after which the client tries again."""


ENDED = 204
"""The status of a request for the events after the last one of a run that has ended."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event of a stream.

    Attributes:
        id: The last event id that was received so far.
        event: The event type; `message` by default.
        data: The data lines, joined by line feeds.
    """

    id: str
    event: str
    data: str


@dataclass(slots=True)
class Remarks:
    """The latest comment and reconnection time of a stream.

    Attributes:
        comment: The latest comment: `ping` is a heartbeat, `end` means that the run has ended.
        retry: Seconds to wait before reconnecting; `None` if the stream sent no `retry`.
    """

    comment: str = ""
    retry: float | None = None


class ServerError(Exception):
    """An error response of the server.

    Attributes:
        status: The HTTP status.
        code: The stable code, such as `not_found`.
        message: The message for the user.
        request_id: The id of the request in the server's log.
        body: The JSON body; empty if there is none.
    """

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(body.get("code", "http_error"))
        self.message = str(body.get("message", f"The server answered {status}."))
        self.request_id = str(body.get("request_id", ""))
        self.body = body
        super().__init__(f"{status} {self.code}: {self.message}")


class Stream:
    """The event stream of a run. Iterate over it for the thread events, as dictionaries, in order and without
    duplicates. A second iteration continues after the first.

    Attributes:
        run_id: The id of the run.
        last_event_id: The id of the latest event, for resuming.

    Raises:
        ServerError: While iterating: the server rejected an attempt to resume.
        httpx2.TransportError: While iterating: the connection failed, and five attempts to resume it, too.
    """

    def __init__(self, client: "ChatKitClient", run_id: str, response: httpx2.Response) -> None:
        self._client = client
        self._response = response
        self.run_id = run_id
        self.last_event_id = ""
        self._events = self._follow()

    def __aiter__(self) -> AsyncGenerator[dict[str, Any]]:
        return self._events

    async def _follow(self) -> AsyncGenerator[dict[str, Any]]:
        attempts, pause = 0, RESUME_SECONDS
        while True:
            remarks = Remarks()
            try:
                if attempts:
                    self._response = await self._client.open_events(self.run_id, self.last_event_id)
                if self._response.status_code == ENDED:
                    return
                async for event in parse_events(self._response.aiter_bytes(), remarks):
                    attempts = 0
                    self.last_event_id = event.id
                    yield json.loads(event.data)
                # A proxy can close a stream before the run ends. Without a run id there is no `end` comment.
                if remarks.comment == "end" or not self.run_id:
                    return
                problem = httpx2.RemoteProtocolError("The stream ended before its run did.")
            except httpx2.TransportError as error:
                problem = error
            except ServerError as error:
                if error.status not in PASSING:
                    raise
                problem = error
            finally:
                await self._response.aclose()
            attempts += 1
            if attempts > RESUME_ATTEMPTS or not self.run_id:
                raise problem
            pause = pause if remarks.retry is None else remarks.retry
            await asyncio.sleep(pause * attempts)

    async def events(self) -> list[dict[str, Any]]:
        """All remaining events."""
        return [event async for event in self]

    async def aclose(self) -> None:
        """Close the connection. This does not cancel the run."""
        await self._events.aclose()
        await self._response.aclose()


class ChatKitClient:
    """A client of one server with the credentials of one caller.

    Args:
        base_url: The server's URL, such as `http://127.0.0.1:8000`.
        token: A bearer token. Without one, the server identifies the client as an anonymous user by a cookie.
        transport: Replaces the network, such as `httpx2.ASGITransport(app)`.
        timeout: Seconds to wait for a response to begin, 60 by default, and the longest silence of an event stream.
            Without it, a stream may be silent for three of the server's heartbeats and five seconds
            (`sse.silence_limit`), which is also the most that a longer `timeout` allows.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        timeout: float | None = None,
    ) -> None:
        self._request_seconds = REQUEST_SECONDS if timeout is None else timeout
        self._max_silence_seconds = timeout
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx2.AsyncClient(
            base_url=base_url,
            headers=headers,
            transport=transport,
            timeout=self._request_seconds,
            verify=_tls_context(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    async def request(self, op: str, params: Mapping[str, Any], **extra: Any) -> dict[str, Any]:
        """Send a non-streaming operation and return its JSON response.

        Raises:
            ServerError: The server responded with an error.
        """
        response = await self.http.post("/api/chatkit", json={"type": op, "params": params, **extra})
        return _json(response)

    async def stream(
        self, op: str, params: Mapping[str, Any], *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> Stream:
        """Send a streaming operation. Returns when the response has begun.

        Raises:
            ServerError: The server responded with an error.
        """
        request = self.http.build_request(
            "POST", "/api/chatkit", json={"type": op, "params": params, **extra}, headers=headers
        )
        response = await self._open(request)
        return Stream(self, response.headers.get("x-run-id", ""), response)

    async def upload(self, name: str, data: bytes, mime_type: str) -> dict[str, Any]:
        """Upload a file, and return its attachment, whose `id` a message can carry.

        Raises:
            ServerError: The server responded with an error.
        """
        return _json(await self.http.post("/api/chatkit/uploads", files={"file": (name, data, mime_type)}))

    async def say(
        self, text: str, thread_id: str | None = None, *, attachments: Sequence[str] = ()
    ) -> Stream:
        """Send a message to a thread, or to a new one without `thread_id`.

        Args:
            attachments: The ids of uploaded files.
        """
        message = user_message(text, attachments)
        if thread_id is None:
            return await self.stream("threads.create", {"input": message})
        return await self.stream("threads.add_user_message", {"thread_id": thread_id, "input": message})

    async def resume(self, run_id: str, last_event_id: str = "") -> Stream:
        """Stream a run's events after `last_event_id`, or from its beginning."""
        response = await self.open_events(run_id, last_event_id)
        return Stream(self, run_id, response)

    async def stop(self, run_id: str) -> dict[str, Any]:
        """Cancel a run. The partial answer is stored."""
        return _json(await self.http.post(f"/api/chatkit/runs/{run_id}/cancel"))

    async def search(self, query: str, *, limit: int = 20) -> dict[str, Any]:
        """The caller's threads that contain every word of `query`: `{"data": [hit, …], "has_more"}`. A hit has the
        `thread`, the parts of its `title` if that matches, and `excerpts` of messages with their `parts`."""
        params = {"q": query, "limit": str(limit)}
        return _json(await self.http.get("/api/chatkit/threads/search", params=params))

    async def feedback(self, thread_id: str) -> list[dict[str, Any]]:
        """The caller's feedback on items of a thread, least recently changed first."""
        return _json(await self.http.get(f"/api/chatkit/threads/{thread_id}/feedback"))["data"]

    async def open_events(self, run_id: str, last_event_id: str) -> httpx2.Response:
        """Open a run's event stream after `last_event_id`, or from its beginning if that is empty. The status is 204 if
        the run has ended and has no event after that."""
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        return await self._open(
            self.http.build_request("GET", f"/api/chatkit/runs/{run_id}/events", headers=headers)
        )

    async def _open(self, request: httpx2.Request) -> httpx2.Response:
        # The limit on silence is known only when the response says how often heartbeats come.
        request.extensions["timeout"] = httpx2.Timeout(self._request_seconds, read=None).as_dict()
        try:
            async with asyncio.timeout(self._request_seconds):
                response = await self.http.send(request, stream=True)
        except TimeoutError as error:
            raise httpx2.ReadTimeout("The server does not answer.", request=request) from error
        limit = silence_limit(parse_heartbeat(response.headers.get(HEARTBEAT_HEADER)))
        if self._max_silence_seconds is not None:
            limit = min(limit, self._max_silence_seconds)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _LimitedSilence(response.stream, limit)
        is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        if response.status_code == ENDED or (response.is_success and is_stream):
            return response
        try:
            await response.aread()
            raise ServerError(response.status_code, _body(response))
        finally:
            await response.aclose()


class _LimitedSilence(httpx2.AsyncByteStream):
    """A response's body that raises `httpx2.ReadTimeout` after `seconds` in which nothing arrived."""

    def __init__(self, stream: httpx2.AsyncByteStream, seconds: float) -> None:
        self._stream = stream
        self._seconds = seconds

    @override
    async def __aiter__(self) -> AsyncGenerator[bytes]:
        chunks = aiter(self._stream)
        try:
            while True:
                async with asyncio.timeout(self._seconds):
                    chunk = await anext(chunks)
                yield chunk
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise httpx2.ReadTimeout(f"Nothing arrived for {self._seconds:g} seconds.") from error
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    @override
    async def aclose(self) -> None:
        await self._stream.aclose()


@cache
def _tls_context() -> ssl.SSLContext:
    """The trusted certificates, loaded once for all clients: that takes longer than a request."""
    return httpx2.create_ssl_context()


def user_message(text: str, attachments: Sequence[str] = ()) -> dict[str, Any]:
    """A plain text message as the protocol's `input`, with the ids of its attachments."""
    content = [{"type": "input_text", "text": text}] if text or not attachments else []
    return {
        "content": content,
        "attachments": list(attachments),
        "quoted_text": None,
        "inference_options": {},
    }


async def parse_events(
    chunks: AsyncIterable[bytes], remarks: Remarks | None = None
) -> AsyncGenerator[ServerSentEvent]:
    """Parse an event stream according to https://html.spec.whatwg.org/multipage/server-sent-events.html.

    Lines may end in CR, LF or CRLF. Chunks may end anywhere, even within a character.

    Args:
        remarks: Updated with the comments and the `retry` of the stream.
    """
    event_id, kind, data = "", "", list[str]()
    remarks = remarks or Remarks()
    async for line in _lines(chunks):
        if line == "":
            if data:
                yield ServerSentEvent(event_id, kind or "message", "\n".join(data))
            kind, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                data.append(value)
            case "event":
                kind = value
            case "id" if "\x00" not in value:
                event_id = value
            case "":
                remarks.comment = value
            case "retry" if value.isascii() and value.isdigit() and len(value) < 10:
                remarks.retry = min(int(value) / 1000, MAX_RETRY_SECONDS)
            case _:
                pass


async def _lines(chunks: AsyncIterable[bytes]) -> AsyncGenerator[str]:
    # Lines are split before decoding: in UTF-8, the bytes of CR and LF occur only as line ends.
    rest, after_cr, first = b"", False, True
    async for chunk in chunks:
        if after_cr and chunk.startswith(b"\n"):
            chunk, after_cr = chunk[1:], False  # noqa: PLW2901 - the second half of a CRLF that was cut
        if not chunk:
            continue
        after_cr = chunk.endswith(b"\r")
        *lines, rest = (rest + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            yield text.removeprefix("\ufeff") if first else text
            first = False


def _json(response: httpx2.Response) -> dict[str, Any]:
    if not response.is_success:
        raise ServerError(response.status_code, _body(response))
    return response.json()


def _body(response: httpx2.Response) -> Mapping[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}  # pyright: ignore[reportUnknownVariableType]
