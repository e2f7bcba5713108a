"""Error handlers of the application: what is answered in place of an error (`Application.error_handlers`)."""

import inspect
from typing import Any, cast

from agents import RunErrorHandler, RunErrorHandlers

from backchannel.chat.agent.context import AnswerContext
from backchannel.errors import ConfigurationError


def check_error_handlers(handlers: RunErrorHandlers[Any] | None) -> None:
    """Check the error handlers of an application.

    Raises:
        ConfigurationError: A kind of error is unknown, or a handler is no function.
    """
    kinds = RunErrorHandlers.__optional_keys__ | RunErrorHandlers.__required_keys__
    for kind, handler in (handlers or {}).items():
        if kind not in kinds:
            raise ConfigurationError(
                f"error_handlers has {kind!r}; the kinds of errors are {', '.join(sorted(kinds))}."
            )
        if not callable(handler):
            raise ConfigurationError(f"error_handlers: the handler of {kind!r} must be a function.")


def handlers_for(
    context: AnswerContext, handlers: RunErrorHandlers[Any] | None
) -> RunErrorHandlers[Any] | None:
    """The handlers for one run, which note in `context` that one of them made the final output."""
    if not handlers:
        return None

    def noting(handler: RunErrorHandler[Any]) -> RunErrorHandler[Any]:
        async def handle(error: Any) -> Any:
            result = handler(error)
            result = await result if inspect.isawaitable(result) else result
            context.error_handled |= result is not None
            return result

        return handle

    return cast("RunErrorHandlers[Any]", {kind: noting(cast("Any", each)) for kind, each in handlers.items()})
