"""Lists of one's own sessions, and what happens to everything of a session that ends."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from agents import Agent
from sqlalchemy import text

from backchannel.http import event_stream
from backchannel.sessions.base import Session
from backchannel.sessions.service import Sessions
from backchannel.stores.times import utc_now
from backchannel.testing import Say, ScriptedModel, ServerError
from backchannel.web.clients import Client
from people_who_log_in import OTHER_PASSWORD, SETTINGS, Browser, People, cookie_of, people_of

pytestmark = pytest.mark.row("F3", "F3b")


@pytest.fixture
async def served(serve):
    agent = Agent(name="A", model=ScriptedModel(Say("hi"), Say("hi")))
    served = await serve(agent, **SETTINGS)
    await people_of(served).add()
    return served


async def test_one_sees_and_ends_ones_own_sessions_only(served):
    await people_of(served).add("bob", OTHER_PASSWORD)
    laptop, phone, bob = (
        Browser(served, user_agent="Laptop"),
        Browser(served, user_agent="Phone"),
        Browser(served),
    )
    await laptop.login()
    await phone.login()
    await bob.login("bob", OTHER_PASSWORD)
    listed = (await laptop.send("GET", "/auth/sessions")).json()["data"]
    assert [(each["user_agent"], each["kind"], each["current"]) for each in listed] == [
        ("Phone", "browser", False), ("Laptop", "browser", True),
    ]  # fmt: skip
    assert listed[0]["address"] == "127.0.0.0/24"
    assert "bc_cs" not in str(listed)
    ids = {each["user_agent"]: each["id"] for each in listed}
    for stranger, wrong in (
        (bob, ids["Phone"]),
        (laptop, "ses_" + "0" * 32),
        (laptop, "%25"),
        (laptop, "x%00"),
    ):
        response = await stranger.send("DELETE", f"/auth/sessions/{wrong}")
        assert response.status_code == 404
        assert response.json()["message"] == "You have no such session."
    assert (await phone.me()).status_code == 200
    assert (await laptop.send("DELETE", f"/auth/sessions/{ids['Phone']}")).status_code == 204
    ended = await phone.me()
    assert (ended.status_code, ended.json()["message"]) == (401, "This login was revoked. Log in again.")
    assert (await laptop.send("DELETE", f"/auth/sessions/{ids['Phone']}")).status_code == 404
    # The id is not the token.
    name = str(laptop.cookie).partition("=")[0]
    assert (await Browser(served, f"{name}={ids['Laptop']}").me()).status_code == 401


async def test_logging_out_everywhere(served):
    one, two = Browser(served), Browser(served)
    await one.login()
    await two.login()
    assert (await one.send("POST", "/auth/logout?everywhere=true")).status_code == 204
    for each in (one, two):
        assert (await each.me()).status_code == 401
    # Without a session there is nothing left to do.
    assert (await one.send("POST", "/auth/logout")).status_code == 204
    assert (await Browser(served).send("POST", "/auth/logout")).status_code == 204


async def test_a_disabled_person_is_out_at_once(served):
    browser = Browser(served)
    await browser.login()
    people = people_of(served)
    account = await people.administration.find("Alice")
    await people.administration.disable(account)
    response = await browser.me()
    assert response.status_code == 401
    assert response.json()["message"] == "This account is disabled. Ask the operator of this server."
    assert cookie_of(response)["max-age"] == "0"
    # Only who knows the password is told; nobody else sees a difference.
    assert "disabled" in (await browser.login()).json()["message"]
    assert (await browser.login(password="x" * 20)).json()["message"] == (
        await browser.login(name="nobody")
    ).json()["message"]
    await people.administration.enable(account)
    assert (await browser.me()).status_code == 401
    assert (await browser.login()).status_code == 200


async def test_a_new_password_ends_everything(served):
    browser = Browser(served)
    await browser.login()
    people = people_of(served)
    token, _ = await people.sessions.personal(
        (await people.administration.find("alice")).identity, "script", 1, Client()
    )
    await people.administration.set_password(await people.administration.find("alice"), OTHER_PASSWORD)
    response = await browser.me()
    assert (response.status_code, "password was changed" in response.json()["message"]) == (401, True)
    bearer = {"authorization": f"Bearer {token}"}
    assert (await Browser(served).send("GET", "/auth/me", headers=bearer)).status_code == 401
    assert (await browser.login()).status_code == 401
    assert (await browser.login(password=OTHER_PASSWORD)).status_code == 200


async def test_the_page_lists_and_ends_logins_without_javascript(served):
    laptop, phone = Browser(served), Browser(served, user_agent="<i>Phone</i>")
    await laptop.login()
    await phone.login()
    page = (await laptop.send("GET", "/auth/login")).text
    assert "Logged in as alice" in page
    assert "&lt;i&gt;Phone" in page
    action = page.partition('action="sessions/')[2].partition('"')[0]
    form = {"content-type": "application/x-www-form-urlencoded"}
    ended = await laptop.send("POST", f"/auth/sessions/{action}", headers=form, follow_redirects=False)
    assert (ended.status_code, ended.headers["location"]) == (303, "/auth/login")
    assert (await phone.me()).status_code == 401
    out = await laptop.send("POST", "/auth/logout", headers=form, follow_redirects=False)
    assert (out.status_code, out.headers["location"]) == (303, "/auth/login")
    assert (await laptop.me()).status_code == 401


async def end_the_login(people: People, session: Session) -> None:
    await people.sessions.end(session, Client())


async def end_all_logins(people: People, session: Session) -> None:
    await people.sessions.store.end_all(session.identity, utc_now(), "revoked")


async def disable(people: People, _session: Session) -> None:
    # Without the ends of sessions, which are in another store where there is Redis.
    account = await people.administration.find("alice")
    await people.accounts.set_disabled(account.identity, disabled=True)


async def change_password(people: People, _session: Session) -> None:
    await people.administration.set_password(await people.administration.find("alice"), OTHER_PASSWORD)


async def erase(people: People, session: Session) -> None:
    await people.sessions.store.delete_all(session.identity)


@pytest.mark.parametrize("end", [end_the_login, end_all_logins, disable, change_password, erase])
async def test_an_open_stream_ends_with_its_session(
    serve, monkeypatch: pytest.MonkeyPatch, end: Callable[[People, Session], Awaitable[None]]
):
    """The answer itself goes on: it is there after the next login. Elsewhere such streams went on for hours
    (kubestellar/console#6029, pubky/pubky-homeserver#492, Tr3kkR/Yuzu#955, opendefender/OpenRisk#345)."""
    monkeypatch.setattr(event_stream, "CHECK_SECONDS", 0.0)
    gate = asyncio.Event()
    model = ScriptedModel(Say(["Hello ", "world"], until=gate))
    served = await serve(Agent(name="A", model=model), heartbeat_seconds=1, titles="rule", **SETTINGS)
    people = people_of(served)
    identity = (await people.add()).identity
    token, session = await people.sessions.personal(identity, "laptop", 1, Client())
    stream = await (await served.someone(token)).say("hi")
    async for event in stream:
        if event.get("update", {}).get("delta") == "Hello ":
            break
    await end(people, session)
    with pytest.raises(ServerError) as refused:
        await stream.events()
    assert refused.value.status == 401
    gate.set()
    await served.backchannel.runs.drain(5)
    assert (await served.backchannel.runs.load(stream.run_id, identity)).status == "completed"


async def test_a_stream_outlasts_the_token_that_opened_it(serve, eventually, monkeypatch: pytest.MonkeyPatch):
    """An access token lives for minutes, and its client renews it: an answer may take longer."""
    monkeypatch.setattr(event_stream, "CHECK_SECONDS", 0.0)
    checks: list[bool] = []
    has_ended = Sessions.has_ended

    async def noted(self: Sessions, session: Session) -> bool:
        checks.append(await has_ended(self, session))
        return checks[-1]

    monkeypatch.setattr(Sessions, "has_ended", noted)
    gate = asyncio.Event()
    model = ScriptedModel(Say(["Hello ", "world"], until=gate))
    served = await serve(Agent(name="A", model=model), heartbeat_seconds=1, **SETTINGS)
    people = people_of(served)
    pair = await people.sessions.grant((await people.add()).identity, Client())
    client = await served.someone(pair.access_token)
    stream = await client.say("hi")
    async for event in stream:
        if event.get("update", {}).get("delta") == "Hello ":
            break
    async with served.backchannel.database.write() as connection:
        await connection.execute(text("UPDATE sessions SET expires_at = '2026-01-01 00:00:00.000000'"))
    assert (await client.http.get("/auth/me")).status_code == 401
    checks.clear()
    later = asyncio.create_task(stream.events())
    await eventually(lambda: checks == [False], "the session of the stream is checked")
    gate.set()
    assert "world" in str(await later)
