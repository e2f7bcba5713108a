"""`Backchannel`: the parts of one server, opened in order, drained, and closed in reverse."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from time import perf_counter
from typing import Any

import structlog
from agents import ModelProvider
from chatkit.server import ChatKitServer
from fastapi import APIRouter

from backchannel.application import ContextFactory, Lifespan
from backchannel.authenticators.base import Authenticator
from backchannel.errors import ConfigurationError
from backchannel.errors.base import lifespan_failed_error, not_running_error
from backchannel.event_logs.base import EventLog
from backchannel.files.attachments import FileAttachments
from backchannel.files.sweeper import FileSweeper
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.host_exit import drain_when_host_exits
from backchannel.http.auth.access import Access
from backchannel.http.rate_limits import RateLimits
from backchannel.http.repetitions import UnansweredRequests
from backchannel.lifespan_task import LifespanTask
from backchannel.mcp.servers import McpServers
from backchannel.retention import retention
from backchannel.runs.rescuer import Rescuer
from backchannel.runs.runs import Runs
from backchannel.runs.stores import RunStores
from backchannel.settings import Settings
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import Migrations, check_newest, upgrade
from backchannel.stores.sql.personal import owned_tables
from backchannel.web.origins import WriteOrigins

log = structlog.get_logger(__name__)

HEALTH_SECONDS = 3
"""How long a part may take to answer a health check."""

CLOSE_SECONDS = 10
"""How long one part may take to close. One that takes longer is left behind, and the next one is closed."""

OFFLINE_DESCRIPTION = "A rule-based stand-in that needs no key. It is not a language model."


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a server, made and not opened yet.

    Attributes:
        database: Where Backchannel's rows are.
        maintenance_database: The same database, by connections that only background tasks use.
        server: Answers the ops of the protocol.
        runs: Starts runs, and knows those of this process.
        authenticators: The chain that identifies callers.
        origins: Which pages may send requests that change something with a browser's credentials.
        hooks: The listeners.
        migrations: Further tables, upgraded at start after Backchannel's own.
        routers: Further endpoints under `/api`.
        suggestions: First messages that the chat page offers.
        context: Makes the application's own context of each request.
        replace_context: Whether that replaces the `RequestContext` for the server and its store.
        models: Where agents get their models from, if the server has agents; closed at the end.
        model_name: The model of agents that name none, for health checks and log lines.
        lifespan: The application's own.
        mcp_servers: The MCP servers of the agents, if the server has agents.
        access: The parts of logins, where people log in here.
        rate_limits: The limits on the rate of requests; `None` if there are none.
        attachments: The files that people attach to messages; `None` if the server takes none, or the application does
            itself.
        file_sweeper: Their housekeeping.
    """

    database: Database
    maintenance_database: Database
    server: ChatKitServer[Any]
    runs: Runs
    authenticators: Sequence[Authenticator]
    origins: WriteOrigins
    hooks: HookDispatcher
    migrations: Sequence[Migrations] = ()
    routers: Sequence[APIRouter] = ()
    suggestions: Sequence[str] = ()
    context: ContextFactory | None = None
    replace_context: bool = False
    models: ModelProvider | None = None
    model_name: str = "default"
    lifespan: Lifespan | None = None
    mcp_servers: McpServers | None = None
    access: Access | None = None
    rate_limits: RateLimits | None = None
    attachments: FileAttachments | None = None
    file_sweeper: FileSweeper | None = None

    @property
    def run_stores(self) -> RunStores:
        """Where runs and their event logs are stored."""
        return self.runs.stores


class Backchannel:
    """One server. Made by `wiring.build`; used as `async with server.running():`, once.

    Args:
        settings: The settings.
        parts: The parts, or an async function that makes them when the server starts, where the application is made by
            an async function.

    Attributes:
        settings: See above.
        is_running: Whether every part is open.
        failed: Set when the application's lifespan has ended while the server ran. The runs are drained then, and no
            further requests are answered; the process that has it should end.
        unanswered: The requests whose response has not begun.
    """

    def __init__(self, settings: Settings, parts: Parts | Callable[[], Awaitable[Parts]]) -> None:
        self.settings = settings
        self.is_running = False
        self._parts = parts if isinstance(parts, Parts) else None
        self._make_parts = None if isinstance(parts, Parts) else parts
        self._opened = False
        self._on_assembled: list[Callable[[], None]] = []
        self.failed = asyncio.Event()
        self.unanswered = UnansweredRequests()
        self._draining: asyncio.Task[None] | None = None
        self._failure_drain: asyncio.Task[None] | None = None

    @property
    def parts(self) -> Parts:
        """The parts.

        Raises:
            NotRunningError: They are made when the server starts, which it has not.
        """
        if self._parts is None:
            raise not_running_error()
        return self._parts

    @property
    def assembled(self) -> bool:
        """Whether the parts are made."""
        return self._parts is not None

    def when_assembled(self, callback: Callable[[], None]) -> None:
        """Call `callback` once the parts are made: now, or when the server starts. What it raises ends the start."""
        if self.assembled:
            callback()
        else:
            self._on_assembled.append(callback)

    @property
    def server(self) -> ChatKitServer[Any]:
        """Answers the ops of the protocol."""
        return self.parts.server

    @property
    def runs(self) -> Runs:
        """Starts runs, and knows those of this process."""
        return self.parts.runs

    @property
    def events(self) -> EventLog:
        """The runs' event logs."""
        return self.parts.run_stores.events

    @property
    def database(self) -> Database:
        """Where Backchannel's rows are."""
        return self.parts.database

    @property
    def hooks(self) -> HookDispatcher:
        """The listeners."""
        return self.parts.hooks

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Open every part; on leaving, drain and close everything in reverse order, each part for at most
        `CLOSE_SECONDS`. A part that fails to close is logged, and the next one is closed.

        The application's lifespan is entered after the database is ready and left when no run is in progress any more,
        both in one task of its own. Under Uvicorn the drain begins when the server is asked to exit.

        Raises:
            ConfigurationError: The application or the database cannot be used, or this object has run before.
        """
        if self._opened:
            raise ConfigurationError("A Backchannel object runs once: build another one to start again.")
        self._opened = True
        async with AsyncExitStack() as stack:
            if self._parts is None:
                assert self._make_parts is not None
                self._parts = await self._make_parts()
            parts = self._parts
            _close_parts_later(stack, parts)
            while self._on_assembled:
                self._on_assembled.pop(0)()
            bring_up_to_date = upgrade if self.settings.database_migrate else check_newest
            await bring_up_to_date(parts.database, *parts.migrations)
            if parts.access is not None:
                await stack.enter_async_context(parts.access.running())
            if parts.lifespan is not None:
                await self._enter_lifespan(stack, parts.lifespan)
            # Closed before the lifespan is left: listeners may use what it opened.
            _close_later(stack, "hooks", lambda: parts.hooks.aclose(CLOSE_SECONDS / 2))
            if parts.mcp_servers is not None:
                # An application may have connected some in its lifespan.
                _close_later(stack, "mcp_servers", parts.mcp_servers.aclose)
                parts.mcp_servers.open()
            rescuer = Rescuer(parts.runs.worker, lease=self.settings.lease_seconds)
            await stack.enter_async_context(rescuer.running())
            stack.push_async_callback(self.drain)
            if self.settings.retention_days is not None:
                tables = owned_tables(*parts.migrations)
                days = self.settings.retention_days
                await stack.enter_async_context(retention(parts.database, days, tables))
            if parts.file_sweeper is not None:
                await stack.enter_async_context(parts.file_sweeper.running())
            await stack.enter_async_context(drain_when_host_exits(self.drain, self.hurry))
            log.info("started", model=parts.model_name, database=parts.database.url.get_backend_name())
            self.is_running = True
            try:
                yield
            finally:
                self.is_running = False
                log.info("stopping")

    def check_running(self) -> None:
        """Check that requests can be answered.

        Raises:
            NotRunningError: The server was not started, or has been closed.
            UnavailableError: The application's lifespan has failed.
        """
        if self.failed.is_set():
            raise lifespan_failed_error()
        if not self.is_running:
            error = not_running_error()
            log.error("not_running", hint=error.message)
            raise error

    async def drain(self) -> None:
        """Take no more runs, let those in progress finish for `SHUTDOWN_SECONDS`, hand the others over, and ask readers
        to reconnect. Repeated and concurrent calls wait for the first one."""
        if self._draining is None:
            seconds = self.settings.shutdown_seconds
            self._draining = asyncio.create_task(self.runs.drain(seconds), name="drain")
        await asyncio.shield(self._draining)

    def hurry(self) -> None:
        """Cut the waiting of `drain` short: runs in progress are handed over now."""
        self.runs.worker.hurry()

    async def health(self) -> dict[str, Any]:
        """The state of each part. `status` is `ok` only if every part but the file store is, and the process is not
        about to end; nothing here is secret."""
        attachments = self.parts.attachments
        database, event_log, files = await asyncio.gather(
            _check(self.database.check()),
            _check(self.events.check()),
            _check(attachments.files.store.check() if attachments is not None else asyncio.sleep(0)),
        )
        checks = {"database": database, "event_log": event_log}
        offline = self.parts.model_name == "offline"
        model: dict[str, Any] = {"name": self.parts.model_name, "offline": offline}
        if offline:
            model["description"] = OFFLINE_DESCRIPTION
        mcp_servers = self.parts.mcp_servers
        well = all(check["status"] == "ok" for check in checks.values())
        if attachments is not None:
            # Without it, people still get answers: no reason to send them to another replica, which has the same one.
            checks["file_store"] = files
        well = well and (mcp_servers is None or mcp_servers.ready)
        draining = {"status": "draining"} if self.runs.draining else {}
        return {
            "status": "ok" if well else "unavailable",
            **draining,
            "version": version("backchannel"),
            "model": model,
            "checks": checks,
            "mcp_servers": {} if mcp_servers is None else mcp_servers.health(),
            "runs": {"active": self.runs.active, "replica": self.runs.worker.replica},
        }

    async def _enter_lifespan(self, stack: AsyncExitStack, lifespan: Lifespan) -> None:
        task = LifespanTask(lifespan, self._lifespan_failed)
        await task.enter()
        _close_later(stack, "lifespan", task.leave)

    def _lifespan_failed(self) -> None:
        self.failed.set()
        self._failure_drain = asyncio.create_task(self.drain(), name="drain")


def _close_parts_later(stack: AsyncExitStack, parts: Parts) -> None:
    _close_later(stack, "database", parts.database.close)
    if parts.maintenance_database is not parts.database:
        _close_later(stack, "maintenance_database", parts.maintenance_database.close)
    if parts.models is not None:
        _close_later(stack, "models", parts.models.aclose)
    _close_later(stack, "event_log", parts.run_stores.events.aclose)
    if parts.run_stores.handovers is not None:
        _close_later(stack, "handovers", parts.run_stores.handovers.aclose)
    if parts.rate_limits is not None:
        _close_later(stack, "rate_limits", parts.rate_limits.limiter.aclose)
    if parts.attachments is not None:
        _close_later(stack, "files", parts.attachments.files.aclose)
    for authenticator in parts.authenticators:
        _close_later(stack, "authenticator", authenticator.aclose)


def _close_later(stack: AsyncExitStack, name: str, close: Callable[[], Awaitable[None]]) -> None:
    async def guarded() -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await close()
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException:
            log.exception("close_failed", part=name)

    stack.push_async_callback(guarded)


async def _check(asking: Any) -> dict[str, Any]:
    began = perf_counter()
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            await asking
    except Exception as error:
        log.warning("health_check_failed", error=type(error).__name__)
        return {"status": "unavailable"}
    return {"status": "ok", "ms": round((perf_counter() - began) * 1000, 1)}
