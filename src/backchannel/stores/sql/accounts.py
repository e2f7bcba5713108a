"""Local users in a SQL database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from backchannel.context import Identity
from backchannel.errors import ConflictError
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.ownership import (
    delete_owned,
    insert_owned,
    select_identified,
    select_owned,
    update_owned,
    upsert_owned,
)
from backchannel.stores.sql.tables import user_addresses, users
from backchannel.stores.sql.transactions import retryable
from backchannel.stores.times import utc_now


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A local user.

    Attributes:
        identity: The owner of the account's rows, with all scopes that it may have.
        name: The normalised name for the login.
        password_hash: Argon2id, with its parameters and salt.
        password_changed_at: Sessions from before are worthless.
    """

    identity: Identity
    name: str
    password_hash: str = field(repr=False)
    disabled: bool
    created_at: datetime
    password_changed_at: datetime

    def with_scopes(self, scopes: frozenset[str]) -> Identity:
        """The identity with fewer scopes."""
        return replace(self.identity, scopes=scopes)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatus:
    """What each request asks of an account, without its password: whether its owner may still use a session.

    Attributes:
        scopes: All that the owner may have.
        display_name: The name to show.
        password_changed_at: See `Account`.
    """

    scopes: frozenset[str]
    display_name: str
    disabled: bool
    password_changed_at: datetime


class SqlAccounts:
    """The store of local users. Every method raises `UnavailableError` if the database cannot be reached."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def add(self, account: Account) -> None:
        """Store a new account.

        Raises:
            ConflictError: The name, or the owner, has an account already.
        """
        identity = account.identity
        values = {
            "name": account.name,
            "display_name": identity.name or account.name,
            "password_hash": account.password_hash,
            "scopes": sorted(identity.scopes),
            "disabled": account.disabled,
            "created_at": account.created_at,
            "password_changed_at": account.password_changed_at,
        }
        try:
            async with self.database.write() as connection:
                await connection.execute(insert_owned(identity, users, values))
        except IntegrityError as error:
            raise ConflictError(f"There is already an account named {account.name!r}.") from error

    @retryable
    async def find_by_name(self, name: str) -> Account | None:
        """The account with a normalised name."""
        async with self.database.read() as connection:
            found = await connection.execute(select_identified(users.c.name, name))
            row = found.mappings().one_or_none()
        return None if row is None else _account(row)

    @retryable
    async def find(self, identity: Identity) -> Account | None:
        """The account of an owner; `None` for people who have none here."""
        async with self.database.read() as connection:
            row = (await connection.execute(select_owned(identity, users))).mappings().one_or_none()
        return None if row is None else _account(row)

    @retryable
    async def status(self, identity: Identity) -> AccountStatus | None:
        """The status of an owner's account; `None` for people who have none here."""
        statement = select_owned(identity, users, *STATUS_COLUMNS)
        async with self.database.read() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
        return None if row is None else status_of(row)

    @retryable
    async def all(self) -> Sequence[Account]:
        """Every account, for the operator, by tenant and name."""
        statement = select(users).order_by(users.c.tenant, users.c.name)
        async with self.database.read() as connection:
            return [_account(row) for row in (await connection.execute(statement)).mappings()]

    @retryable
    async def any(self) -> bool:
        """Whether there is an account."""
        async with self.database.read() as connection:
            return (await connection.execute(select(users.c.id).limit(1))).first() is not None

    @retryable
    async def set_password(self, identity: Identity, password_hash: str, now: datetime) -> bool:
        """Replace the password; whether the owner has an account."""
        return await self._change(identity, password_hash=password_hash, password_changed_at=now)

    @retryable
    async def rehash(self, identity: Identity, former: str, password_hash: str) -> None:
        """Replace the hash of the same password, unless the password was changed meanwhile."""
        change = update_owned(identity, users).where(users.c.password_hash == former)
        async with self.database.write() as connection:
            await connection.execute(change.values(password_hash=password_hash))

    @retryable
    async def set_disabled(self, identity: Identity, *, disabled: bool) -> bool:
        """Disable or enable an account; whether the owner has one."""
        return await self._change(identity, disabled=disabled)

    @retryable
    async def delete(self, identity: Identity) -> bool:
        """Delete an account; whether there was one."""
        async with self.database.write() as connection:
            await connection.execute(delete_owned(identity, user_addresses))
            return bool((await connection.execute(delete_owned(identity, users))).rowcount)

    @retryable
    async def knows_address(self, identity: Identity, address: str) -> bool:
        """Whether the owner has logged in from this network before."""
        statement = select_owned(identity, user_addresses).where(user_addresses.c.address == address)
        async with self.database.read() as connection:
            return (await connection.execute(statement)).first() is not None

    @retryable
    async def remember_address(self, identity: Identity, address: str) -> None:
        """Note that the owner has logged in from this network."""
        values = {"address": address, "last_login_at": utc_now()}
        statement = upsert_owned(
            self.database.dialect,
            identity,
            user_addresses,
            values,
            key=("tenant", "user_id", "address"),
            change=("last_login_at",),
        )
        async with self.database.write() as connection:
            await connection.execute(statement)

    async def _change(self, identity: Identity, **values: Any) -> bool:
        async with self.database.write() as connection:
            return bool((await connection.execute(update_owned(identity, users).values(**values))).rowcount)


STATUS_COLUMNS = (
    users.c.scopes.label("account_scopes"),
    users.c.display_name.label("account_display_name"),
    users.c.disabled.label("account_disabled"),
    users.c.password_changed_at.label("account_password_changed_at"),
)
"""What `status_of` needs, by names that no other table has: for statements that join accounts to other rows."""


def status_of(row: Mapping[Any, Any]) -> AccountStatus | None:
    """The status in a row with `STATUS_COLUMNS`; `None` if they are NULL, because there is no account."""
    if row["account_password_changed_at"] is None:
        return None
    return AccountStatus(
        scopes=frozenset(row["account_scopes"]),
        display_name=row["account_display_name"],
        disabled=row["account_disabled"],
        password_changed_at=row["account_password_changed_at"],
    )


def _account(row: Mapping[Any, Any]) -> Account:
    return Account(
        identity=Identity(
            row["user_id"], row["tenant"], scopes=frozenset(row["scopes"]), name=row["display_name"]
        ),
        name=row["name"],
        password_hash=row["password_hash"],
        disabled=row["disabled"],
        created_at=row["created_at"],
        password_changed_at=row["password_changed_at"],
    )
