"""Which callers are taken for one, and which requests count where."""

from typing import Any

import pytest
import structlog

from backchannel.context import Identity
from backchannel.errors import RateLimitedError
from backchannel.http.rate_limits import LimitedRequest, RateLimits
from backchannel.limits.memory import MemoryRateLimiter
from backchannel.limits.rules import Rules
from backchannel.settings.rates import parse_rates
from backchannel.web.forwarded import PEER

pytestmark = pytest.mark.row("F5")

ANN = Identity("ann")
NAMED = {b"x-forwarded-user": b"ann"}


def limits(*, user: str = "1/hour", address: str = "off") -> RateLimits:
    rules = Rules(user=parse_rates(user), address=parse_rates(address))
    names = frozenset({b"authorization", b"cookie", b"x-forwarded-user"})
    return RateLimits(MemoryRateLimiter(), rules, names)


def begin(
    limits: RateLimits,
    headers: dict[bytes, bytes],
    *,
    client: str | None = "203.0.113.7",
    proxy: str | None = None,
    path: str = "/api/chatkit",
    **scope: Any,
) -> LimitedRequest:
    found = {"path": path, "method": "POST", "headers": list(headers.items()), **scope}
    found["client"] = (client, 1) if client is not None else None
    if proxy is not None:
        found[PEER] = proxy
    begun = limits.begin(found)
    assert begun is not None
    return begun


async def accepted(request: LimitedRequest, identity: Identity | None = None, **options: Any) -> bool:
    """Whether a request is answered that the identity, if there is one, makes."""
    if request.early_refusal() is not None:
        return False
    try:
        if identity is None:
            await request.count_address()
        else:
            await request.count_caller(identity, new_visitor=options.get("new_visitor", False))
    except RateLimitedError:
        return False
    return True


async def test_nobody_can_have_somebody_else_refused():
    """Whoever sends the header of a proxy, and is not it, is refused alone."""
    found = limits()
    stranger = begin(found, NAMED, client="203.0.113.66")
    assert await accepted(stranger, Identity("visitor"))
    assert begin(found, NAMED, client="203.0.113.66").early_refusal() is not None
    assert begin(found, NAMED, client="203.0.113.66", proxy="10.0.0.1").early_refusal() is None
    assert begin(found, NAMED, proxy="10.0.0.1").early_refusal() is None


async def test_an_early_refusal_needs_the_same_credentials_and_the_same_kind_of_request():
    found = limits()
    assert await accepted(begin(found, {b"authorization": b"Bearer a", b"x-other": b"1"}), ANN)
    again = begin(found, {b"x-other": b"2", b"authorization": b"Bearer a"})
    refusal = again.early_refusal()
    assert refusal is not None
    assert dict(refusal.headers)[b"retry-after"] == b"3600"
    for other in (
        {b"authorization": b"Bearer b"},
        {b"authorization": b"Bearer a", b"cookie": b"x=1"},
        {b"cookie": b"Bearer a"},
        {},
    ):
        assert begin(found, other).early_refusal() is None
    token = {b"authorization": b"Bearer a"}
    for path in (
        "/api/chatkit/runs/run_1/events",
        "/api/chatkit/runs/run_1/cancel",
        "/auth/logout",
        "/auth/login",
    ):
        assert begin(found, token, path=path).early_refusal() is None
    for path in ("/api/chatkit/stream", "/api/chatkit"):
        assert begin(found, token | {b"last-event-id": b"run_1:5"}, path=path).early_refusal() is None
        assert begin(found, token, path=f"/chat{path}", root_path="/chat").early_refusal() is not None


@pytest.mark.parametrize("blank", [b"", b" ", b"\xa0", b"\x85\t"])
async def test_a_blank_position_names_no_answer_to_follow(blank: bytes):
    """It starts an answer, and counts as that."""
    found = limits()
    token = {b"authorization": b"Bearer a"}
    assert await accepted(begin(found, token), ANN)
    for path in ("/api/chatkit/stream", "/api/chatkit"):
        assert begin(found, token | {b"last-event-id": blank}, path=path).early_refusal() is not None


async def test_an_unknown_address_is_no_address_that_all_have():
    """As on a Unix socket, or of a client in tests."""
    found = limits(address="1/hour", user="1/hour")
    for client in (None, "", "testclient"):
        for name in ("a", "b", "c"):
            assert await accepted(begin(found, {}, client=client))
            visitor = Identity(f"{client}{name}", anonymous=True)
            assert await accepted(begin(found, {}, client=client), visitor, new_visitor=True)


async def test_visitors_of_one_network_and_tenant_without_a_cookie_are_one_user():
    found = limits()
    for number, expected in enumerate((True, False)):
        visitor = Identity(f"visitor {number}", anonymous=True)
        assert await accepted(begin(found, {}), visitor, new_visitor=True) is expected
    assert await accepted(begin(found, {}, client="203.0.113.8"), Identity("v"), new_visitor=True)


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/", "GET"),
        ("/page/modules/api.js", "GET"),
        ("/health/live", "GET"),
        ("/metrics", "GET"),
        ("/api/chatkit", "OPTIONS"),
        ("/chat/health", "GET"),
    ],
)
def test_what_is_not_limited(path: str, method: str):
    scope = {
        "path": path,
        "method": method,
        "headers": [],
        "root_path": "/chat",
        "client": ("203.0.113.7", 1),
    }
    assert limits().begin(scope) is None


async def test_a_proxy_that_is_not_trusted_is_noticed_once():
    found = limits(address="1/hour")
    forwarded = {b"x-forwarded-for": b"198.51.100.7"}
    with structlog.testing.capture_logs() as logs:
        assert await accepted(begin(found, forwarded))
        assert not await accepted(begin(found, forwarded, path="/api/todos"))
        assert not await accepted(begin(found, forwarded))
        other = begin(found, {}, client="203.0.113.8")
        assert await accepted(other)
        assert not await accepted(begin(found, {}, client="203.0.113.8"))
    assert [each["event"] for each in logs] == [
        "rate_limited", "address_limit_of_untrusted_proxy", "rate_limited"
    ]  # fmt: skip
    assert "BACKCHANNEL_TRUSTED_PROXIES" in logs[1]["hint"]


async def test_a_request_is_counted_once():
    found = limits(user="3/hour")
    request = begin(found, {})
    for _ in range(5):
        await request.count_caller(ANN, new_visitor=False)
        await request.count_response()
    assert dict(request.headers)["RateLimit-Remaining"] == "2"
