"""Logging in over HTTP with a provider that other people have written, as a process."""

from datetime import timedelta

import httpx2
import pytest
from agents import Agent

from backchannel.stores.times import utc_now
from backchannel.testing import ScriptedModel
from oidc_browser import OidcBrowser
from oidc_mock import ADA, mock_provider

pytestmark = pytest.mark.row("F2b")


async def test_a_person_logs_in_is_checked_and_loses_the_session(serve, tmp_path):
    with mock_provider(tmp_path) as mock:
        settings = {"auth": "oidc", "oidc_issuer": mock.url, "oidc_client_id": "backchannel"}
        served = await serve(Agent(name="A", model=ScriptedModel()), **settings)
        browser = OidcBrowser(served)
        async with httpx2.AsyncClient() as person:
            agreed = await person.post(await browser.begin("/x"), data={"sub": ADA["sub"]})
        url, _, query = agreed.headers["location"].partition("?")
        assert url == f"{served.url}/auth/callback"
        assert (await browser.come_back(query)).headers["location"] == "/x"
        me = (await browser.me()).json()
        assert (me["user"], me["name"]) == (ADA["sub"], ADA["name"])
        checks = served.backchannel.parts.access.oidc.checks
        checks._clock = lambda: utc_now() + timedelta(hours=1)
        assert (await browser.me()).status_code == 200
        mock.revoke(ADA["sub"])
        checks._clock = lambda: utc_now() + timedelta(hours=2)
        response = await browser.me()
        assert response.status_code == 401
        assert "identity provider has ended" in response.json()["message"]
