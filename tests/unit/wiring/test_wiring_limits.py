"""Which limits on requests there are without a setting."""

from typing import Any

import pytest
from agents import Agent

from backchannel import Application
from backchannel.settings import Settings
from backchannel.wiring.limits import make_rate_limits

KEY = "0123456789abcdef0123456789abcdef"
PRODUCTION = {"env": "production", "auth": "jwt", "jwt_secret": KEY, "secret_key": KEY[::-1]}


@pytest.mark.row("F5")
@pytest.mark.parametrize(
    ("given", "user", "address"),
    [
        ({}, [], []),
        ({"rate_limit": "5/second"}, [(5, 1)], []),
        (PRODUCTION, [(600, 60)], [(6000, 60)]),
        ({**PRODUCTION, "rate_limit": "off", "rate_limit_address": "10/hour"}, [], [(10, 3600)]),
    ],
)
def test_rates_are_limited_in_production_unless_a_setting_says_otherwise(
    given: dict[str, Any], user: list[tuple[int, int]], address: list[tuple[int, int]]
):
    limits = make_rate_limits(Settings.load(**given), Application(agent=Agent(name="A")))
    found = ([], []) if limits is None else (list(limits.rules.user), list(limits.rules.address))
    assert found == (user, address)
