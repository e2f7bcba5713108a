"""Keeps one MCP server connected, in tasks of its own.

Each connection is opened and closed by one task, so that a cancellation that leaks out of a transport ends that task
and nothing else. Whoever notices that a connection is lost names its number; a report on an older one is ignored, so
that many failed calls cause one new connection.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from agents.mcp import MCPServer
from mcp.types import CallToolResult, Tool

from backchannel.mcp.processes import end_processes
from backchannel.mcp.reasons import McpCallError, is_forgotten, is_lost, leaf, reason
from backchannel.retry import Backoff

log = structlog.get_logger(__name__)

BACKOFF = Backoff(initial=0.5, maximum=60)
"""Between tries to connect."""

MAX_FAILURES = 10
"""So many failures in a row, with pauses of `BACKOFF`; after that there is a try every `REST_SECONDS`."""

REST_SECONDS = 300.0

STABLE_SECONDS = 60.0
"""A connection that was shorter counts as a failure."""

DEMAND_SECONDS = 30.0
"""A server that is down and needed is tried again if the last try is so long ago, whatever the pause."""

CONNECT_SECONDS = 30.0
"""How long a server may take to connect and to list its tools. The client alone waits 10 seconds for the reply of a
server that does not know the newest version of the protocol."""

GRACE_SECONDS = 3.0
"""How long answers wait for a server that has begun to connect, or that has just been lost."""

CLOSE_SECONDS = 7.0
"""How long a connection may take to close: the client allows a process 2 seconds to exit, and 2 to react to SIGTERM."""

WATCH_SECONDS = 10.0
PROBE_SECONDS = 10.0
FRESH_SECONDS = 2.0
"""An answer looks at the list of tools again if it is older."""

REFRESH_SECONDS = 1.0
"""How long an answer waits for that."""

REPEAT_SECONDS = 10.0
"""How long a call that was not executed waits for a new connection."""

type State = Literal["connecting", "connected", "down", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the connections of one server come from.

    Attributes:
        name: Its name for people.
        make: The object to connect, for each connection. It may be the same each time.
        connect_seconds: How long it may take to connect and to list its tools.
        required: Whether the replica counts as unavailable while the server is down.
        process_mark: The mark of its processes, if it has any; see `processes`.
    """

    name: str
    make: Callable[[], MCPServer]
    connect_seconds: float = CONNECT_SECONDS
    required: bool = False
    process_mark: str | None = None


class Supervisor:
    """Keeps one server connected from `start` to `stop`. Belongs to one event loop.

    Attributes:
        source: See `Source`.
        state: `down` between two tries to connect.
        tools: The tools that it listed last, also while it is down; `None` before the first time.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.state: State = "closed"
        self.tools: list[Tool] | None = None
        self.last_used = 0.0
        self._reason = "is not connected yet"
        self._server: MCPServer | None = None
        self._generation = 0
        self._calls = 0
        self._listed_at = 0.0
        self._tried_at = 0.0
        self._next_try = 0.0
        self._grace_until = 0.0
        self._failures = 0
        self._lost = asyncio.Event()
        self._demanded = asyncio.Event()
        self._connected = asyncio.Event()
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect, unless it has begun. Does not wait."""
        if self._task is None or self._task.done():
            self.state = "connecting"
            self._grace_until = _now() + GRACE_SECONDS
            self.last_used = _now()
            self._task = asyncio.create_task(self._run(), name=f"mcp {self.source.name}")

    async def stop(self) -> None:
        """Close the connection, and end the processes. Calls in progress fail."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self.source.process_mark is not None and (left := await end_processes(self.source.process_mark)):
            log.warning("mcp_processes_ended", server=self.source.name, processes=left)

    async def available(self) -> bool:
        """Whether its tools can be called. Waits up to `GRACE_SECONDS` if it has just begun to connect or was lost."""
        self.last_used = _now()
        if self.state == "connected" and _now() - self._listed_at > FRESH_SECONDS:
            await self._refresh(REFRESH_SECONDS)
        if self.state == "down" and _now() - self._tried_at > DEMAND_SECONDS:
            self._demanded.set()
            self._grace_until = _now() + GRACE_SECONDS
        await self._wait_connected(self._grace_until - _now())
        return self.state == "connected"

    async def first_try(self) -> None:
        """Wait until it has listed its tools, or has failed to, for the first time."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), self.source.connect_seconds + CLOSE_SECONDS)

    async def call(
        self, tool: str, arguments: dict[str, Any] | None, meta: dict[str, Any] | None
    ) -> CallToolResult:
        """Call a tool, once. A server that did not execute the call, because it has forgotten the session, is asked
        again on a new connection.

        Raises:
            McpCallError: The server is down, or the call failed.
        """
        try:
            return await self._call(tool, arguments, meta)
        except Exception as error:
            if not is_forgotten(error):
                raise self._failed(tool, error) from error
        await self._wait_connected(REPEAT_SECONDS)
        try:
            return await self._call(tool, arguments, meta)
        except Exception as error:
            raise self._failed(tool, error) from error

    def health(self) -> dict[str, Any]:
        """Its state, for `/health`. Nothing in it is secret."""
        state: dict[str, Any] = {"status": self.state, "tools": len(self.tools or ())}
        if self.source.required:
            state["required"] = True
        if self.state in {"down", "connecting"} and self._failures:
            state |= {"reason": f"It {self._reason}.", "failures": self._failures}
        if self.state == "down":
            state["next_try_in"] = round(max(self._next_try - _now(), 0), 1)
        return state

    async def _call(
        self, tool: str, arguments: dict[str, Any] | None, meta: dict[str, Any] | None
    ) -> CallToolResult:
        server, generation = self._server, self._generation
        if server is None or self.state != "connected":
            raise McpCallError(f"The tools of {self.source.name} are not available right now.")
        self._calls += 1
        self.last_used = _now()
        try:
            call = (
                server.call_tool(tool, arguments) if meta is None else server.call_tool(tool, arguments, meta)
            )
            return await call
        except Exception as error:
            self._report(error, generation)
            raise
        finally:
            self._calls -= 1

    def _failed(self, tool: str, error: Exception) -> McpCallError:
        if isinstance(error, McpCallError):
            return error
        log.error("mcp_call_failed", server=self.source.name, tool=tool, error=type(leaf(error)).__name__)
        if is_lost(error):
            return McpCallError(
                f"The connection to {self.source.name} was lost during the call. "
                "The call may or may not have taken effect."
            )
        said = getattr(leaf(error), "message", None)
        detail = f" It said: {said}" if isinstance(said, str) else ""
        return McpCallError(f"The call failed: {self.source.name} {reason(error, 0)}.{detail}")

    def _report(self, error: BaseException, generation: int) -> None:
        if is_lost(error) and generation == self._generation and self.state == "connected":
            self._reason = reason(error, PROBE_SECONDS)
            self._lose()

    def _lose(self) -> None:
        self._connected.clear()
        self.state = "connecting"
        self._grace_until = _now() + GRACE_SECONDS
        self._lost.set()

    async def _wait_connected(self, seconds: float) -> None:
        if seconds > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._connected.wait(), seconds)

    async def _run(self) -> None:
        try:
            while True:
                began = _now()
                await self._connection()
                self._failures = 1 if _now() - began > STABLE_SECONDS else self._failures + 1
                pause = BACKOFF.delay(self._failures) if self._failures < MAX_FAILURES else REST_SECONDS
                self.state, self._next_try = "down", _now() + pause
                log.warning(
                    "mcp_server_down",
                    server=self.source.name,
                    reason=self._reason,
                    failures=self._failures,
                    next_try_in=round(pause, 1),
                )
                self._demanded.clear()
                self._tried.set()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._demanded.wait(), pause)
                self.state = "connecting"
        finally:
            self.state = "closed"
            self._connected.clear()

    async def _connection(self) -> None:
        """Open one connection, and watch it until it is lost."""
        self._tried_at = _now()
        self._lost.clear()
        release, opened = asyncio.Event(), asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._hold(opened, release), name=f"mcp connection {self.source.name}")
        try:
            await asyncio.wait(
                {task, opened}, timeout=self.source.connect_seconds, return_when="FIRST_COMPLETED"
            )
            if not opened.done():
                if not task.done():
                    self._reason = reason(TimeoutError(), self.source.connect_seconds)
                    task.cancel()
                return
            self._generation += 1
            self._server, self.tools = opened.result()
            self._listed_at, self.state = _now(), "connected"
            self._connected.set()
            self._tried.set()
            log.info("mcp_server_connected", server=self.source.name, tools=len(self.tools or ()))
            await self._watch(task)
        finally:
            self._connected.clear()
            self._server = None
            release.set()
            if not opened.done():
                task.cancel()
            await self._closed(task)

    async def _closed(self, task: asyncio.Task[None]) -> None:
        done, _ = await asyncio.wait({task}, timeout=CLOSE_SECONDS)
        if not done:
            task.cancel()
            log.warning("mcp_server_did_not_close", server=self.source.name)
        if self.source.process_mark is not None:
            await end_processes(self.source.process_mark)

    async def _hold(
        self, opened: "asyncio.Future[tuple[MCPServer, list[Tool]]]", release: asyncio.Event
    ) -> None:
        server: MCPServer | None = None
        try:
            server = self.source.make()
            # An application may have connected it already.
            if getattr(server, "session", None) is None:
                await server.connect()
            opened.set_result((server, await server.list_tools()))
            await release.wait()
        except asyncio.CancelledError:
            if not asyncio.current_task().cancelling():  # pyright: ignore[reportOptionalMemberAccess]
                self._reason = "ended the attempt to connect"
            raise
        except BaseException as error:
            self._reason = reason(error, self.source.connect_seconds)
        finally:
            if server is not None:
                await _quietly(server.cleanup)

    async def _watch(self, connection: asyncio.Task[None]) -> None:
        lost = asyncio.create_task(self._lost.wait())
        failures = 0
        try:
            while not self._lost.is_set() and not connection.done():
                await asyncio.wait({lost, connection}, timeout=WATCH_SECONDS, return_when="FIRST_COMPLETED")
                if self._lost.is_set() or connection.done():
                    return
                # A server that works on a call may have no time for this.
                failures = 0 if await self._alive() or self._calls else failures + 1
                if failures > 1:
                    self._reason = reason(TimeoutError(), PROBE_SECONDS)
                    return
        finally:
            lost.cancel()

    async def _alive(self) -> bool:
        ping = getattr(getattr(self._server, "session", None), "send_ping", None)
        try:
            if ping is not None:
                async with asyncio.timeout(PROBE_SECONDS):
                    await ping()
                return True
        except Exception as error:
            # Servers need not have it.
            self._report(error, self._generation)
        return not self._lost.is_set() and await self._refresh(PROBE_SECONDS)

    async def _refresh(self, seconds: float) -> bool:
        server, generation = self._server, self._generation
        if server is None:
            return False
        forget: Callable[[], None] | None = getattr(server, "invalidate_tools_cache", None)
        if forget is not None:
            forget()
        try:
            async with asyncio.timeout(seconds):
                tools = await server.list_tools()
        except Exception as error:
            self._report(error, generation)
            return False
        if generation == self._generation:
            self.tools, self._listed_at = tools, _now()
        return True


async def _quietly(close: Callable[[], Awaitable[None]]) -> None:
    with suppress(Exception):
        await close()


def _now() -> float:
    return asyncio.get_running_loop().time()
