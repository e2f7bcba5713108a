"""What tokens of models cost."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from backchannel.budgets.budget import NANO

TOKENS = 1_000_000
"""Prices are for so many tokens."""

MAX_PRICE = Decimal(1_000_000)
"""A higher price for a million tokens is a mistake in the unit."""

OFFLINE = "offline"
"""The stand-in for a model, which costs nothing unless it has a price."""

OTHERS = "*"
"""The name under which the price of all models that have none of their own can be given."""

_FIELDS = ("input", "cached_input", "output")


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a million tokens, in billionths of the currency's unit."""

    input: int = 0
    cached_input: int = 0
    output: int = 0

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
        """What a call costs, in billionths, rounded up.

        Args:
            input_tokens: With those that are cached.
        """
        cached = min(cached_tokens, input_tokens)
        millionths = (
            (input_tokens - cached) * self.input + cached * self.cached_input + output_tokens * self.output
        )
        return -(-millionths // TOKENS)

    def output_tokens(self, nano: int) -> int | None:
        """For how many tokens of output an amount is enough; `None` if they cost nothing."""
        return max(nano, 0) * TOKENS // self.output if self.output else None


FREE = Price()


class Prices:
    """The prices of models, by name.

    Args:
        prices: By the name of the model, as agents and settings name it. `*` stands for all others.
    """

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices = prices

    def __bool__(self) -> bool:
        return bool(self._prices)

    def knows(self, model: str) -> bool:
        """Whether a model has a price, by its name or as one of the others."""
        return self._known(model) is not None

    def of(self, model: str) -> Price:
        """The price of a model. One that is not known costs, for each kind of token, as much as the dearest one: a name
        must not be a way around a budget."""
        known = self._known(model)
        if known is not None:
            return known
        dearest = (
            max((getattr(each, name) for each in self._prices.values()), default=0) for name in _FIELDS
        )
        return Price(*dearest)

    def _known(self, model: str) -> Price | None:
        names = [model]
        while "/" in names[-1]:
            # `openai/gpt-5` is called as `gpt-5`.
            names.append(names[-1].partition("/")[2])
        if model == OFFLINE:
            return self._prices.get(OFFLINE, FREE)
        found = next((self._prices[name] for name in names if name in self._prices), None)
        return found or self._prices.get(OTHERS)


def load_prices(given: str | None) -> Prices:
    """The prices of a setting: JSON, or the path of a file with it.

    Raises:
        ValueError: They cannot be read or are no prices; the message says which, and never shows the JSON.
    """
    if given is None or not given.strip():
        return Prices({})
    text = given.strip()
    if not text.startswith("{"):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise ValueError(
                f"the file {given} cannot be read ({reason}); it may also be JSON itself"
            ) from None
    try:
        parsed: object = json.loads(
            text, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_number, object_pairs_hook=_unique
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"the prices are not valid JSON (line {error.lineno})") from None
    if not isinstance(parsed, dict) or not parsed:
        raise ValueError('the prices must be an object such as {"gpt-5.1": {"input": 1.25, "output": 10}}')
    prices = cast("dict[str, object]", parsed)
    return Prices({name: _price(name, value) for name, value in prices.items()})


def _price(model: str, value: object) -> Price:
    if not isinstance(value, dict):
        raise ValueError(f'the price of {model} must be an object such as {{"input": 1.25, "output": 10}}')
    given = cast("dict[str, object]", value)
    unknown = sorted(given.keys() - set(_FIELDS))
    if unknown:
        raise ValueError(
            f"the price of {model} has an unknown field {unknown[0]}; known are {', '.join(_FIELDS)}"
        )
    for name in ("input", "output"):
        if name not in given:
            raise ValueError(f"the price of {model} lacks {name}")
    amounts = {name: _amount(model, name, each) for name, each in given.items()}
    return Price(**{"cached_input": amounts["input"], **amounts})


def _amount(model: str, name: str, value: object) -> int:
    if isinstance(value, str):
        try:
            value = Decimal(value)
        except ArithmeticError:
            value = None
    if not isinstance(value, Decimal) or not value.is_finite() or not 0 <= value <= MAX_PRICE:
        raise ValueError(
            f"the {name} price of {model} must be a number from 0 to {MAX_PRICE:,}: money for a million tokens"
        )
    nano = value * NANO
    # Rounded up: a price is never less than what it says.
    return int(nano.to_integral_value(rounding="ROUND_CEILING"))


def _no_number(_name: str) -> None:
    """NaN and Infinity, which Python's parser takes for numbers, are no prices."""


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise ValueError(f"{name} is there twice in the prices")
        made[name] = value
    return made
