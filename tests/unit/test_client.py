"""The client resumes broken streams without gap or repetition, and tells errors as they are."""

import json
from collections.abc import AsyncGenerator, Callable, Sequence

import httpx2
import pytest

from backchannel import client
from backchannel.client import MAX_RETRY_SECONDS, RESUME_ATTEMPTS, ChatKitClient, ServerError
from backchannel.sse import RECONNECT

pytestmark = pytest.mark.row("C4", "H5")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RESUME_SECONDS", 0)


type Handler = Callable[[httpx2.Request], httpx2.Response]


class Broken(httpx2.AsyncByteStream):
    """A body that breaks off after some chunks, or ends well."""

    def __init__(self, chunks: Sequence[bytes], *, breaks: bool) -> None:
        self._chunks = chunks
        self._breaks = breaks
        self.closed = False

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        for chunk in self._chunks:
            yield chunk
        if self._breaks:
            raise httpx2.ReadError("connection reset")

    async def aclose(self) -> None:
        self.closed = True


class Server:
    """A run of `total` events whose connections end after as many events as `lengths` says.

    Attributes:
        cut: What a connection that is not the last one ends with, in an orderly way; `None` if it breaks off in the
            middle of an event.
        down: Statuses of the next answers to attempts to go on; 0 for no answer at all.
    """

    def __init__(self, total: int, *lengths: int, cut: bytes | None = None) -> None:
        self.total = total
        self.lengths = list(lengths)
        self.requests: list[httpx2.Request] = []
        self.bodies: list[Broken] = []
        self.cut = cut
        self.down: list[int] = []
        self.headers = {"content-type": "text/event-stream; charset=utf-8", "x-run-id": "run_1"}

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if len(self.requests) > 1 and self.down:
            status = self.down.pop(0)
            if status == 0:
                raise httpx2.ConnectError("connection refused")
            return httpx2.Response(status, text="<html>")
        after = int(request.headers.get("last-event-id", "run_1:0").rpartition(":")[2])
        length = self.lengths.pop(0) if self.lengths else self.total
        last = min(after + length, self.total)
        frames = [
            f"id: run_1:{seq}\ndata: {json.dumps({'n': seq})}\n\n".encode()
            for seq in range(after + 1, last + 1)
        ]
        half = b"id: run_1:99\ndata: {" if self.cut is None else self.cut
        ended = last == self.total
        body = Broken([*frames, b": end\n" if ended else half], breaks=not ended and self.cut is None)
        self.bodies.append(body)
        return httpx2.Response(200, headers=self.headers, stream=body)


def client_of(handler: Handler, token: str | None = None) -> ChatKitClient:
    return ChatKitClient("http://server", token=token, transport=httpx2.MockTransport(handler))


async def test_a_stream_that_breaks_is_resumed_after_its_last_event():
    server = Server(6, 2, 1)
    async with client_of(server, token="t0k") as talking:
        stream = await talking.say("hello")
        assert stream.run_id == "run_1"
        events = await stream.events()
    assert [event["n"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert stream.last_event_id == "run_1:6"
    assert [
        (request.method, request.url.path, request.headers.get("last-event-id"))
        for request in server.requests
    ] == [
        ("POST", "/api/chatkit", None),
        ("GET", "/api/chatkit/runs/run_1/events", "run_1:2"),
        ("GET", "/api/chatkit/runs/run_1/events", "run_1:3"),
    ]
    assert all(request.headers["authorization"] == "Bearer t0k" for request in server.requests)
    assert all(body.closed for body in server.bodies)


@pytest.mark.row("K4")
async def test_a_run_that_has_ended_meanwhile_needs_no_stream():
    server = Server(6, 6, cut=b"")
    async with client_of(server) as talking:
        server.total = 7
        stream = await talking.say("hello")
        server.down = [503, 204]
        assert [event["n"] for event in await stream.events()] == [1, 2, 3, 4, 5, 6]
        server.down = [204]
        assert await (await talking.resume("run_1", "run_1:6")).events() == []
    assert len(server.requests) == 4


async def test_any_number_of_breaks_is_survived_while_there_is_progress():
    server = Server(3 * RESUME_ATTEMPTS, *[1] * (3 * RESUME_ATTEMPTS - 1))
    async with client_of(server) as talking:
        events = await (await talking.say("hello")).events()
    assert [event["n"] for event in events] == list(range(1, 3 * RESUME_ATTEMPTS + 1))


async def test_without_progress_it_gives_up():
    server = Server(6, 2, *[0] * 50)
    async with client_of(server) as talking:
        stream = await talking.say("hello")
        with pytest.raises(httpx2.TransportError):
            await stream.events()
    assert len(server.requests) == 1 + RESUME_ATTEMPTS
    assert all(body.closed for body in server.bodies)


async def test_a_server_that_cannot_be_reached_for_a_moment_is_asked_again():
    server = Server(4, 2)
    server.down = [0, 0]
    async with client_of(server) as talking:
        events = await (await talking.say("hello")).events()
    assert [event["n"] for event in events] == [1, 2, 3, 4]


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_server_that_restarts_is_asked_again(status: int):
    server = Server(4, 2)
    server.down = [status, 0, status]
    async with client_of(server) as talking:
        events = await (await talking.say("hello")).events()
    assert [event["n"] for event in events] == [1, 2, 3, 4]


@pytest.mark.parametrize(("status", "requests"), [(404, 2), (401, 2), (503, 1 + RESUME_ATTEMPTS)])
async def test_what_will_not_pass_is_told(status: int, requests: int):
    server = Server(4, 2)
    server.down = [status] * 50
    async with client_of(server) as talking:
        stream = await talking.say("hello")
        with pytest.raises(ServerError) as caught:
            await stream.events()
    assert caught.value.status == status
    assert len(server.requests) == requests
    assert all(body.closed for body in server.bodies)


@pytest.mark.parametrize("cut", [b"", b": ping\n", b": end", b"id: run_1:99\n", b"data: {}\n: end\n: ping\n"])
async def test_a_stream_that_a_proxy_ends_before_its_run_is_resumed(cut: bytes):
    server = Server(6, 2, 1, cut=cut)
    async with client_of(server) as talking:
        stream = await talking.say("hello")
        assert [event["n"] for event in await stream.events()] == [1, 2, 3, 4, 5, 6]
    assert [request.headers.get("last-event-id") for request in server.requests] == [
        None,
        "run_1:2",
        "run_1:3",
    ]
    assert all(body.closed for body in server.bodies)


async def test_streams_that_end_again_and_again_without_progress_are_given_up():
    server = Server(6, 2, *[0] * 50, cut=b"")
    async with client_of(server) as talking:
        stream = await talking.say("hello")
        with pytest.raises(httpx2.TransportError, match="before its run"):
            await stream.events()
    assert len(server.requests) == 1 + RESUME_ATTEMPTS


async def test_what_is_no_run_ends_when_its_stream_does():
    server = Server(6, 2, cut=b"")
    del server.headers["x-run-id"]
    async with client_of(server) as talking:
        assert [event["n"] for event in await (await talking.say("hello")).events()] == [1, 2]
    assert len(server.requests) == 1


async def test_a_server_says_how_long_to_wait(monkeypatch: pytest.MonkeyPatch):
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(client.asyncio, "sleep", sleep)
    monkeypatch.setattr(client, "RESUME_SECONDS", 0.1)
    server = Server(4, 1, 0, 1, cut=RECONNECT)
    async with client_of(server) as talking:
        assert [event["n"] for event in await (await talking.say("hello")).events()] == [1, 2, 3, 4]
    # Longer from attempt to attempt, and as before after progress.
    assert pauses == [0.25, 0.5, 0.25]
    server = Server(4, 1, 1, cut=b"retry: 999999999\n")
    async with client_of(server) as talking:
        await (await talking.say("hello")).events()
    assert pauses[3:] == [MAX_RETRY_SECONDS, MAX_RETRY_SECONDS]


async def test_a_stream_that_breaks_before_its_first_event_is_resumed_from_the_beginning():
    server = Server(3, 0)
    async with client_of(server) as talking:
        events = await (await talking.say("hello")).events()
    assert [event["n"] for event in events] == [1, 2, 3]


async def test_iterating_again_goes_on_where_it_stopped():
    server = Server(4, 2)
    async with client_of(server) as talking:
        stream = await talking.say("hello")
        async for event in stream:
            assert event == {"n": 1}
            break
        assert [event["n"] for event in await stream.events()] == [2, 3, 4]
        assert await stream.events() == []
    assert all(body.closed for body in server.bodies)


async def test_closing_a_stream_closes_its_connection():
    server = Server(4)
    async with client_of(server) as talking:
        stream = await talking.say("hello")
        assert await anext(aiter(stream)) == {"n": 1}
        await stream.aclose()
    assert server.bodies[0].closed


async def test_following_a_run_from_an_event_on():
    server = Server(4)
    async with client_of(server) as talking:
        stream = await talking.resume("run_1", "run_1:2")
        assert [event["n"] for event in await stream.events()] == [3, 4]


async def test_what_a_message_is_sent_as():
    server = Server(1)
    async with client_of(server) as talking:
        await (await talking.say("hi")).aclose()
        await (await talking.say("again", "thr_1")).aclose()
    new, further = [json.loads(request.content) for request in server.requests]
    content = [{"type": "input_text", "text": "hi"}]
    assert new["type"] == "threads.create"
    assert new["params"]["input"]["content"] == content
    assert further["type"] == "threads.add_user_message"
    assert further["params"]["thread_id"] == "thr_1"
    assert all(body.closed for body in server.bodies)


REFUSAL = {"code": "not_found", "message": "There is no thread.", "request_id": "req_1"}


@pytest.mark.parametrize(
    ("response", "code", "message", "request_id"),
    [
        (httpx2.Response(404, json=REFUSAL), "not_found", "There is no thread.", "req_1"),
        (httpx2.Response(502, text="<html>Bad gateway"), "http_error", "The server answered 502.", ""),
        (httpx2.Response(500, json=["?"]), "http_error", "The server answered 500.", ""),
    ],
)
async def test_errors_are_told_as_they_are(
    response: httpx2.Response, code: str, message: str, request_id: str
):
    async with client_of(lambda _: response) as talking:
        for asking in (talking.say("hi"), talking.request("threads.list", {}), talking.stop("run_1")):
            with pytest.raises(ServerError) as caught:
                await asking
            error = caught.value
            assert (error.status, error.code) == (response.status_code, code)
            assert (error.message, error.request_id) == (message, request_id)


async def test_a_page_in_place_of_a_stream_is_an_error():
    async with client_of(lambda _: httpx2.Response(200, html="<html>Log in")) as talking:
        with pytest.raises(ServerError):
            await talking.say("hi")


async def test_json_ops_carry_their_metadata():
    bodies: list[object] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        return httpx2.Response(200, json={"data": []})

    async with client_of(handle) as talking:
        assert await talking.request("threads.list", {"limit": 1}, metadata={"page": 1}) == {"data": []}
    assert bodies == [{"type": "threads.list", "params": {"limit": 1}, "metadata": {"page": 1}}]
