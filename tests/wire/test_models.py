"""Agents on models behind an OpenAI-compatible endpoint, with either API (A5, C5)."""

import asyncio
import json
import socket
from typing import Any

import pytest
import uvicorn
from agents import Agent, function_tool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from backchannel.testing import ServerError

WORDS = ["Hello ", "from ", "afar"]


class Upstream:
    """A model server of another vendor.

    Attributes:
        requests: The bodies that came, with the path.
        hold: When set to an unset event, answers stop before the last word until it is set.
        closed: How many streams the client closed early.
        status: Answer with this status in place of a stream.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.hold: asyncio.Event | None = None
        self.closed = 0
        self.status = 200
        self.call_tool = False
        self.url = ""

    async def responses(self, request: Request):
        return await self._answer(request, self._responses_events)

    async def completions(self, request: Request):
        return await self._answer(request, self._completion_events)

    async def _answer(self, request: Request, events):
        body = await request.json()
        self.requests.append((request.url.path, body))
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


@pytest.fixture
async def upstream():
    upstream = Upstream()
    routes = [
        Route("/v1/responses", upstream.responses, methods=["POST"]),
        Route("/v1/chat/completions", upstream.completions, methods=["POST"]),
    ]
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=routes), log_config=None, timeout_graceful_shutdown=1)
    )
    listener = socket.create_server(("127.0.0.1", 0))
    upstream.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    task = asyncio.create_task(server.serve(sockets=[listener]))
    yield upstream
    if upstream.hold:
        upstream.hold.set()
    server.should_exit = True
    await asyncio.wait_for(task, 10)
    listener.close()


@function_tool
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


async def served_with(serve, upstream: Upstream, agent: Agent, **settings: Any):
    environment = {"OPENAI_API_KEY": "sk-test-key-000", "OPENAI_BASE_URL": upstream.url, **settings}
    return await serve(agent, **environment)


def text_of(events) -> str:
    return "".join(e["update"].get("delta", "") for e in events if e["type"] == "thread.item.updated")


@pytest.mark.row("A5")
@pytest.mark.parametrize(
    ("api", "path"), [("responses", "/v1/responses"), ("chat_completions", "/v1/chat/completions")]
)
async def test_an_agent_without_a_model_gets_the_servers(serve, upstream, api, path):
    agent = Agent(name="A", instructions="Be kind.")
    served = await served_with(serve, upstream, agent, model="vendor/small-1", model_api=api)
    thread_id, events = await served.create()
    assert text_of(events) == "Hello from afar"
    await (await served.person.say("again", thread_id)).events()
    assert [request[0] for request in upstream.requests] == [path, path]
    assert upstream.requests[0][1]["model"] == "vendor/small-1"
    items = await served.items(thread_id)
    assert [item["type"] for item in items] == ["user_message", "assistant_message"] * 2
    assert len({item["id"] for item in items}) == 4, "the model's own ids repeat; ours do not"
    assert "Hello from afar" in json.dumps(upstream.requests[1][1])
    health = (await served.person.http.get("/health")).json()
    assert health["model"] == {"name": "vendor/small-1", "offline": False}


@pytest.mark.row("A5")
async def test_an_agent_that_names_a_model_keeps_it(serve, upstream):
    served = await served_with(serve, upstream, Agent(name="A", model="its-own"), model="the-servers")
    await served.create()
    assert upstream.requests[0][1]["model"] == "its-own"


@pytest.mark.row("A5", "B5", "H7")
async def test_tools_work_over_chat_completions(serve, upstream):
    upstream.call_tool = True
    agent = Agent(name="A", tools=[add])
    served = await served_with(serve, upstream, agent, model="m", model_api="chat_completions")
    thread_id, events = await served.create()
    assert text_of(events) == "Hello from afar"
    assert upstream.requests[1][1]["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "call_1",
        "content": "5",
    }
    upstream.call_tool = False
    await (await served.person.say("again", thread_id)).events()
    roles = [message["role"] for message in upstream.requests[-1][1]["messages"]]
    assert roles.count("tool") == 1


@pytest.mark.row("C5")
async def test_stop_closes_the_connection_to_the_model(serve, upstream, eventually):
    upstream.hold = asyncio.Event()
    served = await served_with(serve, upstream, Agent(name="A"), model="m")
    stream = await served.person.say("hi")
    said = ""
    async for event in stream:
        said += event.get("update", {}).get("delta", "")
        if said == "Hello from ":
            break
    await served.person.stop(stream.run_id)
    await eventually(lambda: upstream.closed == 1, "the model's connection is closed")
    last = (await stream.events())[-1]
    assert last["item"]["content"][0]["text"] == "Hello from "


@pytest.mark.row("A3")
@pytest.mark.parametrize(
    ("status", "reason", "retry"),
    [(401, "model_not_configured", False), (404, "model_not_configured", False), (400, "model_error", True)],
)
async def test_a_models_refusal_is_told_without_its_details(serve, upstream, status, reason, retry):
    upstream.status = status
    served = await served_with(serve, upstream, Agent(name="A"), model="m")
    _, events = await served.create()
    assert events[-1]["type"] == "error"
    assert (events[-1]["reason"], events[-1]["allow_retry"]) == (reason, retry)
    assert "upstream detail" not in json.dumps(events)
    assert "sk-test" not in json.dumps(events)


@pytest.mark.row("A5")
async def test_an_agent_that_needs_a_key_says_so_when_there_is_none(serve):
    served = await serve(Agent(name="A", model="gpt-5.1"))
    _, events = await served.create()
    assert (events[-1]["reason"], events[-1]["allow_retry"]) == ("model_not_configured", False)
    assert "OPENAI_API_KEY" in events[-1]["message"]
    with pytest.raises(ServerError):
        await served.person.request("threads.create", {})
