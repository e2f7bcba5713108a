"""An agent with MCP servers that are real processes, on a strict endpoint."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from agents import Agent
from agents.mcp import MCPServer, MCPServerStdio, MCPServerStreamableHttp

from backchannel.mcp import connection, processes, supervisor
from backchannel.retry import Backoff
from backchannel.testing.endpoints import StrictEndpoint
from field.erasing import APPROVE, outputs
from field.odd_models import served_on
from processes import Process
from wire.conftest import eventually

SCRIPTS = Path(__file__).parent / "mcp_servers"


class McpChat:
    """A person, an agent, and its MCP servers.

    Attributes:
        log: What the servers did, one line each.
    """

    def __init__(self, serve: Any, stack: AsyncExitStack, folder: Path) -> None:
        self.endpoint = StrictEndpoint("strictest", ignore={"call_id_format"})
        self.log = folder / "mcp.log"
        self.log.touch()
        self._serve = serve
        self._stack = stack
        self._folder = folder
        self._processes = 0

    def files(self, *, environment: dict[str, str] | None = None, **options: Any) -> MCPServerStdio:
        """`files.py` on standard input and output."""
        arguments = [str(SCRIPTS / "files.py"), str(self.log)]
        options = {"name": "files", **options}
        return MCPServerStdio(
            {"command": sys.executable, "args": arguments, "env": environment or {}}, **options
        )

    def official(self, **options: Any) -> MCPServerStdio:
        """`official.py` on standard input and output; it takes more than a second to start."""
        arguments = [str(SCRIPTS / "official.py"), str(self.log)]
        options = {"name": "files", **options}
        return MCPServerStdio({"command": sys.executable, "args": arguments}, **options)

    def odd(self, how: str, **options: Any) -> MCPServerStdio:
        """`odd.py` on standard input and output."""
        arguments = [str(SCRIPTS / "odd.py"), how]
        options = {"name": how, **options}
        return MCPServerStdio({"command": sys.executable, "args": arguments}, **options)

    async def http(self, port: int, **options: Any) -> tuple[Process, MCPServerStreamableHttp]:
        """`files.py` over HTTP, which listens; its process and the agent's object."""
        process = self.run_http(port)
        await eventually(lambda: listens(port), "the server listens")
        url = f"http://127.0.0.1:{port}/mcp"
        options = {"name": "files", **options}
        return process, MCPServerStreamableHttp({"url": url}, **options)

    def run_http(self, port: int) -> Process:
        self._processes += 1
        process = Process(self._folder / f"files-{self._processes}.log")
        process.execute([sys.executable, str(SCRIPTS / "files.py"), str(self.log), str(port)])
        self._stack.push_async_callback(process.kill)
        return process

    async def start(self, *servers: MCPServer, agent: Agent[Any] | None = None, **settings: Any) -> "McpChat":
        agent = agent or Agent[Any](name="Clerk", mcp_servers=list(servers))
        self.served = await served_on(self._serve, self._stack, self.endpoint, agent, **settings)
        return self

    async def restart(self, *servers: MCPServer, agent: Agent[Any] | None = None, **settings: Any) -> None:
        """Another replica, with agents of its own. The person goes on there."""
        cookies = self.served.person.http.cookies
        await self.start(*servers, agent=agent, **settings)
        self.served.person.http.cookies = cookies

    async def approve(self, thread_id: str, question: dict[str, Any]) -> list[dict[str, Any]]:
        """Approve all calls of a question; the events of what follows."""
        answers = {each["id"]: {"values": [APPROVE]} for each in question["inputs"]}
        params = {"thread_id": thread_id, "item_id": question["id"], "input": {"answers": answers}}
        return await (await self.served.person.stream("threads.add_structured_input", params)).events()

    async def health(self) -> dict[str, Any]:
        return (await self.served.person.http.get("/health")).json()

    async def until(self, server: str, status: str) -> None:
        """Wait until a server has a status."""
        servers = self.served.backchannel.parts.mcp_servers
        await eventually(lambda: servers.health()[server]["status"] == status, f"{server} is {status}")

    def done(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()

    def started(self) -> list[int]:
        """The processes of `files.py`, in the order of their starts."""
        return [int(line.split()[1]) for line in self.done() if line.startswith("started ")]

    def kill(self) -> None:
        os.kill(self.started()[-1], signal.SIGKILL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def lives(process: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return False


def tasks(items: list[dict[str, Any]]) -> list[str]:
    """The titles of the tasks of a thread, those of failed tools with `Failed`."""
    return [
        task["title"] + (" Failed" if str(task.get("content", "")).startswith("Failed.") else "")
        for item in items
        if item["type"] == "workflow"
        for task in item["workflow"]["tasks"]
    ]


@pytest.fixture
def mcp_chat(
    serve: Any, stack: AsyncExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], McpChat]:
    monkeypatch.setattr(supervisor, "BACKOFF", Backoff(initial=0.1, maximum=0.4))
    monkeypatch.setattr(connection, "LISTEN", Backoff(initial=0.1, maximum=0.4))
    monkeypatch.setattr(processes, "TERMINATE_SECONDS", 0.2)
    return lambda: McpChat(serve, stack, tmp_path)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers do not wait for servers that are down."""
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.2)


def told(endpoint: StrictEndpoint) -> list[str]:
    """The texts of the outputs of tools in the newest input of the model."""
    # Of MCP tools they are lists of parts.
    found: list[Any] = [*outputs(endpoint)]
    return [each if isinstance(each, str) else "".join(part["text"] for part in each) for each in found]


def offered(endpoint: StrictEndpoint) -> list[str]:
    """The names of the tools in the newest request to the model."""
    return [tool["function"]["name"] for tool in endpoint.requests[-1].body.get("tools", [])]
