"""The token endpoint and bearer tokens over HTTP (RFC 6749, RFC 6750)."""

import asyncio
import base64
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from agents import Agent

from backchannel.accounts.guessing import PAIR_FREE
from backchannel.sessions.tokens import kind_of, new_token, token_hash
from backchannel.stores.times import utc_now
from backchannel.testing import ScriptedModel
from backchannel.web.clients import Client
from people_who_log_in import PASSWORD, SETTINGS, people_of

pytestmark = pytest.mark.row("F2")

LIST = {"type": "threads.list", "params": {}}


@pytest.fixture
async def served(serve):
    served = await serve(Agent(name="A", model=ScriptedModel()), **SETTINGS)
    await people_of(served).add()
    return served


async def grant(served: Any, **fields: str) -> httpx2.Response:
    return await served.person.http.post("/auth/token", data=fields)


async def by_password(served: Any, **fields: str) -> dict[str, Any]:
    response = await grant(
        served, **{"grant_type": "password", "username": "alice", "password": PASSWORD, **fields}
    )
    assert response.status_code == 200, response.text
    return response.json()


async def refreshed(served: Any, token: str, **fields: str) -> httpx2.Response:
    return await grant(served, grant_type="refresh_token", refresh_token=token, **fields)


async def status(served: Any, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return (await served.person.http.post("/api/chatkit", json=LIST, headers=headers)).status_code


async def test_a_program_logs_in_and_calls(served):
    response = await grant(served, grant_type="password", username="alice", password=PASSWORD)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert "set-cookie" not in response.headers
    pair = response.json()
    assert (pair["token_type"], pair["scope"]) == ("bearer", "chat todos")
    assert 895 <= pair["expires_in"] <= 900
    assert await status(served, pair["access_token"]) == 200
    for wrong in (pair["refresh_token"], pair["access_token"] + "x", new_token("access"), "bc_", "bc_at_"):
        assert await status(served, wrong) == 401, wrong
    me = await served.person.http.get("/auth/me", headers={"authorization": f"Bearer {pair['access_token']}"})
    assert (me.json()["name"], me.json()["method"], me.json()["csrf_token"]) == (
        "alice",
        "access token",
        None,
    )
    # Swagger UI sends the credentials of a client, also of one that it does not have.
    basic = base64.b64encode(b"client:").decode()
    fields = {"grant_type": "password", "username": "alice", "password": PASSWORD}
    response = await served.person.http.post(
        "/auth/token", data=fields, headers={"authorization": f"Basic {basic}"}
    )
    assert response.status_code == 200


async def test_scopes_are_narrowed_and_never_widened(served):
    pair = await by_password(served, scope="chat")
    assert pair["scope"] == "chat"
    wider = await grant(
        served, grant_type="password", username="alice", password=PASSWORD, scope="chat admin"
    )
    assert (wider.status_code, wider.json()["error"]) == (400, "invalid_scope")
    wider = await refreshed(served, pair["refresh_token"], scope="chat todos")
    assert (wider.status_code, wider.json()["error"]) == (400, "invalid_scope")
    # The refusal has not used up the token.
    assert (await refreshed(served, pair["refresh_token"])).json()["scope"] == "chat"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code", "code": "x"}, "unsupported_grant_type"),
        ({"grant_type": "password"}, "invalid_request"),
        ({"grant_type": "password", "username": "alice"}, "invalid_request"),
        ({"grant_type": "password", "username": "alice", "password": "wrong password"}, "invalid_grant"),
        ({"grant_type": "password", "username": "nobody", "password": PASSWORD}, "invalid_grant"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "bc_rt_" + "A" * 43}, "invalid_grant"),
    ],
)
async def test_errors_are_those_of_the_rfc(served, fields, error):
    response = await grant(served, **fields)
    body = response.json()
    assert (response.status_code, body["error"]) == (400, error)
    assert body["code"] == error
    assert body["message"]
    assert body["request_id"] == response.headers["x-request-id"]
    assert set(body["error_description"]) <= set(map(chr, range(0x20, 0x7F))) - {'"', "\\"}
    assert response.headers["cache-control"] == "no-store"
    assert "www-authenticate" not in response.headers


async def test_other_bodies_and_urls_are_refused(served):
    http = served.person.http
    fields = {"grant_type": "password", "username": "alice", "password": PASSWORD}
    for response in (
        await http.post("/auth/token", json=fields),
        await http.post("/auth/token", params=fields),
        await http.post("/auth/token?x=1", data=fields),
        await http.post("/auth/token", content=b"grant_type=password&grant_type=password",
                        headers={"content-type": "application/x-www-form-urlencoded"}),
    ):  # fmt: skip
        assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert (await http.get("/auth/token")).status_code == 405


async def test_tokens_in_urls_are_refused(served):
    pair = await by_password(served)
    token = pair["access_token"]
    for name in ("access_token", "token"):
        response = await served.person.http.get("/api/chatkit/threads", params={name: token})
        assert response.status_code == 401
        assert "URL" in response.json()["message"]
    # Not even beside a good one: it is in the log of some proxy now.
    headers = {"authorization": f"Bearer {token}"}
    response = await served.person.http.get(
        "/api/chatkit/threads", params={"access_token": token}, headers=headers
    )
    assert response.status_code == 401


async def test_a_refresh_token_is_exchanged_once(served):
    first = await by_password(served)
    second = (await refreshed(served, first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert await status(served, second["access_token"]) == 200
    third = (await refreshed(served, second["refresh_token"])).json()
    assert await status(served, third["access_token"]) == 200


async def test_a_client_that_lost_the_answer_asks_again(served):
    first = await by_password(served)
    answers = [(await refreshed(served, first["refresh_token"])).json() for _ in range(3)]
    assert len({each["refresh_token"] for each in answers}) == 1
    assert len({each["access_token"] for each in answers}) == 1
    assert await status(served, answers[0]["access_token"]) == 200


async def test_two_exchanges_at_once_get_the_same_answer(served):
    """Two tabs, or a client and its retry: neither is logged out, and there are no two lines of tokens."""
    first = await by_password(served)
    responses = await asyncio.gather(*(refreshed(served, first["refresh_token"]) for _ in range(8)))
    assert [each.status_code for each in responses] == [200] * 8
    assert len({each.json()["refresh_token"] for each in responses}) == 1
    assert len({each.json()["access_token"] for each in responses}) == 1
    assert (await refreshed(served, responses[0].json()["refresh_token"])).status_code == 200


async def test_a_reused_refresh_token_ends_the_whole_login(served):
    other = await by_password(served)
    first = await by_password(served)
    second = (await refreshed(served, first["refresh_token"])).json()
    await exchanged_before(served, first["refresh_token"], seconds=11)
    stolen = await refreshed(served, first["refresh_token"])
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert "stolen" in stolen.json()["message"]
    for token in (first["access_token"], second["access_token"]):
        assert await status(served, token) == 401
    assert (await refreshed(served, second["refresh_token"])).status_code == 400
    # Another login of the same person is not concerned.
    assert await status(served, other["access_token"]) == 200
    assert [each.event for each in await people_of(served).events()].count("token.reused") == 1


async def test_a_refresh_token_that_expired_is_refused(served):
    people = people_of(served)
    account = await people.administration.find("alice")
    people.sessions._clock = lambda: utc_now() - timedelta(days=31)
    pair = await people.sessions.grant(account.identity, Client())
    people.sessions._clock = utc_now
    response = await refreshed(served, pair.refresh_token)
    assert (response.status_code, "expired" in response.json()["message"]) == (400, True)
    assert await status(served, pair.access_token) == 401


async def test_logging_out_ends_both_tokens(served):
    pair = await by_password(served)
    headers = {"authorization": f"Bearer {pair['access_token']}"}
    assert (await served.person.http.post("/auth/logout", headers=headers)).status_code == 204
    assert await status(served, pair["access_token"]) == 401
    assert (await refreshed(served, pair["refresh_token"])).status_code == 400


async def test_a_disabled_person_gets_no_tokens(served):
    pair = await by_password(served)
    people = people_of(served)
    await people.administration.disable(await people.administration.find("alice"))
    response = await refreshed(served, pair["refresh_token"])
    assert (response.status_code, "disabled" in response.json()["message"]) == (400, True)
    assert await status(served, pair["access_token"]) == 401
    response = await grant(served, grant_type="password", username="alice", password=PASSWORD)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")


async def test_a_program_is_told_how_long_to_wait(served, monkeypatch):
    fields = {"grant_type": "password", "username": "alice", "password": "wrong password"}
    for _ in range(PAIR_FREE + 1):
        assert (await grant(served, **fields)).status_code == 400
    response = await grant(served, **{**fields, "password": PASSWORD})
    assert (response.status_code, response.json()["error"]) == (429, "temporarily_unavailable")
    assert response.json()["code"] == "too_many_attempts"
    assert int(response.headers["retry-after"]) >= 1
    # The same when more people log in than the server can hash passwords for.
    monkeypatch.setattr(served.backchannel.parts.access.passwords, "_max_waiting", 0)
    response = await grant(served, **{**fields, "username": "nobody"})
    assert (response.status_code, response.json()["error"]) == (503, "temporarily_unavailable")
    assert int(response.headers["retry-after"]) >= 1


async def test_personal_tokens(served):
    people = people_of(served)
    account = await people.administration.find("alice")
    identity = account.with_scopes(frozenset({"chat"}))
    token, session = await people.sessions.personal(identity, "backup script", 30, Client())
    assert kind_of(token) == "personal"
    headers = {"authorization": f"Bearer {token}"}
    me = (await served.person.http.get("/auth/me", headers=headers)).json()
    assert (me["scopes"], me["method"], me["session_id"]) == (["chat"], "personal token", session.id)
    assert (await served.person.http.get("/auth/sessions", headers=headers)).status_code == 403
    assert (
        await served.person.http.delete(f"/auth/sessions/{session.id}", headers=headers)
    ).status_code == 403
    pair = await by_password(served)
    everywhere = await served.person.http.post("/auth/logout?everywhere=true", headers=headers)
    assert (everywhere.status_code, everywhere.json()["code"]) == (403, "forbidden")
    own = {"authorization": f"Bearer {pair['access_token']}"}
    listed = (await served.person.http.get("/auth/sessions", headers=own)).json()["data"]
    assert [(each["kind"], each["name"], each["current"]) for each in listed] == [
        ("program", None, True), ("personal token", "backup script", False),
    ]  # fmt: skip
    assert (await served.person.http.delete(f"/auth/sessions/{session.id}", headers=own)).status_code == 204
    assert await status(served, token) == 401


async def test_no_cache_keeps_what_people_get(served):
    """RFC 9111, section 4.2.2: caches may keep what says nothing of it."""
    http = served.person.http
    http.headers["authorization"] = f"Bearer {(await by_password(served))['access_token']}"
    for path, status in (("/api/chatkit/threads", 200), ("/auth/me", 200), ("/api/chatkit/threads/no", 404)):
        response = await http.get(path)
        assert (response.status_code, response.headers["cache-control"]) == (status, "no-store")
    assert (await http.post("/api/chatkit", json=LIST)).headers["cache-control"] == "no-store"


async def test_two_authorization_headers_are_refused(served):
    token = f"Bearer {(await by_password(served))['access_token']}"
    for other in (token, "Basic YTpi", "Bearer x"):
        headers = [("authorization", token), ("authorization", other)]
        response = await served.person.http.get("/auth/me", headers=headers)
        assert (response.status_code, response.json()["message"]) == (401, "Send one Authorization header.")


async def test_a_personal_token_can_end_itself(served):
    people = people_of(served)
    identity = (await people.administration.find("alice")).identity
    token, _ = await people.sessions.personal(identity, "leaked", 30, Client())
    pair = await by_password(served)
    headers = {"authorization": f"Bearer {token}"}
    assert (await served.person.http.post("/auth/logout", headers=headers)).status_code == 204
    assert [await status(served, each) for each in (token, pair["access_token"])] == [401, 200]


async def test_the_documentation_knows_how_to_authorize(served):
    schema = (await served.person.http.get("/openapi.json")).json()
    schemes = schema["components"]["securitySchemes"]
    assert schemes["password"]["flows"]["password"]["tokenUrl"] == "auth/token"
    assert schemes["bearer"]["scheme"] == "bearer"
    assert schemes["session"]["in"] == "cookie"
    assert schemes["session"]["name"].startswith("backchannel_session_")
    assert schema["paths"]["/api/chatkit"]["post"]["security"] == [
        {"password": ["chat"]}, {"bearer": []}, {"session": []},
    ]  # fmt: skip
    for path, method in (("/auth/token", "post"), ("/auth/login", "post"), ("/health/live", "get")):
        assert schema["paths"][path][method]["security"] == []


async def exchanged_before(served: Any, token: str, seconds: int) -> None:
    """Let time have passed since a refresh token was exchanged."""
    sessions = people_of(served).sessions
    now = utc_now() + timedelta(seconds=seconds)
    sessions._clock = lambda: now
    assert (await sessions.store.find(token_hash(token))).rotated_at is not None
