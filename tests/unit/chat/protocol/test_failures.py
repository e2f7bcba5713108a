"""Whatever goes wrong becomes one of our errors, and one event that clients can show."""

from typing import Any

import httpx2
import openai
import pytest
from agents import exceptions as ag
from chatkit.errors import CustomStreamError, ErrorCode, StreamError
from chatkit.store import NotFoundError as StoreNotFoundError

from backchannel.chat.protocol.failures import explain, failure_event
from backchannel.chat.protocol.wire import encode_event
from backchannel.context import Identity, RequestContext
from backchannel.errors import BackchannelError, ConflictError

pytestmark = pytest.mark.row("A3", "A5")

REQUEST = httpx2.Request("POST", "https://api.openai.com/v1/responses")
SECRET = "sk-secret-1234"
CONTEXT = RequestContext(Identity("ann"), request_id="req_1", run_id="run_1")


def answered(kind: type[openai.APIStatusError], status: int) -> openai.APIStatusError:
    response: Any = httpx2.Response(status, request=REQUEST)
    return kind(f"Error {status}: {SECRET}", response=response, body=None)


def bare[E: Exception](kind: type[E]) -> E:
    """An error whose constructor wants parts of a run."""
    error = kind.__new__(kind)
    Exception.__init__(error, f"tripped: {SECRET}")
    return error


def no_key() -> openai.OpenAIError:
    """What the client raises when it is made without a key."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OPENAI_API_KEY", raising=False)
        patch.delenv("OPENAI_ADMIN_KEY", raising=False)
        with pytest.raises(openai.OpenAIError) as caught:
            openai.AsyncOpenAI()
    return caught.value


CASES: list[tuple[Exception, str, bool]] = [
    (StoreNotFoundError("thr_x"), "not_found", False),
    (ag.MaxTurnsExceeded(f"Max turns {SECRET}"), "turn_limit", True),
    (bare(ag.InputGuardrailTripwireTriggered), "guardrail", False),
    (bare(ag.OutputGuardrailTripwireTriggered), "guardrail", False),
    (bare(ag.ToolInputGuardrailTripwireTriggered), "guardrail", False),
    (bare(ag.ToolOutputGuardrailTripwireTriggered), "guardrail", False),
    (ag.ModelBehaviorError(f"Tool {SECRET} not found"), "model_error", True),
    (ag.ModelTimeoutError(30.0), "model_timeout", True),
    (ag.UserError(f"Wrong: {SECRET}"), "internal_error", True),
    (answered(openai.AuthenticationError, 401), "model_not_configured", False),
    (answered(openai.PermissionDeniedError, 403), "model_not_configured", False),
    (answered(openai.NotFoundError, 404), "model_not_configured", False),
    (answered(openai.RateLimitError, 429), "model_rate_limited", True),
    (answered(openai.BadRequestError, 400), "model_request_rejected", False),
    (answered(openai.InternalServerError, 500), "model_unavailable", True),
    (openai.APITimeoutError(request=REQUEST), "model_timeout", True),  # pyright: ignore[reportArgumentType]
    (openai.APIConnectionError(request=REQUEST), "model_unreachable", True),  # pyright: ignore[reportArgumentType]
    (no_key(), "model_not_configured", False),
    (openai.OpenAIError("strange"), "model_error", True),
    (RuntimeError(f"broken {SECRET}"), "internal_error", True),
    (KeyError(SECRET), "internal_error", True),
]


@pytest.mark.parametrize(("error", "code", "retry"), CASES, ids=lambda value: type(value).__name__)
def test_what_it_is_told_as(error: Exception, code: str, retry: bool):
    replay = explain(error)
    assert (replay.code, replay.allow_retry) == (code, retry)
    assert replay.message.endswith(".")


@pytest.mark.parametrize(("error", "code", "retry"), CASES, ids=lambda value: type(value).__name__)
def test_the_event_tells_the_code_and_no_secrets(error: Exception, code: str, retry: bool):
    event = failure_event(error, CONTEXT, debug=False)
    sent = encode_event(event).body().decode()
    assert (event.code, event.allow_retry) == ("custom", retry)
    assert f'"reason":"{code}"' in sent
    assert '"request_id":"req_1"' in sent
    assert '"run_id":"run_1"' in sent
    assert "detail" not in sent
    assert SECRET not in sent


def test_our_own_errors_stay_as_they_are():
    error = ConflictError("This conversation is locked.")
    assert explain(error) is error
    event = failure_event(error, CONTEXT, debug=False)
    assert (event.message, event.allow_retry) == ("This conversation is locked.", False)


def test_debug_mode_says_what_was_raised():
    sent = encode_event(failure_event(RuntimeError("broken pipe"), CONTEXT, debug=True)).body().decode()
    assert '"detail":"RuntimeError: broken pipe"' in sent


@pytest.mark.row("P7")
def test_a_servers_own_stream_errors_are_the_sdks_events():
    event = failure_event(CustomStreamError("Out of credit.", allow_retry=True), CONTEXT, debug=False)
    assert (event.code, event.message, event.allow_retry) == ("custom", "Out of credit.", True)
    event = failure_event(StreamError(ErrorCode.STREAM_ERROR), CONTEXT, debug=False)
    assert (event.code, event.message, event.allow_retry) == (ErrorCode.STREAM_ERROR, None, True)
    event = failure_event(StreamError(ErrorCode.STREAM_ERROR, allow_retry=False), CONTEXT, debug=False)
    assert event.allow_retry is False


def test_two_failures_are_not_one():
    """`explain` makes a new error each time: what is added to one is not in the next."""
    first, second = explain(RuntimeError("a")), explain(RuntimeError("a"))
    assert first is not second
    assert isinstance(first, BackchannelError)
