"""Headers of proxies count only from trusted addresses, and then describe the client's own request."""

from typing import Any

import pytest

from backchannel.web.forwarded import ForwardedHeaders, TrustedProxies, from_trusted_proxy

pytestmark = pytest.mark.row("F8")


async def seen(
    client: str | None,
    *headers: tuple[str, str],
    trusted: tuple[str, ...] = ("127.0.0.0/8", "10.0.0.0/8"),
    **scope: Any,
) -> dict[str, Any]:
    """The scope that the application gets."""
    found: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.update(scope)

    raw = [("host", "backend:8000"), *headers]
    asked = {
        "type": "http",
        "scheme": "http",
        "client": (client, 4000) if client is not None else None,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in raw],
        **scope,
    }
    unused: Any = None
    await ForwardedHeaders(app, trusted=TrustedProxies(trusted))(asked, unused, unused)
    return found


def host(scope: dict[str, Any]) -> list[str]:
    return [value.decode() for name, value in scope["headers"] if name == b"host"]


FORWARDED = (
    ("X-Forwarded-For", "198.51.100.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "chat.example.com"),
)


async def test_a_trusted_proxy_tells_of_the_client() -> None:
    scope = await seen("127.0.0.1", *FORWARDED)
    assert scope["client"][0] == "198.51.100.7"
    assert scope["scheme"] == "https"
    assert host(scope) == ["chat.example.com"]
    assert from_trusted_proxy(scope)


async def test_a_stranger_changes_nothing() -> None:
    scope = await seen("203.0.113.9", *FORWARDED)
    assert (scope["client"][0], scope["scheme"], host(scope)) == ("203.0.113.9", "http", ["backend:8000"])
    assert not from_trusted_proxy(scope)


@pytest.mark.parametrize(
    ("addresses", "client"),
    [
        (["198.51.100.7"], "198.51.100.7"),
        # The client made up the first one.
        (["1.2.3.4, 198.51.100.7"], "198.51.100.7"),
        (["1.2.3.4", "198.51.100.7"], "198.51.100.7"),
        (["198.51.100.7, 10.0.0.5"], "198.51.100.7"),
        (["1.2.3.4, 198.51.100.7, 10.0.0.5, 127.0.0.2"], "198.51.100.7"),
        # All are trusted: the first one is the client.
        (["10.1.1.1, 10.0.0.5"], "10.1.1.1"),
        (["198.51.100.7:5123"], "198.51.100.7"),
        (["[2001:db8::1]:5123"], "2001:db8::1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["::ffff:198.51.100.7"], "198.51.100.7"),
        (["fe80::1%eth0"], "fe80::1"),
        ([" 198.51.100.7 ,"], "198.51.100.7"),
        # What cannot be read is nobody's address, and what comes before it may be made up.
        (["1.2.3.4, unknown"], "127.0.0.1"),
        (["1.2.3.4, _hidden, 10.0.0.5"], "127.0.0.1"),
        ([""], "127.0.0.1"),
        (["\xe9"], "127.0.0.1"),
        ([", ".join(["1.2.3.4"] * 5000 + ["198.51.100.7"])], "198.51.100.7"),
    ],
)
async def test_which_address_is_the_clients(addresses: list[str], client: str) -> None:
    scope = await seen("127.0.0.1", *(("X-Forwarded-For", each) for each in addresses))
    assert scope["client"][0] == client


@pytest.mark.parametrize("trusted", ["*", "0.0.0.0/0"])
@pytest.mark.parametrize("peer", ["127.0.0.1", "203.0.113.9"])
async def test_where_everybody_is_a_proxy_the_last_address_counts(trusted: str, peer: str) -> None:
    """What comes before it may be made up, so limits by address would stop nobody."""
    scope = await seen(peer, ("X-Forwarded-For", "1.2.3.4, 198.51.100.7"), trusted=(trusted,))
    assert scope["client"][0] == "198.51.100.7"
    named = await seen(
        peer, ("X-Forwarded-For", "1.2.3.4, 198.51.100.7, 10.0.0.5"), trusted=(trusted, "10.0.0.0/8")
    )
    assert named["client"][0] == "198.51.100.7"


async def test_each_hop_has_its_own_scheme_and_host() -> None:
    scope = await seen(
        "127.0.0.1",
        ("X-Forwarded-For", "198.51.100.7, 10.0.0.5"),
        ("X-Forwarded-Proto", "https, http"),
        ("X-Forwarded-Host", "chat.example.com, inner"),
    )
    assert (scope["scheme"], host(scope)) == ("https", ["chat.example.com"])
    scope = await seen(
        "127.0.0.1", ("X-Forwarded-For", "1.2.3.4, 198.51.100.7"), ("X-Forwarded-Proto", "http, https")
    )
    assert scope["scheme"] == "https"


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ([("X-Forwarded-Port", "8443")], "backend:8000"),
        ([("X-Forwarded-Host", "chat.example.com"), ("X-Forwarded-Port", "8443")], "chat.example.com:8443"),
        ([("X-Forwarded-Host", "chat.example.com:1"), ("X-Forwarded-Port", "8443")], "chat.example.com:1"),
        ([("X-Forwarded-Host", "[2001:db8::1]"), ("X-Forwarded-Port", "8443")], "[2001:db8::1]:8443"),
        ([("X-Forwarded-Host", "chat.example.com"), ("X-Forwarded-Port", "x")], "chat.example.com"),
        ([("X-Forwarded-Host", "evil.example/path")], "backend:8000"),
        ([("X-Forwarded-Host", "user@evil.example")], "backend:8000"),
        ([("X-Forwarded-Host", "")], "backend:8000"),
    ],
)
async def test_the_host_that_a_proxy_names(headers: list[tuple[str, str]], shown: str) -> None:
    assert host(await seen("127.0.0.1", *headers)) == [shown]


@pytest.mark.parametrize("scheme", ["ftp", "javascript", "", "httpss"])
async def test_an_unknown_scheme_changes_nothing(scheme: str) -> None:
    assert (await seen("127.0.0.1", ("X-Forwarded-Proto", scheme)))["scheme"] == "http"


async def test_websockets_keep_their_kind() -> None:
    scope = await seen("127.0.0.1", ("X-Forwarded-Proto", "https"), type="websocket", scheme="ws")
    assert scope["scheme"] == "wss"


async def test_sockets_without_an_address() -> None:
    assert (await seen(None, *FORWARDED, trusted=("unix",)))["client"][0] == "198.51.100.7"
    assert (await seen(None, *FORWARDED))["client"] is None
    assert (await seen(None, *FORWARDED, trusted=("*",)))["scheme"] == "https"


def test_a_setting_that_is_no_network_is_refused() -> None:
    for wrong in ("nginx", "10.0.0.0/99", "1.2.3"):
        with pytest.raises(ValueError, match=r"does not appear"):
            TrustedProxies([wrong])
