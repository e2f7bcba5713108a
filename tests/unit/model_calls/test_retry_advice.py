"""What retry policies see of a failed call."""

import httpx2
import pytest
from agents.retry import ModelRetryAdviceRequest, ModelRetryNormalizedError
from openai import APIStatusError

from backchannel.errors import ModelUnavailableError
from backchannel.model_calls.normalizer import ProviderFailureError
from backchannel.model_calls.provider_errors import ProviderFacts
from backchannel.model_calls.retry_advice import retry_advice
from backchannel.testing import ScriptedModel

pytestmark = pytest.mark.row("B10")


def advised(error: Exception, cause: Exception | None) -> ModelRetryNormalizedError | None:
    error.__cause__ = cause
    advice = retry_advice(ScriptedModel(), ModelRetryAdviceRequest(error, attempt=1, stream=True))
    return advice.normalized if advice else None


def test_policies_see_the_error_of_the_provider() -> None:
    response = httpx2.Response(529, request=httpx2.Request("POST", "http://127.0.0.1"))
    cause = APIStatusError("busy", response=response, body={"code": "overloaded", "message": "Busy."})
    seen = advised(ModelUnavailableError(), cause)
    assert seen
    assert (seen.status_code, seen.error_code, seen.message) == (529, "overloaded", "Busy.")


def test_policies_see_a_failure_in_a_stream() -> None:
    cause = ProviderFailureError(ProviderFacts(None, "server_error", "Busy.", 3))
    seen = advised(ModelUnavailableError(), cause)
    assert seen
    assert (seen.status_code, seen.error_code, seen.retry_after) == (None, "server_error", 3)


def test_other_errors_are_left_to_the_model() -> None:
    assert advised(ValueError("x"), None) is None
    assert advised(ModelUnavailableError(), None) is None
