"""What accounts can give, and what is said where they cannot."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from backchannel.budgets.budget import Account
from backchannel.budgets.grants import Balance, Demand, Shortage, exceeded_error, grant
from backchannel.budgets.prices import FREE, Price

pytestmark = pytest.mark.row("F5")

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DAY = Account("acme", "ann", "tokens", "day", NOW, NOW + timedelta(hours=12), 100)
MONTH = Account("acme", "", "tokens", "month", NOW, NOW + timedelta(days=2), 1000)
MONEY = Account("acme", "ann", "money", "day", NOW, NOW + timedelta(hours=12), 1000)
PRICE = Price(10_000_000, 10_000_000, 20_000_000)
"""10 for a token in, 20 for one out."""


def granted(demand: Demand, **balances: tuple[int, int]) -> int | Shortage:
    accounts = {"day": DAY, "month": MONTH, "money": MONEY}
    return grant(
        demand,
        [accounts[name] for name in balances],
        {accounts[name]: Balance(*each) for name, each in balances.items()},
    )


def test_all_of_it_where_there_is_enough_and_what_is_left_where_there_is_not():
    assert granted(Demand(10, 90, FREE), day=(0, 0)) == 90
    assert granted(Demand(10, 90, FREE), day=(0, 0), month=(950, 0)) == 40
    assert granted(Demand(10, 90, FREE), day=(50, 39)) == 1
    assert granted(Demand(10, 90, PRICE), money=(0, 500)) == 20
    assert granted(Demand(0, 90, PRICE), day=(0, 0), money=(981, 0)) == Shortage(
        MONEY, Balance(981, 0), passing=False
    )
    assert granted(Demand(10, 90, FREE), money=(999, 0)) == 90


def test_less_than_the_input_and_one_token_is_a_shortage():
    assert granted(Demand(10, 90, FREE), day=(90, 0)) == Shortage(DAY, Balance(90, 0), passing=False)
    # What is reserved may be given back.
    assert granted(Demand(10, 90, FREE), day=(89, 1)) == Shortage(DAY, Balance(89, 1), passing=True)
    # The one that lasts is named.
    shortage = granted(Demand(10, 90, FREE), day=(100, 0), month=(0, 1000))
    assert shortage == Shortage(DAY, Balance(100, 0), passing=False)
    assert granted(Demand(10, 90, FREE), day=(100, 0), month=(1000, 0)) == Shortage(
        MONTH, Balance(1000, 0), passing=False
    )


def test_what_is_larger_than_the_whole_budget_is_never_enough():
    shortage = granted(Demand(100, 90, FREE), day=(0, 0))
    assert shortage == Shortage(DAY, Balance(), passing=False, never=True)
    error = exceeded_error(shortage, NOW, UTC, "USD")
    assert error.message == (
        "This message needs more than your whole budget of 100 tokens a day. Shorten it, or start a new chat."
    )
    assert error.retry_after is None


def test_the_error_says_when_it_is_available_again():
    """BerriAI/litellm#41211: the reset time that was shown was that of another zone."""
    error = exceeded_error(Shortage(DAY, Balance(100, 0), passing=False), NOW, ZoneInfo("Asia/Tokyo"), "USD")
    assert error.message == (
        "Your budget of 100 tokens a day is used up. It is available again on Monday 30 November at 09:00 (Asia/Tokyo)."
    )
    assert (error.retry_after, error.allow_retry, error.status) == (12 * 3600, False, 429)
    assert error.details == {
        "scope": "user",
        "unit": "tokens",
        "window": "day",
        "resets_at": "2026-11-30T00:00:00Z",
    }
    error = exceeded_error(Shortage(MONEY, Balance(1, 0), passing=False), NOW, UTC, "EUR")
    assert error.message.startswith(
        "Not enough is left of your budget of 0.000001 EUR a day for this answer."
    )


def test_a_shortage_that_passes_may_be_tried_again():
    """BerriAI/litellm#36926: `budget exceeded` because of reservations, while little was spent."""
    error = exceeded_error(Shortage(MONTH, Balance(0, 1000), passing=True), NOW, UTC, "USD")
    assert (
        "your organisation’s budget of 1,000 tokens a month is reserved for answers in progress"
        in error.message
    )
    assert (error.allow_retry, error.retry_after) == (True, 5)
