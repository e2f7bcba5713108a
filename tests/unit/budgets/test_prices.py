"""Prices of models: in whole numbers, and never an accident that makes a model free."""

import json
from pathlib import Path

import pytest

from backchannel.budgets.prices import FREE, Price, load_prices

pytestmark = pytest.mark.row("F5")

GIVEN = '{"small": {"input": 0.075, "output": 0.3}, "large": {"input": 1.25, "cached_input": 0.125, "output": 10}}'


def test_prices_are_exact_and_costs_are_rounded_up():
    prices = load_prices(GIVEN)
    assert prices.of("small") == Price(75_000_000, 75_000_000, 300_000_000)
    assert prices.of("large").cost(1_000_000, 0) == 1_250_000_000
    assert prices.of("large").cost(1_000_000, 100_000, 1_000_000) == 125_000_000 + 1_000_000_000
    # More cached tokens than there are at all.
    assert prices.of("large").cost(10, 0, 1000) == 1250
    assert Price(1, 1, 1).cost(1, 0) == 1


def test_an_unknown_model_costs_as_much_as_the_dearest():
    """supernovae-st/nika#1368, sielay/eidan#203, Vigil-SOC/vigil#985: it was free, and no budget held."""
    prices = load_prices(GIVEN)
    assert prices.of("unheard-of") == Price(1_250_000_000, 125_000_000, 10_000_000_000)
    assert not prices.knows("unheard-of")
    assert prices.of("openai/large") == prices.of("litellm/openai/large") == prices.of("large")
    assert load_prices('{"*": {"input": 2, "output": 3}}').of("unheard-of") == Price(
        2 * 10**9, 2 * 10**9, 3 * 10**9
    )


def test_a_price_of_zero_is_one_and_the_stand_in_is_free():
    """theam/facility#208: an unknown price and an explicit price of zero are different things."""
    prices = load_prices('{"own": {"input": 0, "output": 0}, "x": {"input": 1, "output": 1}}')
    assert prices.of("own") == prices.of("offline") == FREE
    assert prices.knows("own")


@pytest.mark.parametrize(
    "value",
    ["-1", "NaN", "Infinity", "-Infinity", "true", "null", "[]", '"free"', '"NaN"', "1e9", '""'],
)
def test_what_is_no_price_is_refused(value: str):
    with pytest.raises(ValueError, match="the input price of m must be a number from 0"):
        load_prices(f'{{"m": {{"input": {value}, "output": 1}}}}')


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("{", "not valid JSON"),
        ("{}", "must be an object"),
        ('{"m": 1}', "the price of m must be an object"),
        ('{"m": {"input": 1}}', "lacks output"),
        ('{"m": {"input": 1, "output": 1, "inputs": 2}}', "unknown field inputs"),
        ('{"m": {"input": 1, "output": 1}, "m": {"input": 0, "output": 0}}', "m is there twice"),
        ("no-such-file.json", "cannot be read"),
    ],
)
def test_wrong_prices_say_what_is_wrong(given: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        load_prices(given)


def test_prices_may_be_in_a_file(tmp_path: Path):
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"m": {"input": "0.1", "output": "0.2"}}))
    assert load_prices(str(file)).of("m") == Price(100_000_000, 100_000_000, 200_000_000)
    assert not load_prices(None)
