"""Cookies belong to one deployment, and browsers keep them to themselves as far as they can."""

from typing import Any

import pytest
from starlette.requests import HTTPConnection

from backchannel.web.cookies import CookieFormat, deployment_name

pytestmark = pytest.mark.row("F8", "F3")


def request(*cookies: str, scheme: str = "http") -> HTTPConnection:
    headers = [(b"host", b"chat.example.com"), *((b"cookie", each.encode("latin-1")) for each in cookies)]
    scope: dict[str, Any] = {"type": "http", "scheme": scheme, "path": "/", "headers": headers}
    return HTTPConnection(scope)


@pytest.mark.parametrize(
    ("options", "scheme", "expected"),
    [
        ({}, "http", "backchannel_visitor_d=v; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"),
        ({}, "https", "__Host-backchannel_visitor_d=v; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure"),
        (
            {"always_secure": True},
            "http",
            "__Host-backchannel_visitor_d=v; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure",
        ),
        (
            {"path": "/chat"},
            "https",
            "__Secure-backchannel_visitor_d=v; Max-Age=60; Path=/chat; HttpOnly; SameSite=Lax; Secure",
        ),
        (
            {"cross_site": True},
            "https",
            "__Host-backchannel_visitor_d=v; Max-Age=60; Path=/; HttpOnly; SameSite=None; Secure; Partitioned",
        ),
        # Browsers refuse SameSite=None without Secure.
        ({"cross_site": True}, "http", "backchannel_visitor_d=v; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"),
    ],
)
def test_the_attributes(options: dict[str, Any], scheme: str, expected: str) -> None:
    assert CookieFormat("d", **options).set("visitor", "v", 60, request(scheme=scheme)) == expected


def test_a_cookie_is_removed_by_the_same_name_and_path() -> None:
    removed = CookieFormat("d", path="/chat").delete("visitor", request(scheme="https"))
    assert removed.startswith("__Secure-backchannel_visitor_d=; Max-Age=0; Path=/chat;")


def test_all_values_are_seen_the_protected_one_first() -> None:
    cookies = CookieFormat("d")
    asked = request(
        "theme=dark; backchannel_visitor_d=tossed; backchannel_visitor_other=x",
        "__Host-backchannel_visitor_d=own;backchannel_visitor_d=second; broken",
    )
    assert cookies.values("visitor", asked) == ["own", "tossed", "second"]
    assert cookies.values("session", asked) == []
    # A neighbour on plain http cannot set the name that counts.
    assert CookieFormat("d", always_secure=True).values("visitor", asked) == ["own"]


def test_a_huge_value_is_passed_over() -> None:
    assert CookieFormat("d").values("visitor", request("backchannel_visitor_d=" + "x" * 5000)) == []


def test_replicas_share_a_name_and_neighbours_do_not() -> None:
    assert deployment_name(b"k" * 32, "") == deployment_name(b"k" * 32, "")
    names = {
        deployment_name(b"k" * 32, ""),
        deployment_name(b"l" * 32, ""),
        deployment_name(b"k" * 32, "/chat"),
    }
    assert len(names) == 3
