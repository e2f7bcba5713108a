"""Visitors are known by a cookie that nobody can forge, and other sites cannot act for them."""

from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from backchannel.authenticators.anonymous import (
    MAX_AGE_SECONDS,
    OLD_COOKIE,
    AnonymousAuthenticator,
    is_visitor,
)
from backchannel.authenticators.base import Authenticated
from backchannel.errors import ForbiddenError
from backchannel.web.cookies import CookieFormat
from backchannel.web.origins import WriteOrigins

pytestmark = pytest.mark.row("F3", "F7", "F6")

KEY = b"k" * 32
HOST = "chat.example.com"
COOKIE = "backchannel_visitor_test"


def make(
    key: bytes = KEY,
    *,
    origins: tuple[str, ...] = (),
    development: bool = False,
    public_url: str | None = None,
) -> AnonymousAuthenticator:
    allowed = WriteOrigins(public_url=public_url, allowed=origins, development=development)
    return AnonymousAuthenticator(key, CookieFormat("test"), allowed, development=development)


def request(
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
    scheme: str = "http",
    client: str | None = "203.0.113.9",
) -> HTTPConnection:
    raw = {"host": HOST, **(headers or {})}
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "scheme": scheme,
        "path": "/api/chatkit",
        "query_string": b"",
        "server": (HOST, 80),
        "client": (client, 50_000) if client else None,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in raw.items()],
    }
    return HTTPConnection(scope)


async def ask(
    authenticator: AnonymousAuthenticator, headers: Mapping[str, str] | None = None, **options: Any
) -> Authenticated:
    found = await authenticator.authenticate(request(headers, **options))
    assert found is not None
    assert found.identity.anonymous
    return found


def cookie_of(found: Authenticated) -> str:
    assert found.set_cookie is not None
    return SimpleCookie(found.set_cookie)[found.set_cookie.partition("=")[0]].value


@pytest.fixture
def authenticator() -> AnonymousAuthenticator:
    return make(KEY)


async def test_a_visitor_comes_back_by_the_cookie(authenticator: AnonymousAuthenticator):
    first = await ask(authenticator)
    assert first.identity.user.startswith("usr_")
    again = await ask(authenticator, {"cookie": f"theme=dark; {COOKIE}={cookie_of(first)}"})
    assert again.identity == first.identity
    assert again.set_cookie is None
    # A restart with the same key knows them too.
    restarted = await ask(make(KEY), {"cookie": f"{COOKIE}={cookie_of(first)}"})
    assert restarted.identity == first.identity


async def test_each_visitor_is_somebody_else(authenticator: AnonymousAuthenticator):
    assert (await ask(authenticator)).identity != (await ask(authenticator)).identity


async def test_a_cookie_of_another_key_makes_a_new_visitor(authenticator: AnonymousAuthenticator):
    first = await ask(make(b"o" * 32))
    second = await ask(authenticator, {"cookie": f"{COOKIE}={cookie_of(first)}"})
    assert second.identity != first.identity
    assert second.set_cookie is not None


async def test_a_forged_cookie_makes_a_new_visitor(authenticator: AnonymousAuthenticator):
    user, _, signature = cookie_of(await ask(authenticator)).rpartition(".")
    victim = "usr_victim"
    forged = [
        victim,
        f"{victim}.",
        f"{victim}.{signature}",
        f".{signature}",
        signature,
        f"{user}.{signature[:-1]}",
        f"{user}.{signature}A",
        f"{user}.{signature.swapcase()}",
        f"{user}.{user}.{signature}",
        f"anonymous:{user}.{signature}",
        "",
        "é.ü",
    ]
    for cookie in forged:
        found = await ask(authenticator, {"cookie": f"{COOKIE}={cookie}"})
        assert found.identity.user not in {user, victim}, cookie
        assert found.set_cookie is not None


@given(st.text(st.characters(max_codepoint=255), max_size=80))
async def test_no_cookie_is_an_error(value: str):
    found = await ask(make(KEY), {"cookie": f"{COOKIE}={value}"})
    assert found.set_cookie is not None


@pytest.mark.parametrize(("scheme", "secure"), [("http", False), ("https", True)])
async def test_the_cookies_attributes(authenticator: AnonymousAuthenticator, scheme: str, secure: bool):
    found = await ask(authenticator, scheme=scheme)
    name = f"__Host-{COOKIE}" if secure else COOKIE
    morsel = SimpleCookie(found.set_cookie or "")[name]
    assert bool(morsel["secure"]) is secure
    assert morsel["httponly"]
    assert (morsel["samesite"], morsel["path"], morsel["domain"]) == ("Lax", "/", "")
    assert int(morsel["max-age"]) == MAX_AGE_SECONDS


@pytest.mark.parametrize(
    ("origin", "options", "allowed"),
    [
        (f"http://{HOST}", {}, True),
        (f"http://{HOST.upper()}:80", {}, True),
        (f"https://{HOST}", {}, False),
        (f"https://{HOST}", {"public_url": f"https://{HOST}"}, True),
        ("https://a.app.example", {"origins": ("https://*.app.example",)}, True),
        ("https://app.example", {"origins": ("https://*.app.example",)}, False),
        ("https://evil.example", {}, False),
        (f"https://{HOST}.evil.example", {}, False),
        (f"https://evil.example/{HOST}", {}, False),
        (f"http://{HOST}:8080", {}, False),
        ("null", {}, False),
        ("", {}, False),
        ("http://[", {}, False),
        ("http://[::1", {"development": True}, False),
        ("https://app.example", {"origins": ("https://app.example",)}, True),
        ("http://app.example", {"origins": ("https://app.example",)}, False),
        ("https://anything.example", {"origins": ("*",)}, True),
        ("http://localhost:5173", {}, False),
        ("http://localhost:5173", {"development": True}, True),
        ("https://evil.example", {"development": True}, False),
        ("http://localhost.evil.example", {"development": True}, False),
        ("null", {"development": True}, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_which_pages_may_act(origin: str, options: dict[str, Any], allowed: bool, method: str):
    authenticator = make(KEY, **options)
    cookie = f"{COOKIE}={cookie_of(await ask(authenticator))}"
    asking = ask(authenticator, {"origin": origin, "cookie": cookie}, method=method)
    if allowed:
        assert (await asking).set_cookie is None
    else:
        with pytest.raises(ForbiddenError, match="may not act here") as caught:
            await asking
        assert len(caught.value.message) < 250


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://["])
async def test_reading_needs_no_origin_of_ours(
    authenticator: AnonymousAuthenticator, method: str, origin: str
):
    # What a foreign page may read of the answer is for CORS to say.
    assert await ask(authenticator, {"origin": origin}, method=method)


DEV = make(KEY, development=True)
PAGE = {"origin": "http://localhost:5173"}


async def test_in_development_a_page_of_this_machine_without_cookies_is_one_user():
    first = await ask(DEV, PAGE, client="127.0.0.1")
    assert first == await ask(DEV, PAGE, client="::1")
    assert first.set_cookie is None
    other = await ask(DEV, {"origin": "http://localhost:3000"}, client="127.0.0.1")
    assert other.identity != first.identity


async def test_a_cookie_counts_more_than_the_page():
    visitor = await ask(DEV)
    found = await ask(DEV, {**PAGE, "cookie": f"{COOKIE}={cookie_of(visitor)}"}, client="127.0.0.1")
    assert found.identity == visitor.identity


@pytest.mark.parametrize("client", ["203.0.113.9", "192.168.1.2", "10.0.0.1", None, "testclient"])
async def test_the_shared_user_is_for_this_machine_only(client: str | None):
    shared = (await ask(DEV, PAGE, client="127.0.0.1")).identity
    assert (await ask(DEV, PAGE, client=client)).identity != shared


async def test_outside_development_there_is_no_shared_user():
    for origins in ((), ("http://localhost:5173",)):
        authenticator = make(KEY, origins=origins)
        first = await ask(authenticator, PAGE, client="127.0.0.1", method="GET")
        second = await ask(authenticator, PAGE, client="127.0.0.1", method="GET")
        assert first.identity != second.identity


async def test_reading_makes_nobody_a_visitor(authenticator: AnonymousAuthenticator):
    for method in ("GET", "HEAD", "OPTIONS"):
        assert (await ask(authenticator, method=method)).set_cookie is None


async def test_a_cookie_of_the_first_versions_is_still_read(authenticator: AnonymousAuthenticator):
    first = await ask(authenticator)
    again = await ask(authenticator, {"cookie": f"{OLD_COOKIE}={cookie_of(first)}"})
    assert again.identity == first.identity


async def test_a_cookie_that_a_neighbour_set_does_not_hide_the_own_one(authenticator: AnonymousAuthenticator):
    first = await ask(authenticator)
    again = await ask(authenticator, {"cookie": f"{COOKIE}=tossed.in; {COOKIE}={cookie_of(first)}"})
    assert again.identity == first.identity


async def test_ids_of_visitors_are_told_from_others(authenticator: AnonymousAuthenticator):
    assert is_visitor((await ask(authenticator)).identity.user)
    assert is_visitor((await ask(DEV, PAGE, client="127.0.0.1")).identity.user)
    for user in ("ada", "usr_1", "usr_page", "auth0|123"):
        assert not is_visitor(user)
