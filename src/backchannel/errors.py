"""One hierarchy of errors: a stable code, an HTTP status, and whether a retry can help.

Raised before a stream starts, an error becomes a JSON response (`http.errors`). Raised while a stream
runs, it becomes one `error` event (`chat.driver`). The code and the message are for the caller; `details`
are machine-readable facts about the caller's own input. Nothing else about a failure leaves the server
unless debug mode is on.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = [
    "AnswerEmptyError",
    "AnswerFilteredError",
    "AnswerIncompleteError",
    "AnswerRefusedError",
    "AnswerTruncatedError",
    "ApprovalUnavailableError",
    "BackchannelError",
    "ConfigurationError",
    "ConflictError",
    "ContentFilterError",
    "Details",
    "ForbiddenError",
    "GuardrailError",
    "InvalidInputError",
    "InvalidOutputError",
    "InvalidRequestError",
    "MessageTooLongError",
    "ModelBetweenBytesTimeoutError",
    "ModelError",
    "ModelFirstByteTimeoutError",
    "ModelNotConfiguredError",
    "ModelQuotaError",
    "ModelRateLimitedError",
    "ModelRequestError",
    "ModelResponseError",
    "ModelTimedOutError",
    "ModelTotalTimeoutError",
    "ModelUnavailableError",
    "ModelUnreachableError",
    "NotEnabledError",
    "NotFoundError",
    "NotRunningError",
    "TooLargeError",
    "ToolFailedError",
    "TurnLimitError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnsupportedMediaTypeError",
]

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


class TooLargeError(BackchannelError):
    """The request exceeds a limit of size."""

    code = "too_large"
    status = 413
    allow_retry = False


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


class ModelError(BackchannelError):
    """The model, or the way to it, failed.

    Attributes:
        provider: What the provider said, for the log: `provider_status`, `provider_code` and `provider_message`, the
            latter without secrets and without text of the request.
        usage: The requests, input tokens and output tokens of the failed call, where the provider reported them.
    """

    code = "model_error"
    text = "The model failed. Try again."
    status = 502
    provider: Mapping[str, object] | None = None
    usage: tuple[int, int, int] | None = None


class ModelNotConfiguredError(ModelError):
    """The agent asks for a model that this server has no access to."""

    code = "model_not_configured"
    text = "The model is not set up correctly. The operator of this server has to correct it."
    allow_retry = False


class ModelRateLimitedError(ModelError):
    """The model's provider refuses further requests for now."""

    code = "model_rate_limited"
    text = "The model is busy: its rate limit is reached. Try again soon."


class ModelQuotaError(ModelError):
    """The quota or the credit of the server's account with the model's provider is used up."""

    code = "model_quota"
    text = "The model's quota is used up. The operator of this server has to renew it."
    allow_retry = False


class ModelUnavailableError(ModelError):
    """The model's endpoint failed, or is overloaded. It may answer later."""

    code = "model_unavailable"
    text = "The model's endpoint failed. Try again."


class ModelUnreachableError(ModelError):
    """No connection to the model's endpoint: name resolution, TCP or TLS failed."""

    code = "model_unreachable"
    text = "The model cannot be reached. Try again."


class ModelTimedOutError(ModelError):
    """The model took longer than its client allows."""

    code = "model_timeout"
    text = "The model did not answer in time. Try again."


class ModelFirstByteTimeoutError(ModelTimedOutError):
    """The model sent nothing within `MODEL_FIRST_BYTE_SECONDS`."""

    code = "model_timeout_first_byte"
    text = "The model did not begin to answer in time. Try again."


class ModelBetweenBytesTimeoutError(ModelTimedOutError):
    """The model sent nothing further within `MODEL_BETWEEN_BYTES_SECONDS`. What it wrote before is stored."""

    code = "model_timeout_between_bytes"
    text = "The model stopped in the middle of its answer. Try again."


class ModelTotalTimeoutError(ModelTimedOutError):
    """The model did not complete its answer within `MODEL_TOTAL_SECONDS`. What it wrote before is stored."""

    code = "model_timeout_total"
    text = "The model took too long to complete its answer. Try again, or ask for less at once."


class ModelRequestError(ModelError):
    """The model's endpoint refuses the request. It would refuse the same request again."""

    code = "model_request_rejected"
    text = "The model's endpoint does not accept this message. Change it, or start a new chat."
    allow_retry = False


class ModelResponseError(ModelError):
    """The model's endpoint sent something that is not an answer of its API, such as an HTML page."""

    code = "model_response_invalid"
    text = "The model's endpoint sent something that is not an answer. Try again."


class MessageTooLongError(ModelError):
    """A message alone, without earlier turns, exceeds the model's context."""

    code = "message_too_long"
    text = "This message is too long for the model. Shorten it, or send it in parts."
    status = 422
    allow_retry = False


class ContentFilterError(ModelError):
    """The provider's content filter refuses the message. Later turns are sent to the model without it."""

    code = "content_filter"
    text = "The model's provider refused this message by its content filter. Rephrase it."
    status = 422
    allow_retry = False


class AnswerTruncatedError(ModelError):
    """The model reached its limit of output tokens. What it wrote before is stored."""

    code = "answer_truncated"
    text = "The answer is cut off: the model reached its limit of length. Ask it to go on."


class AnswerFilteredError(ModelError):
    """The provider's content filter ended the answer. What the model wrote before is stored."""

    code = "answer_filtered"
    text = "The provider's content filter ended this answer. Rephrase your message."


class AnswerRefusedError(ModelError):
    """The model declined to answer. Its refusal is stored as a message."""

    code = "answer_refused"
    text = "The model declined to answer this."
    allow_retry = False


class AnswerEmptyError(ModelError):
    """The answer of the model ended without an error and without any content."""

    code = "answer_empty"
    text = "The model gave an empty answer. Try again."


class AnswerIncompleteError(ModelError):
    """The connection to the model ended before the answer did. What had arrived is stored."""

    code = "answer_incomplete"
    text = "The connection to the model broke off. Try again."


class InvalidOutputError(ModelError):
    """The answer does not have the form that the agent's `output_type` requires."""

    code = "invalid_output"
    text = "The model's answer does not have the required form. Try again."


class ApprovalUnavailableError(BackchannelError):
    """A tool requires a person's approval, which this server cannot ask for."""

    code = "approval_unavailable"
    text = "A tool needs a person's approval, which this server cannot ask for. The tool did not run."
    status = 501
    allow_retry = False


class ToolFailedError(BackchannelError):
    """A tool raised an exception that ends the run."""

    code = "tool_failed"
    text = "A tool failed, and the answer was ended. Try again."


class TurnLimitError(ModelError):
    """The agent called tools and models more often than one answer may."""

    code = "turn_limit"
    text = "The answer took too many steps and was ended. Ask for less at once."


class GuardrailError(BackchannelError):
    """A guardrail of the agent refused the message or the answer."""

    code = "guardrail"
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
