"""Settings and a target become a server. The only module that names implementations."""

import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from agents import Agent
from chatkit.server import ChatKitServer

from backchannel.app import Backchannel
from backchannel.authenticators.anonymous import AnonymousAuthenticator
from backchannel.authenticators.base import Authenticator
from backchannel.authenticators.jwt import JwtAuthenticator
from backchannel.bundle import Bundle
from backchannel.chat.server import AnswerOptions, ChatServer
from backchannel.errors import ConfigurationError
from backchannel.event_logs.base import EventLog
from backchannel.event_logs.memory import MemoryEventLog
from backchannel.event_logs.redis import RedisEventLog
from backchannel.event_logs.sql import SqlEventLog
from backchannel.handovers.base import Handovers
from backchannel.handovers.redis import RedisHandovers
from backchannel.models.provider import Models
from backchannel.runs.stores import RunStores
from backchannel.settings import AuthMethod, Settings
from backchannel.stores.sql.attempts import SqlAttempts
from backchannel.stores.sql.dialects import PoolOptions
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import Migrations
from backchannel.stores.sql.replicas import SqlReplicas
from backchannel.stores.sql.runs import SqlRuns
from backchannel.stores.sql.store import SqlStore

CHORES = PoolOptions(size=1, overflow=1, timeout=5, statement_timeout=5)
"""Connections for housekeeping, in every process."""

type Target = Agent[Any] | Bundle | ChatKitServer[Any] | type[ChatKitServer[Any]] | Callable[..., Any]
"""What can be served: an agent, a bundle, a ChatKit server or its class, or a function that returns one."""


def build(settings: Settings, target: Target) -> Backchannel:
    """Make a server that answers with `target`. Nothing is connected before it runs.

    Raises:
        ConfigurationError: A setting is wrong, or the target is nothing that can be served.
    """
    database = open_database(settings)
    chores = database if database.in_memory else Database(settings.database_url, CHORES)
    store = SqlStore(database)
    provided = {"settings": settings, "database": database, "store": store}
    served = _resolve(target, provided)
    bundle = Bundle(cast("Agent[Any]", served)) if isinstance(served, Agent) else served
    if isinstance(bundle, Bundle):
        models = Models(settings, bundle.offline_model)
        options = AnswerOptions(
            models,
            settings.max_turns,
            settings.history_tokens,
            titles=settings.titles == "model" and not (settings.offline and settings.title_model is None),
            title_model=settings.title_model,
        )
        server: ChatKitServer[Any] = ChatServer(bundle.agent, store, options)
    elif isinstance(served, ChatKitServer):
        server, bundle, models = cast("ChatKitServer[Any]", served), None, None
    else:
        raise _not_servable(cast("object", served))
    return Backchannel(
        settings=settings,
        database=database,
        server=server,
        chores=chores,
        run_stores=RunStores(
            SqlRuns(database),
            SqlRuns(chores),
            SqlAttempts(database),
            SqlReplicas(chores),
            _event_log(settings, database),
            _handovers(settings),
        ),
        authenticators=_authenticators(settings),
        migrations=bundle.migrations if bundle else (),
        routers=bundle.routers if bundle else (),
        suggestions=bundle.suggestions if bundle else (),
        models=models,
    )


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


def migrations_of(settings: Settings, target: Target, database: Database) -> Sequence[Migrations]:
    """The tables that a target brings along, besides Backchannel's own. Nothing is connected.

    Raises:
        ConfigurationError: The target is nothing that can be served.
    """
    served = _resolve(target, {"settings": settings, "database": database, "store": SqlStore(database)})
    if not isinstance(served, Agent | Bundle | ChatKitServer):
        raise _not_servable(cast("object", served))
    return served.migrations if isinstance(served, Bundle) else ()


def load_target(spec: str) -> Target:
    """The object that `package.module:attribute` names, looked up in the working directory too.

    Raises:
        ConfigurationError: There is no such module or attribute, or the module fails to load.
    """
    module_name, separator, path = spec.partition(":")
    if not separator or not module_name or not path:
        raise ConfigurationError(
            f"{spec!r} does not name a target: write module:attribute, such as app:agent."
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigurationError(f"{spec!r}: the module cannot be imported ({reason}).") from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise ConfigurationError(f"{spec!r}: {module_name} has no {path}.")
        found = getattr(found, name)
    return found


def _resolve(target: Any, provided: dict[str, Any]) -> Any:
    if isinstance(target, Agent | Bundle | ChatKitServer) or not callable(target):
        return cast("Any", target)
    name = getattr(target, "__qualname__", repr(target))
    given: dict[str, Any] = {}
    for parameter in inspect.signature(target).parameters.values():
        if parameter.name in provided:
            given[parameter.name] = provided[parameter.name]
        elif parameter.default is inspect.Parameter.empty and parameter.kind not in {
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        }:
            raise ConfigurationError(
                f"{name} wants {parameter.name!r}; a target can be given only {', '.join(provided)}."
            )
    if inspect.iscoroutinefunction(target):
        raise ConfigurationError(f"{name} is async; a target must be a plain function.")
    try:
        return target(**given)
    except ConfigurationError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigurationError(f"{name} failed ({reason}).") from error


def _not_servable(served: object) -> ConfigurationError:
    return ConfigurationError(
        f"The target is a {type(served).__name__}; serve an Agent, a Bundle, a ChatKitServer, "
        "or a function that returns one."
    )


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


def _authenticators(settings: Settings) -> list[Authenticator]:
    # A visitor's cookie comes last: it would make somebody of everybody before a token is looked at.
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
