"""Maps exceptions to errors that clients may see.

Exceptions of models, tools and custom servers are mapped to `backchannel.errors`. Any other becomes an internal error,
whose cause is only logged.
"""

from collections.abc import Iterator

from agents.exceptions import (
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    ModelRefusalError,
    OutputGuardrailTripwireTriggered,
    ToolInputGuardrailTripwireTriggered,
    ToolOutputGuardrailTripwireTriggered,
    ToolTimeoutError,
    UserError,
)
from chatkit.errors import BaseStreamError, CustomStreamError, ErrorCode, StreamError
from chatkit.store import NotFoundError as StoreNotFoundError
from chatkit.types import ErrorEvent

from backchannel.context import RequestContext
from backchannel.errors import (
    AnswerRefusedError,
    BackchannelError,
    GuardrailError,
    NotFoundError,
    ToolFailedError,
    TurnLimitError,
)
from backchannel.mcp.reasons import McpCallError
from backchannel.model_calls.provider_errors import explain_model_error

SAFETY_CHECK = "Computer tool safety check was not acknowledged"
"""The Agents SDK's message when the application does not acknowledge a safety check of a computer tool."""
_TOOL_ERROR = "Error running tool "
"""How the SDK begins the message of an exception of a tool."""

_NOT_SET_UP = "The agent is not set up correctly. The server's log says what is wrong."


class FailureEvent(ErrorEvent):
    """The SDK's `error` event with a stable error code and the ids to search the log for.

    Attributes:
        reason: The stable code, such as `rate_limited`.
        detail: The exception's type and text; only in debug mode.
    """

    reason: str
    request_id: str
    run_id: str | None
    detail: str | None = None


class ApplicationError(BackchannelError):
    """An error whose message and code were chosen by the application."""

    def __init__(self, message: str, *, code: str, allow_retry: bool) -> None:
        super().__init__(message)
        self.code = code
        self.allow_retry = allow_retry


def explain(error: BaseException) -> BackchannelError:
    """The client-visible error for an exception; a `BackchannelError` is returned unchanged."""
    match error:
        case BackchannelError():
            return error
        case CustomStreamError():
            return ApplicationError(error.message, code="custom", allow_retry=error.allow_retry)
        case StreamError():
            return ApplicationError(
                str(error.code.value), code=error.code.value, allow_retry=error.allow_retry
            )
        case StoreNotFoundError():
            return NotFoundError("There is no such thread, item or attachment.")
        case MaxTurnsExceeded():
            return TurnLimitError()
        case InputGuardrailTripwireTriggered():
            return GuardrailError("This message is not something the assistant may answer.")
        case OutputGuardrailTripwireTriggered():
            return GuardrailError("The assistant's answer was withheld by a safety check.")
        case ModelRefusalError():
            return AnswerRefusedError()
        case ToolInputGuardrailTripwireTriggered() | ToolOutputGuardrailTripwireTriggered():
            return GuardrailError("The answer was ended by a safety check on one of its tools.")
        case ToolTimeoutError():
            return ToolFailedError()
        case UserError():
            return _explain_user_error(error)
        case ImportError():
            # It names the extra that a model or a tool needs.
            return BackchannelError(_NOT_SET_UP)
        case _:
            return explain_model_error(error) or BackchannelError(
                "Something went wrong while answering. Try again."
            )


def _explain_user_error(error: UserError) -> BackchannelError:
    """The error for one of the SDK, which wraps any exception of a tool, also of an agent that is called as one."""
    if error.__cause__ is None and str(error) == SAFETY_CHECK:
        return GuardrailError("The answer was ended by a safety check on one of its tools.")
    if error.__cause__ is None:
        return BackchannelError(_NOT_SET_UP)
    explained = explain(error.__cause__)
    if explained.code != BackchannelError.code:
        return explained
    if isinstance(error, McpCallError) or str(error).startswith(_TOOL_ERROR):
        return ToolFailedError()
    return BackchannelError(_NOT_SET_UP)


def stored_failure(code: str | None) -> BackchannelError:
    """The error that stands for one of which only the code is stored: the same code and `allow_retry`, and the message
    of its class. The code of an application's own error gets a general message, and may be retried."""
    known = next((each for each in _subclasses(BackchannelError) if each.code == code), None)
    allow_retry = known is None or known.allow_retry
    if known is not None and known.text != BackchannelError.text:
        message = known.text
    else:
        message = "The answer ended with an error." + (" Try again." if allow_retry else "")
    return ApplicationError(message, code=code or "interrupted", allow_retry=allow_retry)


def _subclasses(of: type[BackchannelError]) -> Iterator[type[BackchannelError]]:
    for each in of.__subclasses__():
        yield each
        yield from _subclasses(each)


def failure_event(error: BaseException, context: RequestContext, *, debug: bool) -> ErrorEvent:
    """The `error` event that ends a failed stream.

    ChatKit clients show `message` only if `code` is `custom`, so nearly every failure has that code, and the stable
    code is in `reason`.
    """
    explained = explain(error)
    # A `StreamError` has no message: clients have a localised one for its code.
    sdk_code = error.code if isinstance(error, StreamError) else None
    return FailureEvent(
        code=sdk_code or "custom",
        message=None if sdk_code else explained.message,
        allow_retry=explained.allow_retry,
        reason=explained.code,
        request_id=context.request_id,
        run_id=context.run_id,
        detail=f"{type(error).__name__}: {error}" if debug else None,
    )


def own_cancellation() -> BackchannelError:
    """The error for a `CancelledError` that the server raised while its run was not asked to end."""
    return BackchannelError("A step of this answer was cancelled, so it could not be completed. Try again.")


def as_exception(event: ErrorEvent) -> BaseStreamError:
    """The exception for which the SDK would send this event."""
    if isinstance(event.code, ErrorCode):
        return StreamError(event.code, allow_retry=event.allow_retry)
    return CustomStreamError(
        event.message or "The answer could not be completed.", allow_retry=event.allow_retry
    )
