"""What the gateway refuses before anything else sees a request."""

from types import SimpleNamespace
from typing import Any

import pytest

from backchannel.http.gateway import Gateway
from backchannel.settings import Settings

pytestmark = pytest.mark.row("F5")


async def sent(headers: list[tuple[bytes, bytes]]) -> list[Any]:
    """The messages of the response to a POST that reaches the gateway with these headers."""

    async def app(*_: Any) -> None:
        raise AssertionError("it must not get here")

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    services: Any = SimpleNamespace(
        settings=Settings(), is_running=False, check_running=lambda: None, parts=None
    )
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/chatkit",
        "headers": headers,
        "query_string": b"",
    }
    await Gateway(app, services=services)(scope, receive, send)
    return messages


# Servers refuse it, but not all that may host the application: a superscript is a digit, and no number.
@pytest.mark.parametrize("length", [b"\xb2", b"1\xb9", b"-1", b"", b"0x10", b"1e3"])
async def test_a_length_that_is_no_number_is_malformed(length: bytes) -> None:
    messages = await sent([(b"content-length", length)])
    assert messages[0]["status"] == 400
    assert b"invalid_request" in messages[1]["body"]
