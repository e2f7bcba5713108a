"""Backchannel: the parts of one server, opened in order and closed in reverse."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from time import perf_counter
from typing import Any

import structlog
from agents import ModelProvider
from chatkit.server import ChatKitServer
from fastapi import APIRouter

from backchannel.authenticators.base import Authenticator
from backchannel.event_logs.base import EventLog
from backchannel.retention import retention
from backchannel.runs.runs import Runs
from backchannel.settings import Settings
from backchannel.stores.base import RunStore
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import Migrations, check_newest, upgrade
from backchannel.stores.sql.personal import owned_tables

log = structlog.get_logger(__name__)

HEALTH_SECONDS = 3
"""How long a part may take to say that it is well."""

OFFLINE_DESCRIPTION = "A rule-based stand-in that needs no key. It is not a language model."


@dataclass(slots=True)
class Backchannel:
    """One server. Made by `wiring.build`; use it as `async with server.running():`.

    Attributes:
        settings: What the environment says.
        database: Where rows are kept.
        server: Answers the ops of the protocol.
        run_store: Where runs are kept.
        events: What runs have said.
        authenticators: The chain that knows callers.
        migrations: Further tables, upgraded at start after Backchannel's own.
        routers: Further endpoints under `/api`.
        suggestions: First messages that the chat page offers.
        models: Where agents get their models from, if the server has agents; closed at the end.
        alone: Whether no other process serves the same database, so that runs found at start are dead.
    """

    settings: Settings
    database: Database
    server: ChatKitServer[Any]
    run_store: RunStore
    events: EventLog
    authenticators: Sequence[Authenticator]
    migrations: Sequence[Migrations] = ()
    routers: Sequence[APIRouter] = ()
    suggestions: Sequence[str] = ()
    alone: bool = True
    models: ModelProvider | None = None
    runs: Runs = field(init=False)

    def __post_init__(self) -> None:
        self.runs = Runs(self.server, self.run_store, self.events, debug=self.settings.debug)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Open every part; on leaving, let answers finish and close everything in reverse order.

        Raises:
            ConfigurationError: The database cannot be used by this version.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.database.close)
            bring_up_to_date = upgrade if self.settings.database_migrate else check_newest
            await bring_up_to_date(self.database, *self.migrations)
            interrupted = await self.run_store.interrupt_abandoned() if self.alone else 0
            if interrupted:
                log.warning("runs_interrupted_by_crash", runs=interrupted)
            if self.models is not None:
                stack.push_async_callback(self.models.aclose)
            stack.push_async_callback(self.events.aclose)
            stack.push_async_callback(self.runs.drain, self.settings.shutdown_seconds)
            if self.settings.retention_days is not None:
                tables = owned_tables(*self.migrations)
                await stack.enter_async_context(
                    retention(self.database, self.settings.retention_days, tables)
                )
            log.info("started", model=self.model_name, database=self.database.url.get_backend_name())
            yield
            log.info("stopping")

    @property
    def model_name(self) -> str:
        """The model of agents that name none."""
        return "offline" if self.settings.offline else self.settings.model or "openai-default"

    async def health(self) -> dict[str, Any]:
        """The state of each part. `status` is `ok` only if every part is; nothing here is secret."""
        checks = {"database": await _check(self.database.check())}
        model: dict[str, Any] = {"name": self.model_name, "offline": self.settings.offline}
        if self.settings.offline:
            model["description"] = OFFLINE_DESCRIPTION
        well = all(check["status"] == "ok" for check in checks.values())
        return {
            "status": "ok" if well else "unavailable",
            "version": version("backchannel"),
            "model": model,
            "checks": {**checks, "event_log": {"status": "ok"}},
            "runs": {"active": self.runs.active},
        }


async def _check(asking: Any) -> dict[str, Any]:
    began = perf_counter()
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            await asking
    except Exception as error:
        log.warning("health_check_failed", error=type(error).__name__)
        return {"status": "unavailable"}
    return {"status": "ok", "ms": round((perf_counter() - began) * 1000, 1)}
