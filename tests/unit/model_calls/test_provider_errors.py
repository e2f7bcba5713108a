"""What providers say, and which error it is."""

import httpx2
import openai
import pytest
from agents.exceptions import ModelBehaviorError

from backchannel.model_calls.provider_errors import explain_model_error, provider_facts

pytestmark = pytest.mark.row("M23", "M5", "M7")

REQUEST = httpx2.Request("POST", "https://models.example/v1")


def status_error(status: int, body: object, headers: dict[str, str] | None = None) -> openai.APIStatusError:
    response = httpx2.Response(status, request=REQUEST, headers=headers or {})
    return openai.APIStatusError("failed", response=response, body=body)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"message": "x", "code": "context_length_exceeded"}, "message_too_long"),
        (
            400,
            {"type": "invalid_request_error", "message": "prompt is too long: 200001 tokens"},
            "message_too_long",
        ),
        (400, [{"error": {"message": "The input token count (9) exceeds the maximum"}}], "message_too_long"),
        (429, {"message": "Request too large for gpt-5 on tokens per min"}, "message_too_long"),
        (
            400,
            {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}},
            "content_filter",
        ),
        (400, {"message": "data_inspection_failed"}, "content_filter"),
        (402, {}, "model_quota"),
        (429, {"code": "insufficient_quota"}, "model_quota"),
        (
            429,
            {"message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED"},
            "model_rate_limited",
        ),
        (429, None, "model_rate_limited"),
        (401, {"message": "content policy"}, "model_not_configured"),
        (404, "<html>", "model_not_configured"),
        (400, {"code": "unsupported_parameter"}, "model_not_configured"),
        (400, {"message": "tool_choice is wrong"}, "model_request_rejected"),
        (500, {"message": "context length of the worker"}, "model_unavailable"),
        (529, {"type": "overloaded_error"}, "model_unavailable"),
        (408, None, "model_unavailable"),
    ],
)
def test_by_body_before_status(status: int, body: object, code: str) -> None:
    explained = explain_model_error(status_error(status, body))
    assert explained is not None
    assert explained.code == code


def test_a_status_in_a_stream_is_read_from_the_code() -> None:
    error = openai.APIError("Provider returned error", REQUEST, body={"code": 502, "message": "x"})  # pyright: ignore[reportArgumentType]
    facts = provider_facts(error)
    assert facts is not None
    assert facts.status == 502


@pytest.mark.parametrize(("value", "seconds"), [("3", 3), ("0.4", 0), ("3600", None), ("soon", None)])
def test_retry_after_is_passed_on_if_it_is_short(value: str, seconds: int | None) -> None:
    explained = explain_model_error(status_error(429, None, {"retry-after": value}))
    assert explained is not None
    assert explained.retry_after == seconds


def test_what_is_no_error_of_a_model() -> None:
    assert explain_model_error(ValueError("x")) is None
    invalid = explain_model_error(ModelBehaviorError("Invalid JSON when parsing x"))
    assert invalid is not None
    assert invalid.code == "invalid_output"
