"""Which pages may act for a person, whatever is between them and the server."""

from typing import Any

import pytest
from starlette.requests import HTTPConnection

from backchannel.errors import ForbiddenError, OriginUnknownError
from backchannel.web.forwarded import PEER
from backchannel.web.origins import Origin, OriginPatterns, WriteOrigins, parse_pattern

pytestmark = pytest.mark.row("F8", "F6")


def request(
    host: str = "chat.example.com",
    *,
    method: str = "POST",
    scheme: str = "http",
    proxied: bool = False,
    **headers: str,
) -> HTTPConnection:
    raw = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "scheme": scheme,
        "path": "/",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in raw.items()],
    }
    if proxied:
        scope[PEER] = "127.0.0.1"
    return HTTPConnection(scope)


def origins(*allowed: str, public_url: str | None = None, development: bool = False) -> WriteOrigins:
    return WriteOrigins(public_url=public_url, allowed=allowed, development=development)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://Chat.Example.com", "https://chat.example.com"),
        ("https://chat.example.com:443", "https://chat.example.com"),
        ("http://chat.example.com:80/", "http://chat.example.com"),
        ("http://chat.example.com.:8080", "http://chat.example.com:8080"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("null", None),
        ("", None),
        ("http://", None),
        ("http://[", None),
        ("http://a b", None),
        ("http://a:99999", None),
        ("http://user@chat.example.com", None),
        ("ftp://chat.example.com", None),
        ("chat.example.com", None),
        ("https://" + "a" * 400, None),
    ],
)
def test_an_origin_has_one_form(text: str, shown: str | None) -> None:
    origin = Origin.parse(text)
    assert (None if origin is None else str(origin)) == shown


@pytest.mark.parametrize(
    ("origin", "loopback"),
    [
        ("http://localhost", True),
        ("https://localhost:8443", True),
        ("http://app.localhost:3000", True),
        ("http://127.0.0.1:8000", True),
        ("http://127.8.9.1", True),
        ("http://[::1]:8000", True),
        ("http://localhost.example", False),
        ("http://notlocalhost", False),
        ("http://127.0.0.1.example", False),
        ("http://192.168.0.1", False),
        ("http://[::2]", False),
    ],
)
def test_what_is_loopback(origin: str, loopback: bool) -> None:
    parsed = Origin.parse(origin)
    assert parsed is not None
    assert parsed.is_loopback is loopback


@pytest.mark.parametrize(
    "pattern",
    [
        "https://app.example.com/",
        "https://app.example.com/chat",
        "app.example.com",
        "https://app.*.com",
        "https://*",
        "https://*.com.*",
        "https://*.com",
        "https://*.localhost:*",
        "https://a.example:*",
        "https://user@a.example",
        "https://a.example?x",
        "null",
        "",
    ],
)
def test_a_pattern_that_could_never_match_or_matches_strangers_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"origin such as|never match|strangers"):
        parse_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "origin", "matches"),
    [
        ("https://App.Example.com:443", "https://app.example.com", True),
        ("https://app.example.com", "http://app.example.com", False),
        ("https://*.example.com", "https://a.example.com", True),
        ("https://*.example.com", "https://a.b.example.com", True),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", "https://.example.com", False),
        ("https://*.example.com", "https://evilexample.com", False),
        ("https://*.example.com", "https://a.example.com.evil.net", False),
        ("https://*.example.com", "https://a.example.com:8443", False),
        ("https://*.example.com:8443", "https://a.example.com:8443", True),
        ("*", "https://anything.example", True),
        ("*", "null", True),
    ],
)
def test_which_origins_a_pattern_matches(pattern: str, origin: str, matches: bool) -> None:
    assert OriginPatterns([pattern]).match(Origin.parse(origin)) is matches


# nightscout/nocturne#999, portainer/portainer#12751: every POST through a proxy was refused.
@pytest.mark.parametrize(
    ("host", "origin", "options"),
    [
        # `proxy_set_header Host $host` drops the port.
        ("chat.example.com", "http://chat.example.com:8080", {"proxied": True}),
        ("chat.example.com", "https://chat.example.com:8443", {"proxied": True}),
        # TLS ends at the proxy, which does not say so.
        ("chat.example.com", "https://chat.example.com", {"proxied": True}),
        # A port that Origin lacks.
        ("chat.example.com:80", "http://chat.example.com", {}),
        ("chat.example.com:443", "https://chat.example.com", {"scheme": "https"}),
        ("chat.example.com:80", "https://chat.example.com", {"proxied": True}),
        ("chat.example.com:8000", "http://chat.example.com", {"proxied": True}),
        ("CHAT.example.com", "http://chat.example.com", {}),
        ("chat.example.com.", "http://chat.example.com", {}),
        # A browser has compared, whatever the proxy made of the host.
        ("backend:8000", "https://chat.example.com", {"sec_fetch_site": "same-origin"}),
        ("backend:8000", "https://chat.example.com", {"sec_fetch_site": "none"}),
        ("127.0.0.1:8000", "http://127.0.0.1:8000", {}),
        ("[::1]:8000", "http://[::1]:8000", {}),
    ],
)
def test_the_servers_own_page_may_act_behind_any_proxy(
    host: str, origin: str, options: dict[str, Any]
) -> None:
    asked = request(host, origin=origin, **options)
    assert origins().is_same(asked) is True
    origins().check(asked, evidence=True)


@pytest.mark.parametrize(
    ("host", "origin", "options"),
    [
        ("chat.example.com", "https://chat.example.com", {}),
        ("chat.example.com", "http://chat.example.com:8080", {}),
        ("chat.example.com", "http://evil.example", {"proxied": True}),
        ("chat.example.com", "http://chat.example.com.evil.example", {"proxied": True}),
        ("chat.example.com:8000", "http://chat.example.com:9000", {"proxied": True}),
        ("chat.example.com", "null", {"proxied": True}),
        ("", "http://chat.example.com", {}),
        ("evil.example, chat.example.com", "http://chat.example.com", {}),
        # Same name, and yet a page of another site: what the browser says counts.
        ("chat.example.com", "http://chat.example.com", {"sec_fetch_site": "cross-site"}),
        ("chat.example.com", "http://a.chat.example.com", {"sec_fetch_site": "same-site"}),
    ],
)
def test_other_pages_may_not(host: str, origin: str, options: dict[str, Any]) -> None:
    asked = request(host, origin=origin, **options)
    assert origins().is_same(asked) is False
    with pytest.raises(ForbiddenError, match="may not act here"):
        origins().check(asked)


def test_a_request_of_another_site_without_origin_is_refused() -> None:
    for site in ("cross-site", "same-site", "something-new"):
        with pytest.raises(ForbiddenError, match="may not act here"):
            origins().check(request(sec_fetch_site=site))


def test_a_program_needs_no_origin_unless_evidence_is_asked_for() -> None:
    origins().check(request())
    with pytest.raises(OriginUnknownError, match="X-CSRF-Token"):
        origins().check(request(), evidence=True)
    origins().check(request(method="GET"), evidence=True)


def test_the_public_url_is_the_servers_own_page() -> None:
    own = origins(public_url="https://chat.example.com/chat")
    own.check(request("backend:8000", origin="https://chat.example.com"), evidence=True)
    # Also for browsers that call the server by another address.
    own.check(request("backend:8000", origin="https://chat.example.com", sec_fetch_site="cross-site"))
    with pytest.raises(ForbiddenError):
        own.check(request("backend:8000", origin="http://chat.example.com"))


def test_pages_of_the_setting_may_act() -> None:
    allowed = origins("https://app.example.com", "https://*.partner.example")
    for origin in ("https://app.example.com", "https://eu.partner.example"):
        for site in ({}, {"sec_fetch_site": "cross-site"}):
            allowed.check(request(origin=origin, **site), evidence=True)
    with pytest.raises(ForbiddenError, match=r"https://other\.example may not act here"):
        allowed.check(request(origin="https://other.example"))


def test_in_development_pages_of_this_machine_may_act() -> None:
    asked = request("localhost:8000", origin="http://localhost:5173", sec_fetch_site="same-site")
    origins(development=True).check(asked)
    with pytest.raises(ForbiddenError):
        origins().check(asked)
