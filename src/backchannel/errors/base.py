"""One hierarchy of errors: a stable code, an HTTP status, and whether a retry can help.

Raised before a stream starts, an error becomes a JSON response (`http.errors`). Raised while a stream
runs, it becomes one `error` event (`chat.driver`). The code and the message are for the caller; `details`
are machine-readable facts about the caller's own input. Nothing else about a failure leaves the server
unless debug mode is on.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

type Details = Mapping[str, Any] | list[dict[str, Any]]


class BackchannelError(Exception):
    """Something went wrong that the caller may be told about.

    Args:
        message: One or two sentences for a person: what is wrong and what to do. Default: the `text` of the class.
        details: Facts about the caller's own input, safe to send back.
        retry_after: Seconds after which the same request may succeed, for the `Retry-After` header.
    """

    code: str = "internal_error"
    status: ClassVar[int] = 500
    allow_retry: bool = True
    text: ClassVar[str] = "Something went wrong. Try again."

    def __init__(
        self, message: str | None = None, *, details: Details | None = None, retry_after: int | None = None
    ) -> None:
        self.message = message or self.text
        super().__init__(self.message)
        self.details = details
        self.retry_after = retry_after


class InvalidRequestError(BackchannelError):
    """The request cannot be understood. Sending it again unchanged will fail again."""

    code = "invalid_request"
    status = 400
    allow_retry = False


class InvalidInputError(BackchannelError):
    """The request is well formed, but a value in it is not acceptable."""

    code = "invalid_input"
    status = 422
    allow_retry = False


class UnauthenticatedError(BackchannelError):
    """Missing or invalid credentials."""

    code = "unauthenticated"
    status = 401
    allow_retry = False


class ForbiddenError(BackchannelError):
    """The caller is authenticated, but may not do this."""

    code = "forbidden"
    status = 403
    allow_retry = False


class InsufficientScopeError(ForbiddenError):
    """The caller's token or account does not have the scope that this needs (RFC 6750, section 3.1).

    Attributes:
        scope: The scope.
    """

    code = "insufficient_scope"
    scope: str = ""


class OriginUnknownError(ForbiddenError):
    """A request that changes something with a cookie does not say which page sends it."""

    code = "csrf_token_required"
    text = (
        "The request does not say which page sends it. Send the header Origin, or X-CSRF-Token with the value that "
        "GET /auth/me gives."
    )


class NotFoundError(BackchannelError):
    """There is no such object, or it belongs to another owner: the answer is the same."""

    code = "not_found"
    status = 404
    allow_retry = False


class ConflictError(BackchannelError):
    """The request does not fit the present state, such as an answer that was already given."""

    code = "conflict"
    status = 409
    allow_retry = False


class RateLimitedError(BackchannelError):
    """The caller, its address or its tenant has sent too many requests; this one has changed nothing."""

    code = "rate_limited"
    status = 429
    text = "Too many requests. Wait a moment, then try again."


class TooManyRunsError(BackchannelError):
    """As many answers of the caller are in progress or queued as may be; this request has changed nothing."""

    code = "too_many_runs"
    status = 429
    text = "Too many answers are in progress. Wait for one, or stop one, then try again."


class BodyTimeoutError(BackchannelError):
    """The client did not send its request in time."""

    code = "timeout"
    status = 408


class TooLargeError(BackchannelError):
    """The request exceeds a limit of size."""

    code = "too_large"
    status = 413
    allow_retry = False


class TooLargeToStoreError(BackchannelError):
    """A value exceeds what the server's database takes in one statement. Nothing of it is stored.

    Attributes:
        size: Bytes of the statement; `None` if unknown.
        limit: Bytes that the database takes; `None` if unknown.
    """

    code = "too_large_to_store"
    status = 413
    allow_retry = False
    size: int | None = None
    limit: int | None = None


class UnsupportedMediaTypeError(BackchannelError):
    """The request's content type is not one that this endpoint reads."""

    code = "unsupported_media_type"
    status = 415
    allow_retry = False


class NotEnabledError(BackchannelError):
    """The operation exists, but this server does not offer it."""

    code = "not_enabled"
    status = 422
    allow_retry = False


class UnavailableError(BackchannelError):
    """A part that is needed cannot be reached now, or the server is shutting down."""

    code = "unavailable"
    status = 503


class NotRunningError(BackchannelError):
    """The server was mounted in a host application that does not run its lifespan."""

    code = "not_running"
    status = 503
    allow_retry = False


class ToolFailedError(BackchannelError):
    """A tool raised an exception that ends the run."""

    code = "tool_failed"
    text = "A tool failed, and the answer was ended. Try again."


class GuardrailError(BackchannelError):
    """A guardrail of the agent refused the message or the answer."""

    code = "guardrail"
    text = "A safety check of the assistant withheld this."
    status = 422
    allow_retry = False


class ConfigurationError(BackchannelError):
    """A setting is wrong. The message names it; the command line ends with exit code 2."""

    code = "configuration"
    allow_retry = False


def class_of(code: str) -> type[BackchannelError] | None:
    """The class of errors with this code; `None` for a code of an application, or of another version."""
    classes: list[type[BackchannelError]] = [BackchannelError]
    for each in classes:
        if each.code == code:
            return each
        classes += each.__subclasses__()
    return None


def not_running_error() -> NotRunningError:
    """The error of every use of a server that is not running. A mounted ASGI application gets no lifespan events from
    its host (https://asgi.readthedocs.io/en/latest/specs/lifespan.html)."""
    return NotRunningError(
        "Backchannel is not running. A host application that mounts it must run it in its own lifespan: "
        "`async with backchannel.running(): yield`."
    )


def lifespan_failed_error() -> UnavailableError:
    """The error of every use of a server whose application's lifespan has ended."""
    return UnavailableError(
        "The application's lifespan has failed, and the server must be restarted. Its log says why.",
        retry_after=5,
    )


def too_large_to_store_error(size: int | None = None, limit: int | None = None) -> TooLargeToStoreError:
    """The error of a statement of so many bytes for a database that takes fewer."""
    numbers = f" ({size:,} bytes; it takes {limit:,})" if size and limit else ""
    error = TooLargeToStoreError(
        f"This is too large for the server's database{numbers}. Ask for less at once."
    )
    error.size, error.limit = size, limit
    return error


def insufficient_scope_error(scope: str) -> InsufficientScopeError:
    """The error of a caller without a scope."""
    error = InsufficientScopeError(
        f'This needs the scope "{scope}", which your token or account does not have. Ask for one that has it.'
    )
    error.scope = scope
    return error
