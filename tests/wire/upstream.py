"""A model server of another vendor, speaking the Responses API and Chat Completions over real HTTP."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from http_servers import listening

WORDS = ["Hello ", "from ", "afar"]


class Upstream:
    """A model server of another vendor.

    Attributes:
        requests: The bodies that came, with the path.
        hold: When set to an unset event, answers stop before the last word until it is set.
        closed: How many streams the client closed early.
        status: Answer with this status in place of a stream.
        title: What a request that is no stream is answered with.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.hold: asyncio.Event | None = None
        self.closed = 0
        self.status = 200
        self.title = '"Oat milk & errands."'
        self.call_tool = False
        self.url = ""

    async def responses(self, request: Request):
        return await self._answer(request, self._responses_events)

    async def completions(self, request: Request):
        return await self._answer(request, self._completion_events)

    async def _answer(self, request: Request, events):
        body = await request.json()
        self.requests.append((request.url.path, body))
        if not body.get("stream"):
            return JSONResponse(self._whole(request.url.path, body))
        if self.status != 200:
            return JSONResponse(
                {"error": {"message": "upstream detail", "type": "x"}}, status_code=self.status
            )
        return StreamingResponse(self._guard(events(body)), media_type="text/event-stream")

    async def _guard(self, events):
        done = False
        try:
            async for event in events:
                yield event
            done = True
        finally:
            self.closed += not done

    def _whole(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("completions"):
            message = {"role": "assistant", "content": self.title}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            counted = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
            kind = "chat.completion"
            return {
                "id": "c2", "object": kind, "created": 0, "model": body["model"], "choices": choices, "usage": counted
            }  # fmt: skip
        part = {"type": "output_text", "text": self.title, "annotations": []}
        message = {
            "id": "msg_2", "type": "message", "role": "assistant", "status": "completed", "content": [part]
        }  # fmt: skip
        return {
            "id": "resp_2", "object": "response", "created_at": 0, "model": body["model"], "output": [message],
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "completed",
            "usage": {
                "input_tokens": 5, "output_tokens": 2, "total_tokens": 7,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
            },
        }  # fmt: skip

    async def _words(self):
        for number, word in enumerate(WORDS):
            if self.hold is not None and number == len(WORDS) - 1:
                await self.hold.wait()
            yield word

    async def _responses_events(self, body):
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": [],
        }
        part = {"type": "output_text", "text": "", "annotations": []}
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        sequence = 0

        def sse(kind: str, **fields: Any) -> str:
            nonlocal sequence
            sequence += 1
            return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': sequence, **fields})}\n\n"

        response = {
            "id": "resp_1", "object": "response", "created_at": 0, "model": body["model"], "output": [],
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "in_progress",
        }  # fmt: skip
        yield sse("response.created", response=response)
        yield sse("response.output_item.added", output_index=0, item=message)
        yield sse("response.content_part.added", part=part, **place)
        async for word in self._words():
            yield sse("response.output_text.delta", delta=word, logprobs=[], **place)
        text = "".join(WORDS)
        yield sse("response.output_text.done", text=text, logprobs=[], **place)
        finished = {**message, "status": "completed", "content": [{**part, "text": text}]}
        yield sse("response.output_item.done", output_index=0, item=finished)
        usage = {
            "input_tokens": 7, "output_tokens": 3, "total_tokens": 10,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        }  # fmt: skip
        yield sse(
            "response.completed",
            response={**response, "status": "completed", "output": [finished], "usage": usage},
        )

    async def _completion_events(self, body):
        def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            data = {
                "id": "c1",
                "object": "chat.completion.chunk",
                "created": 0,
                "model": body["model"],
                "choices": [choice],
            }
            return f"data: {json.dumps(data)}\n\n"

        if self.call_tool and body["messages"][-1]["role"] != "tool":
            function = {"name": "add", "arguments": '{"a": 2, "b": 3}'}
            yield chunk(
                {
                    "role": "assistant",
                    "tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}],
                }
            )
            yield chunk({}, "tool_calls")
        else:
            yield chunk({"role": "assistant", "content": ""})
            async for word in self._words():
                yield chunk({"content": word})
            yield chunk({}, "stop")
        yield "data: [DONE]\n\n"


@asynccontextmanager
async def listening_upstream() -> AsyncGenerator[Upstream]:
    """An upstream on a free port."""
    upstream = Upstream()
    routes = [
        Route("/v1/responses", upstream.responses, methods=["POST"]),
        Route("/v1/chat/completions", upstream.completions, methods=["POST"]),
    ]
    async with listening(Starlette(routes=routes), timeout_graceful_shutdown=1) as (url, _):
        upstream.url = f"{url}/v1"
        yield upstream
        if upstream.hold:
            upstream.hold.set()
