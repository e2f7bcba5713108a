"""One connection to an MCP server.

It is opened and closed by one task, so that a cancellation that leaks out of a transport ends that task and nothing
else.
"""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from agents.mcp import MCPServer
from mcp import MCPError
from mcp.client.session import IncomingMessage, MessageHandlerFnT
from mcp.client.subscriptions import ListenNotSupportedError, listen
from mcp.types import METHOD_NOT_FOUND, Tool, ToolListChangedNotification

from backchannel.mcp.processes import end_processes
from backchannel.mcp.reasons import reason, retry_after
from backchannel.retry import Backoff

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 30.0
"""How long a server may take to connect and to list its tools. The client alone waits 10 seconds for the reply of a
server that does not know the newest version of the protocol."""

CLOSE_SECONDS = 7.0
"""How long a connection may take to close: the client allows a process 2 seconds to exit, and 2 to react to SIGTERM."""

CANCEL_SECONDS = 0.5
"""How long a connection that did not close in time may take to react to being cancelled."""

LISTEN = Backoff(initial=1, maximum=60)
"""Between tries to subscribe to changes."""


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


class Connection:
    """One connection. Begins to open when it is made; `close` must be called. Belongs to one event loop.

    Args:
        changed: Is called when the server says that its list of tools has changed.

    Attributes:
        task: Ends when the connection has ended.
        reason: Why it could not be opened, or has ended by itself, as the end of a sentence about the server.
        retry_after: The seconds after which the server wants to be asked again, if it has said so.
    """

    def __init__(self, source: Source, changed: Callable[[], None]) -> None:
        self.reason: str | None = None
        self.retry_after: float | None = None
        self._source = source
        self._changed = changed
        self._release = asyncio.Event()
        self._opened: asyncio.Future[tuple[MCPServer, list[Tool]]] = (
            asyncio.get_running_loop().create_future()
        )
        self.task = asyncio.create_task(self._hold(), name=f"mcp connection {source.name}")

    async def opened(self) -> tuple[MCPServer, list[Tool]] | None:
        """Wait until it is open; the connected object and the tools that it has listed, or `None` if it failed."""
        seconds = self._source.connect_seconds
        await asyncio.wait({self.task, self._opened}, timeout=seconds, return_when="FIRST_COMPLETED")
        if self._opened.done():
            return self._opened.result()
        if not self.task.done():
            self.reason = reason(TimeoutError(), seconds)
        return None

    async def close(self) -> None:
        """Close it, within `CLOSE_SECONDS`, and end its processes."""
        self._release.set()
        if not self._opened.done():
            self.task.cancel()
        done, _ = await asyncio.wait({self.task}, timeout=CLOSE_SECONDS)
        if not done:
            log.warning("mcp_server_did_not_close", server=self._source.name)
            self.task.cancel()
            await asyncio.wait({self.task}, timeout=CANCEL_SECONDS)
        mark = self._source.process_mark
        if mark is not None and (left := await end_processes(mark)):
            log.warning("mcp_processes_ended", server=self._source.name, processes=left)

    async def _hold(self) -> None:
        server: MCPServer | None = None
        listener: asyncio.Task[None] | None = None
        try:
            server = self._source.make()
            _handle_notifications(server, self._changed)
            with cancelled_by_transport():
                # An application may have connected it already.
                if getattr(server, "session", None) is None:
                    await server.connect()
                tools = await server.list_tools()
                listener = asyncio.create_task(
                    _listen(getattr(server, "session", None), self._changed),
                    name=f"mcp changes {self._source.name}",
                )
                self._opened.set_result((server, tools))
                await self._release.wait()
        except (Exception, BaseExceptionGroup) as error:
            self.reason = reason(error, self._source.connect_seconds)
            self.retry_after = retry_after(error)
        finally:
            if listener is not None:
                listener.cancel()
                await asyncio.wait({listener})
            if server is not None:
                with suppress(Exception, BaseExceptionGroup):
                    await server.cleanup()


@contextmanager
def cancelled_by_transport() -> Generator[None]:
    """Turn a cancellation that the current task was not asked for into an error: transports that fail cancel requests.

    Raises:
        ConnectionAbortedError: The transport has failed.
    """
    try:
        yield
    except asyncio.CancelledError as cancelled:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectionAbortedError from cancelled


class _Notified:
    """Hands notifications on to the application's own handler."""

    def __init__(self, original: MessageHandlerFnT | None, changed: Callable[[], None]) -> None:
        self.original = original
        self._changed = changed

    async def __call__(self, message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._changed()
        if self.original is not None:
            await self.original(message)


def _handle_notifications(server: Any, changed: Callable[[], None]) -> None:
    """Receive changes from servers with a protocol before 2026-07-28, which announce them to every client."""
    if hasattr(server, "message_handler"):
        original = server.message_handler
        server.message_handler = _Notified(
            original.original if isinstance(original, _Notified) else original, changed
        )


async def _listen(session: Any, changed: Callable[[], None]) -> None:
    """Subscribe to changes of newer servers, which announce them only to clients that ask for it."""
    tools = getattr(getattr(session, "server_capabilities", None), "tools", None)
    if not getattr(tools, "list_changed", False):
        return
    failures = 0
    while True:
        try:
            async with listen(session, tools_list_changed=True) as changes:
                # There may have been some since the tools were listed.
                changed()
                failures = 0
                async for _ in changes:
                    changed()
        except ListenNotSupportedError:
            return
        except Exception as error:
            if isinstance(error, MCPError) and error.code == METHOD_NOT_FOUND:
                return
        failures += 1
        await asyncio.sleep(LISTEN.delay(failures))
