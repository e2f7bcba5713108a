"""The ledger of budgets on every database: exact however many calls there are at once, and nothing is lost."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from backchannel.budgets.base import Caller, Reservation
from backchannel.budgets.budget import parse_budgets
from backchannel.budgets.grants import Demand
from backchannel.budgets.prices import FREE, Price
from backchannel.context import CallUsage, Identity
from backchannel.errors import BudgetExceededError
from backchannel.stores.sql.budget_accounts import SqlLedger
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.personal import PersonalData, owned_tables
from backchannel.stores.sql.tables import budget_accounts, budget_reservations, usage
from backchannel.stores.sql.usage import SqlUsage
from backchannel.stores.times import utc_now

pytestmark = pytest.mark.row("F5")

ANN, BOB = Identity("ann", tenant="acme"), Identity("bob", tenant="acme")
PRICE = Price(1_000_000_000, 1_000_000_000, 10_000_000_000)


def ledger_of(database: Database, *, user: str = "", tenant: str = "", money: str = "") -> SqlLedger:
    budgets = [
        *parse_budgets(user, "user", "tokens"),
        *parse_budgets(tenant, "tenant", "tokens"),
        *parse_budgets(money, "user", "money"),
    ]
    return SqlLedger(database, budgets, UTC)


async def reserve(
    ledger: SqlLedger, sent: int, output: int, who: Identity = ANN, run: str = "run_1", price: Price = FREE
) -> Reservation:
    return await ledger.reserve(Caller(who, run, "m", "answer"), Demand(sent, output, price), 60)


def used(sent: int, output: int, cost: int | None = None) -> CallUsage:
    return CallUsage("m", "answer", 1, sent, output, cost=cost)


async def balances(ledger: SqlLedger, who: Identity = ANN) -> Sequence[tuple[str, str, int, int]]:
    return [
        (each.account.scope, each.account.unit, each.balance.used, each.balance.reserved)
        for each in await ledger.states(who)
    ]


async def test_a_hundred_reservations_at_once_get_what_there_is_and_no_more(database: Database):
    """Two people, whose accounts and that of their tenant are changed in every order."""
    ledger = ledger_of(database, user="300/day,100000/month", tenant=f"{37 * 15}/day")

    async def one(number: int) -> str:
        who = ANN if number % 2 else BOB
        try:
            reservation = await reserve(ledger, 10, 5, who)
        except BudgetExceededError as error:
            return "passing" if error.allow_retry else "used up"
        return reservation.caller.identity.user

    outcomes = Counter(await asyncio.gather(*(one(number) for number in range(100))))
    assert outcomes["ann"] + outcomes["bob"] == 37
    assert outcomes["ann"] <= 20
    assert outcomes["bob"] <= 20
    assert outcomes["passing"] == 63
    assert (await balances(ledger))[0] == ("tenant", "tokens", 0, 37 * 15)


async def test_what_was_used_is_booked_and_the_rest_given_back_once(database: Database):
    ledger = ledger_of(database, user="100/day", tenant="1000/day", money="1/day")
    first = await reserve(ledger, 10, 50, price=PRICE)
    second = await reserve(ledger, 10, 50, BOB, price=PRICE)
    assert await balances(ledger) == [
        ("tenant", "tokens", 0, 120), ("user", "money", 0, 510_000), ("user", "tokens", 0, 60)
    ]  # fmt: skip
    assert await ledger.settle(first, used(12, 20, 212_000))
    assert not await ledger.settle(first, used(12, 20, 212_000))
    assert await balances(ledger) == [
        ("tenant", "tokens", 32, 60), ("user", "money", 212_000, 0), ("user", "tokens", 32, 0)
    ]  # fmt: skip
    # More than was reserved is booked as it is.
    assert await ledger.settle(second, used(10, 500, 0))
    assert (await balances(ledger))[0] == ("tenant", "tokens", 542, 0)
    [stored] = await SqlUsage(database).by_model(ANN, utc_now() - timedelta(hours=1))
    assert stored == CallUsage("m", "answer", 1, 12, 20, 0, 212_000)


async def test_more_is_reserved_for_a_call_until_nothing_is_left(database: Database):
    ledger = ledger_of(database, user="100/day", tenant="1000/day")
    call = await reserve(ledger, 10, 30)
    assert await ledger.extend(call, 40) == 40
    assert await ledger.extend(call, 40) == 20
    with pytest.raises(BudgetExceededError, match="is used up") as refused:
        await ledger.extend(call, 1)
    assert not refused.value.allow_retry
    assert (call.demand.output_tokens, await balances(ledger)) == (
        90, [("tenant", "tokens", 0, 100), ("user", "tokens", 0, 100)]
    )  # fmt: skip
    await ledger.settle(call, used(10, 85))
    assert await balances(ledger) == [("tenant", "tokens", 95, 0), ("user", "tokens", 95, 0)]


async def test_a_call_that_is_extended_waits_for_others_and_not_for_itself(database: Database):
    ledger = ledger_of(database, user="100/day")
    call, other = await reserve(ledger, 10, 40), await reserve(ledger, 10, 40)
    with pytest.raises(BudgetExceededError) as refused:
        await ledger.extend(call, 10)
    assert refused.value.allow_retry
    await ledger.settle(other, used(10, 0))
    assert await ledger.extend(call, 10) == 10


@pytest.mark.row("H1")
async def test_reservations_of_a_dead_process_are_settled_at_what_was_sent_and_seen(database: Database):
    """mozilla-ai/otari PR#129, BerriAI/litellm PR#35752: reservations that stayed, or were given back whole."""
    ledger = ledger_of(database, user="1000/day", money="1/day")
    await reserve(ledger, 10, 50, price=PRICE)
    await reserve(ledger, 20, 50, price=PRICE)
    other = await reserve(ledger, 30, 50, run="run_2", price=PRICE)
    assert await ledger.settle_run("run_1", 35) == 2
    assert await ledger.settle_run("run_1", 35) == 0
    assert await balances(ledger) == [
        ("user", "money", 10_000 + 350_000 + 20_000, 530_000), ("user", "tokens", 65, 80)
    ]  # fmt: skip
    assert await ledger.settle_expired() == 0
    async with database.write() as connection:
        await connection.execute(
            update(budget_reservations).values(expires_at=utc_now() - timedelta(seconds=1))
        )
    assert await ledger.settle_expired() == 1
    assert await balances(ledger) == [("user", "money", 410_000, 0), ("user", "tokens", 95, 0)]
    # The process lives after all.
    assert not await ledger.settle(other, used(30, 20))
    async with database.read() as connection:
        spent = (
            await connection.execute(select(func.sum(usage.c.input_tokens + usage.c.output_tokens)))
        ).scalar_one()
    assert int(spent) == 95


async def test_a_call_is_charged_to_the_window_in_which_it_began(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    """BerriAI/litellm PR#40978: what was spent around a reset was metered in the wrong window."""
    ledger = ledger_of(database, user="100/hour")
    now = utc_now()
    call = await reserve(ledger, 10, 50)
    monkeypatch.setattr("backchannel.stores.sql.budget_accounts.utc_now", lambda: now + timedelta(hours=1))
    assert await balances(ledger) == [("user", "tokens", 0, 0)]
    await ledger.settle(call, used(10, 90))
    assert await balances(ledger) == [("user", "tokens", 0, 0)]
    await ledger.check(ANN)
    monkeypatch.setattr("backchannel.stores.sql.budget_accounts.utc_now", lambda: now)
    with pytest.raises(BudgetExceededError, match="is used up"):
        await ledger.check(ANN)
    # Months later the account is forgotten.
    monkeypatch.setattr("backchannel.stores.sql.budget_accounts.utc_now", lambda: now + timedelta(days=70))
    await ledger.settle_expired()
    async with database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(budget_accounts))).scalar_one() == 0


async def test_a_reservation_whose_commit_had_an_unknown_outcome_is_there_once(database: Database):
    ledger = ledger_of(database, user="100/day")
    call = await reserve(ledger, 10, 20)
    now = utc_now()
    again: Any = ledger
    await again._insert(call, now, now + timedelta(seconds=60))
    assert await balances(ledger) == [("user", "tokens", 0, 30)]
    before = Reservation(call.id, call.caller, call.accounts, call.demand)
    await ledger.extend(call, 5)
    # The same step once more changes nothing.
    await again._extend(before, 25)
    assert await balances(ledger) == [("user", "tokens", 0, 35)]


async def test_a_limit_that_was_lowered_holds_at_once(database: Database):
    ledger = ledger_of(database, user="100/day")
    await ledger.settle(await reserve(ledger, 10, 50), used(10, 50))
    with pytest.raises(BudgetExceededError):
        await ledger_of(database, user="60/day").check(ANN)
    with pytest.raises(BudgetExceededError):
        await reserve(ledger_of(database, user="50/day"), 1, 1)


@pytest.mark.row("H6")
async def test_the_call_of_an_erased_user_is_still_charged_to_the_tenant(database: Database):
    ledger = ledger_of(database, user="100/day", tenant="1000/day")
    await ledger.settle(await reserve(ledger, 10, 20), used(10, 20))
    call = await reserve(ledger, 10, 20)
    person = PersonalData(database, ANN, owned_tables())
    exported = [name async for name, _ in person.export()]
    assert (exported.count("budget_accounts"), exported.count("budget_reservations")) == (1, 1)
    assert (await person.erase())["budget_accounts"] == 1
    assert await balances(ledger) == [("tenant", "tokens", 30, 30), ("user", "tokens", 0, 0)]
    assert await ledger.settle(call, used(10, 5))
    assert await balances(ledger) == [("tenant", "tokens", 45, 0), ("user", "tokens", 0, 0)]
