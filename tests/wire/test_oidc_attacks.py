"""Attacks on logins with an identity provider (RFC 9700; OpenID Connect Core 1.0, section 16): each is refused."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from agents import Agent
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.responses import JSONResponse, RedirectResponse, Response

from backchannel.oidc import attempts
from backchannel.testing import ScriptedModel
from oidc_browser import OidcBrowser, problem
from oidc_double import CLIENT_ID, CLIENT_SECRET, KEY, OTHER_KEY, Double, provider, settings_for
from people_who_log_in import people_of

pytestmark = pytest.mark.row("F2b")

NOT_PROVEN = "does not prove who you are"


@pytest.fixture
async def double():
    async with provider() as double:
        yield double


@pytest.fixture
async def served(serve, double):
    return await serve(Agent(name="A", model=ScriptedModel()), **settings_for(double))


def refused(response: Any, says: str, browser: OidcBrowser) -> None:
    assert response.status_code == 400
    assert says in problem(response)
    assert not any("session" in name for name in browser.cookies)


async def test_a_state_that_was_not_given(served, double: Double):
    browser = OidcBrowser(served)
    await browser.begin()
    for state in ("", "x", "A" * 43, "A" * 44, "\x00", "é" * 43):
        refused(
            await browser.come_back(urlencode({"code": "c", "state": state})),
            "began in another browser",
            browser,
        )
    refused(await browser.come_back("code=c"), "Log in again", browser)
    refused(await browser.come_back(""), "Log in again", browser)
    assert double.requests == []
    # Strangers cannot fill the audit log with it.
    assert await people_of(served).events() == []


async def test_login_csrf_an_answer_without_the_cookie_or_with_that_of_another_browser(
    served, double: Double
):
    """The attacker begins a login, and has the victim's browser finish it."""
    attacker, victim = OidcBrowser(served), OidcBrowser(served)
    query = double.authorize(await attacker.begin())
    refused(await victim.come_back(query), "another browser", victim)
    await victim.begin()
    refused(await victim.come_back(query), "another browser", victim)
    assert double.requests == []
    # It is still good where it began: a stranger cannot use it up.
    assert (await attacker.come_back(query)).status_code == 303


async def test_a_login_that_took_too_long(served, double: Double, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attempts, "ATTEMPT_SECONDS", -1)
    browser = OidcBrowser(served)
    refused(await browser.log_in(double), "longer than ten minutes", browser)


async def test_a_replayed_answer_and_an_injected_code(served, double: Double):
    browser = OidcBrowser(served)
    query = double.authorize(await browser.begin())
    assert (await browser.come_back(query)).status_code == 303
    browser.cookies = {name: value for name, value in browser.cookies.items() if "login" in name}
    refused(await browser.come_back(query), "used already", browser)
    # The code of another login, in one's own: its challenge is another.
    stolen = dict(parse_qsl(double.authorize(await OidcBrowser(served).begin())))["code"]
    refused(await browser.log_in(double, code=stolen), "Log in again", browser)
    assert stolen not in double.codes


async def test_mix_up_an_answer_of_another_issuer(served, double: Double):
    for issuer in ("https://evil.example", f"{double.url}/", ""):
        browser = OidcBrowser(served)
        refused(await browser.log_in(double, iss=issuer), NOT_PROVEN, browser)
    assert double.requests == []
    # Neither is it needed by those who do not promise it,
    assert (await OidcBrowser(served).log_in(double, iss=None)).status_code == 303


async def test_an_issuer_that_promises_to_name_itself_must(serve, double: Double):
    double.metadata["authorization_response_iss_parameter_supported"] = True
    served = await serve(Agent(name="A", model=ScriptedModel()), **settings_for(double))
    browser = OidcBrowser(served)
    refused(await browser.log_in(double, iss=None), NOT_PROVEN, browser)
    refused(await browser.log_in(double, iss=None, code=None, error="access_denied"), NOT_PROVEN, browser)
    assert (await browser.log_in(double)).status_code == 303


def unsigned(claims: dict[str, Any]) -> str:
    header, body = (
        base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode()
        for each in ({"alg": "none"}, claims)
    )
    return f"{header}.{body}."


def signed_with_the_public_key(claims: dict[str, Any]) -> str:
    """By hand: joserfc does not use a public key as a secret."""
    body = unsigned(claims).split(".")[1]
    header = (
        base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "one"}).encode()).rstrip(b"=").decode()
    )
    digest = hmac.digest(KEY.as_pem(private=False), f"{header}.{body}".encode(), "sha256")
    return f"{header}.{body}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def signed(key: Any, **header: Any) -> Callable[[dict[str, Any]], str]:
    fields = {"alg": "RS256", "kid": "one", **header}
    return lambda claims: jwt.encode(fields, claims, key, algorithms=[fields["alg"]])


FORGED: dict[str, Callable[[dict[str, Any]], str]] = {
    "none": unsigned,
    "HS256 with the client's secret": signed(OctKey.import_key(CLIENT_SECRET.encode()), alg="HS256"),
    "HS256 with the public key": signed_with_the_public_key,
    "another key of the same name": signed(OTHER_KEY),
    "a key in the header": signed(OTHER_KEY, jwk=OTHER_KEY.as_dict(private=False)),
    "a key at an address": signed(OTHER_KEY, jku="https://evil.example/keys"),
    "an access token": signed(KEY, typ="at+jwt"),
    "a logout token": signed(KEY, typ="logout+jwt"),
    "no token": lambda _: "x.y.z",
    "an empty one": lambda _: "",
    "changed": lambda claims: signed(KEY)(claims)[:-6] + "AAAAAA",
}

NOW = int(time.time())

CLAIMS: dict[str, dict[str, Any]] = {
    "another nonce": {"nonce": "x"},
    "no nonce": {"nonce": None},
    "an empty nonce": {"nonce": ""},
    "a nonce that is no text": {"nonce": True},
    "another issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "another client's": {"aud": "another"},
    "several, of another": {"aud": [CLIENT_ID, "another"], "azp": "another"},
    "several, of nobody": {"aud": [CLIENT_ID, "another"]},
    "of another by azp": {"azp": "another"},
    "no audience": {"aud": None},
    "an empty audience": {"aud": []},
    "expired": {"exp": NOW - 3600},
    "no expiry": {"exp": None},
    "an expiry that is no time": {"exp": "2099-01-01"},
    "from the future": {"iat": NOW + 3600},
    "not yet": {"nbf": NOW + 3600},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject that is no text": {"sub": 5},
    "a long subject": {"sub": "x" * 256},
    "of another access token": {"at_hash": "x"},
}


async def test_id_tokens_that_prove_nothing(served, double: Double):
    honest = double.sign
    for what, sign in FORGED.items():
        double.sign = sign
        browser = OidcBrowser(served)
        response = await browser.log_in(double)
        assert (response.status_code, what) == (400, what)
        refused(response, NOT_PROVEN, browser)
    double.sign = honest
    for what, claims in CLAIMS.items():
        double.claims = claims
        browser = OidcBrowser(served)
        response = await browser.log_in(double)
        assert (response.status_code, what) == (400, what)
        refused(response, NOT_PROVEN, browser)
    # All of them are in the audit log, and say why; none is in what the person reads.
    events = await people_of(served).events()
    assert len(events) == len(FORGED) + len(CLAIMS)
    assert all(each.event == "login.failed" and each.detail["reason"] for each in events)


async def test_what_a_right_token_may_have(served, double: Double):
    """So that the refusals above are not those of everything."""
    now = int(time.time())
    for claims in (
        {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID},
        {"aud": [CLIENT_ID]},
        {"exp": now - 10},
        {"iat": now + 10},
        {"acr": "1", "amr": ["pwd"], "auth_time": now},
    ):
        double.claims = claims
        assert (await OidcBrowser(served).log_in(double)).status_code == 303, claims
    double.claims = {}
    double.sign = signed(KEY, typ="JWT")
    assert (await OidcBrowser(served).log_in(double)).status_code == 303


async def test_keys_that_are_new(served, double: Double, monkeypatch: pytest.MonkeyPatch):
    """An issuer that has new keys is asked for them; one whose keys cannot be fetched gets 503, not a refusal."""
    new = RSAKey.generate_key(2048, {"kid": "two"}, private=True)
    double.sign = signed(new, kid="two")
    browser = OidcBrowser(served)
    refused(await browser.log_in(double), NOT_PROVEN, browser)
    assert double.asked.count("/keys") == 1


async def test_pkce_cannot_be_left_out(served, double: Double):
    url = await OidcBrowser(served).begin()
    asked = parse_qs(urlsplit(url).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["code_challenge"][0]) == 43
    browser = OidcBrowser(served)
    await browser.log_in(double)
    (request,) = double.requests
    assert len(request["code_verifier"]) == 43
    assert request["code_verifier"] not in url


async def test_every_login_has_its_own_secrets(served, double: Double):
    urls = [await OidcBrowser(served).begin() for _ in range(3)]
    for name in ("state", "nonce", "code_challenge"):
        assert len({parse_qs(urlsplit(url).query)[name][0] for url in urls}) == 3


@pytest.mark.row("F3")
async def test_session_fixation(served, double: Double):
    """A cookie that somebody has planted, their own or a made-up one, never becomes the victim's session."""
    attacker, victim = OidcBrowser(served), OidcBrowser(served)
    await attacker.log_in(double)
    (name,) = (each for each in attacker.cookies if "session" in each)
    planted = attacker.cookies[name]
    for value in (planted, f"bc_cs_{'A' * 43}"):
        victim.cookies = {name: value}
        assert (await victim.log_in(double)).status_code == 303
        assert victim.cookies[name] != value
    attacker.cookies = {name: planted}
    assert (await attacker.me()).status_code == 401


EVIL = [
    "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "https:evil.example",
    "/%09/evil.example", "/%5cevil.example", "/%2f%2fevil.example", "/%252f%252fevil.example", "/\t/evil.example",
    "javascript:alert(1)", "data:text/html,x", "/x\r\nSet-Cookie: a=b", "/x%0d%0aSet-Cookie:%20a=b", "/..//evil.example",
    "/./\\evil.example", "/" + "x" * 3000, "evil.example", " /x", "/x y",
]  # fmt: skip


async def test_open_redirects(served, double: Double):
    for path in EVIL:
        response = await OidcBrowser(served).log_in(double, path)
        assert (response.status_code, response.headers["location"], path) == (303, "/", path)
    for path in ("/", "/a?b=//c", "/#/t/thr_1", "/a%20b", "/auth/login"):
        assert (await OidcBrowser(served).log_in(double, path)).headers["location"] == path


async def test_a_neighbour_below_another_prefix(serve, double: Double):
    served = await serve(Agent(name="A", model=ScriptedModel()), **settings_for(double, root_path="/chat"))
    for path, location in {
        "/chat/x": "/chat/x", "/chat": "/chat", "/other": "/chat/", "/chatter": "/chat/", "/chat/../other": "/chat/",
        "/chat/%2e%2e/other": "/chat/", "/chat/..": "/chat/", "/chat/.../x": "/chat/.../x",
    }.items():  # fmt: skip
        response = await OidcBrowser(served).log_in(double, path)
        assert (path, response.headers["location"]) == (path, location)


async def test_answers_that_are_too_large_or_ambiguous(served, double: Double):
    browser = OidcBrowser(served)
    url = await browser.begin()
    query = double.authorize(url)
    state = dict(parse_qsl(query))["state"]
    for bad in (
        f"state={state}&code={'x' * 9000}",
        f"state={state}&state={state}&code=x",
        f"state={state}&code=x&code=y",
        f"state={state}&" + "&".join(f"a{number}=1" for number in range(50)),
        f"state={state}&code=%ff",
    ):
        refused(await browser.come_back(bad), "Log in again", browser)
    assert double.requests == []
    # None of them has used it up.
    assert (await browser.come_back(query)).status_code == 303
    other = OidcBrowser(served)
    refused(await other.log_in(double, code="x" * 4097), "cannot be read", other)
    refused(await other.log_in(double, code=""), "cannot be read", other)


async def test_two_answers_at_once(served, double: Double):
    """Of a hundred, one reaches the provider: its code is good once."""
    browser = OidcBrowser(served)
    query = double.authorize(await browser.begin())
    cookies = dict(browser.cookies)

    async def once() -> int:
        each = OidcBrowser(served)
        each.cookies = dict(cookies)
        return (await each.come_back(query)).status_code

    statuses = await asyncio.gather(*(once() for _ in range(20)))
    assert sorted(statuses) == [303] + [400] * 19
    assert len(double.requests) == 1


ANSWERS = {
    "a page": Response("<html>", 200),
    "a list": JSONResponse([]),
    "no ID token": JSONResponse({"access_token": "x"}),
    "no text": JSONResponse({"id_token": 5}),
    "a long token": JSONResponse({"id_token": "x" * 40_000}),
    "a long body": Response(b'{"a": "' + b"x" * 300_000 + b'"}', media_type="application/json"),
    "a deep body": Response("[" * 5000, media_type="application/json"),
    "a redirect": RedirectResponse("https://evil.example/token", 307),
    "this client is wrong": JSONResponse({"error": "invalid_client"}, 401),
    "a failure": JSONResponse({"error": "server_error"}, 500),
    "no text at all": Response(b"\xff\xfe"),
}


async def test_token_endpoints_that_answer_anything(served, double: Double):
    for what, answer in ANSWERS.items():
        double.token_answer = answer
        browser = OidcBrowser(served)
        response = await browser.log_in(double)
        assert (what, response.status_code) == (what, 400 if what == "no ID token" else 503)
        assert problem(response)
        assert not any("session" in name for name in browser.cookies)


async def test_no_secret_is_logged_or_stored_in_clear(
    served, double: Double, capsys: pytest.CaptureFixture[str]
):
    double.refresh_tokens = True
    browser = OidcBrowser(served)
    query = double.authorize(await browser.begin())
    code = dict(parse_qsl(query))["code"]
    assert (await browser.come_back(query)).status_code == 303
    await browser.log_in(double, iss="https://evil.example")
    (refresh,) = double.refreshes
    secrets = [CLIENT_SECRET, code, refresh, dict(parse_qsl(query))["state"], *browser.cookies.values()]
    secrets.append(double.requests[0]["code_verifier"])
    told = capsys.readouterr().out
    assert "audit" in told
    rows = []
    database = served.backchannel.database
    async with database.read() as connection:
        for table in ("login_attempts", "provider_logins", "sessions", "audit_log"):
            rows += (await connection.exec_driver_sql(f"SELECT * FROM {table}")).all()
    assert rows
    for secret in secrets:
        assert secret not in told
        assert secret not in str(rows)
