"""The hierarchy of errors: codes are unique and stable, statuses are what HTTP means by them."""

import inspect

import pytest

from backchannel import errors
from backchannel.errors import BackchannelError

pytestmark = pytest.mark.row("A3", "A4")

# Clients and dashboards rely on these; a change here is a change of the interface.
PUBLISHED = {
    "internal_error": (500, True),
    "not_running": (503, False),
    "invalid_request": (400, False),
    "invalid_input": (422, False),
    "unauthenticated": (401, False),
    "forbidden": (403, False),
    "insufficient_scope": (403, False),
    "not_found": (404, False),
    "conflict": (409, False),
    "rate_limited": (429, True),
    "too_many_runs": (429, True),
    "too_large": (413, False),
    "too_large_to_store": (413, False),
    "unsupported_media_type": (415, False),
    "unsupported_type": (415, False),
    "invalid_file": (422, False),
    "infected_file": (422, False),
    "not_enabled": (422, False),
    "budget_exceeded": (429, False),
    "unavailable": (503, True),
    "model_error": (502, True),
    "model_not_configured": (502, False),
    "model_rate_limited": (502, True),
    "model_quota": (502, False),
    "model_unavailable": (502, True),
    "model_unreachable": (502, True),
    "model_timeout": (502, True),
    "model_timeout_first_byte": (502, True),
    "model_timeout_between_bytes": (502, True),
    "model_timeout_total": (502, True),
    "model_request_rejected": (502, False),
    "model_response_invalid": (502, True),
    "message_too_long": (422, False),
    "content_filter": (422, False),
    "answer_truncated": (502, True),
    "answer_filtered": (502, True),
    "answer_refused": (502, False),
    "answer_empty": (502, True),
    "answer_incomplete": (502, True),
    "invalid_output": (502, True),
    "tool_failed": (500, True),
    "turn_limit": (502, True),
    "guardrail": (422, False),
    "csrf_token_required": (403, False),
    "configuration": (500, False),
}
CLASSES = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, BackchannelError) and each.__module__.startswith(errors.__name__)
]


def test_codes_are_unique():
    codes = [each.code for each in CLASSES]
    assert sorted(codes) == sorted(set(codes))


def test_codes_statuses_and_retries_are_as_published():
    assert {each.code: (each.status, each.allow_retry) for each in CLASSES} == PUBLISHED


@pytest.mark.parametrize("kind", CLASSES)
def test_what_the_caller_did_wrong_is_4xx_and_not_worth_repeating(kind: type[BackchannelError]):
    assert 400 <= kind.status < 600
    if kind.status < 500:
        # What came too early may come later; a budget is available again only after hours or days.
        assert kind.allow_retry == (kind.status == 429 and kind.code != "budget_exceeded")


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_says_its_message_and_carries_what_it_was_given(kind: type[BackchannelError]):
    plain = kind("Do this.")
    assert (str(plain), plain.message, plain.details, plain.retry_after) == (
        "Do this.",
        "Do this.",
        None,
        None,
    )
    full = kind("Do this.", details=[{"field": "title"}], retry_after=3)
    assert (full.details, full.retry_after) == ([{"field": "title"}], 3)
