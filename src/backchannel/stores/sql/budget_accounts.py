"""The ledger of budgets in a SQL database, shared by all replicas.

Accounts change by `UPDATE` statements that add to columns, in the order of their keys, in one transaction for all
accounts of a call: neither an order of transactions nor a deadlock can lose anything. Accounts of tenants belong to no
user, and reservations of dead processes are settled for all owners.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from typing import Any, override

from sqlalchemy import ColumnElement, RowMapping, and_, delete, insert, or_, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.budgets.base import AccountState, Caller, Ledger, Reservation
from backchannel.budgets.budget import Account, Budget, Unit, accounts_of
from backchannel.budgets.grants import EMPTY, Balance, Demand, Shortage, exceeded_error, grant
from backchannel.budgets.prices import Price
from backchannel.context import CallUsage, Identity
from backchannel.ids import new_id
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.tables import budget_accounts, budget_reservations
from backchannel.stores.sql.transactions import retryable
from backchannel.stores.sql.usage import MAX_AMOUNT, usage_row
from backchannel.stores.times import utc_now

MAX_RACES = 20
"""How often a reservation is tried anew because other calls took what was left in between. Each time, one of them got
it."""

BATCH = 100
"""How many expired reservations one look settles, at most."""

FORGET_AFTER = timedelta(days=62)
"""Accounts of older windows are deleted. The longest window is a month."""

_KEY = ("tenant", "user_id", "unit", "period", "starts_at")
type _Key = tuple[str, str, str, str, datetime]


class _TakenError(Exception):
    """Another call took what was left."""


class SqlLedger(Ledger):
    """The ledger.

    Args:
        budgets: The budgets of each user and of each tenant.
        zone: In which days, weeks and months begin.
        currency: For messages.
    """

    def __init__(
        self, database: Database, budgets: Sequence[Budget], zone: tzinfo, currency: str = "USD"
    ) -> None:
        self.database = database
        self._budgets = budgets
        self._zone = zone
        self._currency = currency

    @override
    @retryable
    async def check(self, identity: Identity) -> None:
        now = utc_now()
        accounts = accounts_of(self._budgets, identity, now, self._zone)
        balances = await self._balances(accounts)
        used_up = [each for each in accounts if balances.get(each, EMPTY).used >= each.limit]
        if used_up:
            last = max(used_up, key=lambda account: account.resets_at)
            raise self._error(Shortage(last, balances[last], passing=False))

    @override
    @retryable
    async def states(self, identity: Identity) -> Sequence[AccountState]:
        accounts = accounts_of(self._budgets, identity, utc_now(), self._zone)
        balances = await self._balances(accounts)
        return [AccountState(each, balances.get(each, EMPTY)) for each in accounts]

    @override
    async def reserve(self, caller: Caller, demand: Demand, seconds: float) -> Reservation:
        now = utc_now()
        accounts = accounts_of(self._budgets, caller.identity, now, self._zone)
        reservation = Reservation(new_id("reservation"), caller, accounts, demand)
        for _ in range(MAX_RACES):
            granted = await self._granted(demand, accounts)
            reservation.demand = replace(demand, output_tokens=granted)
            try:
                await self._insert(reservation, now, now + timedelta(seconds=seconds))
            except _TakenError:
                continue
            return reservation
        # As many others are as fast: the next look may find that all is used up, or that they have ended.
        raise self._error(Shortage(accounts[0], EMPTY, passing=True))

    @override
    async def extend(self, reservation: Reservation, output_tokens: int) -> int:
        more = replace(reservation.demand, input_tokens=0, output_tokens=output_tokens)
        for _ in range(MAX_RACES):
            granted = await self._granted(more, reservation.accounts, reservation.demand)
            before = reservation.demand.output_tokens
            try:
                await self._extend(reservation, before + granted)
            except _TakenError:
                continue
            reservation.demand = replace(reservation.demand, output_tokens=before + granted)
            return granted
        raise self._error(Shortage(reservation.accounts[0], EMPTY, passing=True))

    @override
    @retryable
    async def settle(self, reservation: Reservation, used: CallUsage) -> bool:
        mine = select(budget_reservations).where(budget_reservations.c.id == reservation.id)
        async with self.database.write() as connection:
            row = (await connection.execute(mine)).mappings().one_or_none()
            # As it is stored: whether it was extended may be unknown here.
            return row is not None and await _settle(connection, _reservation(row), used)

    @override
    @retryable
    async def settle_run(self, run_id: str, output_tokens: int) -> int:
        return await self._settle_found(budget_reservations.c.run_id == run_id, output_tokens)

    @override
    @retryable
    async def settle_expired(self) -> int:
        now = utc_now()
        old = and_(budget_accounts.c.starts_at < now - FORGET_AFTER, budget_accounts.c.reserved == 0)
        async with self.database.read() as connection:
            found = (await connection.execute(select(budget_accounts.c.tenant).where(old).limit(1))).first()
        if found is not None:
            async with self.database.write() as connection:
                await connection.execute(delete(budget_accounts).where(old))
        return await self._settle_found(budget_reservations.c.expires_at < now, 0)

    async def _settle_found(self, which: ColumnElement[bool], output_tokens: int) -> int:
        """Settle reservations at their inputs, and the first one with output that was seen."""
        order = (budget_reservations.c.created_at, budget_reservations.c.id)
        found = select(budget_reservations).where(which).order_by(*order).limit(BATCH)
        async with self.database.read() as connection:
            rows = (await connection.execute(found)).mappings().all()
        if not rows:
            return 0
        settled = 0
        async with self.database.write() as connection:
            for row in rows:
                reservation = _reservation(row)
                output = min(output_tokens, reservation.demand.output_tokens)
                if await _settle(connection, reservation, _estimate(reservation, output)):
                    settled, output_tokens = settled + 1, 0
        return settled

    @retryable
    async def _granted(self, demand: Demand, accounts: Sequence[Account], own: Demand | None = None) -> int:
        """How much output can be granted, as far as a look without a lock shows.

        Args:
            own: What the call has reserved already, and will use.

        Raises:
            BudgetExceededError: None.
        """
        balances = await self._balances(accounts)
        if own is not None:
            balances = {
                each: Balance(balance.used + amount, balance.reserved - amount)
                for each, balance in balances.items()
                for amount in (own.amount(each.unit, own.output_tokens),)
            }
        granted = grant(demand, accounts, balances)
        if isinstance(granted, Shortage):
            raise self._error(granted)
        return granted

    @retryable
    async def _insert(self, reservation: Reservation, now: datetime, expires_at: datetime) -> None:
        caller, demand = reservation.caller, reservation.demand
        values = {
            "id": reservation.id,
            "tenant": caller.identity.tenant,
            "user_id": caller.identity.user,
            "run_id": caller.run_id,
            "model": caller.model[:200],
            "purpose": caller.purpose,
            "input_tokens": demand.input_tokens,
            "output_tokens": demand.output_tokens,
            "input_price": demand.price.input,
            "output_price": demand.price.output,
            "accounts": [[*each.key[:-1], each.starts_at.isoformat()] for each in reservation.accounts],
            "created_at": now,
            "expires_at": expires_at,
        }
        try:
            async with self.database.write() as connection:
                await connection.execute(insert(budget_reservations).values(values))
                for account in reservation.accounts:
                    amount = demand.amount(account.unit, demand.output_tokens)
                    await self._take(connection, account, amount)
        except IntegrityError:
            # An earlier try, whose outcome was unknown, has stored all of it.
            return

    @retryable
    async def _extend(self, reservation: Reservation, output_tokens: int) -> None:
        demand = reservation.demand
        known = budget_reservations.c.id == reservation.id
        # With the old number: a second try after an unknown outcome changes nothing.
        grown = update(budget_reservations).where(
            known, budget_reservations.c.output_tokens == demand.output_tokens
        )
        async with self.database.write() as connection:
            if not (await connection.execute(grown.values(output_tokens=output_tokens))).rowcount:
                return
            for account in reservation.accounts:
                before = demand.amount(account.unit, demand.output_tokens)
                await self._take(connection, account, demand.amount(account.unit, output_tokens) - before)

    async def _take(self, connection: AsyncConnection, account: Account, amount: int) -> None:
        """Add to what is reserved, if the limit is not exceeded by that.

        Raises:
            _TakenError: It would be. The transaction must be rolled back.
        """
        columns = budget_accounts.c
        fits = columns.used + columns.reserved + amount <= account.limit
        change = update(budget_accounts).where(_is(account.key), fits)
        change = change.values(reserved=columns.reserved + amount)
        if amount <= 0 or (await connection.execute(change)).rowcount:
            return
        # The first call of the window.
        row = dict(zip(_KEY, account.key, strict=True)) | {"used": 0, "reserved": 0}
        await connection.execute(
            self.database.dialect.upsert(budget_accounts, row, key=_KEY, change=(), owned=true())
        )
        if not (await connection.execute(change)).rowcount:
            raise _TakenError

    async def _balances(self, accounts: Sequence[Account]) -> Mapping[Account, Balance]:
        if not accounts:
            return {}
        by_key = {each.key: each for each in accounts}
        which = or_(*(_is(key) for key in by_key))
        async with self.database.read() as connection:
            rows = (await connection.execute(select(budget_accounts).where(which))).mappings().all()
        return {
            by_key[tuple(row[name] for name in _KEY)]: Balance(row["used"], row["reserved"]) for row in rows
        }

    def _error(self, shortage: Shortage) -> Exception:
        return exceeded_error(shortage, utc_now(), self._zone, self._currency)


async def _settle(connection: AsyncConnection, reservation: Reservation, used: CallUsage) -> bool:
    caller = reservation.caller
    mine = delete(budget_reservations).where(budget_reservations.c.id == reservation.id)
    if not (await connection.execute(mine)).rowcount:
        return False
    for account in reservation.accounts:
        unit = account.unit
        reserved = reservation.demand.amount(unit, reservation.demand.output_tokens)
        amount = (used.cost or 0) if unit == "money" else used.input_tokens + used.output_tokens
        # Of a user who was erased there is no account any more.
        change = update(budget_accounts).where(_is(account.key))
        columns = budget_accounts.c
        await connection.execute(
            change.values(
                reserved=columns.reserved - reserved, used=columns.used + min(amount, MAX_AMOUNT // 4)
            )
        )
    if used.requests:
        await connection.execute(usage_row(caller.identity, caller.run_id, used))
    return True


def _estimate(reservation: Reservation, output_tokens: int) -> CallUsage:
    """What a call of a process that died is taken to have used."""
    caller, demand = reservation.caller, reservation.demand
    cost = demand.price.cost(demand.input_tokens, output_tokens)
    return CallUsage(caller.model, caller.purpose, 1, demand.input_tokens, output_tokens, cost=cost or None)


def _is(key: _Key) -> ColumnElement[bool]:
    return and_(*(budget_accounts.c[name] == value for name, value in zip(_KEY, key, strict=True)))


def _reservation(row: RowMapping) -> Reservation:
    accounts = [_account(*key) for key in row["accounts"]]
    price = Price(row["input_price"], row["input_price"], row["output_price"])
    demand = Demand(row["input_tokens"], row["output_tokens"], price)
    identity = Identity(row["user_id"], tenant=row["tenant"])
    caller = Caller(identity, row["run_id"], row["model"], row["purpose"])
    return Reservation(row["id"], caller, accounts, demand)


def _account(tenant: str, user: str, unit: Unit, window: Any, starts_at: str) -> Account:
    """An account for settlement, for which neither its limit nor its end matters."""
    start = datetime.fromisoformat(starts_at)
    return Account(tenant, user, unit, window, start, start, 0)
