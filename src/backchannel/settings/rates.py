"""Rates as settings have them: `60/minute`, `2/second;1000/day`, or `off`."""

import re
from collections.abc import Sequence
from typing import NamedTuple

OFF = "off"
MAX_AMOUNT = 1_000_000

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_RATE = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)")


class Rate(NamedTuple):
    """So many requests in so many seconds.

    Attributes:
        amount: 1 to `MAX_AMOUNT`.
        seconds: 1, 60, 3600 or 86,400.
    """

    amount: int
    seconds: int


def parse_rates(text: str) -> Sequence[Rate]:
    """The rates of a setting, shortest window first; none for `off`.

    Raises:
        ValueError: The text is something else, has a rate above `MAX_AMOUNT`, or two rates of one window.
    """
    if text.strip().lower() == OFF:
        return ()
    rates = list[Rate]()
    for part in text.split(";"):
        found = _RATE.fullmatch(part.strip().lower())
        if found is None:
            raise ValueError(
                f"{part.strip()!r} is not a rate such as 60/minute: a number, a slash, and second, minute, hour or "
                "day; several are separated by ; and off means no limit"
            )
        rate = Rate(int(found[1]), _SECONDS[found[2]])
        if rate.amount > MAX_AMOUNT:
            raise ValueError(f"{part.strip()!r} is more than {MAX_AMOUNT}; off means no limit")
        if any(rate.seconds == each.seconds for each in rates):
            raise ValueError(f"has two rates for a {found[2]}: leave one")
        rates.append(rate)
    return sorted(rates, key=lambda rate: rate.seconds)
