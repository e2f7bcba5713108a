"""A target becomes an `Application`."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, cast

from agents import Agent
from chatkit.server import ChatKitServer

from backchannel.application import Application
from backchannel.errors import ConfigurationError

type Target = Agent[Any] | Application | ChatKitServer[Any] | type[ChatKitServer[Any]] | Callable[..., Any]
"""What can be served: an agent, an `Application`, a ChatKit server or its class, or a function, also an async one, that
returns one of these."""


def call(target: Any, provided: dict[str, Any]) -> Any:
    """The target itself or, of a function, what it returns; of an async one, its coroutine."""
    if isinstance(target, Agent | Application | ChatKitServer) or not callable(target):
        return cast("Any", target)
    if isinstance(target, type) and issubclass(target, ChatKitServer):
        return Application(server=cast("type[ChatKitServer[Any]]", target))
    given = arguments_of(target, provided)
    try:
        return target(**given)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise failed(target, error) from error


async def awaited(target: Any, resolved: Awaitable[Any]) -> Any:
    """What an async function of a target returns.

    Raises:
        ConfigurationError: It failed.
    """
    try:
        return await resolved
    except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise failed(target, error) from error


def arguments_of(function: Any, provided: dict[str, Any]) -> dict[str, Any]:
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


def failed(target: Any, error: BaseException) -> ConfigurationError:
    """The error to raise when a function or class of the application has raised `error`."""
    if isinstance(error, ConfigurationError):
        return error
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return ConfigurationError(f"{_name(target)} failed ({reason}).")


def _name(target: Any) -> str:
    return getattr(target, "__qualname__", repr(target))


def application_of(resolved: Any) -> Application:
    """The application of what a target is or returns.

    Raises:
        ConfigurationError: It is nothing that can be served.
    """
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
