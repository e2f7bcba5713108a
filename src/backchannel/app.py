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
from backchannel.runs.rescuer import Replica
from backchannel.runs.runs import RunOptions, Runs
from backchannel.runs.stores import RunStores
from backchannel.settings import Settings
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
        chores: The same database, by connections that only housekeeping uses.
        server: Answers the ops of the protocol.
        run_stores: Where runs, and what they say, are kept.
        authenticators: The chain that knows callers.
        migrations: Further tables, upgraded at start after Backchannel's own.
        routers: Further endpoints under `/api`.
        suggestions: First messages that the chat page offers.
        models: Where agents get their models from, if the server has agents; closed at the end.
    """

    settings: Settings
    database: Database
    chores: Database
    server: ChatKitServer[Any]
    run_stores: RunStores
    authenticators: Sequence[Authenticator]
    migrations: Sequence[Migrations] = ()
    routers: Sequence[APIRouter] = ()
    suggestions: Sequence[str] = ()
    models: ModelProvider | None = None
    runs: Runs = field(init=False)

    def __post_init__(self) -> None:
        options = RunOptions(self.settings.while_running, self.settings.debug)
        self.runs = Runs(self.server, self.run_stores, options)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Open every part; on leaving, let answers finish and close everything in reverse order.

        Raises:
            ConfigurationError: The database cannot be used by this version.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.database.close)
            stack.push_async_callback(self.chores.close)
            bring_up_to_date = upgrade if self.settings.database_migrate else check_newest
            await bring_up_to_date(self.database, *self.migrations)
            if self.models is not None:
                stack.push_async_callback(self.models.aclose)
            stack.push_async_callback(self.events.aclose)
            if self.run_stores.handovers is not None:
                stack.push_async_callback(self.run_stores.handovers.aclose)
            await stack.enter_async_context(
                Replica(self.runs.live, lease=self.settings.lease_seconds).living()
            )
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
    def events(self) -> EventLog:
        """What runs have said."""
        return self.run_stores.events

    @property
    def model_name(self) -> str:
        """The model of agents that name none."""
        return "offline" if self.settings.offline else self.settings.model or "openai-default"

    async def health(self) -> dict[str, Any]:
        """The state of each part. `status` is `ok` only if every part is and the process is not about to end; nothing
        here is secret."""
        database, event_log = await asyncio.gather(_check(self.database.check()), _check(self.events.check()))
        checks = {"database": database, "event_log": event_log}
        model: dict[str, Any] = {"name": self.model_name, "offline": self.settings.offline}
        if self.settings.offline:
            model["description"] = OFFLINE_DESCRIPTION
        well = all(check["status"] == "ok" for check in checks.values())
        draining = {"status": "draining"} if self.runs.draining else {}
        return {
            "status": "ok" if well else "unavailable",
            **draining,
            "version": version("backchannel"),
            "model": model,
            "checks": checks,
            "runs": {"active": self.runs.active, "replica": self.runs.live.replica},
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
