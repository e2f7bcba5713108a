"""Which oddity (`backchannel.testing.endpoints.ODDITIES`) ends with which error code; the others are answered."""

FAILURES: dict[str, tuple[str, bool]] = {
    "empty_text": ("answer_empty", True),
    "blank_text": ("answer_empty", True),
    "nothing": ("answer_empty", True),
    "text_null": ("answer_empty", True),
    "empty_content_list": ("answer_empty", True),
    "content_null": ("answer_empty", True),
    "think_unclosed": ("answer_empty", True),
    "reason_without_calls": ("answer_empty", True),
    "refusal": ("answer_refused", False),
    "burst_then_error": ("model_unavailable", True),
    "burst_then_drop": ("answer_incomplete", True),
    "burst_then_end": ("answer_incomplete", True),
    "reason_error": ("answer_incomplete", True),
    "reason_unknown": ("answer_incomplete", True),  # `MALFORMED_FUNCTION_CALL`, of Gemini
    "reason_length": ("answer_truncated", True),
    "incomplete_length": ("answer_truncated", True),
    "reason_content_filter": ("answer_filtered", True),
    "incomplete_content_filter": ("answer_filtered", True),
    "failed": ("model_unavailable", True),
    "failed_rate_limit": ("model_rate_limited", True),
    "cancelled": ("model_unavailable", True),
    "error_in_mid_answer": ("model_unavailable", True),
    "error_chunk": ("model_unavailable", True),
    "error_with_200": ("model_unavailable", True),
    "error_event": ("model_error", True),
    "html": ("model_response_invalid", True),
    "empty": ("model_response_invalid", True),
    "http_400_azure_content_filter": ("content_filter", False),
    "http_400_openai_unsupported": ("model_not_configured", False),
    "http_429_insufficient_quota": ("model_quota", False),
}
"""By oddity. All others are answered without an error, but for statuses of HTTP."""

BY_STATUS = {
    "http_400": ("model_request_rejected", False),
    "http_401": ("model_not_configured", False),
    "http_402": ("model_quota", False),
    "http_403": ("model_not_configured", False),
    "http_404": ("model_not_configured", False),
    "http_408": ("model_unavailable", True),
    "http_409": ("model_unavailable", True),
    "http_413": ("message_too_long", False),
    "http_422": ("model_request_rejected", False),
    "http_429": ("model_rate_limited", True),
    "http_5": ("model_unavailable", True),
}


def expected_failure(name: str) -> tuple[str, bool] | None:
    """The code of the error event, and whether it may be repeated; `None` for an oddity that is answered."""
    if name in FAILURES:
        return FAILURES[name]
    if "context_length" in name:
        return "message_too_long", False
    return next((failure for start, failure in BY_STATUS.items() if name.startswith(start)), None)
