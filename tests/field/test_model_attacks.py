"""Answers of models that no API describes, and failed connections: shown once and stored, nothing stays open, a failure has
the code that fits, and the next message is answered. Where a case was reported, its source stands beside it."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, override

import pytest
from agents import Agent, function_tool

from backchannel.testing.endpoints import OddEndpoint, ReceivedRequest, Reply, violations
from backchannel.testing.endpoints.answers import answer
from backchannel.testing.endpoints.wire import (
    DONE,
    STREAM,
    ChatStream,
    Part,
    ResponsesStream,
    call_item,
    message_item,
)
from backchannel.testing.model import Say
from oddity_failures import problems_of, said
from processes import free_port

pytestmark = [pytest.mark.row("C8", "M4", "M9", "M10", "M12"), pytest.mark.usefixtures("quick_retries")]

INVALID = ("model_response_invalid", True)
AT_ONCE = 4
"""Conversations."""

ARGUMENTS = '{"q": "x"}'
DEEP = "[" * 100_000 + "]" * 100_000


class Build:
    """Makes the ordinary parts of an answer, for the API of the request."""

    def __init__(self, request: ReceivedRequest) -> None:
        self.is_chat = request.api == "chat"
        self.chat, self.responses = ChatStream("m"), ResponsesStream("m")

    def text(self, *texts: str) -> list[Part]:
        if self.is_chat:
            return [*map(self.chat.text, texts), *self.chat.end()]
        stream, said = self.responses, message_item("".join(texts), "msg_1")
        return [*stream.created(), *stream.message(texts, "msg_1"), stream.completed([said])]

    def calls(self, *arguments: str) -> list[Part]:
        if self.is_chat:
            calls = [self.chat.call("lookup", each, None, index) for index, each in enumerate(arguments)]
            return [*calls, *self.chat.end("tool_calls")]
        stream, items = self.responses, [call_item("lookup", each) for each in arguments]
        events = [event for index, item in enumerate(items) for event in stream.call(item, index)]
        return [*stream.created(), *events, stream.completed(items)]

    def usage(self, usage: Any) -> list[Part]:
        if self.is_chat:
            return [self.chat.text("hi"), self.chat.finish(), self.chat.raw(choices=[], usage=usage), DONE]
        stream = self.responses
        response = stream.response("completed", output=[message_item("hi")], usage=usage)
        return [
            *stream.created(),
            *stream.message(["hi"], "msg_1"),
            stream.event("response.completed", response=response),
        ]

    def ended(self, **fields: Any) -> list[Part]:
        """A text, and a completed event with these fields."""
        stream = self.responses
        return [
            *stream.created(),
            *stream.message(["hi"], "msg_1"),
            stream.event("response.completed", **fields),
        ]

    def delta(self, *deltas: dict[str, Any], reason: str = "stop") -> list[Part]:
        return [*(self.chat.delta(**each) for each in deltas), *self.chat.end(reason)]


def _call_piece(arguments: str, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "function": {"arguments": arguments, **more}}]}


def _whole_call(**more: Any) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": "lookup", "arguments": ARGUMENTS}, **more}


type Case = tuple[Callable[[Build], Reply | Sequence[Part]], tuple[str, bool] | None]

BOTH: dict[str, Case] = {
    # NousResearch/hermes-agent#80822, microsoft/autogen#7130: null as a sign of life
    "events that are no object": (
        lambda b: [b"data: null\n\ndata: 3\n\ndata: []\n\n", *b.text("hi")],
        None,
    ),
    "an event that is nested too deeply": (lambda b: [f'data: {{"a":{DEEP}}}\n\n'.encode()], INVALID),
    "a number of 5000 digits": (
        lambda b: [b'data: {"a":' + b"9" * 5000 + b"}\n\n", *b.text("hi")],
        INVALID,
    ),
    "bytes that are no text": (lambda b: Reply([b"\x1f\x8b\x08\x00\r\xff\n\n"]), INVALID),
    "CRLF and another encoding": (
        lambda b: [
            part.replace(b"\n", b"\r\n").replace(b"hi", b"gr\xfc\xdfe")
            for part in b.text("hi")
            if isinstance(part, bytes)
        ],
        None,
    ),
    "an unknown encoding": (lambda b: Reply(b.text("hi"), 200, STREAM, {"content-encoding": "zz"}), None),
    "usage of fractions": (
        lambda b: b.usage({"prompt_tokens": 1.5, "completion_tokens": -1, "total_tokens": 0.5}),
        None,
    ),
    "usage of texts": (lambda b: b.usage({"input_tokens": "10", "output_tokens": "many"}), None),
    "usage that is a list": (lambda b: b.usage([1, 2]), None),
    # NousResearch/hermes-agent#104134
    "half of a surrogate pair in arguments": (lambda b: b.calls('{"q": "\\ud83d"}'), None),
    "arguments that are nested too deeply": (lambda b: b.calls(f'{{"q": {DEEP}}}'), None),
    # pydantic/pydantic-ai#1105, openai/openai-dotnet#317
    "two hundred calls": (lambda b: b.calls(*[json.dumps({"q": str(n)}) for n in range(200)]), None),
    "twenty thousand empty deltas": (lambda b: b.text(*[""] * 20_000, "hi"), None),
}
CHAT: dict[str, Case] = {
    "text after a call": (
        lambda b: b.delta(
            {"tool_calls": [_whole_call(index=0)]}, {"content": "let me see"}, reason="tool_calls"
        ),
        None,
    ),
    "text in the middle of a call": (
        lambda b: b.delta(
            {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "lookup", "arguments": ""}}]},
            _call_piece('{"q"'),
            {"content": "let me "},
            _call_piece(': "x"}'),
            {"content": "see"},
            reason="tool_calls",
        ),
        None,
    ),
    "calls that are no list": (
        lambda b: b.delta({"tool_calls": _whole_call(index=0)}, reason="tool_calls"),
        None,
    ),
    "audio": (lambda b: b.delta({"audio": {"id": "a", "data": "AAAA", "transcript": "hi"}}), None),
    "thoughts that are no text": (
        lambda b: b.delta({"reasoning_content": ["a", {"text": "b"}]}, {"reasoning": 3}, {"content": "hi"}),
        None,
    ),
    "an end with spaces": (
        lambda b: [b.chat.text("hi"), b.chat.finish(), b"data:  [done] \n\n"],
        None,
    ),
}
RESPONSES: dict[str, Case] = {
    "a completed event without its response": (lambda b: b.ended(), None),
    "a completed event whose response is null": (lambda b: b.ended(response=None), None),
}


CASES = BOTH | CHAT | RESPONSES


class Attack(OddEndpoint):
    """Answers the user with the case whose name they say, and everything else in the ordinary way."""

    @override
    def reply(self, request: ReceivedRequest) -> Reply:
        last = said(request.body)[-1]
        if last not in CASES:
            return answer([Say("An ordinary answer.")], request, "openai-chat")
        made = CASES[last][0](Build(request))
        return made if isinstance(made, Reply) else Reply(made)

    def last_of(self, name: str) -> ReceivedRequest:
        """The last request of the conversation that began with a case."""
        return [each for each in self.requests if name in said(each.body)][-1]


@function_tool
def lookup(q: str = "x") -> str:
    """Look something up."""
    return f"found {q}"


@pytest.mark.parametrize("api", ["chat_completions", "responses"])
async def test_no_invented_answer_harms_its_thread(serve: Any, stack: AsyncExitStack, api: str) -> None:
    endpoint = Attack()
    url = await stack.enter_async_context(endpoint.running())
    agent = Agent[Any](name="A", tools=[lookup])
    served = await serve(
        agent, OPENAI_API_KEY="sk-test-key-000", OPENAI_BASE_URL=url, titles="rule", model="m", model_api=api
    )
    problems: dict[str, list[str]] = {}
    cases = BOTH | (RESPONSES if api == "responses" else CHAT)
    places = asyncio.Semaphore(AT_ONCE)

    async def converse(name: str) -> None:
        async with places:
            thread_id, events = await served.create(name)
            later = await (await served.person.say("and now?", thread_id)).events()
            stored = await served.items(thread_id)
        found = problems_of(events, stored, cases[name][1])
        found += [f"then: {each}" for each in problems_of(later, stored, None)]
        found += [f"then: {each.rule}" for each in violations("strictest", endpoint.last_of(name).body)]
        problems[name] = found

    # The first response has the cookie that says who all others are for.
    await served.create()
    async with asyncio.TaskGroup() as conversations:
        for name in cases:
            conversations.create_task(converse(name))
    assert {name: found for name, found in problems.items() if found} == {}
    assert problems.keys() == cases.keys()


async def _close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


@pytest.mark.parametrize("connection", ["refused", "closed"])
async def test_a_failed_connection_is_no_timeout(serve: Any, stack: AsyncExitStack, connection: str) -> None:
    """openai/openai-python#3594: the aiohttp transport raises timeouts for connections that fail at once."""
    port = free_port()
    if connection == "closed":
        await stack.enter_async_context(await asyncio.start_server(_close, "127.0.0.1", port))
    served = await serve(
        Agent[Any](name="A"),
        OPENAI_API_KEY="sk-test-key-000",
        OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1",
        titles="rule",
        model="m",
    )
    thread_id, events = await served.create()
    assert problems_of(events, await served.items(thread_id), ("model_unreachable", True)) == []
