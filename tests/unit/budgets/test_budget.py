"""Budgets as settings name them."""

from datetime import UTC, datetime

import pytest

from backchannel.budgets.budget import Budget, accounts_of, money_text, parse_budgets
from backchannel.context import Identity

pytestmark = pytest.mark.row("F5")


def test_one_budget_for_each_window():
    assert parse_budgets("200_000/day, 2000000 / month", "user", "tokens") == (
        Budget("user", "tokens", 200_000, "day"),
        Budget("user", "tokens", 2_000_000, "month"),
    )
    assert parse_budgets("5.00/week", "tenant", "money") == (
        Budget("tenant", "money", 5_000_000_000, "week"),
    )
    assert parse_budgets(None, "user", "tokens") == parse_budgets(" ", "user", "tokens") == ()


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "5/year",
        "-5/day",
        "0/day",
        "1e5/day",
        "5.5/day",
        "9999999999999999999/day",
        "1/day,2/day",
        "NaN/day",
    ],
)
def test_what_is_no_budget_of_tokens_says_what_one_looks_like(text: str):
    with pytest.raises(ValueError, match=r"200000/day|more than 0|two budgets"):
        parse_budgets(text, "user", "tokens")


def test_accounts_are_in_one_order_whatever_the_settings_say():
    budgets = [
        Budget("user", "money", 1, "day"),
        Budget("tenant", "tokens", 1, "day"),
        Budget("user", "tokens", 1, "hour"),
    ]
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    keys = [each.key[:4] for each in accounts_of(budgets, Identity("ann", tenant="acme"), now, UTC)]
    assert keys == [
        ("acme", "", "tokens", "day"), ("acme", "ann", "money", "day"), ("acme", "ann", "tokens", "hour")
    ]  # fmt: skip
    assert keys == [
        each.key[:4] for each in accounts_of(budgets[::-1], Identity("ann", tenant="acme"), now, UTC)
    ]


@pytest.mark.parametrize(
    ("nano", "text"), [(0, "0.00"), (5_000_000_000, "5.00"), (60_000, "0.00006"), (-1, "-0.000000001")]
)
def test_money_is_text_without_floats(nano: int, text: str):
    assert money_text(nano) == text
