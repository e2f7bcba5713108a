"""Failures of models; docs/reference/model-errors.md has the table."""

from collections.abc import Mapping

from backchannel.errors.base import BackchannelError


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


class TurnLimitError(ModelError):
    """The agent called tools and models more often than one answer may."""

    code = "turn_limit"
    text = "The answer took too many steps and was ended. Ask for less at once."
