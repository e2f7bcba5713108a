"""Identities of a host application and of a proxy: nobody else can name one."""

from typing import Any

import pytest
from starlette.requests import HTTPConnection

from backchannel.authenticators.host import HostAuthenticator, ProxyHeaderAuthenticator
from backchannel.context import Identity
from backchannel.errors import UnauthenticatedError
from backchannel.web.forwarded import PEER

pytestmark = pytest.mark.row("F4")


def request(*headers: tuple[str, bytes], trusted: bool = True, **scope: Any) -> HTTPConnection:
    raw = [(name.lower().encode(), value) for name, value in headers]
    asked: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": raw, **scope}
    if trusted:
        asked[PEER] = "127.0.0.1"
    return HTTPConnection(asked)


PROXY = ProxyHeaderAuthenticator("X-Forwarded-User")


@pytest.mark.parametrize(
    ("value", "user"),
    [(b"ann", "ann"), (b"ann@example.com", "ann@example.com"), ("Zoë".encode(), "Zoë"), (b"a b", "a b")],
)
async def test_a_trusted_proxy_names_the_user(value: bytes, user: str) -> None:
    found = await PROXY.authenticate(request(("X-Forwarded-User", value)))
    assert found is not None
    assert found.identity == Identity(user)
    # The browser is behind the proxy: it sends what the proxy asks for with every request.
    assert found.ambient


async def test_without_the_header_the_next_authenticator_is_asked() -> None:
    assert await PROXY.authenticate(request()) is None


async def test_from_a_stranger_the_header_is_an_attack() -> None:
    with pytest.raises(UnauthenticatedError, match="BACKCHANNEL_TRUSTED_PROXIES"):
        await PROXY.authenticate(request(("X-Forwarded-User", b"ann"), trusted=False))


@pytest.mark.parametrize(
    "values",
    [[b"ann", b"eve"], [b"ann, eve"], [b""], [b"x" * 256], [b"a\x00b"], [b"a\tb"], [b"\xff\xfe"]],
)
async def test_what_is_no_single_user_is_refused(values: list[bytes]) -> None:
    with pytest.raises(UnauthenticatedError, match="X-Forwarded-User"):
        await PROXY.authenticate(request(*(("X-Forwarded-User", value) for value in values)))


async def test_a_function_of_the_host_says_who_is_calling() -> None:
    def identify(request: HTTPConnection) -> Identity | None:
        user = request.scope.get("user")
        return Identity(user, tenant="acme") if user else None

    async def later(request: HTTPConnection) -> Identity | None:
        return identify(request)

    for function in (identify, later):
        authenticator = HostAuthenticator(function)
        assert await authenticator.authenticate(request()) is None
        found = await authenticator.authenticate(request(user="ann"))
        assert found is not None
        assert (found.identity, found.ambient) == (Identity("ann", tenant="acme"), True)
