"""Maps the errors of model providers to Backchannel's, and reads from them what belongs in the log.

The table is in docs/reference/model-errors.md. Providers repeat each other's status codes with other meanings, so the
status alone does not decide: codes and phrases of the response body come first.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from agents.exceptions import ModelBehaviorError, ModelTimeoutError
from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, OpenAIError

from backchannel.errors import (
    BackchannelError,
    ContentFilterError,
    InvalidOutputError,
    MessageTooLongError,
    ModelError,
    ModelNotConfiguredError,
    ModelQuotaError,
    ModelRateLimitedError,
    ModelRequestError,
    ModelTimedOutError,
    ModelUnavailableError,
    ModelUnreachableError,
)

MAX_RETRY_AFTER = 60
"""Seconds. A longer `Retry-After` is ignored: the person decides when to try again."""

_HTTP_CLIENTS = {"httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "h11", "websockets"}

_TOO_LONG = re.compile(
    r"context_length_exceeded|context_window|context (?:length|window|size)|maximum (?:context|prompt|input) length"
    r"|max_model_len|prompt is too long|input is too long|(?:prompt|input|conversation) (?:tokens )?exceed"
    r"|input token count|too many (?:input )?tokens|reduce the length|exceeds? the (?:available|max(?:imum)?) "
    r"(?:context|number of tokens)|request too large for|prompt_too_long|too long for (?:this|the) model"
)
_FILTERED = re.compile(
    r"content_?filter|content[_ ]policy|content management policy|responsibleai|responsible_ai"
    r"|data_?inspection_?failed|content exists risk|prohibited_content|safety system|moderation"
    r"|inappropriate content|sensitive (?:content|words)|blocked by .{0,20}(?:safety|policy|filter)|\bflagged\b"
)
_QUOTA = re.compile(
    r"insufficient_quota|insufficient[_ ](?:balance|credit|funds)|billing|exceeded your current quota"
    r"|credit balance|payment[_ ]required|out of credits|quota_exceeded"
)
_PER_MINUTE = re.compile(
    r"resource_exhausted|per[ _]?minute|per[ _]?second|retry ?(?:in|after|delay)|\brpm\b|\btpm\b"
)
"""Gemini's limits by the minute say that the quota is exceeded, too."""
_UNSUPPORTED = re.compile(
    r"unsupported[_ ](?:parameter|value)|unknown[_ ]parameter|unrecognized request argument"
    r"|extra inputs are not permitted|does not support|is not supported (?:with|by|for) this model|unsupported_model"
)
_RATE = re.compile(r"rate_?limit|rate limit|too many requests|too_many_requests|resource_exhausted|throttl")
_KEY = re.compile(
    r"invalid_api_key|incorrect api key|invalid api key|api key not valid|authentication|unauthori[sz]ed|permission"
)
_MODEL = re.compile(
    r"model_not_found|model .{0,80}(?:does not exist|not found|not available)|no endpoints found"
)
_UNAVAILABLE = re.compile(
    r"overloaded|server_error|internal_error|internal server error|unavailable|engine_overloaded|capacity"
    r"|bad gateway|timed? ?out|try again later"
)


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """What a provider said about a failure.

    Attributes:
        status: The HTTP status; `None` if the error came in a stream or without a response.
        code: The provider's code, or its type if it has no code.
        message: The provider's message, which may quote the request.
        retry_after: Seconds, from the `Retry-After` header.
    """

    status: int | None
    code: str | None
    message: str
    retry_after: int | None = None


def provider_facts(error: BaseException) -> ProviderFacts | None:
    """The facts of a provider's error; `None` for an error of another origin."""
    if not isinstance(error, APIError) and not hasattr(error, "status_code"):
        return None
    fields = list(_objects(getattr(error, "body", None)))
    status = getattr(error, "status_code", None)
    code = getattr(error, "code", None) or _first(fields, "code") or _first(fields, "type")
    if status is None and isinstance(code, int | str) and str(code).isdecimal():
        # OpenRouter sends the status of a failure in a stream as `code`.
        status = int(code)
    message = (
        _first(fields, "message") or _first(fields, "detail") or getattr(error, "message", "") or str(error)
    )
    words = [str(each) for each in (code, _first(fields, "type"), _first(fields, "status")) if each]
    return ProviderFacts(
        status=status if isinstance(status, int) else None,
        code=" ".join(dict.fromkeys(words))[:100] or None,
        message=str(message),
        retry_after=_retry_after(error),
    )


def explain_model_error(error: BaseException) -> BackchannelError | None:
    """The error for an exception of a model call; `None` if it is not one of a provider or its client."""
    match error:
        case APITimeoutError() if _is_connection_failure(error):
            return ModelUnreachableError()
        case APITimeoutError() | ModelTimeoutError():
            return ModelTimedOutError()
        case APIConnectionError():
            return ModelUnreachableError()
        case APIStatusError() | APIError():
            pass
        case OpenAIError():
            return _client_error(error)
        case ModelBehaviorError() if str(error).startswith("Invalid JSON when parsing"):
            return InvalidOutputError()
        case ModelBehaviorError():
            return ModelError("The model's answer could not be understood. Try again.")
        case _ if type(error).__module__.partition(".")[0] in _HTTP_CLIENTS:
            return ModelUnreachableError()
        case _:
            return None
    facts = provider_facts(error)
    assert facts is not None
    return explain_facts(facts)


def _is_connection_failure(error: BaseException) -> bool:
    """Whether the cause of a timeout is a failed connection: the OpenAI client's aiohttp transport raises timeouts also
    for a refused connection, an unknown host, and a connection that the server has closed."""
    cause = error.__cause__ or error.__context__
    while cause is not None:
        if type(cause).__module__.partition(".")[0] == "aiohttp":
            return not isinstance(cause, TimeoutError)
        cause = cause.__cause__ or cause.__context__
    return False


def explain_facts(facts: ProviderFacts) -> BackchannelError:
    """The error for what a provider said."""
    return _by_words(f"{facts.code or ''} {facts.message}".lower(), facts) or _by_status(facts)


def _by_words(said: str, facts: ProviderFacts) -> BackchannelError | None:
    status = facts.status
    definite = status is None or status < 500
    if definite and _TOO_LONG.search(said):
        return MessageTooLongError()
    if definite and status != 401 and _FILTERED.search(said):
        return ContentFilterError()
    if status == 402 or (_QUOTA.search(said) and not _PER_MINUTE.search(said)):
        return ModelQuotaError()
    if status == 429 or (status is None and _RATE.search(said)):
        return ModelRateLimitedError(retry_after=facts.retry_after)
    if status is None and _KEY.search(said):
        return ModelNotConfiguredError("The model refused the server's API key.")
    if definite and _UNSUPPORTED.search(said):
        return ModelNotConfiguredError(
            "The model's endpoint does not support what this agent asks for. The operator has to change the agent."
        )
    if definite and _MODEL.search(said):
        return ModelNotConfiguredError("The model's endpoint does not know this model.")
    if status is None and _UNAVAILABLE.search(said):
        return ModelUnavailableError(retry_after=facts.retry_after)
    return None


def _by_status(facts: ProviderFacts) -> BackchannelError:
    match facts.status:
        case 401 | 403:
            return ModelNotConfiguredError("The model refused the server's API key.")
        case 404 | 405:
            return ModelNotConfiguredError("The model's endpoint does not know this model or API.")
        case 408 | 409 | 425:
            return ModelUnavailableError(
                "The model's endpoint is busy. Try again.", retry_after=facts.retry_after
            )
        case 413:
            return MessageTooLongError(
                "This message is too long for the model. Shorten it, or send it in parts."
            )
        case int(status) if 400 <= status < 500:
            return ModelRequestError()
        case int(status) if status >= 500:
            return ModelUnavailableError(retry_after=facts.retry_after)
        case _:
            return ModelError("The model answered with an error. Try again.")


def _client_error(error: OpenAIError) -> BackchannelError:
    if "api_key" in str(error):
        return ModelNotConfiguredError(
            "This agent needs a model that the server has no key for. Set OPENAI_API_KEY."
        )
    return ModelError("The call to the model failed. Try again.")


def _objects(body: object, depth: int = 3) -> Iterator[Mapping[str, Any]]:
    """The objects of an error body, outer first: Gemini wraps it in a list, Azure nests `innererror`."""
    if isinstance(body, str):
        yield {"message": body}
    elif isinstance(body, Sequence) and not isinstance(body, bytes):
        for each in cast("Sequence[object]", body)[:3]:
            yield from _objects(each, depth)
    elif isinstance(body, Mapping):
        fields = cast("Mapping[str, Any]", body)
        yield fields
        if depth:
            for name in ("error", "innererror", "metadata"):
                if name in fields:
                    yield from _objects(fields[name], depth - 1)


def _first(fields: Sequence[Mapping[str, Any]], name: str) -> str | int | None:
    values = (each.get(name) for each in fields)
    return next((value for value in values if isinstance(value, str | int) and value), None)


def _retry_after(error: BaseException) -> int | None:
    headers = getattr(getattr(error, "response", None), "headers", None)
    value = headers.get("retry-after") if headers is not None else None
    try:
        seconds = float(value) if value is not None else None
    except ValueError:
        return None
    return round(seconds) if seconds is not None and 0 <= seconds <= MAX_RETRY_AFTER else None
