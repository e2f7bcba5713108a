"""Budgets as settings give them, and the accounts that they limit."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Literal

from backchannel.budgets.windows import WINDOWS, Window, window_end, window_start
from backchannel.context import Identity

type Scope = Literal["user", "tenant"]
type Unit = Literal["tokens", "money"]

NANO = 1_000_000_000
"""Amounts of money are whole billionths of the currency's unit, so that nothing is lost by rounding: a token of the
cheapest models costs some tens of them."""

MAX_LIMIT = 10**18
"""Larger limits would not fit into a column, with what may be added to them."""

_FORMS = {
    "tokens": (re.compile(r"(\d[\d_]*)\s*/\s*([a-z]+)"), "a number of tokens, such as 200000/day"),
    "money": (re.compile(r"(\d+(?:\.\d{1,9})?)\s*/\s*([a-z]+)"), "an amount of money, such as 5.00/day"),
}


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be used within a window.

    Attributes:
        scope: Whether each user has it, or all users of a tenant have it together.
        limit: Tokens, or billionths of the currency's unit.
    """

    scope: Scope
    unit: Unit
    limit: int
    window: Window


@dataclass(frozen=True, slots=True)
class Account:
    """What one user, or one tenant, may use in one window.

    Attributes:
        user: Empty for the account of a tenant.
        starts_at: When the window began, in UTC.
        resets_at: When the next one begins, in UTC.
    """

    tenant: str
    user: str
    unit: Unit
    window: Window
    starts_at: datetime
    resets_at: datetime
    limit: int

    @property
    def scope(self) -> Scope:
        """Whose it is."""
        return "user" if self.user else "tenant"

    @property
    def key(self) -> tuple[str, str, str, str, datetime]:
        """What identifies it in the ledger. Accounts are locked in the order of their keys, so that no two
        transactions wait for each other."""
        return self.tenant, self.user, self.unit, self.window, self.starts_at


def parse_budgets(text: str | None, scope: Scope, unit: Unit) -> tuple[Budget, ...]:
    """The budgets that a setting names, such as `200000/day,2000000/month`: one for each window.

    Raises:
        ValueError: The text has another form; the message says which one is expected.
    """
    budgets: dict[Window, Budget] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        form, example = _FORMS[unit]
        match = form.fullmatch(part.strip().lower())
        window = _window(match[2]) if match is not None else None
        if match is None or window is None:
            raise ValueError(f"{part.strip()!r} must be {example}; windows are {', '.join(WINDOWS)}")
        limit = int(match[1]) if unit == "tokens" else int(Decimal(match[1]) * NANO)
        if not 0 < limit <= MAX_LIMIT:
            raise ValueError(f"{part.strip()!r} must be more than 0 and at most 1e18 tokens or 1e9 in money")
        if window in budgets:
            raise ValueError(f"there are two budgets for the window {window}")
        budgets[window] = Budget(scope, unit, limit, window)
    return tuple(budgets.values())


def _window(name: str) -> Window | None:
    return next((each for each in WINDOWS if each == name), None)


def accounts_of(
    budgets: Sequence[Budget], identity: Identity, now: datetime, zone: tzinfo
) -> Sequence[Account]:
    """The accounts to which calls of a caller are charged at present, in the order of their keys."""
    accounts = [
        Account(
            identity.tenant,
            identity.user if each.scope == "user" else "",
            each.unit,
            each.window,
            window_start(each.window, now, zone),
            window_end(each.window, now, zone),
            each.limit,
        )
        for each in budgets
    ]
    return sorted(accounts, key=lambda account: account.key)


def money_text(nano: int) -> str:
    """An amount of money as a decimal number with at least two digits after the point."""
    whole, rest = divmod(abs(nano), NANO)
    digits = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}{whole}.{digits}"
