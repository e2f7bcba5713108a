"""Settings and a target become a server. The only package that names implementations."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from chatkit.server import ChatKitServer

from backchannel.app import Backchannel, Parts
from backchannel.application import Application
from backchannel.chat.agent.server import ChatServer
from backchannel.chat.agent.tool_limits import ToolLimits
from backchannel.context import PrepareContext, RequestContext
from backchannel.event_logs.base import EventLog
from backchannel.event_logs.memory import MemoryEventLog
from backchannel.event_logs.redis import RedisEventLog
from backchannel.event_logs.sql import SqlEventLog
from backchannel.files.attachments import FileAttachments
from backchannel.handovers.base import Handovers
from backchannel.handovers.redis import RedisHandovers
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.models.sdk_defaults import with_sdk_defaults
from backchannel.observability.run_logging import RunLogging
from backchannel.runs.runs import RunOptions, Runs
from backchannel.runs.stores import RunStores
from backchannel.settings import Settings
from backchannel.stores.sql.dialects import PoolOptions
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.idempotency import SqlIdempotencyStore
from backchannel.stores.sql.migrate import Migrations
from backchannel.stores.sql.replicas import SqlReplicas
from backchannel.stores.sql.runs import SqlRuns
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.sql.usage import SqlUsage
from backchannel.wiring.access import make_access, make_authenticators, write_origins
from backchannel.wiring.answering import chat_server, model_name, model_provider, models_for, own_server
from backchannel.wiring.files import make_attachments, make_sweeper
from backchannel.wiring.limits import make_rate_limits
from backchannel.wiring.metering import make_metering, no_metering
from backchannel.wiring.resolve import Target, application_of, awaited, call

__all__ = ["Target", "build", "migrations_of", "open_database"]


MAINTENANCE_POOL = PoolOptions(size=1, overflow=1, timeout=5, statement_timeout=5)
"""Connections of background tasks, in every process."""


def build(settings: Settings, target: Target) -> Backchannel:
    """Make a server that answers with `target`. Nothing is connected before it runs.

    A function is called once, with those of `settings`, `database` and `store` that its parameters name. An async one
    is called when the server starts.

    Raises:
        ConfigurationError: A setting is wrong, or the target is nothing that can be served. For an async function it is
            raised when the server starts.
    """
    database = open_database(settings)
    store = SqlStore(database)
    resolved = call(target, {"settings": settings, "database": database, "store": store})
    if not inspect.isawaitable(resolved):
        return Backchannel(settings, _parts(settings, application_of(resolved), database, store))

    async def make_parts() -> Parts:
        return _parts(settings, application_of(await awaited(target, resolved)), database, store)

    return Backchannel(settings, make_parts)


def open_database(settings: Settings) -> Database:
    """The database of the settings. Nothing is connected before it is used.

    Raises:
        ConfigurationError: See `Database`.
    """
    pool = PoolOptions(
        size=settings.database_pool_size,
        overflow=settings.database_max_overflow,
        timeout=settings.database_pool_timeout_seconds,
        recycle=settings.database_pool_recycle_seconds,
        pre_ping=settings.database_pool_pre_ping,
        statement_timeout=settings.database_statement_timeout_seconds,
    )
    return Database(settings.database_url, pool)


async def migrations_of(settings: Settings, target: Target, database: Database) -> Sequence[Migrations]:
    """The tables that a target brings along, besides Backchannel's own. Nothing is connected, and no lifespan entered.

    Raises:
        ConfigurationError: The target is nothing that can be served.
    """
    resolved = call(target, {"settings": settings, "database": database, "store": SqlStore(database)})
    if inspect.isawaitable(resolved):
        resolved = await awaited(target, resolved)
    return application_of(resolved).migrations


def _parts(settings: Settings, application: Application, database: Database, store: SqlStore) -> Parts:
    hooks = HookDispatcher([RunLogging(), *application.hooks])
    settings = with_sdk_defaults(settings)
    attachments = _attachments(settings, application, database)
    if application.agent is not None:
        models = model_provider(application) or models_for(settings, application)
        metering = make_metering(settings, application, database)
        server: ChatKitServer[Any] = chat_server(
            settings, application, application.agent, models, store, hooks, metering, attachments
        )
    else:
        models = None
        metering = no_metering(settings)
        server = own_server(settings, application, database, store, attachments)
    database = _shared_database(server, database)
    maintenance = database if database.in_memory else Database(settings.database_url, MAINTENANCE_POOL)
    stores = RunStores(
        SqlRuns(database),
        SqlRuns(maintenance),
        SqlIdempotencyStore(database),
        SqlReplicas(maintenance),
        _event_log(settings, database),
        _handovers(settings),
        ledger=metering.ledger,
        usage=metering.usage or SqlUsage(database),
    )
    replace_context = application.server is not None
    options = RunOptions(
        settings.while_running,
        settings.debug,
        _prepare_context(application, replace_context=replace_context),
        frozenset(name.lower() for name in application.context_headers),
        ToolLimits(seconds=settings.tool_timeout_seconds, threads=settings.tool_threads),
        settings.max_concurrent_runs,
    )
    access = make_access(settings, application, database)
    return Parts(
        database=database,
        maintenance_database=maintenance,
        server=server,
        runs=Runs(server, stores, options, hooks),
        authenticators=make_authenticators(settings, application, access),
        access=access,
        origins=write_origins(settings),
        hooks=hooks,
        migrations=application.migrations,
        routers=application.routers,
        suggestions=application.suggestions,
        context=application.context,
        replace_context=replace_context,
        models=models,
        model_name=model_name(settings, application),
        lifespan=application.lifespan,
        rate_limits=make_rate_limits(settings, application),
        attachments=attachments,
        file_sweeper=None if attachments is None else make_sweeper(attachments, maintenance),
        mcp_servers=server.options.mcp_servers if isinstance(server, ChatServer) else None,
    )


def _attachments(settings: Settings, application: Application, database: Database) -> FileAttachments | None:
    """The server's own files, unless the application has an attachment store, or a server that is made already."""
    if application.attachment_store is not None or isinstance(application.server, ChatKitServer):
        return None
    return make_attachments(settings, database, application.scanner)


def _shared_database(server: ChatKitServer[Any], database: Database) -> Database:
    """The `Database` object for Backchannel's own rows: the one of the server's store, if it is on the same database,
    so that both write in one transaction. Two objects for one SQLite file would wait for each other's locks."""
    theirs = getattr(server.store, "database", None)
    if isinstance(theirs, Database) and theirs is not database and theirs.is_same_as(database):
        return theirs
    return database


def _prepare_context(application: Application, *, replace_context: bool) -> PrepareContext:
    factory = application.context

    async def prepare(context: RequestContext) -> RequestContext:
        if factory is None:
            return context
        made = factory(context, None)
        made = await made if inspect.isawaitable(made) else made
        return replace(context, app=made, replaced=replace_context)

    return prepare


def _event_log(settings: Settings, database: Database) -> EventLog:
    retention = settings.run_retention_seconds
    if settings.redis_url is not None:
        return RedisEventLog(settings.redis_url.get_secret_value(), retention=retention)
    # A database in memory has one connection and dies with the process: nothing is gained by writing there.
    if database.in_memory:
        return MemoryEventLog(retention=retention)
    return SqlEventLog(database, retention=retention)


def _handovers(settings: Settings) -> Handovers | None:
    return RedisHandovers(settings.redis_url.get_secret_value()) if settings.redis_url is not None else None
