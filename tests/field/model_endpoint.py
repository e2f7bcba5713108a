"""A model endpoint that sends what a test gives it, over Chat Completions or the Responses API."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from http_servers import listening

DROP = "drop"
"""In a reply: the connection ends, without an end of the stream."""

type Part = dict[str, Any] | asyncio.Event | str
"""A chunk or an event of a stream; an event to wait for; `DROP`; or `[DONE]`."""


class ModelEndpoint:
    """Sends its replies in order, one for each streaming request.

    Attributes:
        replies: The replies to come. A whole number is an HTTP status, with an error of the API as the body.
        requests: The bodies of the streaming requests.
    """

    def __init__(self) -> None:
        self.replies: list[Sequence[Part] | int] = []
        self.requests: list[dict[str, Any]] = []
        self.url = ""
        self._held: list[asyncio.Event] = []

    async def answer(self, request: Request) -> Response:
        """One request of a model's client."""
        body = await request.json()
        if not body.get("stream"):
            return JSONResponse({"error": {"message": "no titles here", "type": "x"}}, status_code=400)
        self.requests.append(body)
        reply = self.replies.pop(0)
        if isinstance(reply, int):
            return JSONResponse({"error": {"message": "refused", "type": "x"}}, status_code=reply)
        self._held += [part for part in reply if isinstance(part, asyncio.Event)]
        return StreamingResponse(_stream(reply), media_type="text/event-stream")

    def go_on(self) -> None:
        """Wait for no event any longer."""
        for event in self._held:
            event.set()


async def _stream(reply: Sequence[Part]) -> AsyncGenerator[str]:
    for part in reply:
        if isinstance(part, asyncio.Event):
            await part.wait()
        elif part == DROP:
            raise ConnectionError("the test drops the connection")
        elif isinstance(part, str):
            yield f"data: {part}\n\n"
        else:
            name = f"event: {part['type']}\n" if "type" in part else ""
            yield f"{name}data: {json.dumps(part)}\n\n"


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """One chunk of Chat Completions."""
    choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}


def text(*words: str, finish: str | None = "stop") -> list[Part]:
    """A reply of words; without an end if `finish` is `None`."""
    said = [chunk(content=word) for word in words]
    return [*said, chunk(finish), "[DONE]"] if finish else [*said]


def call(*names: str) -> list[Part]:
    """A reply that calls tools without arguments."""
    calls = [
        {"index": at, "id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for at, name in enumerate(names)
    ]
    return [chunk(tool_calls=calls), chunk("tool_calls"), "[DONE]"]


@asynccontextmanager
async def listening_endpoint() -> AsyncGenerator[ModelEndpoint]:
    """An endpoint on a free port."""
    endpoint = ModelEndpoint()
    routes = [
        Route(path, endpoint.answer, methods=["POST"]) for path in ("/v1/responses", "/v1/chat/completions")
    ]
    async with listening(Starlette(routes=routes), timeout_graceful_shutdown=1) as (url, _):
        endpoint.url = f"{url}/v1"
        try:
            yield endpoint
        finally:
            endpoint.go_on()
