"""What tools of MCP servers are called, take and return: in the form that every provider accepts."""

import base64
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from agents import Agent
from agents.mcp import MCPServerStreamableHttp
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel

from backchannel.testing import Call, Say
from field.mcp_apps import Sessions, listening
from field.mcp_chat import McpChat, offered, tasks, told
from field.odd_models import error, lookup, say

pytestmark = pytest.mark.row("M20")

type New = Callable[[], McpChat]

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
DATA = base64.b64encode(b"x" * 3000).decode()


class Wish(BaseModel):
    """What a server asks a person."""

    name: str


def library() -> MCPServer:
    """A server of the official library with a tool for each kind of result."""
    server = MCPServer("library", log_level="CRITICAL", instructions="Be kind.")

    @server.tool()
    def picture() -> CallToolResult:  # pyright: ignore[reportUnusedFunction]
        """A picture with a text."""
        image = ImageContent(type="image", data=PNG, mime_type="image/png")
        return CallToolResult(content=[TextContent(type="text", text="a dot"), image])

    @server.tool()
    def documents() -> CallToolResult:  # pyright: ignore[reportUnusedFunction]
        """Texts and files."""
        text = TextResourceContents(uri="file:///a.txt", text="hello", mime_type="text/plain")
        pdf = BlobResourceContents(uri="file:///a.pdf", blob=DATA, mime_type="application/pdf")
        return CallToolResult(
            content=[
                EmbeddedResource(type="resource", resource=text),
                EmbeddedResource(type="resource", resource=pdf),
                ResourceLink(type="resource_link", uri="file:///b", name="b", description="the other one"),
                AudioContent(type="audio", data=DATA, mime_type="audio/wav"),
            ]
        )

    @server.tool()
    def structured() -> CallToolResult:  # pyright: ignore[reportUnusedFunction]
        """Only data."""
        return CallToolResult(content=[], structured_content={"degrees": 21})

    @server.tool()
    def nothing() -> CallToolResult:  # pyright: ignore[reportUnusedFunction]
        """Nothing."""
        return CallToolResult(content=[])

    @server.tool()
    def fails() -> CallToolResult:  # pyright: ignore[reportUnusedFunction]
        """Fails without a word."""
        return CallToolResult(content=[], is_error=True)

    @server.tool()
    def long() -> str:  # pyright: ignore[reportUnusedFunction]
        """Very long."""
        return "x" * 2_000_000

    @server.tool()
    async def asks(ctx: Context[Any, Any]) -> str:  # pyright: ignore[reportUnusedFunction]
        """Asks the person."""
        return str(await ctx.elicit("Who?", Wish))

    @server.tool()
    async def progresses(ctx: Context[Any, Any]) -> str:  # pyright: ignore[reportUnusedFunction]
        """Says how far it is."""
        for done in range(3):
            await ctx.report_progress(done, 3, "working")
        return "done"

    @server.tool()
    def adds(a: int, b: int) -> int:  # pyright: ignore[reportUnusedFunction]
        """Adds."""
        return a + b

    @server.resource("docs://manual")
    def manual() -> str:  # pyright: ignore[reportUnusedFunction]
        """The manual."""
        return "Read me."

    @server.prompt()
    def greet() -> str:  # pyright: ignore[reportUnusedFunction]
        """Greets."""
        return "Say hello."

    return server


@asynccontextmanager
async def served(chat: McpChat, server: MCPServer) -> AsyncGenerator[MCPServerStreamableHttp]:
    async with listening(server.streamable_http_app()) as url:
        own = MCPServerStreamableHttp({"url": f"{url}/mcp"}, name="library")
        await chat.start(own)
        await chat.until("library", "connected")
        yield own
        await chat.served.stack.aclose()


EXPECTED: dict[str, str] = {
    "picture": "a dot",
    "documents": (
        "file:///a.txt:\nhellofile:///a.pdf: a file (application/pdf, 3,000 bytes) that cannot be shown here."
        "file:///b: b, the other oneA recording (audio/wav, 3,000 bytes) that cannot be played here."
    ),
    "structured": '{"degrees": 21}',
    "nothing": "(The tool returned nothing.)",
    "fails": "The tool failed, and gave no reason.",
    "progresses": "done",
    "adds": "The call was not made: it needs the arguments a, b. Call it again with them.",
}
FAILED = {"fails", "adds", "asks"}


async def test_every_kind_of_result_reaches_the_model(mcp_chat: New):
    """coder/coder#23569: embedded resources are lost; openai/openai-agents-python#1001, nanobot#4542 of HKUDS: base64 fills
    the context; anomalyco/opencode#32832: structured content in place of the rest; openai/codex#13405,
    anthropics/claude-code#94806: a server that asks the person hangs the call; anomalyco/opencode#28186: progress."""
    chat = mcp_chat()
    async with served(chat, library()):
        names = [*EXPECTED, "asks", "long"]
        chat.endpoint.add([Call(name, {}) for name in names], Say("Done."))
        thread_id, events = await chat.served.create()
        assert error(events) is None
        outputs = dict(zip(names, told(chat.endpoint), strict=True))
        assert {name: outputs[name] for name in EXPECTED} == EXPECTED
        assert outputs["asks"].startswith("The call failed: library answered with the error")
        assert len(outputs["long"]) < 110_000
        shown = tasks(await chat.served.items(thread_id))
        assert {title.lower().removesuffix(" failed") for title in shown if "Failed" in title} == FAILED
        chat.endpoint.add(Say("Still here."))
        assert error(await say(chat.served, thread_id, "and now?")) is None
        assert DATA not in str(chat.endpoint.requests[-1].body)
        assert chat.endpoint.refused == []


async def test_a_server_that_asks_the_model_or_the_person(mcp_chat: New):
    """openai/codex#13405, google/adk-python#6422: requests of a server to its client, in the old protocol. They are refused
    at once, and the call goes on."""
    chat = mcp_chat()
    await chat.start(chat.odd("asks"))
    await chat.until("asks", "connected")
    chat.endpoint.add(Call("look", {}), Say("Found."))
    _, events = await chat.served.create()
    assert error(events) is None
    assert told(chat.endpoint) == [
        "Sampling not supported, Elicitation not supported, List roots not supported"
    ]


async def test_resources_and_prompts_of_a_server(mcp_chat: New):
    """danny-avila/LibreChat#9529: resources; an application's own tools read them from the server that it has made, or that
    the agent has."""
    chat = mcp_chat()
    async with served(chat, library()) as own:
        agent = chat.served.backchannel.parts.mcp_servers
        assert agent is not None
        for server in (own, *agent._all()):
            (resource,) = (await server.list_resources()).resources
            (content,) = (await server.read_resource(str(resource.uri))).contents
            assert isinstance(content, TextResourceContents)
            assert content.text == "Read me."
            assert (await server.list_resource_templates()).resource_templates == []
            (prompt,) = (await server.list_prompts()).prompts
            assert "Say hello." in str(await server.get_prompt(prompt.name))


ODD_TOOLS: list[dict[str, Any]] = [
    {"name": "calendar.read/all", "inputSchema": {"type": "object"}},
    {"name": "calendar_read_all", "inputSchema": {"type": "object", "properties": {}}},
    {"name": "3d-print", "inputSchema": {"type": "object"}},
    {"name": "x" * 100, "inputSchema": {"type": "object"}},
    {"name": "transfer_to_other", "inputSchema": {"type": "object"}},
    {
        "name": "choose",
        "inputSchema": {
            "type": "object",
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$defs": {"ById": {"properties": {"id": {"type": "string"}}, "required": ["id"]}},
            "anyOf": [{"$ref": "#/$defs/ById"}, {"properties": {"name": {"type": "string"}}}],
            "properties": {"limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
            "required": ["limit"],
        },
    },
]


async def test_names_and_schemas_that_providers_refuse(mcp_chat: New):
    """kolega-ai/kolega-code#581, openai/codex#8174, github/copilot-cli#2581: one name with a dot, and the provider refuses
    every message; langchain-ai/langchainjs#9804: so it does for `anyOf` at the top level of a schema;
    open-webui/computer#87: `$defs` must stay; xpzouying/xiaohongshu-mcp#677: no `properties`."""
    chat, sessions = mcp_chat(), Sessions()
    sessions.tools = ODD_TOOLS
    async with listening(sessions.app) as url:
        own = MCPServerStreamableHttp(
            {"url": f"{url}/mcp"}, name="odd", require_approval={"calendar.read/all": "never"}
        )
        agent = Agent(name="Clerk", mcp_servers=[own], tools=[lookup], handoffs=[Agent(name="Other")])
        await chat.start(agent=agent)
        await chat.until("odd", "connected")
        chat.endpoint.add(Say("Hello."))
        thread_id, events = await chat.served.create()
        assert error(events) is None
        names = offered(chat.endpoint)
        assert len(names) == len(set(names)) == len(ODD_TOOLS) + 1
        assert all(len(name) <= 64 for name in names)
        assert names[1] == "calendar_read_all"
        tools = {each["function"]["name"]: each for each in chat.endpoint.requests[-1].body["tools"]}
        schema = tools["choose"]["function"]["parameters"]
        assert list(schema["properties"]) == ["limit", "id", "name"]
        assert schema["required"] == ["limit"]
        assert "$defs" in schema
        assert "anyOf" not in schema
        chat.endpoint.add(*[each for name in (names[0], names[3]) for each in (Call(name, {}), Say("Ok."))])
        await say(chat.served, thread_id, "call it")
        assert told(chat.endpoint) == ["found it with calendar.read/all"]
        await say(chat.served, thread_id, "and the other")
        assert told(chat.endpoint)[-1] == "found it with " + "x" * 100
        assert chat.endpoint.refused == []
        await chat.served.stack.aclose()
