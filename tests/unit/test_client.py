"""The client resumes broken streams without gap or repetition, and tells errors as they are."""

import json
from collections.abc import AsyncGenerator, Callable, Sequence

import httpx2
import pytest

from backchannel import client
from backchannel.client import RESUME_ATTEMPTS, ChatKitClient, ServerError

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
    """A run of `total` events whose connections break after as many events as `lengths` says."""

    def __init__(self, total: int, *lengths: int) -> None:
        self.total = total
        self.lengths = list(lengths)
        self.requests: list[httpx2.Request] = []
        self.bodies: list[Broken] = []
        self.refuse_connections = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if len(self.requests) > 1 and self.refuse_connections:
            self.refuse_connections -= 1
            raise httpx2.ConnectError("connection refused")
        after = int(request.headers.get("last-event-id", "run_1:0").rpartition(":")[2])
        length = self.lengths.pop(0) if self.lengths else self.total
        last = min(after + length, self.total)
        frames = [
            f"id: run_1:{seq}\ndata: {json.dumps({'n': seq})}\n\n" for seq in range(after + 1, last + 1)
        ]
        half = ["id: run_1:99\ndata: {"] if last < self.total else []
        body = Broken([frame.encode() for frame in frames + half], breaks=last < self.total)
        self.bodies.append(body)
        headers = {"content-type": "text/event-stream; charset=utf-8", "x-run-id": "run_1"}
        return httpx2.Response(200, headers=headers, stream=body)


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
    server.refuse_connections = 2
    async with client_of(server) as talking:
        events = await (await talking.say("hello")).events()
    assert [event["n"] for event in events] == [1, 2, 3, 4]


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
