"""Logins that are checked with the provider while they last."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from agents import Agent

from backchannel.context import Identity
from backchannel.errors import UnavailableError
from backchannel.oidc import checks
from backchannel.stores.times import utc_now
from backchannel.testing import ScriptedModel
from oidc_browser import OidcBrowser, problem
from oidc_double import Double, provider, settings_for
from people_who_log_in import people_of

pytestmark = pytest.mark.row("F2b")

ADA = Identity("248289761001")


class Later:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.shift = timedelta()

    def __call__(self):
        return utc_now() + self.shift


@pytest.fixture
async def double():
    async with provider() as double:
        double.refresh_tokens = True
        yield double


@pytest.fixture
async def served(serve, double):
    return await serve(Agent(name="A", model=ScriptedModel()), **settings_for(double))


@pytest.fixture
def later(served) -> Later:
    clock = Later()
    checking = served.backchannel.parts.access.oidc.checks
    checking._clock = clock
    return clock


def refreshes(double: Double) -> int:
    return sum(each["grant_type"] == "refresh_token" for each in double.requests)


async def logged_in(served: Any, double: Double) -> OidcBrowser:
    browser = OidcBrowser(served)
    assert (await browser.log_in(double)).status_code == 303
    return browser


async def test_a_person_who_is_disabled_there_loses_the_session_here(served, double: Double, later: Later):
    browser = await logged_in(served, double)
    double.disabled = True
    # Not asked before the time is over.
    later.shift = timedelta(seconds=890)
    assert (await browser.me()).status_code == 200
    assert refreshes(double) == 0
    later.shift = timedelta(seconds=910)
    cookies = dict(browser.cookies)
    response = await browser.me()
    assert response.status_code == 401
    assert response.json()["message"] == "Your login at the identity provider has ended. Log in again."
    browser.cookies = cookies
    assert (await browser.me()).json()["message"] == response.json()["message"]
    assert refreshes(double) == 1
    (ended,) = (each for each in await people_of(served).events() if each.event == "session.ended")
    assert ended.detail["reason"] == "provider"


async def test_refresh_tokens_rotate(served, double: Double, later: Later):
    browser = await logged_in(served, double)
    for number in range(1, 4):
        later.shift += timedelta(seconds=910)
        answers = await asyncio.gather(*(browser.me() for _ in range(5)))
        assert {each.status_code for each in answers} == {200}
        assert refreshes(double) == number
    assert len(double.refreshes) == 1


async def test_a_request_that_goes_away_does_not_lose_the_new_refresh_token(
    served, double: Double, later: Later
):
    await logged_in(served, double)
    access = served.backchannel.parts.access
    (session,) = await access.sessions.listed(ADA)
    later.shift = timedelta(seconds=910)
    double.pause = asyncio.Event()
    task = asyncio.create_task(access.oidc.checks.still_good(session))
    await double.paused.wait()
    task.cancel()
    await asyncio.wait([task])
    double.pause.set()
    await access.oidc.checks.aclose()
    later.shift += timedelta(seconds=910)
    assert await access.oidc.checks.still_good(session)
    assert refreshes(double) == 2


async def test_while_the_provider_is_away_people_stay_for_a_day(served, double: Double, later: Later):
    browser = await logged_in(served, double)
    double.down = True
    later.shift = timedelta(hours=1)
    assert (await browser.me()).status_code == 200
    asked = len(double.asked)
    # Tried again only after a while.
    assert (await browser.me()).status_code == 200
    assert len(double.asked) == asked
    later.shift = timedelta(hours=2)
    assert (await browser.me()).status_code == 200
    assert len(double.asked) > asked
    later.shift = timedelta(hours=25)
    for _ in range(2):
        response = await browser.me()
        assert response.status_code == 503
    # It may be good: nobody is logged out.
    double.down = False
    later.shift += timedelta(seconds=checks.RETRY_SECONDS + 1)
    assert (await browser.me()).status_code == 200


async def test_errors_about_this_server_log_nobody_out(served, double: Double, later: Later):
    browser = await logged_in(served, double)
    double.secret = "another"
    later.shift = timedelta(hours=1)
    assert (await browser.me()).status_code == 200
    assert refreshes(double) == 1


@pytest.mark.parametrize("claims", [{"sub": "another"}, {"iss": "https://evil.example"}, {"aud": "another"}])
async def test_a_refresh_that_is_of_somebody_else_ends_the_session(
    served, double: Double, later: Later, claims
):
    browser = await logged_in(served, double)
    double.claims = claims
    later.shift = timedelta(hours=1)
    assert (await browser.me()).status_code == 401


async def test_without_a_refresh_token_nothing_is_asked(served, double: Double, later: Later):
    double.refresh_tokens = False
    browser = await logged_in(served, double)
    asked = len(double.asked)
    later.shift = timedelta(days=2)
    assert (await browser.me()).status_code == 200
    assert len(double.asked) == asked


async def test_a_logout_forgets_the_provider_s_tokens(served, double: Double):
    browser = await logged_in(served, double)
    assert (await browser.send("POST", "/auth/logout")).status_code == 204
    async with served.backchannel.database.read() as connection:
        assert (await connection.exec_driver_sql("SELECT * FROM provider_logins")).all() == []


async def test_a_logout_while_the_provider_is_away_is_local(served, double: Double):
    browser = await logged_in(served, double)
    double.down = True
    access = served.backchannel.parts.access
    access.oidc.provider._document._document = None
    out = await browser.send(
        "POST", "/auth/logout", headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert (out.status_code, out.headers["location"]) == (303, "/auth/login")
    assert (await browser.me()).status_code == 401


async def test_whoever_cannot_be_checked_can_still_log_out(served, double: Double, later: Later):
    browser = await logged_in(served, double)
    double.down = True
    later.shift = timedelta(hours=25)
    assert (await browser.me()).status_code == 503
    # The page is there, for those who can log in in another way.
    page = await browser.send("GET", "/auth/login")
    assert (page.status_code, "retry-after" in page.headers) == (503, True)
    assert "cannot be reached now" in problem(page)
    other_site = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    assert (await browser.send("POST", "/auth/logout", headers=other_site)).status_code == 403
    assert (await browser.send("POST", "/auth/logout")).status_code == 204
    assert not any("session" in name for name in browser.cookies)
    assert await served.backchannel.parts.access.sessions.listed(ADA) == []


async def test_a_logout_that_fails_forgets_nothing(served, double: Double, monkeypatch: pytest.MonkeyPatch):
    """A session without its login at the provider would not be checked any more."""
    browser = await logged_in(served, double)
    access = served.backchannel.parts.access

    async def away(*_: Any) -> bool:
        raise UnavailableError("The store of sessions cannot be reached.")

    with monkeypatch.context() as patch:
        patch.setattr(access.sessions.store, "end", away)
        assert (await browser.send("POST", "/auth/logout")).status_code == 503
    (session,) = await access.sessions.listed(ADA)
    assert await access.oidc.checks.id_token(session) is not None
    assert (await browser.send("POST", "/auth/logout")).status_code == 204
    assert await access.oidc.checks.id_token(session) is None


async def test_old_rows_are_deleted(served, double: Double):
    browser = await logged_in(served, double)
    await browser.begin()
    oidc = served.backchannel.parts.access.oidc
    for days, left in ((0, 1), (31, 0)):
        await oidc.delete_expired(utc_now() + timedelta(days=days, seconds=1))
        async with served.backchannel.database.read() as connection:
            for table, kept in (("provider_logins", left), ("login_attempts", left)):
                found = (await connection.exec_driver_sql(f"SELECT * FROM {table}")).all()
                assert len(found) == kept
