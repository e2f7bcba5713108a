"""Scopes as tokens of other issuers name them, and as refresh tokens lost them; each case names the report."""

from typing import Any

import pytest
from agents import Agent

from backchannel.testing import ScriptedModel
from backchannel.todo import assistant
from oidc_browser import OidcBrowser
from oidc_double import provider, settings_for
from people_who_log_in import PASSWORD, SETTINGS, people_of
from wire.test_identity import LIST, SECRET, token

pytestmark = pytest.mark.row("D5b")


async def allowed(served: Any, **claims: Any) -> tuple[int, int]:
    """The statuses of the chat and of the todos with a token."""
    someone = await served.someone(token(**claims))
    chat = await someone.http.post("/api/chatkit", json=LIST)
    return chat.status_code, (await someone.http.get("/api/todos")).status_code


CHAT, TODOS, BOTH, NEITHER = (200, 403), (403, 200), (200, 200), (401, 401)


CLAIMS: list[tuple[dict[str, Any], tuple[int, int]]] = [
    # envoyproxy/ai-gateway#1713, ballerina-platform/module-ballerina-jwt#27, ThreeMammals/Ocelot#1567: Okta and
    # Microsoft say `scp`. Whoever looks only at `scope` sees a token without limits.
    ({"scp": ["todos"]}, TODOS),
    ({"scp": "chat"}, CHAT),
    ({"scp": "chat todos"}, BOTH),
    # apollographql/apollo-mcp-server#808: a token can have both.
    ({"scope": "openid profile", "scp": ["todos"]}, TODOS),
    ({"scope": "chat", "scp": []}, CHAT),
    # wundergraph/cosmo#3251, wso2/product-microgateway#3057: one scope comes as a text, several as a list.
    ({"scope": "todos"}, TODOS),
    ({"scope": ["openid", "todos"]}, TODOS),
    ({"scope": ["chat", 7]}, NEITHER),
    ({"scp": {"chat": True}}, NEITHER),
    # ch4mpy/spring-addons#125, MichielDeMey/express-jwt-permissions#41: commas.
    ({"scope": "profile,todos"}, TODOS),
    ({"scp": "chat, profile"}, CHAT),
    # gbbirkisson/kong-plugin-jwt-keycloak#31: a scope that has the name of another one in its own is another one.
    ({"scope": "my-chat chat:read todos"}, TODOS),
    # TykTechnologies/tyk#5090: a name in a list may have spaces, and is one name.
    ({"scope": ["org chat", "todos"]}, TODOS),
    # TykTechnologies/tyk#5090: nor is a part of a role one.
    ({"scope": ["org admin", "chat"]}, CHAT),
]


async def test_claims_of_other_issuers(serve):
    served = await serve(assistant, auth="jwt", jwt_secret=SECRET, model="offline")
    for claims, expected in CLAIMS:
        assert await allowed(served, **claims) == expected, claims
    me = await (await served.someone(token(scope=["org admin", "chat"]))).http.get("/auth/me")
    assert me.json()["scopes"] == ["chat", "org admin"]


# waza-ari/fastapi-keycloak-middleware#56, micronaut-projects/micronaut-security#1132, apache/couchdb#3758,
# sonar-auth-oidc/sonar-auth-oidc#34: roles are inside other claims, and the path found nothing. opensearch-project/
# security#698 and #1003, apache/solr#890: a name with dots of its own must be found as well.
@pytest.mark.parametrize(
    ("name", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["offline_access", "todos"]}}),
        ("resource_access.web-chat.roles", {"resource_access": {"web-chat": {"roles": ["todos"]}}}),
        (
            "resource_access.chat.example.com.roles",
            {"resource_access": {"chat.example.com": {"roles": ["todos"]}}},
        ),
        ("https://example.com/roles", {"https://example.com/roles": ["todos"]}),
        ("a.b", {"a.b": ["todos"], "a": {"b": ["chat"]}}),
        ("a.b.c", {"a": {"x": 1}, "a.b": {"c": ["todos"]}}),
    ],
)
async def test_a_claim_inside_another_one(serve, name, claims):
    served = await serve(assistant, auth="jwt", jwt_secret=SECRET, model="offline", jwt_scope_claim=name)
    assert await allowed(served, **claims) == TODOS


# sulu/sulu#3551, mojomojo/mojomojo#91, TeselaGen/ve#1545, open-enterprise-solutions/enterprise#114: people without a role
# could do everything. Providers leave the claim out for them.
async def test_without_a_role_nobody_may_do_anything(serve):
    settings = {"jwt_secret": SECRET, "jwt_scope_claim": "realm_access.roles"}
    served = await serve(assistant, auth="jwt", model="offline", **settings)
    for claims in (
        {},
        {"realm_access": {}},
        {"realm_access": {"roles": []}},
        {"realm_access": {"roles": ["offline"]}},
    ):
        assert await allowed(served, **claims) == (403, 403), claims
    assert await allowed(served, scope="chat todos") == (403, 403)
    assert await allowed(served, realm_access={"roles": ["chat", "todos"]}) == BOTH


@pytest.mark.parametrize("claims", [{"org": {"id": "acme"}}, {"org": {"id": 7}}, {"org": "acme"}])
async def test_a_user_and_a_tenant_inside_others(serve, claims):
    """The same for the other claims; a path that leads nowhere is a claim that is not there."""
    served = await serve(
        assistant, auth="jwt", jwt_secret=SECRET, jwt_tenant_claim="org.id", jwt_user_claim="who.id"
    )
    someone = await served.someone(token(**claims, who={"id": "grace"}))
    me = await someone.http.get("/auth/me")
    if claims["org"] == {"id": 7}:
        assert me.status_code == 401
    else:
        tenant = "acme" if isinstance(claims["org"], dict) else "default"
        assert (me.json()["user"], me.json()["tenant"]) == ("grace", tenant)


# OpenIDC/mod_auth_openidc#297, Forceu/Gokapi#295: the same for people who log in; some providers have the roles in the
# token, and some only where they are asked for them.
@pytest.mark.parametrize("where", ["claims", "userinfo"])
async def test_roles_of_people_who_log_in(serve, where):
    async with provider() as double:
        setattr(double, where, {"realm_access": {"roles": ["offline_access", "todos"]}})
        served = await serve(assistant, **settings_for(double, oidc_scope_claim="realm_access.roles"))
        browser = OidcBrowser(served)
        await browser.log_in(double)
        assert (await browser.me()).json()["scopes"] == ["offline_access", "todos"]
        assert (await browser.send("GET", "/api/chatkit/threads")).status_code == 403
        assert ("/userinfo" in double.asked) == (where == "userinfo")


# uc-cdis/fence#25, mitreid-connect/OpenID-Connect-Java-Spring-Server#382, openshift/osin#61, PostHog/posthog#49163:
# more scopes after a refresh than before it. mozilla/fxa#2408: none at all. thephpleague/oauth2-server#1117,
# FusionAuth/fusionauth-issues#2590: what was given up for one access token was lost for good, or could not be given
# up.
async def test_a_refresh_never_has_more_and_by_itself_not_less(serve):
    served = await serve(Agent(name="A", model=ScriptedModel()), **SETTINGS)
    await people_of(served).add()

    async def granted(**fields: str) -> dict[str, Any]:
        return (await served.person.http.post("/auth/token", data=fields)).json()

    login = {"grant_type": "password", "username": "alice", "password": PASSWORD}
    pair = await granted(**login, scope="chat")
    for wider in ("chat todos", "todos", "admin", "*"):
        again = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"], "scope": wider}
        assert (await granted(**again))["error"] == "invalid_scope", wider
    again = {
        "grant_type": "refresh_token",
        "refresh_token": pair["refresh_token"],
        "code": "of another grant",
    }
    assert (await granted(**again))["scope"] == "chat"
    both = await granted(**login)
    less = await granted(grant_type="refresh_token", refresh_token=both["refresh_token"], scope="todos")
    assert less["scope"] == "todos"
    later = await granted(grant_type="refresh_token", refresh_token=less["refresh_token"])
    assert later["scope"] == "chat todos"
