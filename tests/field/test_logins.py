"""Logins as people of other systems met them; each case names the report."""

import asyncio
import unicodedata
from typing import Any

import httpx2
import pytest
from agents import Agent

from backchannel.accounts.guessing import PAIR_FREE
from backchannel.testing import ScriptedModel
from databases import SERVERS, database_with_tables
from people_who_log_in import OTHER_PASSWORD, PASSWORD, SETTINGS, cookie_of, people_of
from redis_server import shared_server

pytestmark = pytest.mark.row("F2", "F3b")

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def served(serve):
    served = await serve(Agent(name="A", model=ScriptedModel()), **SETTINGS)
    await people_of(served).add()
    return served


async def token(served: Any, **fields: str) -> httpx2.Response:
    return await served.person.http.post("/auth/token", data=fields)


async def log_in(
    served: Any, name: str = "alice", password: str = PASSWORD, **options: Any
) -> httpx2.Response:
    served.person.http.cookies.clear()
    return await served.person.http.post("/auth/login", json={"name": name, "password": password}, **options)


async def pair_of(served: Any) -> dict[str, Any]:
    response = await token(served, grant_type="password", username="alice", password=PASSWORD)
    return response.json()


async def me(served: Any, bearer: str) -> int:
    response = await served.person.http.get("/auth/me", headers={"authorization": f"Bearer {bearer}"})
    return response.status_code


# nightscout/nocturne#326 and #391, F3-Nation/f3-nation#375, sheaf-project/sheaf#239, PrefectHQ/fastmcp#5037: many
# requests with one refresh token at once, on several replicas. A read before the write gave each a line of tokens of
# its own, or took the losers for thieves and logged everybody out; a cache of the answer had a gap.
@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("store", ["database", "redis"])
async def test_replicas_that_exchange_one_token_at_once_agree(serve, tmp_path, kind, store):
    with database_with_tables(kind, tmp_path) as url:
        settings = {**SETTINGS, "database_url": url, "secret_key": "k" * 32}
        if store == "redis":
            settings["redis_url"] = shared_server()
        agent = Agent(name="A", model=ScriptedModel())
        replicas = [await serve(agent, **settings), await serve(agent, **settings)]
        await people_of(replicas[0]).add()
        pair = await pair_of(replicas[0])
        for _ in range(3):
            answers = await asyncio.gather(
                *(
                    token(replica, grant_type="refresh_token", refresh_token=pair["refresh_token"])
                    for replica in replicas * 4
                )
            )
            assert {each.status_code for each in answers} == {200}
            pairs = {(each.json()["access_token"], each.json()["refresh_token"]) for each in answers}
            assert len(pairs) == 1
            pair = answers[0].json()
            assert [await me(replica, pair["access_token"]) for replica in replicas] == [200, 200]
        # What one replica ends is ended on the other at once (mitre/heimdall2#1559, casdoor/casdoor#2133).
        out = {"authorization": f"Bearer {pair['access_token']}"}
        assert (await replicas[1].person.http.post("/auth/logout", headers=out)).status_code == 204
        assert [await me(replica, pair["access_token"]) for replica in replicas] == [401, 401]
        for replica in replicas:
            await replica.backchannel.parts.access.sessions.store.delete_all(
                (await people_of(replica).accounts.find_by_name("alice")).identity
            )


# get-engram/engram#389, opendefender/OpenRisk#777: the answer is lost, and the client repeats the request.
async def test_a_lost_answer_costs_nothing(served):
    pair = await pair_of(served)
    await token(served, grant_type="refresh_token", refresh_token=pair["refresh_token"])
    again = await token(served, grant_type="refresh_token", refresh_token=pair["refresh_token"])
    further = await token(served, grant_type="refresh_token", refresh_token=again.json()["refresh_token"])
    assert (again.status_code, further.status_code) == (200, 200)


# nocobase/nocobase#9261, mastodon/mastodon#12928, andrew-d/homeauth#29, LimeSurvey/LimeSurvey#5326: what was issued
# before a new password went on working: renewable tokens, tokens of programs, other browsers.
async def test_nothing_outlives_a_new_password(served):
    pair, cookie = await pair_of(served), cookie_of(await log_in(served))
    people = people_of(served)
    await people.administration.set_password(await people.administration.find("alice"), OTHER_PASSWORD)
    assert await me(served, pair["access_token"]) == 401
    refreshed = await token(served, grant_type="refresh_token", refresh_token=pair["refresh_token"])
    assert refreshed.json()["error"] == "invalid_grant"
    headers = {"cookie": f"{cookie['name']}={cookie['value']}"}
    assert (await served.person.http.get("/auth/me", headers=headers)).status_code == 401


# VilnaCRM-Org/user-service#476, josuebrunel/ezauth#196, psecio/gatekeeper#55, owncloud/core#41805: every refused try
# made the lock longer, so that a trickle of them kept the owner out for good.
async def test_refused_tries_do_not_prolong_the_wait(served):
    for _ in range(PAIR_FREE + 2):
        await log_in(served, password="wrong password")
    waits = []
    for _ in range(5):
        refused = await log_in(served)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_attempts")
        waits.append(int(refused.headers["retry-after"]))
    assert max(waits) <= 2
    assert sorted(waits, reverse=True) == waits


# carlos-emr/carlos#2200, Crown-Commercial-Service/digitalmarketplace-api#981, easyled-platform#11: unknown names, and
# locked accounts, were answered without hashing.
async def test_unknown_and_disabled_accounts_are_hashed_as_any(served, monkeypatch):
    people = people_of(served)
    await people.add("bob", OTHER_PASSWORD)
    await people.administration.disable(await people.administration.find("bob"))
    passwords = served.backchannel.parts.access.passwords
    await log_in(served, "nobody")
    hasher, counted = passwords._hash.current_hasher, []
    verify = hasher.verify

    def watched(password: Any, stored: Any) -> Any:
        counted.append(1)
        return verify(password, stored)

    monkeypatch.setattr(hasher, "verify", watched)
    for name in ("alice", "nobody", "bob", "\x00", "%"):
        counted.clear()
        response = await log_in(served, name, "wrong password")
        assert (response.status_code, len(counted)) == (401, 1), name


# odysseus-dev/odysseus#3561, Soju06/codex-lb#597, photoprism/photoprism#3482: a long password was 500, or cut off.
async def test_long_passwords_work_and_too_long_ones_are_wrong(served):
    people = people_of(served)
    long = "hazel parsnip umbrella " * 40
    await people.add("carol", long)
    assert (await log_in(served, "carol", long)).status_code == 200
    for wrong in (long[:-1], long[:72], long + "x" * 10_000):
        assert (await log_in(served, "carol", wrong)).status_code == 401


# home-assistant/architecture#301: the same password typed on another system has other code points.
async def test_a_password_from_another_keyboard(served):
    password = "cr\u00e8me br\u00fbl\u00e9e \u0439\u043e\u0433\u0443\u0440\u0442"
    await people_of(served).add("dora", unicodedata.normalize("NFC", password))
    assert (await log_in(served, "dora", unicodedata.normalize("NFD", password))).status_code == 200


# BobbyWibowo/chibisafe#528, kiesraad/abacus#1091: " root ", "Root" and "root" were three people.
async def test_one_name_is_one_person(served):
    for name in (" alice ", "Alice", "ALICE\t"):
        assert (await log_in(served, name)).json()["name"] == "alice"


# arXiv/arxiv-auth#62, lobu-ai/lobu#2558, code-dot-org/code-dot-org#74198: a stale cookie of the same name came first,
# and no login could ever win against it.
async def test_a_stale_cookie_does_not_lock_the_browser_out(served):
    stale = cookie_of(await log_in(served))
    headers = {"cookie": f"{stale['name']}={stale['value']}", "sec-fetch-site": "same-origin"}
    served.person.http.cookies.clear()
    await served.person.http.post("/auth/logout", headers=headers)
    fresh = cookie_of(await log_in(served, headers=headers))
    served.person.http.cookies.clear()
    both = {"cookie": f"{stale['name']}={stale['value']}; {fresh['name']}={fresh['value']}"}
    assert (await served.person.http.get("/auth/me", headers=both)).status_code == 200


# sdelements/lets-chat#159, yiisoft/user#124, ZENLIX/hd.rustem#3: the id from before the login stayed valid after it.
async def test_each_login_has_a_token_of_its_own(served):
    first = cookie_of(await log_in(served))
    headers = {"cookie": f"{first['name']}={first['value']}"}
    second = cookie_of(await log_in(served, headers=headers))
    assert first["value"] != second["value"]
    served.person.http.cookies.clear()
    assert (await served.person.http.get("/auth/me", headers=headers)).status_code == 401


# jentic/jentic-one#1339, fastapi/fastapi#1352, better-auth/better-auth#8103 and #9250, zenml-io/kitaru#929: other
# shapes, or 401 and 422, left clients repeating a dead refresh token for ever.
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "invalid_request"),
        (b"grant_type=foo", "unsupported_grant_type"),
        (b"grant_type=password", "invalid_request"),
        (b"grant_type=refresh_token&refresh_token=dead", "invalid_grant"),
        (b"%ff=%ff", "invalid_request"),
    ],
)
async def test_every_refusal_of_the_token_endpoint_has_the_form_of_the_rfc(served, body, error):
    response = await served.person.http.post("/auth/token", content=body, headers=FORM)
    assert response.status_code == 400
    assert response.json()["error"] == error
    assert isinstance(response.json()["error_description"], str)


# RackulaLives/Rackula#2917, linagora/openrag#483, scidsg/hushline#2301, prebid/salesagent#1131: what browsers take for
# another site passed a check for "/" and not "//".
@pytest.mark.parametrize(
    "path",
    ["/\\evil.example", "/%5Cevil.example", "//evil.example", "https://evil.example", "/\t/evil.example"],
)
async def test_nobody_is_sent_to_another_site(served, path):
    fields = {"name": "alice", "password": PASSWORD, "return_to": path}
    response = await served.person.http.post("/auth/login", data=fields, follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, "/")
    served.person.http.cookies.clear()
    page = await served.person.http.get("/auth/login", params={"return_to": path})
    assert "evil" not in page.text
