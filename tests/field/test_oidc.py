"""Logins with an identity provider as people of other systems met them; each case names the report."""

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from agents import Agent

from backchannel.stores.times import utc_now
from backchannel.testing import ScriptedModel
from databases import SERVERS, database_with_tables
from oidc_browser import OidcBrowser, leads_to, problem
from oidc_double import Double, provider, settings_for

pytestmark = pytest.mark.row("F2b")

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def double():
    async with provider() as double:
        yield double


async def start(serve: Any, double: Double, **settings: Any) -> Any:
    return await serve(Agent(name="A", model=ScriptedModel()), **settings_for(double, **settings))


# auth0/express-openid-connect#43, auth0/nextjs-auth0#142, nextauthjs/next-auth#7894, panva/openid-client#639,
# AxaFrance/oidc-client#1356 and #1473, manfredsteyer/angular-oauth2-oidc#1363: the second tab overwrote the state of
# the first. One of the answers was to have one cookie an attempt, which piled up until the headers were too long.
async def test_ten_tabs_log_in_in_any_order(serve, double: Double):
    served = await start(serve, double)
    browser = OidcBrowser(served)
    urls = [await browser.begin(f"/{number}") for number in range(10)]
    assert sum(len(name) + len(value) for name, value in browser.cookies.items()) < 200
    for number in (3, 9, 0, 5, 1, 2, 4, 8, 7, 6):
        response = await browser.come_back(double.authorize(urls[number]))
        assert (response.status_code, response.headers["location"]) == (303, f"/{number}")


# OpenIDC/mod_auth_openidc#89, AxaFrance/oidc-client#1635, DuendeArchive/identity-model-oidc-client-js#940: after the back
# button, 500 or an exception. getodk/central-backend#1391: a callback without a state was a 500.
# DuendeArchive/identity-model-oidc-client-js#519: people bookmark it.
@pytest.mark.parametrize(
    "query", ["", "code=x", "state=x", "code=x&state=y", "error=x", "code=%00&state=%00"]
)
async def test_a_callback_that_nobody_waits_for_is_a_page_with_a_way_on(serve, double: Double, query):
    served = await start(serve, double)
    browser = OidcBrowser(served)
    response = await browser.come_back(query)
    assert response.status_code == 400
    assert problem(response).endswith("Log in again.")
    assert "Continue with Example" in response.text
    await browser.log_in(double)
    response = await browser.come_back(query)
    assert "Logged in as Ada Lovelace" in response.text
    assert (await browser.me()).status_code == 200


# quarkusio/quarkus#21706, camunda/camunda#34189, juanfont/headscale#827, lixmal/keepass4web-rs#314, sigstore/fulcio#1389,
# element-hq/synapse#19509: the server did not start without the provider. CodesWhat/drydock#246: it started without
# logins, for ever.
async def test_the_server_starts_without_the_provider_and_finds_it_later(serve, double: Double):
    double.down = True
    served = await start(serve, double)
    browser = OidcBrowser(served)
    assert (await browser.send("GET", "/health/ready")).status_code == 200
    assert (await browser.send("POST", "/auth/login/oidc", data={})).status_code == 503
    double.down = False
    document = served.backchannel.parts.access.oidc.provider._document
    document._tried_at = -float("inf")
    assert (await browser.log_in(double)).status_code == 303


# FreshRSS/FreshRSS#5780 and #6729, sysadminsmedia/homebox#1138, mozilla/mozilla-django-oidc#417,
# iFargle/headscale-webui#82: behind a proxy with https, the redirect URI had http. wg-easy/wg-easy#2772: the two requests
# of a login had different ones. sqlpage/SQLPage#1178: so had the logout. diegosouzapw/OmniRoute#10224: redirects after an
# error went to the address that the server was bound to.
async def test_every_address_is_the_public_one(serve, double: Double):
    served = await start(serve, double, public_url="https://chat.example.com")
    browser = OidcBrowser(served)
    headers = {"origin": "https://chat.example.com", "x-forwarded-proto": "http", "x-forwarded-host": "evil"}
    url = await browser.begin(headers=headers)
    (asked,) = parse_qs(urlsplit(url).query)["redirect_uri"]
    response = await browser.come_back(double.authorize(url))
    assert response.headers["location"] == "/"
    assert asked == double.requests[0]["redirect_uri"] == "https://chat.example.com/auth/callback"
    out = parse_qs(urlsplit(leads_to(await browser.send("POST", "/auth/logout", headers=FORM))).query)
    assert out["post_logout_redirect_uri"] == ["https://chat.example.com/auth/login"]


# mogenius/renovate-operator#691, go-gitea/gitea#37413, oidc-wp/openid-connect-generic#38: the logout had no
# id_token_hint, which some providers require. SciCatProject/backend#1924: it had no parameters at all.
async def test_the_logout_has_what_providers_require(serve, double: Double):
    browser = OidcBrowser(await start(serve, double))
    await browser.log_in(double)
    out = parse_qs(urlsplit(leads_to(await browser.send("POST", "/auth/logout", headers=FORM))).query)
    assert set(out) == {"x", "client_id", "post_logout_redirect_uri", "id_token_hint"}
    # A token that is too long for a URL is left out.
    double.claims = {"groups": ["g" * 50] * 100}
    await browser.log_in(double)
    out = parse_qs(urlsplit(leads_to(await browser.send("POST", "/auth/logout", headers=FORM))).query)
    assert set(out) == {"x", "client_id", "post_logout_redirect_uri"}


# oauth2-proxy/oauth2-proxy#1420, firezone/firezone#585, OpenIDC/mod_auth_openidc#194, xperseguers/t3ext-oidc#199: people
# who were disabled at the provider stayed logged in. arrikto/oidc-authservice#109: so did those whose refresh token had
# expired. Of two replicas, one refreshes.
@pytest.mark.parametrize("kind", SERVERS)
async def test_a_person_who_is_disabled_is_out_on_every_replica(serve, double: Double, tmp_path, kind):
    double.refresh_tokens = True
    with database_with_tables(kind, tmp_path) as url:
        replicas = [await start(serve, double, database_url=url) for _ in range(2)]
        first, second = (OidcBrowser(each) for each in replicas)
        # Begun on one, finished on the other.
        attempt = await first.begin()
        second.cookies = first.cookies
        assert (await second.come_back(double.authorize(attempt))).status_code == 303
        for hours in (1, 2):
            for replica in replicas:
                checks = replica.backchannel.parts.access.oidc.checks
                checks._clock = lambda hours=hours: utc_now() + timedelta(hours=hours)
            answers = await asyncio.gather(*(each.me() for each in (first, second) for _ in range(3)))
            assert {each.status_code for each in answers} == {200}
            assert sum(each["grant_type"] == "refresh_token" for each in double.requests) == hours
        double.disabled = True
        for replica in replicas:
            replica.backchannel.parts.access.oidc.checks._clock = lambda: utc_now() + timedelta(hours=3)
        cookies = dict(first.cookies)
        assert (await first.me()).status_code == 401
        second.cookies = cookies
        assert (await second.me()).status_code == 401
