"""Limits on requests and on concurrent runs, over HTTP."""

import asyncio
from typing import Any

import pytest
import structlog
from agents import Agent

from backchannel import Application
from backchannel.authenticators.host import HostAuthenticator
from backchannel.hooks import Hooks, RequestRefused
from backchannel.limits.rules import FOLLOW_FACTOR
from backchannel.sessions.tokens import new_token
from backchannel.testing import Say, ScriptedModel, ServerError
from people_who_log_in import PASSWORD, SETTINGS, people_of
from wire.test_busy_threads import held, until_said
from wire.test_identity import CREATE, LIST, OTHER, SECRET, agent, token
from wire.test_origins import identify

pytestmark = pytest.mark.row("F5")

JWT = {"auth": "jwt", "jwt_secret": SECRET}


def bearer(user: str, **claims: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {token(sub=user, **claims)}"}


def at(address: str) -> dict[str, str]:
    """Of a client at another address, as a proxy says."""
    return {"x-forwarded-for": address}


async def statuses(served: Any, times: int, headers: dict[str, str], body: Any = LIST) -> list[int]:
    """Of so many requests, one after the other, without cookies of earlier ones."""
    found = []
    for _ in range(times):
        served.person.http.cookies.clear()
        response = await served.person.http.post("/api/chatkit", json=body, headers=headers)
        assert {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"} <= set(response.headers)
        found.append(response.status_code)
    return found


async def test_a_user_gets_what_the_limit_says_and_then_a_refusal_that_says_when(serve):
    served = await serve(agent(), **JWT, rate_limit="3/minute;100/day", rate_limit_address="600/minute")
    http, ada = served.person.http, bearer("ada")
    for remaining in (2, 1, 0):
        response = await http.post("/api/chatkit", json=LIST, headers=ada)
        assert response.status_code == 200
        assert response.headers["ratelimit-limit"] == "3"
        assert response.headers["ratelimit-remaining"] == str(remaining)
        assert 58 <= int(response.headers["ratelimit-reset"]) <= 61
        assert response.headers["ratelimit-policy"] == (
            '"user-minute";q=3;w=60, "user-day";q=100;w=86400, "address-minute";q=600;w=60'
        )
    for path in ("/api/chatkit", "/api/chatkit/stream", "/api/nothing"):
        refused = await http.post(path, content=b"[not even json", headers=ada)
        seconds = int(refused.headers["retry-after"])
        assert (refused.status_code, refused.headers["ratelimit-remaining"]) == (429, "0")
        assert refused.headers["ratelimit-reset"] == str(seconds)
        assert refused.headers["ratelimit"] == f'"user-minute";r=0;t={seconds}'
        assert refused.json() == {
            "code": "rate_limited",
            "message": f"You have sent too many requests. Try again in {seconds} seconds.",
            "request_id": refused.headers["x-request-id"],
        }
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert 1 <= seconds <= 61
    # Others are not refused, by whichever token.
    assert await statuses(served, 2, bearer("bob")) == [200, 200]
    assert await statuses(served, 2, bearer("ada", tenant="acme")) == [200, 200]
    # Another token of the same user is of the same user.
    assert await statuses(served, 2, bearer("ada", jti="2")) == [429, 429]


async def test_after_the_wait_the_same_request_is_accepted(serve):
    served = await serve(agent(), **JWT, rate_limit="2/second")
    ada = bearer("ada")
    while (response := await served.person.http.post("/api/chatkit", json=LIST, headers=ada)).is_success:
        pass
    await asyncio.sleep(int(response.headers["retry-after"]))
    assert (await served.person.http.post("/api/chatkit", json=LIST, headers=ada)).status_code == 200


async def test_of_many_at_once_exactly_as_many_are_answered_as_may_be(serve):
    served = await serve(agent(), **JWT, rate_limit="10/hour")
    http, ada = served.person.http, bearer("ada")
    responses = await asyncio.gather(*(http.post("/api/chatkit", json=LIST, headers=ada) for _ in range(40)))
    assert sorted(each.status_code for each in responses) == [200] * 10 + [429] * 30


async def test_the_tenant_has_a_limit_of_its_own(serve):
    served = await serve(agent(), **JWT, rate_limit_tenant="4/hour")
    found = [
        status for n in range(6) for status in await statuses(served, 1, bearer(f"user {n}", tenant="acme"))
    ]
    assert found == [200] * 4 + [429] * 2
    refused = await served.person.http.post("/api/chatkit", json=LIST, headers=bearer("x", tenant="acme"))
    assert refused.json()["message"].startswith("Your organisation has sent too many requests. Try again in ")
    assert await statuses(served, 1, bearer("user 1")) == [200]


async def test_invalid_tokens_are_counted_by_address(serve):
    served = await serve(agent(), **JWT, rate_limit_address="5/hour")
    wrong = {"authorization": f"Bearer {token(OTHER)}", **at("203.0.113.7")}
    assert await statuses(served, 8, wrong) == [401] * 5 + [429] * 3
    # Whoever is at that address, with whatever; and nobody else.
    assert await statuses(served, 1, bearer("ada") | at("203.0.113.7")) == [429]
    assert await statuses(served, 1, bearer("ada") | at("203.0.113.8")) == [200]


async def test_guesses_at_once_are_counted_before_they_are_answered(serve):
    served = await serve(agent(), **SETTINGS, rate_limit_address="5/hour")
    http = served.person.http
    tokens = [new_token("access") for _ in range(12)]
    guesses = [{"authorization": f"Bearer {each}"} | at("203.0.113.7") for each in tokens]
    responses = await asyncio.gather(*(http.get("/auth/me", headers=each) for each in guesses))
    assert sorted(each.status_code for each in responses) == [401] * 5 + [429] * 7
    login = {"json": {"name": "alice", "password": "a wrong password"}, "headers": at("203.0.113.8")}
    responses = await asyncio.gather(*(http.post("/auth/login", **login) for _ in range(8)))
    assert sorted(each.status_code for each in responses) == [401] * 5 + [429] * 3


async def test_requests_whose_endpoint_asks_for_nobody_are_counted_by_address(serve):
    served = await serve(agent(), **JWT, rate_limit_address="3/hour")
    http, found = served.person.http, []
    for path in ("/api/nothing", "/api/chatkit/stream", "/auth/nothing", "/api/nothing"):
        response = await http.post(path, content=b"[", headers={"content-type": "application/json"})
        found.append(response.status_code)
        assert response.headers["ratelimit-limit"] == "3"
    assert found == [404, 400, 404, 429]


async def test_what_is_refused_for_one_user_is_not_counted_for_the_address(serve):
    """A colleague behind the same router goes on working."""
    served = await serve(agent(), **JWT, rate_limit="3/hour", rate_limit_address="8/hour")
    assert await statuses(served, 30, bearer("ada")) == [200] * 3 + [429] * 27
    assert await statuses(served, 4, bearer("bob")) == [200] * 3 + [429]
    assert await statuses(served, 3, bearer("eve")) == [200] * 2 + [429]


async def test_addresses_of_one_network_count_together(serve):
    served = await serve(agent(), **JWT, rate_limit_address="3/hour")
    callers = [bearer(f"user {n}") | at(f"2001:db8:1:2::{n}") for n in range(1, 6)]
    found = [status for each in callers for status in await statuses(served, 1, each)]
    assert found == [200] * 3 + [429] * 2
    assert await statuses(served, 1, bearer("user 1") | at("2001:db8:1:3::1")) == [200]


async def test_visitors_without_a_cookie_count_as_one_user(serve):
    served = await serve(agent(), rate_limit="3/hour")
    assert await statuses(served, 5, at("203.0.113.7")) == [200] * 3 + [429] * 2
    assert await statuses(served, 1, at("203.0.113.8")) == [200]
    # A refused one gets no cookie, and one that has a cookie counts by itself.
    served.person.http.cookies.clear()
    refused = await served.person.http.post("/api/chatkit/visitor", json={}, headers=at("203.0.113.7"))
    assert (refused.status_code, "set-cookie" in refused.headers) == (429, False)
    visitor = await served.someone()
    for _ in range(4):
        response = await visitor.http.post("/api/chatkit/visitor", json={}, headers=at("203.0.113.9"))
    assert response.status_code == 200
    assert (await visitor.http.post("/api/chatkit", json=LIST)).status_code == 429


async def test_logins_are_counted_before_a_password_is_looked_at(serve):
    served = await serve(agent(), **SETTINGS, rate_limit_address="3/hour", rate_limit="1/hour")
    await people_of(served).add()
    http = served.person.http
    credentials = {"name": "alice", "password": PASSWORD}
    form = {"grant_type": "password", "username": "alice", "password": PASSWORD}
    assert (await http.post("/auth/login", json=credentials)).status_code == 200
    assert (await http.get("/auth/me")).status_code == 200
    assert (await http.get("/auth/me")).status_code == 429
    # One who has used up the limit can log in and out.
    assert (await http.post("/auth/token", data=form)).status_code == 200
    assert (await http.post("/auth/logout", headers={"sec-fetch-site": "same-origin"})).status_code == 204
    for path, fields in (("/auth/login", {"json": credentials}), ("/auth/token", {"data": form})):
        refused = await http.post(path, **fields)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")


async def test_following_an_answer_does_not_use_up_the_limit_nor_need_it(serve):
    model, gate = held("first ", "answer")
    served = await serve(Agent(name="A", model=model), **JWT, rate_limit="2/hour")
    ada = await served.someone(token())
    stream = await ada.say("one")
    await until_said(stream, "first ")
    await ada.request("threads.list", {})
    with pytest.raises(ServerError) as error:
        await ada.request("threads.list", {})
    assert (error.value.status, error.value.code) == (429, "rate_limited")
    events, run = f"/api/chatkit/runs/{stream.run_id}/events", f"/api/chatkit/runs/{stream.run_id}"
    for _ in range(10):
        again = await ada.resume(stream.run_id)
        await until_said(again, "first ")
        await again.aclose()
    position = {"last-event-id": f"{stream.run_id}:1"}
    async with ada.http.stream("POST", "/api/chatkit", json=CREATE, headers=position) as response:
        assert response.status_code == 200
        assert response.headers["ratelimit-limit"] == str(2 * FOLLOW_FACTOR)
    assert (await ada.http.get(run)).json()["status"] == "running"
    assert (await ada.stop(stream.run_id))["status"] in {"running", "cancelled"}
    left = 2 * FOLLOW_FACTOR - 13
    found = [(await ada.http.get(run)).status_code for _ in range(left + 2)]
    assert found == [200] * left + [429] * 2
    assert (await ada.http.get(events)).status_code == 429
    gate.set()


async def test_a_blank_position_does_not_start_more_answers(serve):
    served = await serve(agent(Say("hi"), Say("hi")), **JWT, rate_limit="1/hour")
    headers = {**bearer("ada"), "last-event-id": ""}
    for status in (200, 429):
        response = await served.person.http.post("/api/chatkit", json=CREATE, headers=headers)
        assert response.status_code == status


async def test_pages_files_and_health_are_not_limited(serve):
    served = await serve(
        agent(), rate_limit="1/hour", rate_limit_address="1/hour", rate_limit_tenant="1/hour"
    )
    http = served.person.http
    assert await statuses(served, 2, {}) == [200, 429]
    for path in ("/", "/page/modules/api.js", "/health", "/health/live", "/openapi.json"):
        for _ in range(3):
            response = await http.get(path)
            assert (response.status_code, "ratelimit-limit" in response.headers) == (200, False)


async def test_limits_can_be_off(serve):
    off = {"rate_limit": "off", "rate_limit_address": "off"}
    served = await serve(agent(), **JWT, **off)
    for _ in range(70):
        response = await served.person.http.post("/api/chatkit", json=LIST, headers=bearer("ada"))
        assert (response.status_code, "ratelimit-limit" in response.headers) == (200, False)


async def test_pages_of_other_origins_can_read_the_refusal_and_its_headers(serve):
    served = await serve(agent(), **JWT, rate_limit="1/hour", cors_origins="https://app.example.com")
    page = bearer("ada") | {"origin": "https://app.example.com"}
    for status in (200, 429):
        response = await served.person.http.post("/api/chatkit", json=LIST, headers=page)
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == "https://app.example.com"
        exposed = response.headers["access-control-expose-headers"].lower().replace(" ", "").split(",")
        assert {"retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"} <= set(exposed)
    preflight = {"origin": "https://app.example.com", "access-control-request-method": "POST"}
    assert (await served.person.http.options("/api/chatkit", headers=preflight)).status_code == 200


async def test_callers_that_the_application_identifies_are_limited_too(serve):
    application = Application(agent=agent(), authenticators=[HostAuthenticator(identify)])
    served = await serve(application, rate_limit="2/hour", rate_limit_address="600/minute")
    assert await statuses(served, 4, {"cookie": "host_session=ann"}) == [200, 200, 429, 429]
    # Which of its headers counts is not known, so that nobody is taken for somebody else.
    served.backchannel.parts.rate_limits.refused.add(("request", "127.0.0.1"), 0.0, None)
    assert await statuses(served, 1, {"cookie": "host_session=eve"}) == [401]


async def test_another_page_does_not_use_up_the_limit_of_a_person(serve):
    application = Application(agent=agent(), authenticators=[HostAuthenticator(identify)])
    served = await serve(application, rate_limit="2/hour", rate_limit_address="600/minute")
    attack = {"cookie": "host_session=ann", "origin": "https://evil.example"}
    assert await statuses(served, 5, attack) == [403] * 5
    assert await statuses(served, 2, {"cookie": "host_session=ann"}) == [200, 200]


async def test_callers_that_a_proxy_names_are_limited_each_by_itself(serve):
    served = await serve(agent(), auth="proxy,anonymous", rate_limit="1/hour")
    assert await statuses(served, 2, {"x-forwarded-user": "ann"}) == [200, 429]
    assert await statuses(served, 2, {"x-forwarded-user": "bob"}) == [200, 429]


class Refusals(Hooks):
    def __init__(self) -> None:
        self.seen: list[tuple[int, str]] = []

    def request_refused(self, event: RequestRefused) -> None:
        self.seen.append((event.status, event.code))


async def test_refusals_are_reported_and_logged_once_for_each_caller(serve):
    refusals = Refusals()
    served = await serve(Application(agent=agent(), hooks=[refusals]), **JWT, rate_limit="1/hour")
    with structlog.testing.capture_logs() as logs:
        await statuses(served, 20, bearer("ada"))
        await statuses(served, 20, bearer("ada", jti="2"))
    assert refusals.seen == [(429, "rate_limited")] * 39
    assert len([each for each in logs if each["event"] == "rate_limited"]) == 2
    # The request that was answered, and the one for which the limiter was asked about the second token.
    assert len([each for each in logs if each["event"] == "request"]) == 2


async def answers(served: Any, *threads: str | None) -> list[int]:
    """Messages at once, to new threads or to given ones; the statuses of the responses."""

    async def send(thread: str | None) -> int:
        try:
            await served.person.say("hello", thread)
        except ServerError as error:
            return error.status if error.code == "too_many_runs" else 0
        return 200

    return sorted(await asyncio.gather(*map(send, threads)))


async def test_a_user_has_no_more_answers_in_progress_than_may_be(serve):
    gate = asyncio.Event()
    model = ScriptedModel(*[Say(["a", "b"], until=gate)] * 3)
    served = await serve(Agent(name="A", model=model), titles="rule", max_concurrent_runs=3)
    assert (await served.person.http.post("/api/chatkit/visitor", json={})).status_code == 200
    assert await answers(served, *[None] * 12) == [200] * 3 + [429] * 9
    threads = (await served.person.request("threads.list", {}))["data"]
    # A refusal has stored nothing.
    assert len(threads) == 3
    refused = await served.person.http.post("/api/chatkit", json=CREATE)
    assert (refused.status_code, int(refused.headers["retry-after"])) == (429, 5)
    assert refused.json()["message"] == (
        "3 other answers are in progress or queued. Wait for one to finish, or stop one, then try again."
    )
    # Queued ones count: of a thread that is being answered as of any other.
    assert await answers(served, threads[0]["id"]) == [429]
    # Another person is not concerned.
    other = await served.someone()
    model.add(Say("fine"))
    await (await other.say("hello")).events()
    gate.set()
    for thread in threads:
        (run,) = (await served.person.http.get(f"/api/chatkit/threads/{thread['id']}/runs")).json()["data"]
        await (await served.person.resume(run["id"])).events()
    model.add(Say("again"))
    assert await answers(served, None) == [200]


async def test_a_message_that_takes_the_place_of_another_needs_no_room(serve):
    model, _never = held("first ", "answer")
    model.add(Say("second answer"))
    served = await serve(
        Agent(name="A", model=model), while_running="interrupt", max_concurrent_runs=1, titles="rule"
    )
    first = await served.person.say("one")
    thread_id = (await until_said(first, "first "))[0]["thread"]["id"]
    assert await answers(served, None) == [429]
    await (await served.person.say("two", thread_id)).events()
