"""Keeps one MCP server connected, in tasks of its own.

Connections have numbers. A report that a connection is lost names its number, and is ignored if there is a newer one,
so that many failed calls cause one new connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Literal

import structlog
from agents.mcp import MCPServer
from mcp import MCPError
from mcp.types import METHOD_NOT_FOUND, CallToolResult, Tool

from backchannel.mcp.connection import Connection, Source, cancelled_by_transport
from backchannel.mcp.reasons import (
    McpCallError,
    call_failure,
    is_cut_short,
    is_forgotten,
    is_lost,
    leaf,
    reason,
)
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
"""A server that is down and needed is tried again if the last try has ended so long ago, whatever the pause."""

GRACE_SECONDS = 3.0
"""How long answers wait for a server that has begun to connect, or that has just been lost."""

WATCH_SECONDS = 10.0
PROBE_SECONDS = 10.0
FRESH_SECONDS = 2.0
"""An answer looks at the list of tools again if it is older."""

REFRESH_SECONDS = 1.0
"""How long an answer waits for that."""

REPEAT_SECONDS = 10.0
"""How long a call that was not executed waits for a new connection."""

type State = Literal["connecting", "connected", "down", "closed"]


class Supervisor:
    """Keeps one server connected from `start` to `stop`. Belongs to one event loop.

    Attributes:
        source: See `Source`.
        state: `down` between two tries to connect.
        tools: The tools that it listed last, also while it is down; `None` before the first time.
        last_used: When a person last needed it, by the clock of the event loop.
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
        self._not_before = 0.0
        self._grace_until = 0.0
        self._failures = 0
        self._is_lost = False
        self._has_ping = True
        self._announced = False
        self._changes = 0
        self._unlistable: str | None = None
        self._wake = asyncio.Event()
        self._demanded = asyncio.Event()
        self._connected = asyncio.Event()
        self._tried = asyncio.Event()
        self._refreshing: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether calls are in progress."""
        return self._calls > 0

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

    async def available(self) -> bool:
        """Whether its tools can be called. Waits up to `GRACE_SECONDS` if it has just begun to connect or was lost."""
        self.last_used = now = _now()
        # An application says with `cache_tools_list` that the list does not change.
        polled = not getattr(self._server, "cache_tools_list", False)
        if self.state == "connected" and polled and now - self._listed_at > FRESH_SECONDS:
            self._refresh()
        await self.settled()
        if self.state == "down" and now - self._tried_at > DEMAND_SECONDS and now >= self._not_before:
            self._demanded.set()
            self._grace_until = now + GRACE_SECONDS
        await self._wait_connected(self._grace_until - _now())
        return self.state == "connected"

    def tools_changed(self) -> None:
        """Have the tools listed anew: the server says that they have changed."""
        self._announced = True
        self._list_again()

    async def settled(self) -> None:
        """Wait up to `REFRESH_SECONDS` while the tools are listed anew."""
        if self._refreshing is not None and not self._refreshing.done():
            await asyncio.wait({self._refreshing}, timeout=REFRESH_SECONDS)

    async def first_try(self) -> None:
        """Wait until it has listed its tools, or has failed to, for the first time: at most the time that it may take
        to connect."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), self.source.connect_seconds)

    async def call(
        self, tool: str, arguments: dict[str, Any] | None, meta: dict[str, Any] | None
    ) -> CallToolResult:
        """Call a tool, once. A server that did not execute the call, because it has forgotten the session, is asked
        again on a new connection.

        Raises:
            McpCallError: The server is down, or the call failed.
        """
        if meta is None:
            return await self.request(tool, lambda server: server.call_tool(tool, arguments))
        return await self.request(tool, lambda server: server.call_tool(tool, arguments, meta))

    async def request[T](self, what: str, ask: Callable[[MCPServer], Coroutine[Any, Any, T]]) -> T:
        """Ask the connected server for something, as in `call`.

        Args:
            what: What it is, for the log.

        Raises:
            McpCallError: The server is down, or the request failed.
        """
        try:
            return await self._request(ask)
        except Exception as error:
            if not is_forgotten(error):
                raise self._failed(what, error) from error
        await self._wait_connected(REPEAT_SECONDS)
        try:
            return await self._request(ask)
        except Exception as error:
            raise self._failed(what, error) from error

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

    async def _request[T](self, ask: Callable[[MCPServer], Coroutine[Any, Any, T]]) -> T:
        server, generation = self._server, self._generation
        if server is None or self.state != "connected":
            raise McpCallError(
                f"The tools of {self.source.name} are not available right now. The call was not made."
            )
        self._calls += 1
        try:
            with cancelled_by_transport():
                return await ask(server)
        except Exception as error:
            self._report(error, generation)
            raise
        finally:
            self._calls -= 1
            self.last_used = _now()

    def _failed(self, what: str, error: Exception) -> McpCallError:
        if isinstance(error, McpCallError):
            return error
        log.error("mcp_call_failed", server=self.source.name, tool=what, error=type(leaf(error)).__name__)
        return McpCallError(call_failure(self.source.name, error))

    def _report(self, error: BaseException, generation: int) -> None:
        if generation != self._generation or self.state != "connected":
            return
        if is_lost(error):
            self._reason = reason(error, PROBE_SECONDS)
            self._lose()
        elif is_cut_short(error):
            # Only this answer, or the whole server: others may still be answered on the connection.
            self._wake.set()

    def _lose(self) -> None:
        self._connected.clear()
        self.state = "connecting"
        self._grace_until = _now() + GRACE_SECONDS
        self._is_lost = True
        self._wake.set()

    async def _wait_connected(self, seconds: float) -> None:
        if seconds > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._connected.wait(), seconds)

    async def _run(self) -> None:
        try:
            while True:
                began = _now()
                asked_pause = await self._connection()
                self._failures = 1 if _now() - began > STABLE_SECONDS else self._failures + 1
                pause = BACKOFF.delay(self._failures) if self._failures < MAX_FAILURES else REST_SECONDS
                pause = max(pause, min(asked_pause, REST_SECONDS))
                self._tried_at = _now()
                self.state, self._next_try = "down", self._tried_at + pause
                self._not_before = _now() + min(asked_pause, REST_SECONDS)
                log.warning(
                    "mcp_server_down",
                    server=self.source.name,
                    reason=self._reason,
                    failures=self._failures,
                    next_try_in=round(pause, 1),
                )
                self._demanded.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._demanded.wait(), pause)
                self.state = "connecting"
        finally:
            self.state = "closed"
            self._connected.clear()

    async def _connection(self) -> float:
        """Open one connection, and watch it until it is lost; the seconds that the server wants to be left alone."""
        self._is_lost, self._has_ping, self._announced = False, True, False
        self._wake.clear()
        connection = Connection(self.source, self.tools_changed)
        try:
            opened = await connection.opened()
            if opened is None:
                # Before it is closed, which may take long.
                self._tried.set()
                return connection.retry_after or 0
            self._generation += 1
            self._server, self.tools = opened
            self._listed_at, self.state = _now(), "connected"
            self._connected.set()
            self._tried.set()
            log.info("mcp_server_connected", server=self.source.name, tools=len(self.tools))
            if self._announced:
                # A change while they were listed.
                self._refresh()
            await self._watch(connection.task)
            return 0
        finally:
            self._reason = connection.reason or self._reason
            self._connected.clear()
            self._server = None
            if self.state == "connected":
                self._lose()
            if self._refreshing is not None:
                self._refreshing.cancel()
            await _finish(connection.close())

    async def _watch(self, connection: asyncio.Task[None]) -> None:
        failures = 0
        while not self._is_lost and not connection.done():
            wake = asyncio.create_task(self._wake.wait())
            try:
                await asyncio.wait({wake, connection}, timeout=WATCH_SECONDS, return_when="FIRST_COMPLETED")
            finally:
                wake.cancel()
            suspected = self._wake.is_set()
            self._wake.clear()
            if self._is_lost or connection.done():
                return
            # A server that works on a call may have no time for this.
            well = await self._alive() or (self.busy and not suspected)
            failures = 0 if well else failures + 1
            if failures > 1 or (failures and suspected):
                self._reason = reason(TimeoutError(), PROBE_SECONDS)
                return

    async def _alive(self) -> bool:
        began = _now()
        ping: Callable[[], Awaitable[Any]] | None = getattr(
            getattr(self._server, "session", None), "send_ping", None
        )
        try:
            if ping is not None and self._has_ping:
                async with asyncio.timeout(PROBE_SECONDS):
                    with cancelled_by_transport():
                        await ping()
                return True
        except Exception as error:
            # Servers need not have it.
            self._has_ping = not (isinstance(error, MCPError) and error.code == METHOD_NOT_FOUND)
            self._report(error, self._generation)
        if self._is_lost:
            return False
        await asyncio.wait({self._refresh()}, timeout=PROBE_SECONDS)
        return self._listed_at >= began and not self._is_lost

    def _refresh(self) -> asyncio.Task[None]:
        """List the tools anew, unless that is in progress: once for all answers that need it."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._list(), name=f"mcp tools {self.source.name}")
        return self._refreshing

    async def _list(self) -> None:
        self._announced = False
        await self._list_once()
        self._changes = self._changes + 1 if self._announced else 0
        if self._announced:
            # Some servers announce a change whenever they are asked.
            asyncio.get_running_loop().call_later(BACKOFF.delay(self._changes), self._list_again)

    def _list_again(self) -> None:
        if self.state == "connected":
            self._refresh()

    async def _list_once(self) -> None:
        server, generation = self._server, self._generation
        if server is None:
            return
        forget: Callable[[], None] | None = getattr(server, "invalidate_tools_cache", None)
        if forget is not None:
            forget()
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                with cancelled_by_transport():
                    tools = await server.list_tools()
        except Exception as error:
            self._report(error, generation)
            why = reason(error, PROBE_SECONDS)
            if why != self._unlistable and not self._is_lost:
                self._unlistable = why
                log.warning("mcp_tools_not_listed", server=self.source.name, reason=why)
            return
        if server is self._server and generation == self._generation:
            self._unlistable = None
            if tools != self.tools:
                log.info("mcp_tools_changed", server=self.source.name, tools=len(tools))
            self.tools, self._listed_at = tools, _now()


async def _finish(closing: Coroutine[Any, Any, None]) -> None:
    """Wait until something is closed, also if the current task is cancelled while it waits."""
    task = asyncio.create_task(closing)
    try:
        await asyncio.shield(task)
    finally:
        await asyncio.wait({task})


def _now() -> float:
    return asyncio.get_running_loop().time()
