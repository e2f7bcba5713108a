"""One supervisor, with a server in the test's own process."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, override

import pytest
from agents.mcp import MCPServer
from mcp import MCPError
from mcp.types import CallToolResult, TextContent, Tool

from backchannel.mcp import supervisor as module
from backchannel.mcp.connection import Connection, Source
from backchannel.mcp.reasons import CONNECTION_CLOSED, INVALID_REQUEST, McpCallError
from backchannel.mcp.supervisor import Supervisor
from backchannel.retry import Backoff
from wire.conftest import eventually

pytestmark = pytest.mark.row("B9")


class FakeServer(MCPServer):
    """Fails where it is told to; strict about the order of calls and the task that makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.connections = 0
        self.calls = 0
        self.fail: dict[str, list[BaseException | asyncio.Event | asyncio.Future[None]]] = {}
        self.owner: asyncio.Task[Any] | None = None
        self.lists = 0
        self.names = ["look"]
        self.has_ping = False
        self.session: FakeServer | None = None
        self.on_list: Callable[[], None] = lambda: None

    async def _step(self, name: str) -> None:
        for failure in self.fail.get(name, [])[:1]:
            self.fail[name].pop(0)
            if isinstance(failure, BaseException):
                raise failure
            await (failure.wait() if isinstance(failure, asyncio.Event) else failure)

    @property
    @override
    def name(self) -> str:
        return "fake"

    @override
    async def connect(self) -> None:
        assert self.owner is None, "connected twice"
        self.owner = asyncio.current_task()
        self.connections += 1
        await self._step("connect")
        self.session = self if self.has_ping else None

    @override
    async def cleanup(self) -> None:
        assert self.owner is asyncio.current_task(), "closed by another task"
        await self._step("close")
        self.owner = self.session = None

    async def send_ping(self) -> None:
        await self._step("ping")

    @override
    async def list_tools(self, run_context: Any = None, agent: Any = None) -> list[Tool]:
        assert self.owner is not None
        self.lists += 1
        self.on_list()
        await self._step("list")
        return [Tool(name=name, input_schema={"type": "object"}) for name in self.names]

    @override
    async def call_tool(
        self, tool_name: str, arguments: dict[str, Any] | None, meta: dict[str, Any] | None = None
    ) -> CallToolResult:
        assert self.owner is not None
        self.calls += 1
        await self._step("call")
        return CallToolResult(content=[TextContent(type="text", text="ok")])

    @override
    async def list_prompts(self) -> Any:
        raise NotImplementedError

    @override
    async def get_prompt(self, name: str, arguments: dict[str, Any] | None = None) -> Any:
        raise NotImplementedError


@asynccontextmanager
async def supervised(server: FakeServer, **source: Any) -> AsyncGenerator[Supervisor]:
    supervisor = Supervisor(Source(name="fake", make=lambda: server, **source))
    supervisor.start()
    try:
        yield supervisor
    finally:
        before = asyncio.all_tasks()
        await asyncio.wait_for(supervisor.stop(), 5)
        assert supervisor.state == "closed"
        assert server.owner is None
        assert {each for each in before if "mcp" in each.get_name() and not each.done()} == set()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF", Backoff(initial=0.01, maximum=0.02))


def closed() -> MCPError:
    return MCPError(CONNECTION_CLOSED, "Connection closed")


async def test_it_connects_calls_and_closes():
    server = FakeServer()
    async with supervised(server) as supervisor:
        assert await supervisor.available()
        result = await supervisor.call("look", {}, None)
        assert result.content[0].type == "text"
    assert server.connections == 1


@pytest.mark.parametrize("step", ["connect", "list"])
@pytest.mark.parametrize(
    "failure",
    [FileNotFoundError(), ExceptionGroup("", [closed()]), asyncio.CancelledError(), TimeoutError()],
    ids=repr,
)
async def test_a_failed_try_is_followed_by_another(step: str, failure: BaseException):
    """google/adk-python#3708: an HTTP error surfaces as a cancellation."""
    server = FakeServer()
    server.fail[step] = [failure, failure]
    async with supervised(server) as supervisor:
        assert await supervisor.available()
        assert server.connections == 3


async def test_a_server_that_hangs_at_connect_is_left():
    """modelcontextprotocol/python-sdk#468."""
    server = FakeServer()
    server.fail["connect"] = [asyncio.Event()]
    async with supervised(server, connect_seconds=0.05) as supervisor:
        await eventually(lambda: supervisor.state == "connected", "the second try works")
        assert server.connections == 2


@pytest.mark.row("B8")
async def test_the_first_try_is_awaited_for_as_long_as_a_server_may_take_to_connect():
    """An approved call whose server hangs, also when it is closed, would hold its answer for longer."""
    server, closing = FakeServer(), asyncio.Event()
    server.fail = {"connect": [asyncio.Event()], "close": [closing]}
    async with supervised(server, connect_seconds=0.05) as supervisor:
        await asyncio.wait_for(supervisor.first_try(), 3)
        await eventually(lambda: not server.fail["close"], "it is being closed")
        assert not closing.is_set()
        closing.set()


async def test_an_answer_does_not_wait_again_for_a_server_that_has_just_hung(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(module, "BACKOFF", Backoff(initial=60, maximum=60))
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(module, "DEMAND_SECONDS", 0.5)
    server = FakeServer()
    server.fail["connect"] = [asyncio.Event()]
    async with supervised(server, connect_seconds=0.6) as supervisor:
        await eventually(lambda: supervisor.state == "down", "it has hung")
        assert not await supervisor.available()
        assert (supervisor.state, server.connections) == ("down", 1)


async def test_a_server_that_fails_to_close_is_closed_all_the_same():
    """Transports end with groups that hold cancellations."""
    server = FakeServer()
    connection = Connection(Source(name="fake", make=lambda: server), lambda: None)
    assert await connection.opened() is not None
    server.fail["close"] = [BaseExceptionGroup("", [asyncio.CancelledError()])]
    await connection.close()
    assert connection.task.exception() is None


async def test_it_can_be_stopped_while_it_connects():
    """openai/openai-agents-python#3919."""
    server = FakeServer()
    server.fail["connect"] = [asyncio.Event()]
    async with supervised(server):
        await eventually(lambda: server.connections == 1, "it connects")


async def test_it_is_closed_if_it_is_stopped_while_a_lost_connection_closes():
    """At shutdown: what is not waited for leaves processes and connections behind."""
    server, closing = FakeServer(), asyncio.Event()
    async with supervised(server) as supervisor:
        assert await supervisor.available()
        server.fail = {"call": [closed()], "close": [closing]}
        with pytest.raises(McpCallError):
            await supervisor.call("look", {}, None)
        await eventually(lambda: not server.fail["close"], "it is being closed")
        stopping = asyncio.create_task(supervisor.stop())
        await asyncio.wait({stopping}, timeout=0.05)
        assert not stopping.done()
        closing.set()
        await asyncio.wait_for(stopping, 3)
        assert server.owner is None


async def test_calls_that_fail_together_cause_one_connection():
    """NousResearch/hermes-agent#103211."""
    server = FakeServer()
    async with supervised(server) as supervisor:
        assert await supervisor.available()
        server.fail["call"] = [closed() for _ in range(50)]
        calls = (supervisor.call("look", {}, None) for _ in range(50))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(each, McpCallError) for each in results)
        assert await supervisor.available()
        assert server.connections == 2


async def test_a_late_failure_of_an_older_connection_changes_nothing():
    """NousResearch/hermes-agent#103211."""
    server = FakeServer()
    async with supervised(server) as supervisor:
        assert await supervisor.available()
        late: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        server.fail["call"] = [late, closed()]
        first = asyncio.create_task(supervisor.call("look", {}, None))
        await eventually(lambda: server.calls == 1, "the first call has begun")
        with pytest.raises(McpCallError):
            await supervisor.call("look", {}, None)
        assert await supervisor.available()
        late.set_exception(closed())
        with pytest.raises(McpCallError, match="may or may not"):
            await first
        assert (supervisor.state, server.connections) == ("connected", 2)


async def test_a_call_that_may_have_taken_effect_is_not_repeated():
    """A death after the effect and before the reply: a repetition would take effect twice."""
    server = FakeServer()
    async with supervised(server) as supervisor:
        assert await supervisor.available()
        server.fail["call"] = [closed()]
        with pytest.raises(McpCallError, match="may or may not have taken effect"):
            await supervisor.call("look", {}, None)
        assert server.calls == 1


async def test_a_call_that_was_refused_for_its_session_is_repeated_once():
    """modelcontextprotocol/python-sdk#1676."""
    server = FakeServer()
    async with supervised(server) as supervisor:
        assert await supervisor.available()
        forgotten = MCPError(INVALID_REQUEST, "Session terminated")
        server.fail["call"] = [forgotten]
        await supervisor.call("look", {}, None)
        assert (server.calls, server.connections) == (2, 2)
        server.fail["call"] = [forgotten, forgotten]
        with pytest.raises(McpCallError):
            await supervisor.call("look", {}, None)
        assert server.calls == 4


async def test_a_server_that_is_down_keeps_its_tools_and_refuses_calls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "BACKOFF", Backoff(initial=60, maximum=60))
    monkeypatch.setattr(module, "GRACE_SECONDS", 0)
    server = FakeServer()
    async with supervised(server) as supervisor:
        await eventually(lambda: supervisor.state == "connected", "it is connected")
        server.fail["call"] = [closed()]
        with pytest.raises(McpCallError):
            await supervisor.call("look", {}, None)
        await eventually(lambda: supervisor.state == "down", "it is down")
        assert not await supervisor.available()
        with pytest.raises(McpCallError, match="not available right now"):
            await supervisor.call("look", {}, None)
        assert server.calls == 1
        health = supervisor.health()
        assert (health["status"], health["tools"], health["reason"]) == (
            "down",
            1,
            "It closed the connection.",
        )
        # The pause is over for a person who needs the server.
        monkeypatch.setattr(module, "DEMAND_SECONDS", 0)
        await supervisor.available()
        await eventually(lambda: supervisor.state == "connected", "it is connected again")


async def test_after_many_failures_it_rests(monkeypatch: pytest.MonkeyPatch):
    """Reconnections that succeed and fail at once: the delays must grow all the same."""
    server = FakeServer()
    server.fail["connect"] = [ConnectionRefusedError() for _ in range(100)]
    async with supervised(server) as supervisor:
        await eventually(
            lambda: supervisor.health().get("failures") == module.MAX_FAILURES, "all tries have failed"
        )
        assert supervisor.health()["next_try_in"] > 200
        assert server.connections == module.MAX_FAILURES


async def test_a_connection_that_dies_at_once_is_a_failure():
    """danny-avila/LibreChat#12162."""
    server = FakeServer()
    async with supervised(server) as supervisor:
        for failures in range(1, 4):
            assert await supervisor.available()
            server.fail["call"] = [closed()]
            with pytest.raises(McpCallError):
                await supervisor.call("look", {}, None)
            await eventually(lambda n=failures: supervisor.health().get("failures", n) >= n, "it is counted")
        assert await supervisor.available()
        assert server.connections == 4


async def test_an_idle_server_that_died_is_noticed_and_a_busy_one_is_left(monkeypatch: pytest.MonkeyPatch):
    """NousResearch/hermes-agent#97245: a server that has no time for a probe is restarted."""
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.05)
    server, busy = FakeServer(), asyncio.Event()
    async with supervised(server) as supervisor:
        assert await supervisor.available()
        server.fail = {"call": [busy], "list": [asyncio.Event(), asyncio.Event(), asyncio.Event()]}
        call = asyncio.create_task(supervisor.call("look", {}, None))
        await eventually(lambda: not server.fail["list"], "three probes went unanswered")
        busy.set()
        await call
        assert server.connections == 1
        server.fail["list"] = [closed()]
        await eventually(lambda: server.connections == 2, "it was connected again")


async def test_a_call_that_the_transport_cancels_is_a_lost_connection():
    """google/adk-python#3708."""
    server = FakeServer()
    async with supervised(server) as supervisor:
        assert await supervisor.available()
        server.fail["call"] = [asyncio.CancelledError()]
        with pytest.raises(McpCallError, match="may or may not have taken effect"):
            await supervisor.call("look", {}, None)
        assert await supervisor.available()
        assert server.connections == 2


@pytest.mark.parametrize("step", ["ping", "list"])
async def test_a_probe_that_the_transport_cancels_is_a_lost_connection(
    monkeypatch: pytest.MonkeyPatch, step: str
):
    """google/adk-python#3708: the cancellation must not end the supervisor, nor be waited out."""
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.01)
    server = FakeServer()
    server.has_ping = step == "ping"
    async with supervised(server) as supervisor:
        assert await supervisor.available()
        server.fail[step] = [asyncio.CancelledError()]
        await eventually(lambda: server.connections == 2, "it was connected again")
        assert await supervisor.available()


async def test_an_answer_that_is_cut_short_leaves_the_connection(monkeypatch: pytest.MonkeyPatch):
    """netclaw-dev/netclaw#2056: unless nobody is there any more."""
    server = FakeServer()
    async with supervised(server) as supervisor:
        assert await supervisor.available()
        cut = MCPError(CONNECTION_CLOSED, "SSE stream ended without a response")
        listed = server.lists
        server.fail["call"] = [cut]
        with pytest.raises(McpCallError, match="ended its answer too early"):
            await supervisor.call("look", {}, None)
        await eventually(lambda: server.lists > listed, "it was asked whether it is there")
        assert (supervisor.state, server.connections) == ("connected", 1)
        server.fail = {"call": [cut], "list": [closed()]}
        with pytest.raises(McpCallError):
            await supervisor.call("look", {}, None)
        await eventually(lambda: server.connections == 2, "it was connected again")


async def test_a_connection_that_takes_long_to_close_is_not_available(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.02)
    monkeypatch.setattr(module, "GRACE_SECONDS", 0)
    server, closing = FakeServer(), asyncio.Event()
    async with supervised(server) as supervisor:
        await eventually(lambda: supervisor.state == "connected", "it is connected")
        server.fail = {"list": [asyncio.Event() for _ in range(9)], "close": [closing]}
        await eventually(lambda: not server.fail["close"], "it is being closed")
        assert supervisor.state != "connected"
        assert not await supervisor.available()
        server.fail = {}
        closing.set()


async def test_a_server_that_announces_a_change_whenever_it_is_asked(monkeypatch: pytest.MonkeyPatch):
    """aaif-goose/goose#10433: announcements are honoured; here each listing causes the next one."""
    monkeypatch.setattr(module, "BACKOFF", Backoff(initial=0.2, maximum=60))
    server = FakeServer()
    async with supervised(server) as supervisor:
        assert await supervisor.available()
        server.on_list = supervisor.tools_changed
        for _ in range(20):
            supervisor.tools_changed()
        await supervisor.settled()
        assert server.lists == 2
        await asyncio.wait_for(supervisor.settled(), 0.1)
        await eventually(lambda: server.lists == 3, "it is listed again, after a pause")


async def test_a_change_that_is_announced_while_the_tools_are_listed_for_the_first_time(
    monkeypatch: pytest.MonkeyPatch,
):
    """Otherwise it is lost if the list is not looked at again (`cache_tools_list`)."""
    monkeypatch.setattr(module, "WATCH_SECONDS", 60)
    server = FakeServer()
    async with supervised(server) as supervisor:
        server.on_list = lambda: supervisor.tools_changed() if server.lists == 1 else None
        await eventually(lambda: server.lists == 2, "it is listed again")


async def test_answers_share_one_listing_and_a_slow_one_is_not_given_up(monkeypatch: pytest.MonkeyPatch):
    """anomalyco/opencode#6870: a slow server slows every request to the model."""
    monkeypatch.setattr(module, "FRESH_SECONDS", 0)
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.02)
    server, slow = FakeServer(), asyncio.Event()
    async with supervised(server) as supervisor:
        assert await supervisor.available()
        server.fail["list"] = [slow]
        assert all(await asyncio.gather(*(supervisor.available() for _ in range(9))))
        assert server.lists == 2
        server.names = ["look", "find"]
        slow.set()
        await eventually(lambda: len(supervisor.tools or ()) == 2, "the slow list has come")
        assert server.lists == 2
