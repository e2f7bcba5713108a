"""What the log gets of a provider's message."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from backchannel.model_calls.redaction import MAX_CHARS, redact

pytestmark = pytest.mark.row("M23")

REQUEST = [
    {
        "role": "user",
        "content": [{"type": "input_text", "text": "My doctor says that I have the flu since Monday"}],
    },
    {"type": "function_call_output", "call_id": "c", "output": "patient 4711"},
]


@pytest.mark.parametrize(
    ("message", "secret"),
    [
        ("Incorrect API key provided: sk-proj-abc123def456.", "abc123"),
        ("Invalid Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.x", "eyJ"),
        ("api_key=hunter2hunter2 is wrong", "hunter2"),
        ("cannot reach https://user:pass@host/v1", "pass"),
        ("Contact ann@example.org", "ann@"),
        ("Invalid input: 'My doctor says that I have the flu since Monday'", "doctor"),
        ("near: says that I have the flu since", "flu"),
        ("tool said patient 4711", "4711"),
        ("key 0123456789abcdef0123456789abcdef", "abcdef"),
    ],
)
def test_secrets_and_what_people_wrote_are_removed(message: str, secret: str) -> None:
    redacted = redact(message, REQUEST)
    assert secret not in redacted
    assert "[…]" in redacted


def test_the_rest_is_kept() -> None:
    message = (
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
    )
    assert redact(message, REQUEST) == message
    assert len(redact("a b " * 1000)) == MAX_CHARS


@given(some.text(max_size=300))
def test_any_message_is_redacted(message: str) -> None:
    assert len(redact(message, [{"content": message[:50]}])) <= MAX_CHARS
