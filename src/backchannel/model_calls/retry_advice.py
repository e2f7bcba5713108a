"""What the retry policies of agents (`ModelSettings.retry`) see of a failed call."""

from dataclasses import replace

from agents import Model
from agents.retry import ModelRetryAdvice, ModelRetryAdviceRequest, ModelRetryNormalizedError
from openai import APIConnectionError, APITimeoutError

from backchannel.errors import BackchannelError
from backchannel.model_calls.normalizer import ProviderFailureError
from backchannel.model_calls.provider_errors import provider_facts


def retry_advice(model: Model, request: ModelRetryAdviceRequest) -> ModelRetryAdvice | None:
    """The model's advice on a failure. Policies are shown the status, code and message of the provider, and not those
    of the `BackchannelError` that was made of its error."""
    cause = request.error.__cause__
    if not isinstance(request.error, BackchannelError) or not isinstance(cause, Exception):
        return model.get_retry_advice(request)
    advice = model.get_retry_advice(replace(request, error=cause)) or ModelRetryAdvice()
    if advice.normalized is None:
        advice.normalized = _normalized(cause)
    return advice


def _normalized(cause: Exception) -> ModelRetryNormalizedError:
    facts = cause.facts if isinstance(cause, ProviderFailureError) else provider_facts(cause)
    return ModelRetryNormalizedError(
        status_code=facts.status if facts else None,
        error_code=facts.code if facts else None,
        message=facts.message if facts else str(cause),
        retry_after=facts.retry_after if facts else None,
        is_network_error=isinstance(cause, APIConnectionError),
        is_timeout=isinstance(cause, APITimeoutError | TimeoutError),
    )
