"""Requests that pages elsewhere make a browser send, and what is sent back to it; each case names the report."""

import json
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from agents import Agent

from backchannel.testing import Say, ScriptedModel, user_message
from people_who_log_in import PASSWORD, SETTINGS, cookie_of, people_of
from wire.test_identity import agent

pytestmark = pytest.mark.row("F6")

CREATE = {"type": "threads.create", "params": {"input": user_message("hello")}}
FORMS = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "")
"""What a page can send without asking first; without a type, as a Blob can be."""


async def signed_in(serve: Any, **settings: Any) -> tuple[Any, dict[str, str]]:
    served = await serve(Agent(name="A", model=ScriptedModel(Say("one"))), **SETTINGS, **settings)
    await people_of(served).add()
    fields = {"name": "alice", "password": PASSWORD}
    cookie = cookie_of(await served.person.http.post("/auth/login", json=fields))
    served.person.http.cookies.clear()
    return served, {"cookie": f"{cookie['name']}={cookie['value']}"}


# nstfkc/gemi#448, stefanko-ch/Nexus-Stack#672, ralscha/extdirectspring#150, joyent/conch-api#248, h3js/h3#875: JSON
# was read whatever its type, which a form can send without asking first. Some of the endpoints had the check, and
# others had not.
async def test_no_endpoint_takes_a_form_for_json(serve):
    served, cookie = await signed_in(serve)
    http = served.person.http
    document = (await http.get("/openapi.json")).json()
    posts = [path for path, operations in document["paths"].items() if "post" in operations]
    assert len(posts) > 8
    body = json.dumps({**CREATE, "name": "x", "title": "x", "value": 'a=b"}'})
    for media_type, site in [
        ("text/plain", ""),
        ("text/plain", "cross-site"),
        *product(FORMS, ("same-origin",)),
    ]:
        evidence = {"sec-fetch-site": site, "origin": "https://evil.example"} if site else {}
        headers = cookie | evidence | ({"content-type": media_type} if media_type else {})
        for path in posts:
            # A page of this server may log in and out by a form, and needs no body to be known again.
            if site == "same-origin" and (path.startswith("/auth/") or path.endswith("/visitor")):
                continue
            answer = await http.post(path, content=body.encode(), headers=headers, follow_redirects=False)
            assert answer.status_code >= 400, (path, headers)
    assert (await http.get("/auth/me", headers=cookie)).status_code == 200
    assert (await http.get("/api/chatkit/threads", headers=cookie)).json()["data"] == []


# openresty/openresty#410, tariqbuilds/linux-dash#10, jupyter/notebook#3699, MISP/MISP#6118: what was asked for came
# back in an error, and was read as HTML.
async def test_no_error_is_html(serve):
    served = await serve(agent())
    markup = quote("<img src=x onerror=alert(1)>")
    paths = ("/api/chatkit/threads/", "/api/", "/page/", "/auth/", "/", "/api/chatkit/runs/")
    queries = (f"/?q={markup}", f"/auth/login?return_to={markup}", f"/api/chatkit/threads?after={markup}")
    for address in (*(f"{path}{markup}" for path in paths), *queries):
        response = await served.person.http.get(address, follow_redirects=False)
        assert response.headers["x-content-type-options"] == "nosniff", address
        if response.status_code >= 400:
            assert response.headers["content-type"].startswith("application/json"), address
            assert "default-src 'none'" in response.headers["content-security-policy"]
        else:
            assert "onerror" not in response.text


# FlowiseAI/Flowise#6230: X-Frame-Options forbade what the policy allowed. FlowiseAI/Flowise#6185: commas between the
# origins made browsers ignore the policy. caesarakalaeii/all-chat#578: what may be shown elsewhere, the login may not.
async def test_pages_that_may_be_shown_elsewhere(serve):
    served = await serve(agent(), frame_ancestors="https://a.example.com, https://*.b.example.com")
    response = await served.person.http.get("/")
    policy = response.headers["content-security-policy"]
    assert "frame-ancestors https://a.example.com https://*.b.example.com" in policy.split("; ")
    assert "x-frame-options" not in response.headers
    for path in ("/api/chatkit/threads", "/openapi.json", "/nothing"):
        other = await served.person.http.get(path)
        assert "frame-ancestors 'none'" in other.headers["content-security-policy"], path


# open-webui/open-webui#14530, gufolabs/noc#136, openpharma/clinsight#125: people whose name is not ASCII could not
# come in by a header of a proxy, or had another name there.
async def test_names_in_a_header_of_a_proxy(serve):
    served = await serve(agent(), auth="proxy", trusted_proxies="127.0.0.1")

    async def known(value: bytes) -> tuple[int, str]:
        response = await served.person.http.get("/auth/me", headers=[(b"x-forwarded-user", value)])
        return response.status_code, response.json().get("user") or response.json()["code"]

    for user in ("홍길동", "Пётр", "山田", "José", "ada@example.com", "Ada Lovelace", "x" * 255):
        assert await known(user.encode()) == (200, user)
    hidden = ("ann\u202e", "ann\u0085", "a\u2066b")
    for value in (b"Jos\xe9", b"", b"a, b", b"a\tb", b"x" * 256, *(each.encode() for each in hidden)):
        assert await known(value) == (401, "unauthenticated"), value


# pomerium/pomerium#211, opensearch-project/security-dashboards-plugin#1100, oauth2-proxy/oauth2-proxy#1071 and #1902,
# OpenIDC/mod_auth_openidc#92, canonical/charmhub.io#888: the cookie grew with what was known of a person, and browsers
# dropped it: the login began again and again.
async def test_the_cookie_of_a_person_with_everything_is_short(serve):
    served = await serve(Agent(name="A", model=ScriptedModel()), **SETTINGS)
    scopes = {f"scope-{number:03}-{'x' * 40}" for number in range(200)} | {"chat"}
    await people_of(served).add("w" * 100, scopes=scopes)
    answer = await served.person.http.post("/auth/login", json={"name": "w" * 100, "password": PASSWORD})
    assert len(answer.headers["set-cookie"]) < 400
    assert len((await served.person.http.get("/auth/me")).json()["scopes"]) == 201


# maxcountryman/axum-login#177, Uninett/mod_auth_mellon#14, YunoHost/yunohost#1698, mattermost/mattermost-webapp#2925:
# the cookie was removed with another path or domain than it had been set with, and stayed.
@pytest.mark.parametrize("settings", [{}, {"root_path": "/chat"}, {"public_url": "https://chat.example.com"}])
async def test_the_cookie_is_removed_as_it_was_set(serve, settings):
    served = await serve(Agent(name="A", model=ScriptedModel()), **SETTINGS, **settings)
    await people_of(served).add()
    prefix = settings.get("root_path", "")
    origin = {"sec-fetch-site": "same-origin"}
    fields = {"name": "alice", "password": PASSWORD}
    login = await served.person.http.post(f"{prefix}/auth/login", json=fields, headers=origin)
    made = cookie_of(login)
    served.person.http.cookies.clear()
    headers = {**origin, "cookie": f"{made['name']}={made['value']}"}
    removed = cookie_of(await served.person.http.post(f"{prefix}/auth/logout", headers=headers))
    assert removed["value"] == ""
    assert removed["max-age"] == "0"
    same = ("name", "path", "domain", "secure", "samesite", "httponly")
    assert [removed.get(each) for each in same] == [made.get(each) for each in same]
