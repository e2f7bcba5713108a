"""Logging in with an identity provider, over HTTP, with a provider that refuses what it should."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from agents import Agent

from backchannel.testing import ScriptedModel
from oidc_browser import CROSS_SITE, OidcBrowser, leads_to, problem
from oidc_double import CLIENT_ID, Double, provider, settings_for
from people_who_log_in import PASSWORD, SETTINGS, cookie_of, people_of

FORM = {"content-type": "application/x-www-form-urlencoded"}

pytestmark = pytest.mark.row("F2b")


def agent() -> Agent:
    return Agent(name="A", model=ScriptedModel())


@pytest.fixture
async def double():
    async with provider() as double:
        yield double


@pytest.fixture
async def served(serve, double):
    return await serve(agent(), **settings_for(double))


async def events(served: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(each.event, dict(each.detail)) for each in await people_of(served).events()]


async def test_a_person_logs_in_is_known_and_logs_out(served, double: Double):
    browser = OidcBrowser(served)
    page = await browser.send("GET", "/auth/login")
    assert "Continue with Example" in page.text
    assert "Password" not in page.text
    response = await browser.log_in(double, "/?x=1#/t/thr_1")
    assert (response.status_code, response.headers["location"]) == (303, "/?x=1#/t/thr_1")
    assert response.headers["cache-control"] == "no-store"
    cookie = cookie_of(response)
    assert cookie["name"].startswith("backchannel_session_")
    assert "httponly" in cookie
    me = (await browser.me()).json()
    assert (me["user"], me["tenant"], me["name"]) == ("248289761001", "default", "Ada Lovelace")
    assert (me["anonymous"], me["method"]) == (False, "session")
    listed = (await browser.send("GET", "/auth/sessions")).json()["data"]
    assert [each["kind"] for each in listed] == ["browser"]
    assert "Ada Lovelace" in (await browser.send("GET", "/auth/login")).text
    out = await browser.send("POST", "/auth/logout", headers=FORM)
    assert (await browser.me()).status_code == 401
    url = urlsplit(leads_to(out))
    assert url.path == "/end"
    fields = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert fields.pop("id_token_hint").count(".") == 2
    assert fields == {
        "x": "1",
        "client_id": CLIENT_ID,
        "post_logout_redirect_uri": f"{served.url}/auth/login",
    }
    assert [each[0] for each in await events(served)] == ["login.succeeded", "session.ended"]


@pytest.mark.parametrize("methods", [["client_secret_basic"], ["client_secret_post"], None, []])
async def test_clients_authenticate_as_the_provider_wants(serve, double: Double, methods):
    if methods is None:
        double.secret = None
    else:
        double.metadata["token_endpoint_auth_methods_supported"] = methods or [
            "private_key_jwt",
            "client_secret_basic",
        ]
    browser = OidcBrowser(await serve(agent(), **settings_for(double)))
    assert (await browser.log_in(double)).status_code == 303
    (request,) = double.requests
    assert ("client_secret" in request) == (methods == ["client_secret_post"])


async def test_password_and_provider_stand_beside_each_other(serve, double: Double):
    settings = {**SETTINGS, **settings_for(double), "auth": "password,oidc"}
    served = await serve(agent(), **settings)
    await people_of(served).add()
    page = (await OidcBrowser(served).send("GET", "/auth/login?return_to=%2Fx")).text
    assert page.index("Password") < page.index("Continue with Example")
    assert page.count('name="return_to" value="/x"') == 2
    browser = OidcBrowser(served)
    response = await browser.send("POST", "/auth/login", json={"name": "alice", "password": PASSWORD})
    assert response.status_code == 200
    assert leads_nowhere(await browser.send("POST", "/auth/logout", headers=FORM))
    assert (await browser.log_in(double)).status_code == 303
    # The former session of the browser is over, whoever's it was.
    await browser.send("POST", "/auth/login", json={"name": "alice", "password": PASSWORD})
    assert (await browser.me()).json()["name"] == "alice"


def leads_nowhere(response: Any) -> bool:
    return response.status_code == 303 and response.headers["location"] == "/auth/login"


async def test_a_local_account_is_never_taken_over(serve, double: Double):
    settings = {**SETTINGS, **settings_for(double), "auth": "password,oidc"}
    served = await serve(agent(), **settings)
    await people_of(served).add(user="248289761001")
    response = await OidcBrowser(served).log_in(double)
    assert response.status_code == 400
    assert "Log in with the password" in problem(response)
    assert "set-cookie" not in response.headers
    assert (await events(served))[-1] == (
        "login.failed",
        {"method": "oidc", "reason": "has an account here"},
    )


async def test_ids_can_have_a_prefix_and_come_from_other_claims(serve, double: Double):
    double.claims = {"oid": "7", "org": "acme", "roles": ["chat", "admin"], "name": None}
    double.userinfo = {"preferred_username": "ada", "org": "evil"}
    settings = {
        "oidc_user_claim": "oid",
        "oidc_user_prefix": "corp:",
        "oidc_tenant_claim": "org",
        "oidc_scope_claim": "roles",
    }
    browser = OidcBrowser(await serve(agent(), **settings_for(double, **settings)))
    assert (await browser.log_in(double)).status_code == 303
    me = (await browser.me()).json()
    assert (me["user"], me["tenant"], me["name"]) == ("corp:7", "acme", "ada")
    assert me["scopes"] == ["admin", "chat"]


EMAIL = {"email": "ada@example.com"}
VERIFIED = {**EMAIL, "email_verified": True}


@pytest.mark.parametrize(
    ("user_claim", "cases"),
    [
        (
            "email",
            [
                (EMAIL, {}, False),
                ({**EMAIL, "email_verified": False}, {}, False),
                (VERIFIED, {}, True),
                ({}, VERIFIED, True),
                # Claims of somebody else.
                ({}, {**VERIFIED, "sub": "other"}, False),
            ],
        ),
        (
            "oid",
            [
                ({"oid": 7}, {}, False),
                ({"oid": "a\u202eb"}, {}, False),
                ({"oid": ""}, {}, False),
                ({"oid": "x" * 256}, {}, False),
                ({"oid": "7", "scope": 5}, {}, False),
                ({"oid": "7", "name": "Ada\n\x1b[31m"}, {}, True),
                ({"oid": "7", "name": 5}, {}, True),
            ],
        ),
    ],
)
async def test_claims_that_cannot_be_used(serve, double: Double, user_claim, cases):
    served = await serve(agent(), **settings_for(double, oidc_user_claim=user_claim))
    for claims, userinfo, ok in cases:
        double.claims, double.userinfo = claims, userinfo
        response = await OidcBrowser(served).log_in(double)
        assert (claims, response.status_code) == (claims, 303 if ok else 400)
        if not ok:
            assert "Example says too little about you" in problem(response)


async def test_two_tabs_log_in_at_once(served, double: Double):
    browser = OidcBrowser(served)
    first, second = await browser.begin("/first"), await browser.begin("/second")
    assert len(browser.cookies) == 1
    answers = [
        await browser.come_back(double.authorize(second)),
        await browser.come_back(double.authorize(first)),
    ]
    assert [each.headers["location"] for each in answers] == ["/second", "/first"]
    assert (await browser.me()).status_code == 200


async def test_an_answer_is_good_once_and_the_second_gets_a_page(served, double: Double):
    """The back button, and a callback that is sent twice."""
    browser = OidcBrowser(served)
    query = double.authorize(await browser.begin("/deep"))
    both = await asyncio.gather(*(OidcBrowser.come_back(browser, query) for _ in range(2)))
    assert sorted(each.status_code for each in both) == [303, 400]
    assert [request["grant_type"] for request in double.requests] == ["authorization_code"]
    again = await browser.come_back(query)
    assert again.status_code == 400
    assert "Logged in as Ada Lovelace" in again.text
    assert 'href="../"' in again.text
    assert (await browser.me()).status_code == 200
    fresh = OidcBrowser(served)
    fresh.cookies = {name: value for name, value in browser.cookies.items() if "login" in name}
    stranger = await fresh.come_back(query)
    assert "used already" in problem(stranger)
    assert "Continue with Example" in stranger.text


async def test_the_provider_is_down_slow_or_lies(serve, double: Double, eventually):
    double.down = True
    served = await serve(agent(), **settings_for(double))
    browser = OidcBrowser(served)
    response = await browser.send("POST", "/auth/login/oidc", data={"return_to": "/x"})
    assert response.status_code == 503
    assert problem(response) == "Example cannot be reached now. Try again in a moment."
    assert response.headers["retry-after"]
    assert 'action="../login/oidc"' in response.text
    assert 'value="/x"' in response.text
    # Asked again only after a while.
    asked = len(double.asked)
    await browser.send("POST", "/auth/login/oidc", data={})
    assert len(double.asked) == asked
    # The rest of the server works.
    assert (await browser.send("GET", "/health")).status_code == 200


async def test_a_discovery_document_that_lies(serve, double: Double):
    double.metadata = {"issuer": "https://evil.example"}
    response = await OidcBrowser(await serve(agent(), **settings_for(double))).send(
        "POST", "/auth/login/oidc", data={}
    )
    assert response.status_code == 503
    assert "set-cookie" not in response.headers


async def test_a_provider_that_goes_away_in_the_middle(served, double: Double):
    browser = OidcBrowser(served)
    query = double.authorize(await browser.begin())
    double.down = True
    response = await browser.come_back(query)
    assert response.status_code == 503
    assert "cannot be reached" in problem(response)
    double.down = False
    assert (await browser.log_in(double)).status_code == 303


async def test_refusals_of_the_provider_are_sentences(served, double: Double):
    for error, says in {
        "access_denied": "did not let you in",
        "login_required": "needs you to log in there",
        "temporarily_unavailable": "Try again in a moment",
        "invalid_scope": "(invalid_scope). Tell the operator",
        "<b>x</b>": "(unknown)",
        "x" * 100: "(unknown)",
        "": "(unknown)",
    }.items():
        response = await OidcBrowser(served).log_in(
            double, "/deep", code=None, error=error, error_description="<script>alert(1)</script>"
        )
        assert response.status_code == 400
        assert says in problem(response)
        assert "alert(1)" not in response.text
        assert 'name="return_to" value="/deep"' in response.text
    assert (await events(served))[-1][1]["method"] == "oidc"


async def test_the_address_is_that_of_the_settings_and_never_the_host(serve, double: Double):
    settings = settings_for(double, public_url="https://chat.example.com/chat")
    served = await serve(agent(), **settings)
    url = await OidcBrowser(served).begin(headers={"origin": "https://chat.example.com"})
    assert parse_qs(urlsplit(url).query)["redirect_uri"] == ["https://chat.example.com/chat/auth/callback"]
    without = await serve(agent(), **settings_for(double))
    refused = await OidcBrowser(without).send(
        "POST", "/auth/login/oidc", data={}, headers={"host": "evil.example"}
    )
    assert refused.status_code == 403
    assert "BACKCHANNEL_PUBLIC_URL" in problem(refused)
    prefixed = await serve(agent(), **settings_for(double, root_path="/chat"))
    browser = OidcBrowser(prefixed)
    url = await browser.begin("/chat/x")
    assert parse_qs(urlsplit(url).query)["redirect_uri"] == [f"{prefixed.url}/chat/auth/callback"]
    response = await browser.come_back(double.authorize(url))
    assert response.headers["location"] == "/chat/x"
    assert cookie_of(response)["path"] == "/chat"


async def test_only_pages_of_this_server_begin_a_login(served):
    browser = OidcBrowser(served)
    evil = {**CROSS_SITE, "origin": "https://evil.example"}
    response = await browser.send("POST", "/auth/login/oidc", data={}, headers=evil)
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert (await browser.send("GET", "/auth/login/oidc")).status_code == 405
    assert (await browser.send("POST", "/auth/callback")).status_code == 405


async def test_nothing_of_it_is_there_without_the_setting(serve):
    served = await serve(agent(), **SETTINGS)
    browser = OidcBrowser(served)
    assert (await browser.send("POST", "/auth/login/oidc", data={})).status_code == 404
    assert "Continue with" not in (await browser.send("GET", "/auth/login")).text


async def test_the_document_shows_the_scheme_and_no_operation_takes_it(served, double: Double):
    document = (await served.person.http.get("/openapi.json")).json()
    scheme = document["components"]["securitySchemes"]["oidc"]
    assert scheme["type"] == "openIdConnect"
    assert scheme["openIdConnectUrl"] == f"{double.url}/.well-known/openid-configuration"
    assert {"oidc": []} not in document["paths"]["/api/chatkit"]["post"]["security"]
    assert document["paths"]["/auth/callback"]["get"]["security"] == []
