"""Settings and a target become a server. The only module that names implementations."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from agents import Agent
from chatkit.server import ChatKitServer
from chatkit.store import AttachmentStore

from backchannel.app import Backchannel, Parts
from backchannel.application import Application
from backchannel.authenticators.anonymous import AnonymousAuthenticator
from backchannel.authenticators.base import Authenticator
from backchannel.authenticators.jwt import JwtAuthenticator
from backchannel.chat.agent.history import HistoryConverter
from backchannel.chat.agent.mcp_tools import mcp_call_reports
from backchannel.chat.agent.server import AnswerOptions, ChatServer
from backchannel.chat.agent.tool_limits import ToolLimits
from backchannel.context import PrepareContext, RequestContext
from backchannel.errors import BackchannelError, ConfigurationError
from backchannel.event_logs.base import EventLog
from backchannel.event_logs.memory import MemoryEventLog
from backchannel.event_logs.redis import RedisEventLog
from backchannel.event_logs.sql import SqlEventLog
from backchannel.handovers.base import Handovers
from backchannel.handovers.redis import RedisHandovers
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.mcp.configuration import load_mcp_servers
from backchannel.mcp.servers import McpServers
from backchannel.model_calls.timeouts import ModelTimeouts
from backchannel.models.provider import Models
from backchannel.models.sdk_defaults import default_client, with_sdk_defaults
from backchannel.observability.run_logging import RunLogging
from backchannel.runs.runs import RunOptions, Runs
from backchannel.runs.stores import RunStores
from backchannel.settings import AuthMethod, Settings
from backchannel.stores.sql.dialects import PoolOptions
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.idempotency import SqlIdempotencyStore
from backchannel.stores.sql.migrate import Migrations
from backchannel.stores.sql.replicas import SqlReplicas
from backchannel.stores.sql.runs import SqlRuns
from backchannel.stores.sql.store import SqlStore

MAINTENANCE_POOL = PoolOptions(size=1, overflow=1, timeout=5, statement_timeout=5)
"""Connections of background tasks, in every process."""

type Target = Agent[Any] | Application | ChatKitServer[Any] | type[ChatKitServer[Any]] | Callable[..., Any]
"""What can be served: an agent, an `Application`, a ChatKit server or its class, or a function, also an async one, that
returns one of these."""


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
    resolved = _call(target, {"settings": settings, "database": database, "store": store})
    if not inspect.isawaitable(resolved):
        return Backchannel(settings, _parts(settings, _application(resolved), database, store))

    async def make_parts() -> Parts:
        return _parts(settings, _application(await _awaited(target, resolved)), database, store)

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
    resolved = _call(target, {"settings": settings, "database": database, "store": SqlStore(database)})
    if inspect.isawaitable(resolved):
        resolved = await _awaited(target, resolved)
    return _application(resolved).migrations


def _call(target: Any, provided: dict[str, Any]) -> Any:
    """The target itself or, of a function, what it returns; of an async one, its coroutine."""
    if isinstance(target, Agent | Application | ChatKitServer) or not callable(target):
        return cast("Any", target)
    if isinstance(target, type) and issubclass(target, ChatKitServer):
        return Application(server=cast("type[ChatKitServer[Any]]", target))
    arguments = _arguments(target, provided)
    try:
        return target(**arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _failed(target, error) from error


async def _awaited(target: Any, resolved: Awaitable[Any]) -> Any:
    try:
        return await resolved
    except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise _failed(target, error) from error


def _arguments(function: Any, provided: dict[str, Any]) -> dict[str, Any]:
    """Those of `provided` that a function's parameters name.

    Raises:
        ConfigurationError: It requires something else.
    """
    given: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in provided:
            given[parameter.name] = provided[parameter.name]
        elif parameter.default is inspect.Parameter.empty and parameter.kind not in {
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        }:
            raise ConfigurationError(
                f"{_name(function)} wants {parameter.name!r}; a target can be given only {', '.join(provided)}."
            )
    return given


def _failed(target: Any, error: BaseException) -> ConfigurationError:
    if isinstance(error, ConfigurationError):
        return error
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return ConfigurationError(f"{_name(target)} failed ({reason}).")


def _name(target: Any) -> str:
    return getattr(target, "__qualname__", repr(target))


def _application(resolved: Any) -> Application:
    match resolved:
        case Application():
            return resolved
        case Agent():
            return Application(agent=cast("Agent[Any]", resolved))
        case ChatKitServer():
            return Application(server=cast("ChatKitServer[Any]", resolved))
        case _:
            if isinstance(resolved, type) and issubclass(resolved, ChatKitServer):
                return Application(server=cast("type[ChatKitServer[Any]]", resolved))
            kind = type(cast("object", resolved)).__name__
            raise ConfigurationError(
                f"The target is a {kind}; serve an Agent, an Application, a ChatKitServer, "
                "or a function that returns one."
            )


def _parts(settings: Settings, application: Application, database: Database, store: SqlStore) -> Parts:
    hooks = HookDispatcher([RunLogging(), *application.hooks])
    settings = with_sdk_defaults(settings)
    if application.agent is not None:
        models = application.model_provider or Models(settings, application.offline_model, default_client())
        server: ChatKitServer[Any] = _chat_server(
            settings, application, application.agent, models, store, hooks
        )
    else:
        models = None
        server = _own_server(settings, application, database, store)
    database = _shared_database(server, database)
    maintenance = database if database.in_memory else Database(settings.database_url, MAINTENANCE_POOL)
    stores = RunStores(
        SqlRuns(database),
        SqlRuns(maintenance),
        SqlIdempotencyStore(database),
        SqlReplicas(maintenance),
        _event_log(settings, database),
        _handovers(settings),
    )
    replace_context = application.server is not None
    options = RunOptions(
        settings.while_running,
        settings.debug,
        _prepare_context(application, replace_context=replace_context),
        frozenset(name.lower() for name in application.context_headers),
        ToolLimits(seconds=settings.tool_timeout_seconds, threads=settings.tool_threads),
    )
    return Parts(
        database=database,
        maintenance_database=maintenance,
        server=server,
        runs=Runs(server, stores, options, hooks),
        authenticators=_authenticators(settings, application),
        hooks=hooks,
        migrations=application.migrations,
        routers=application.routers,
        suggestions=application.suggestions,
        context=application.context,
        replace_context=replace_context,
        models=models,
        model_name=_model_name(settings, application),
        lifespan=application.lifespan,
        mcp_servers=server.options.mcp_servers if isinstance(server, ChatServer) else None,
    )


def _chat_server(
    settings: Settings,
    application: Application,
    agent: Agent[Any],
    models: Any,
    store: SqlStore,
    hooks: HookDispatcher,
) -> ChatServer:
    offline_titles = settings.offline and settings.title_model is None and application.model_provider is None
    configured = load_mcp_servers(settings.mcp_servers) if settings.mcp_servers is not None else ()
    options = AnswerOptions(
        models,
        settings.max_turns,
        settings.history_tokens,
        converter=application.converter or HistoryConverter(),
        titles=settings.titles == "model" and not offline_titles,
        title_model=settings.title_model,
        default_model=_model_name(settings, application),
        actions=application.actions,
        sync_actions=application.sync_actions,
        hooks=hooks,
        timeouts=ModelTimeouts(
            settings.model_first_byte_seconds,
            settings.model_between_bytes_seconds,
            settings.model_total_seconds,
        ),
        render_output=application.render_output,
        models=settings.models,
        while_waiting=settings.while_waiting,
        remember_agent=settings.after_hand_off == "last-agent",
        mcp_servers=McpServers(mcp_call_reports(), configured),
    )
    return ChatServer(agent, store, options, application.attachment_store)


def _model_name(settings: Settings, application: Application) -> str:
    if application.model_provider is not None:
        return settings.model or type(application.model_provider).__name__
    return "offline" if settings.offline else settings.model or "openai-default"


def _own_server(
    settings: Settings, application: Application, database: Database, store: SqlStore
) -> ChatKitServer[Any]:
    served = application.server
    assert served is not None
    if isinstance(served, ChatKitServer):
        return served
    attachments: AttachmentStore[Any] | None = application.attachment_store
    provided = {"store": store, "attachment_store": attachments, "database": database, "settings": settings}
    arguments = _arguments(served, provided)
    try:
        return served(**arguments)
    except BackchannelError:
        raise
    except Exception as error:
        raise _failed(served, error) from error


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


def _authenticators(settings: Settings, application: Application) -> Sequence[Authenticator]:
    if application.authenticators is not None:
        return application.authenticators
    if "application" in settings.auth:
        raise ConfigurationError(
            "BACKCHANNEL_AUTH has application, but the application has no authenticators: give it some, or name others."
        )
    # A visitor's cookie comes last: it accepts every request, so a later token would not be looked at.
    order: list[AuthMethod] = sorted(settings.auth, key=lambda method: method == "anonymous")
    return [_authenticator(method, settings) for method in order]


def _authenticator(method: AuthMethod, settings: Settings) -> Authenticator:
    match method:
        case "anonymous":
            return AnonymousAuthenticator(
                settings.signing_key(),
                origins=settings.cors_origins,
                development=not settings.production,
            )
        case "jwt":
            assert settings.jwt_secret is not None
            return JwtAuthenticator(
                settings.jwt_secret.get_secret_value(),
                issuer=settings.jwt_issuer,
                audience=settings.jwt_audience,
                leeway=settings.jwt_leeway_seconds,
            )
        case "application":
            raise AssertionError("the application's authenticators are not made here")
