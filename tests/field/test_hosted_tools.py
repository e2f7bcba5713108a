"""Tools that the provider runs: shown live and after a reload, cited, and told to the model of the next turn."""

import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from agents import Agent, CodeInterpreterTool, FileSearchTool, HostedMCPTool, WebSearchTool

from backchannel.testing.endpoints import Reply, Say, StrictEndpoint
from backchannel.testing.endpoints.wire import Part, ResponsesStream, message_item, text_part
from field.odd_models import CHAT, chat, error, say, served_on, texts

pytestmark = pytest.mark.row("M25")

TOOLS: list[Any] = [
    WebSearchTool(),
    FileSearchTool(vector_store_ids=["vs_1"], include_search_results=True),
    CodeInterpreterTool(tool_config={"type": "code_interpreter", "container": {"type": "auto"}}),
    HostedMCPTool(
        tool_config={
            "type": "mcp", "server_label": "wiki", "server_url": "https://a.b/mcp", "require_approval": "never"
        }
    ),
]  # fmt: skip

WEB = {
    "id": "ws_0123", "type": "web_search_call", "status": "completed",
    "action": {"type": "search", "query": "weather Rome", "sources": [{"type": "url", "url": "https://w.it/rome"}]},
}  # fmt: skip
PAGE = {**WEB, "action": {"type": "open_page", "url": "https://w.it/rome"}}
FILE = {
    "id": "fs_0123", "type": "file_search_call", "status": "completed", "queries": ["refund policy"],
    "results": [{"file_id": "file_9", "filename": "policy.pdf", "score": 0.9, "text": "Refunds within 30 days."}],
}  # fmt: skip
CODE = {
    "id": "ci_0123", "type": "code_interpreter_call", "status": "completed", "code": "print(6 * 7)",
    "container_id": "cntr_9", "outputs": [{"type": "logs", "logs": "42\n"}],
}  # fmt: skip
MCP = {
    "id": "mcp_0123", "type": "mcp_call", "status": "completed", "server_label": "wiki", "name": "read_page",
    "arguments": '{"title": "Rome"}', "output": "Rome is a city.", "error": None,
}  # fmt: skip
PROVIDER_IDS = ("ws_0123", "fs_0123", "ci_0123", "mcp_0123", "file_9", "cntr_9")
RUNNING: dict[str, Any] = {"status": "in_progress", "action": {"type": "search"}, "queries": [], "results": None,
                           "code": None, "outputs": None, "arguments": "", "output": None}  # fmt: skip


def begun(item: dict[str, Any]) -> dict[str, Any]:
    """An item as it begins: nothing is known of the call yet."""
    return {name: RUNNING.get(name, value) for name, value in item.items()}


def answer(
    *items: dict[str, Any], text: str = "Sunny.", annotations: list[dict[str, Any]] | None = None
) -> Reply:
    stream = ResponsesStream("m")
    parts: list[Part] = stream.created()
    for index, item in enumerate(items):
        parts += [stream.added(begun(item), index), stream.done(item, index)]
    at: dict[str, Any] = {"item_id": "msg_1", "output_index": len(items), "content_index": 0}
    cited = {**text_part(text), "annotations": annotations or []}
    message = {**message_item(text), "content": [cited]}
    parts += [
        stream.added({**message, "content": [], "status": "in_progress"}, len(items)),
        stream.event("response.content_part.added", part=text_part(""), **at),
        stream.text_delta(text, "msg_1", len(items)),
        *(
            stream.event(
                "response.output_text.annotation.added", annotation=each, annotation_index=place, **at
            )
            for place, each in enumerate(annotations or ())
        ),
        stream.event("response.output_text.done", text=text, logprobs=[], **at),
        stream.event("response.content_part.done", part=cited, **at),
        stream.done(message, len(items)),
        stream.completed([*items, message]),
    ]
    return Reply(parts)


def tasks(items: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    return [
        (task["title"], task["status_indicator"], task.get("content"))
        for item in items
        if item["type"] == "workflow"
        for task in item["workflow"]["tasks"]
    ]


@pytest.mark.parametrize(
    ("item", "task", "output"),
    [
        (WEB, ("Web search", "complete", "query: weather Rome"), "https://w.it/rome"),
        (PAGE, ("Web search", "complete", "url: https://w.it/rome"), "does not send"),
        (FILE, ("File search", "complete", "queries: refund policy"), "policy.pdf:\nRefunds within 30 days."),
        (CODE, ("Code interpreter", "complete", "code: print(6 * 7)"), "42"),
        (MCP, ("wiki: Read page", "complete", "title: Rome"), "Rome is a city."),
        ({**MCP, "error": {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "no page"}]}},
         ("wiki: Read page", "none", "Failed. title: Rome"), "no page"),
        ({**WEB, "status": "failed"}, ("Web search", "none", "Failed. query: weather Rome"), "failed"),
    ],
    ids=["web", "page", "file", "code", "mcp", "mcp failed", "web failed"],
)  # fmt: skip
async def test_a_hosted_tool_is_shown_and_remembered(
    serve: Any, stack: AsyncExitStack, item: dict[str, Any], task: tuple[str, str, str], output: str
) -> None:
    endpoint = StrictEndpoint("openai-responses", answer(item), Say("fine"))
    served = await served_on(serve, stack, endpoint, Agent(name="A", tools=TOOLS), model_api="responses")
    thread_id, events = await served.create()
    assert error(events) is None
    (opened,) = [
        each["item"] for each in events if each["type"] == "thread.item.added" and "workflow" in each["item"]
    ]
    assert opened["workflow"]["tasks"][0]["status_indicator"] == "loading"
    assert tasks([each["item"] for each in events if each["type"] == "thread.item.done"]) == [task]
    items = await served.items(thread_id)
    assert tasks(items) == [task]
    assert [each["type"] for each in items] == ["user_message", "workflow", "assistant_message"]
    assert error(await say(served, thread_id, "and?")) is None
    call, result = [each for each in endpoint.requests[-1].body["input"] if "call_id" in each]
    assert call["type"] == "function_call"
    assert output in result["output"]
    assert not any(each in json.dumps(endpoint.requests[-1].body["input"]) for each in PROVIDER_IDS)
    assert endpoint.refused == []


@pytest.mark.parametrize("profile", ["strictest", "mistral", "gemini", "llama.cpp", "anthropic"])
async def test_other_endpoints_accept_what_is_told_of_it(
    serve: Any, stack: AsyncExitStack, profile: Any
) -> None:
    first = StrictEndpoint("openai-responses", answer(WEB, FILE, CODE, MCP))
    served = await served_on(serve, stack, first, Agent(name="A", tools=TOOLS), model_api="responses")
    thread_id, _ = await served.create()
    cookies = served.person.http.cookies
    other = StrictEndpoint(profile, Say("fine"))
    served = await served_on(serve, stack, other, Agent(name="A"))
    served.person.http.cookies = cookies
    assert error(await say(served, thread_id, "and?")) is None
    sent = other.requests[-1].body["messages"]
    assert len([each for each in sent if each["role"] == "tool"]) == 4
    assert other.refused == []


async def test_citations_are_annotations_of_the_message(serve: Any, stack: AsyncExitStack) -> None:
    cited = [
        {
            "type": "url_citation",
            "url": "https://w.it/rome",
            "title": "Weather",
            "start_index": 0,
            "end_index": 5,
        },
        {"type": "file_citation", "file_id": "file_9", "filename": "policy.pdf", "index": 5},
    ]
    # i-dot-ai/redbox#1141, openai/openai-agents-js#1617: endpoints repeat them, and people see them twice.
    cited.append(cited[0])
    endpoint = StrictEndpoint("openai-responses", answer(WEB, FILE, annotations=cited))
    served = await served_on(serve, stack, endpoint, Agent(name="A", tools=TOOLS), model_api="responses")
    thread_id, events = await served.create()
    live = [
        each["update"]["annotation"]["source"]["title"]
        for each in events
        if each.get("update", {}).get("type") == "assistant_message.content_part.annotation_added"
    ]
    (message,) = [each for each in await served.items(thread_id) if each["type"] == "assistant_message"]
    sources = [each["source"] for each in message["content"][0]["annotations"]]
    assert live == [each["title"] for each in sources] == ["Weather", "policy.pdf"]
    assert [each["type"] for each in sources] == ["url", "file"]
    assert sources[0]["url"] == "https://w.it/rome"


async def test_the_same_id_in_every_response_and_items_at_the_end_only(
    serve: Any, stack: AsyncExitStack
) -> None:
    """BerriAI/litellm#41185."""
    stream = ResponsesStream("m")
    item = {"id": None, "type": "web_search_call", "status": "completed"}
    late = Reply([stream.completed([WEB, message_item("Rain.")])])
    odd = answer({**item, "id": "ws_0123"}, text="Sun.")
    endpoint = StrictEndpoint("openai-responses", late, odd, Say("fine"))
    served = await served_on(serve, stack, endpoint, Agent(name="A", tools=TOOLS), model_api="responses")
    thread_id, events = await served.create()
    assert error(events) is None
    await say(served, thread_id, "b")
    await say(served, thread_id, "c")
    items = await served.items(thread_id)
    assert texts(items) == ["hello", "Rain.", "b", "Sun.", "c", "fine"]
    assert [title for title, *_ in tasks(items)] == ["Web search", "Web search"]
    assert len([each for each in endpoint.requests[-1].body["input"] if "output" in each]) == 2


async def test_the_plain_api_reports_it_like_any_tool(serve: Any, stack: AsyncExitStack) -> None:
    endpoint = StrictEndpoint("openai-responses", answer(MCP))
    served = await served_on(serve, stack, endpoint, Agent(name="A", tools=TOOLS), model_api="responses")
    body = {"input": {"type": "user_message", "content": [{"type": "text", "text": "hi"}]}}
    response = await served.person.http.post("/api/chatkit/stream", json=body)
    assert "tool_call.started" in response.text
    assert '"output":"Rome is a city."' in response.text


async def test_citations_over_chat_completions_are_annotations_too(serve: Any, stack: AsyncExitStack) -> None:
    """OpenRouter and OpenAI's search models send them in a delta of the text."""
    cited = {"url": "https://w.it/rome", "title": "Weather", "start_index": 0, "end_index": 5}
    parts = [
        CHAT.text("Sunny."),
        CHAT.delta(content="", annotations=[{"type": "url_citation", "url_citation": cited}] * 2),
        CHAT.finish(),
    ]
    endpoint = StrictEndpoint("openai-chat", chat(*parts), Say("fine"))
    served = await served_on(serve, stack, endpoint, Agent(name="A"))
    thread_id, _ = await served.create()
    (message,) = [each for each in await served.items(thread_id) if each["type"] == "assistant_message"]
    assert [each["source"]["url"] for each in message["content"][0]["annotations"]] == ["https://w.it/rome"]
    assert error(await say(served, thread_id, "and?")) is None
    assert endpoint.refused == []
