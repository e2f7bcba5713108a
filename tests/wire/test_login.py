"""Logging in and out over HTTP: the session cookie, and who one is."""

import asyncio
import json
from typing import Any

import pytest
from agents import Agent

from backchannel.testing import Say, ScriptedModel
from people_who_log_in import OTHER_PASSWORD, PASSWORD, SETTINGS, Browser, cookie_of, people_of

pytestmark = pytest.mark.row("F3", "F3b")

LIST = {"type": "threads.list", "params": {}}


def agent(*steps: Any) -> Agent:
    return Agent(name="A", model=ScriptedModel(*steps))


@pytest.fixture
async def served(serve):
    served = await serve(agent(Say("hi"), Say("hi")), **SETTINGS)
    await people_of(served).add()
    return served


async def test_a_person_logs_in_chats_and_logs_out(served):
    browser = Browser(served)
    assert (await browser.send("POST", "/api/chatkit", json=LIST)).status_code == 401
    assert (await browser.me()).status_code == 401
    response = await browser.login()
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    cookie = cookie_of(response)
    assert cookie["name"].startswith("backchannel_session_")
    assert (cookie["samesite"], cookie["path"]) == ("Lax", "/")
    assert "httponly" in cookie
    assert cookie["value"] not in response.text
    me = (await browser.me()).json()
    assert me == {**response.json()}
    assert (me["name"], me["anonymous"], me["method"]) == ("alice", False, "session")
    assert me["scopes"] == ["chat", "todos"]
    assert (await browser.send("POST", "/api/chatkit", json=LIST)).status_code == 200
    out = await browser.send("POST", "/auth/logout")
    assert out.status_code == 204
    assert cookie_of(out)["max-age"] == "0"
    again = await browser.send("POST", "/api/chatkit", json=LIST)
    assert again.status_code == 401
    assert again.json()["message"] == "You have logged out. Log in again."
    assert cookie_of(again)["max-age"] == "0"


async def test_a_login_never_takes_over_a_token_that_was_there(served):
    """Session fixation: neither a made-up token nor that of an attacker's own session becomes the victim's."""
    await people_of(served).add("mallory", OTHER_PASSWORD)
    attacker, victim = Browser(served), Browser(served)
    await attacker.login("mallory", OTHER_PASSWORD)
    planted = attacker.cookie
    victim.cookie = planted
    response = await victim.login()
    assert victim.cookie != planted
    assert response.json()["name"] == "alice"
    # What was planted is worthless afterwards, and never was the victim's.
    assert (await attacker.me()).status_code == 401
    name = str(planted).partition("=")[0]
    victim.cookie = f"{name}=bc_cs_{'A' * 43}"
    await victim.login()
    assert "A" * 43 not in str(victim.cookie)


async def test_several_cookies_of_one_name(served):
    """A stale one does not hide the live one, in any order; those of two people are nobody."""
    await people_of(served).add("mallory", OTHER_PASSWORD)
    alice, mallory = Browser(served), Browser(served)
    await alice.login()
    await mallory.login("mallory", OTHER_PASSWORD)
    good, other = str(alice.cookie), str(mallory.cookie)
    name = good.partition("=")[0]
    stale = f"{name}=bc_cs_{'B' * 43}"
    for both in (f"{stale}; {good}", f"{good}; {stale}", f"{name}=; {good}", f"{good}; {good}"):
        response = await Browser(served, both).me()
        assert response.json()["name"] == "alice", both
    for both in (f"{other}; {good}", f"{good}; {other}"):
        response = await Browser(served, both).me()
        assert response.status_code == 401
        assert "two logins" in response.json()["message"]
        assert cookie_of(response)["max-age"] == "0"


async def test_writes_by_cookie_need_evidence_of_the_page(served):
    browser = Browser(served)
    await browser.login()
    token = (await browser.me()).json()["csrf_token"]
    own = served.url
    browser.headers = {}
    for headers, status in (
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"origin": own}, 200),
        ({"x-csrf-token": token}, 200),
        ({}, 403),
        ({"x-csrf-token": token[:-1]}, 403),
        ({"x-csrf-token": "\u00e9".encode()}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "https://evil.example", "x-csrf-token": token}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site", "origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ):
        response = await browser.send("POST", "/api/chatkit", json=LIST, headers=headers)
        assert response.status_code == status, headers
        if not headers:
            assert "X-CSRF-Token" in response.json()["message"]
    # Reading needs none; logging in from another site does not work.
    assert (await browser.me()).status_code == 200
    login = await Browser(served, origin="https://evil.example", sec_fetch_site="cross-site").login()
    assert login.status_code == 403
    assert "set-cookie" not in login.headers
    # Nor is anybody logged out by another site, from which the cookie is not sent, and would be removed.
    elsewhere = Browser(served, origin="https://evil.example", sec_fetch_site="cross-site")
    out = await elsewhere.send("POST", "/auth/logout")
    assert out.status_code == 403
    assert "set-cookie" not in out.headers


async def test_csrf_tokens_belong_to_one_session(served):
    first, second = Browser(served), Browser(served)
    await first.login()
    await second.login()
    one, two = [(await each.me()).json()["csrf_token"] for each in (first, second)]
    assert one != two
    first.headers = {}
    for token, status in ((two, 403), (one, 200)):
        response = await first.send("POST", "/api/chatkit", json=LIST, headers={"x-csrf-token": token})
        assert response.status_code == status


async def test_ten_logins_at_once(served):
    browsers = [Browser(served) for _ in range(10)]
    responses = await asyncio.gather(*(each.login() for each in browsers))
    assert [each.status_code for each in responses] == [200] * 10
    assert len({each.cookie for each in browsers}) == 10


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "wrong password"),
        ("nobody", PASSWORD),
        ("alice", "x" * 10_000),
        ("x" * 10_000, PASSWORD),
        ("alice\x00", PASSWORD),
        ("alice\u202e", PASSWORD),
        ("\u0430lice", PASSWORD),  # Cyrillic
        ("alic\u0435", PASSWORD),
        ("%", PASSWORD),
        ("ali_e", PASSWORD),
        ("alice' OR 1=1 --", PASSWORD),
        ("alice", "\ud800"),
        ("a\u200blice", PASSWORD),
    ],
)
async def test_wrong_names_and_passwords_read_the_same(served, name, password):
    response = await Browser(served).send(
        "POST", "/auth/login", content=json_with_surrogates({"name": name, "password": password}),
        headers={"content-type": "application/json"},
    )  # fmt: skip
    if len(name) > 9_999:
        assert response.status_code in {400, 401}
    else:
        assert response.status_code == 401
    assert response.json()["message"] == "The name or the password is wrong."
    assert "set-cookie" not in response.headers


def json_with_surrogates(value):
    return json.dumps(value).encode()


async def test_names_are_found_however_they_are_typed(served):
    for name in ("ALICE", " alice ", "\uff21lice", "Alice\n"):
        assert (await Browser(served).login(name)).status_code == 200, name


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{", 400),
        ("application/json", b"[]", 400),
        ("application/json", b'{"name": 5, "password": "x"}', 422),
        ("application/json", b'{"name": "alice"}', 422),
        ("application/json", b"{}", 422),
        ("application/json", b"[" * 10_000, 400),
        ("application/json", b'{"name": "' + b"x" * 20_000 + b'"}', 400),
        ("text/plain", b"name=alice", 415),
        ("multipart/form-data", b"x", 415),
        ("application/x-www-form-urlencoded", b"name=%ff&password=x", 400),
        ("application/x-www-form-urlencoded", b"name=a&name=b&password=x", 400),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % n for n in range(50)), 400),
    ],
)
async def test_malformed_logins_are_refused(served, content_type, body, status):
    headers = {"content-type": content_type}
    response = await Browser(served).send("POST", "/auth/login", content=body, headers=headers)
    assert response.status_code == status
    assert response.json()["message"]


@pytest.mark.parametrize(
    ("return_to", "location"),
    [
        (None, "/"),
        ("/?thread=thr_1#x", "/?thread=thr_1#x"),
        ("/chat/deep%20link", "/chat/deep%20link"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/%5cevil.example", "/"),
        ("/%255cevil.example", "/"),
        ("/%2fevil.example", "/"),
        ("/a/..//evil.example", "/"),
        ("\t//evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/%09/evil.example", "/"),
        ("/x\r\nSet-Cookie: a=b", "/"),
        ("/%0d%0aSet-Cookie:a=b", "/"),
        ("javascript:alert(1)", "/"),
        ("evil.example", "/"),
        ("/" + "x" * 3000, "/"),
        ("/\u00e9", "/"),
    ],
)
async def test_a_form_returns_to_this_server_only(served, return_to, location):
    fields = {"name": "alice", "password": PASSWORD} | ({"return_to": return_to} if return_to else {})
    response = await Browser(served).send("POST", "/auth/login", data=fields, follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, location)
    assert cookie_of(response)["value"].startswith("bc_cs_")


async def test_a_visitor_becomes_a_person(serve):
    served = await serve(agent(), **{**SETTINGS, "auth": "password,anonymous"})
    await people_of(served).add()
    browser = Browser(served)
    # A read makes no visitor.
    assert (await browser.me()).status_code == 401
    assert "set-cookie" not in (await browser.me()).headers
    assert (await browser.send("POST", "/api/chatkit", json=LIST)).status_code == 200
    await browser.login()
    assert (await browser.me()).json()["anonymous"] is False
    # An ended session is not taken for a visitor, until the browser has removed the cookie.
    await browser.send("POST", "/auth/logout")
    assert (await browser.send("POST", "/api/chatkit", json=LIST)).status_code == 401


async def test_the_first_start_says_how_to_make_a_user(serve, capsys):
    served = await serve(agent(), **SETTINGS)
    assert "backchannel user add NAME" in capsys.readouterr().out
    await people_of(served).add()
    await serve(agent(), **SETTINGS)
    assert "backchannel user add" not in capsys.readouterr().out


async def test_a_form_that_fails_is_shown_again_with_the_reason(served):
    browser = Browser(served)
    fields = {"name": "<b>alice", "password": "wrong password", "return_to": "/?a=1"}
    response = await browser.send("POST", "/auth/login", data=fields)
    assert (response.status_code, response.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert "The name or the password is wrong." in response.text
    assert 'value="&lt;b&gt;alice"' in response.text
    assert 'value="/?a=1"' in response.text
    assert "wrong password" not in response.text
    assert "default-src 'self'" in response.headers["content-security-policy"]
    assert response.headers["cache-control"] == "no-store"
    page = await browser.send("GET", "/auth/login", params={"return_to": '"><script>'})
    assert "<script>" not in page.text.replace('<script src="../page/modules/theme-boot.js"></script>', "")


async def test_below_a_prefix(serve):
    served = await serve(agent(), root_path="/chat", **SETTINGS)
    await people_of(served).add()
    browser = Browser(served)
    response = await browser.send("POST", "/chat/auth/login", json={"name": "alice", "password": PASSWORD})
    cookie = cookie_of(response)
    assert cookie["path"] == "/chat"
    browser.cookie = f"{cookie['name']}={cookie['value']}"
    assert (await browser.send("GET", "/chat/auth/me")).status_code == 200
    fields = {"name": "alice", "password": PASSWORD}
    form = await Browser(served).send("POST", "/chat/auth/login", data=fields, follow_redirects=False)
    assert form.headers["location"] == "/chat/"
    page = await Browser(served).send("GET", "/chat/auth/login")
    assert 'action="login"' in page.text


async def test_by_https_no_neighbour_can_set_the_cookie(serve):
    served = await serve(agent(), public_url="https://chat.example.com", **SETTINGS)
    await people_of(served).add()
    browser = Browser(served, origin="https://chat.example.com")
    cookie = cookie_of(await browser.login())
    assert cookie["name"].startswith("__Host-backchannel_session_")
    assert "secure" in cookie
    plain = f"{cookie['name'].removeprefix('__Host-')}={cookie['value']}"
    assert (await Browser(served, plain).me()).status_code == 401
    assert (await browser.me()).status_code == 200


async def test_sessions_without_passwords(serve):
    served = await serve(agent(), auth="session")
    browser = Browser(served)
    for method, path in (("GET", "/auth/login"), ("POST", "/auth/login")):
        response = await browser.send(method, path, json={"name": "a", "password": "b"})
        assert (response.status_code, response.json()["code"]) == (422, "not_enabled")
    token = await served.person.http.post("/auth/token", data={"grant_type": "password"})
    assert token.json()["error"] == "unsupported_grant_type"
    assert (await browser.me()).status_code == 401


async def test_there_is_no_login_where_nobody_can_log_in(serve):
    served = await serve(agent())
    for path in ("/auth/login", "/auth/token", "/auth/sessions"):
        assert (await served.person.http.get(path)).status_code == 404
