"""How much of what a call asks for its accounts can give. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from math import ceil
from typing import Any

from backchannel.budgets.budget import Account, Unit, money_text
from backchannel.budgets.prices import Price
from backchannel.errors import BudgetExceededError

_SHORT = {"hour": "an hour", "day": "a day", "week": "a week", "month": "a month"}

BUSY_RETRY_SECONDS = 5
"""`retry_after` where only answers in progress hold what is left."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What has been used of an account, and what is reserved for calls in progress."""

    used: int = 0
    reserved: int = 0


EMPTY = Balance()


@dataclass(frozen=True, slots=True)
class Demand:
    """What a call may use.

    Attributes:
        input_tokens: The estimated size of its input; 0 for more output of a call in progress.
        output_tokens: The most output.
    """

    input_tokens: int
    output_tokens: int
    price: Price

    def amount(self, unit: Unit, output_tokens: int) -> int:
        """What the input and so much output cost in a unit."""
        if unit == "money":
            return self.price.cost(self.input_tokens, output_tokens)
        return self.input_tokens + output_tokens


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why nothing can be granted.

    Attributes:
        account: Of several, the one that is available again last.
        passing: Whether calls in progress may leave enough: their reservations, and not what was used, stand in the
            way.
        never: Whether even the whole budget is not enough.
    """

    account: Account
    balance: Balance
    passing: bool
    never: bool = False


def grant(demand: Demand, accounts: Sequence[Account], balances: Mapping[Account, Balance]) -> int | Shortage:
    """For how much output, at most that of the demand, every account has enough left besides the input; at least 1.

    Args:
        balances: Of accounts that are in use; any other is untouched.
    """
    granted, shortages = demand.output_tokens, list[Shortage]()
    for account in accounts:
        balance = balances.get(account, EMPTY)
        output = _output(demand, account, account.limit - balance.used - balance.reserved)
        if output >= 1:
            granted = min(granted, output)
        else:
            passing = _output(demand, account, account.limit - balance.used) >= 1
            never = demand.input_tokens > 0 and _output(demand, account, account.limit) < 1
            shortages.append(Shortage(account, balance, passing, never))
    if not shortages:
        return granted
    # One that does not pass comes before one that does.
    return max(shortages, key=lambda each: (each.never, not each.passing, each.account.resets_at))


def _output(demand: Demand, account: Account, left: int) -> int:
    """For how much output an amount is enough, besides the input."""
    if account.unit == "tokens":
        return left - demand.input_tokens
    rest = left - demand.price.cost(demand.input_tokens, 0)
    if rest < 0 or left <= 0:
        return 0
    output = demand.price.output_tokens(rest)
    if output is None:
        return demand.output_tokens
    # The costs of input and output are rounded up together.
    while output > 0 and demand.amount("money", output) > left:
        output -= 1
    return output


def exceeded_error(shortage: Shortage, now: datetime, zone: tzinfo, currency: str) -> BudgetExceededError:
    """The error for a shortage, with the time at which the budget is available again."""
    account, balance = shortage.account, shortage.balance
    whose = "Your" if account.scope == "user" else "Your organisation’s"
    details: dict[str, Any] = {
        "scope": account.scope,
        "unit": account.unit,
        "window": account.window,
        "resets_at": account.resets_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }
    if account.unit == "tokens":
        what = f"{account.limit:,} tokens {_SHORT[account.window]}"
    else:
        what = f"{money_text(account.limit)} {currency} {_SHORT[account.window]}"
    if shortage.passing:
        error = BudgetExceededError(
            f"What is left of {whose[:1].lower()}{whose[1:]} budget of {what} is reserved for answers in progress. Try "
            "again when they have ended.",
            details=details,
            retry_after=BUSY_RETRY_SECONDS,
        )
        error.allow_retry = True
        return error
    if shortage.never:
        return BudgetExceededError(
            f"This message needs more than {whose[:1].lower()}{whose[1:]} whole budget of {what}. Shorten it, or "
            "start a new chat.",
            details=details,
        )
    begin = (
        f"{whose} budget of {what} is used up."
        if balance.used >= account.limit
        else f"Not enough is left of {whose[:1].lower()}{whose[1:]} budget of {what} for this answer."
    )
    seconds = max(ceil((account.resets_at - now).total_seconds()), 1)
    return BudgetExceededError(
        f"{begin} It is available again on {time_text(account.resets_at, zone)}.",
        details=details,
        retry_after=seconds,
    )


def time_text(moment: datetime, zone: tzinfo) -> str:
    """A time for people, such as `Monday 30 November at 00:00 (Europe/Berlin)`."""
    local = moment.astimezone(zone)
    return f"{local:%A} {local.day} {local:%B} at {local:%H:%M} ({zone})"
