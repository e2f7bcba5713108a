"""What an operator does with local accounts. Every change that takes access away ends all sessions of the person."""

import re
from collections.abc import Collection
from datetime import datetime, timedelta

from backchannel.accounts.names import checked, normalised
from backchannel.accounts.passwords import Passwords, check_policy
from backchannel.audit import COMMAND_LINE, Audit, subject_of
from backchannel.context import ALL, Identity
from backchannel.errors import InvalidInputError, NotFoundError
from backchannel.sessions.service import Sessions
from backchannel.stores.sql.accounts import Account, SqlAccounts
from backchannel.stores.times import utc_now
from backchannel.web.clients import Client

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,60}")
"""RFC 6749, section 3.3."""


class Administration:
    """Adds, changes and deletes accounts."""

    def __init__(self, accounts: SqlAccounts, passwords: Passwords, sessions: Sessions, audit: Audit) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._sessions = sessions
        self._audit = audit

    async def add(
        self, name: str, password: str, *, user: str, tenant: str, scopes: Collection[str]
    ) -> Account:
        """Make an account.

        Args:
            user: The stable id of the person, to which their data belongs.

        Raises:
            InvalidInputError: The name, the password, the id or a scope cannot be used.
            ConflictError: The name, or the person, has an account already.
        """
        normal = checked(name)
        check_policy(password, normal, name)
        try:
            identity = Identity(user, tenant, scopes=checked_scopes(scopes), name=name.strip())
        except ValueError as error:
            raise InvalidInputError(str(error)) from None
        now = utc_now()
        account = Account(
            identity=identity,
            name=normal,
            password_hash=await self._passwords.hash(password),
            disabled=False,
            created_at=now,
            password_changed_at=now,
        )
        await self._accounts.add(account)
        await self._audit.note("user.added", None, COMMAND_LINE, subject=subject_of(identity))
        return account

    async def find(self, name: str, tenant: str | None = None) -> Account:
        """The account of a name, in a tenant if one is given.

        Raises:
            NotFoundError: There is none.
        """
        account = await self._accounts.find_by_name(normalised(name) or "")
        if account is None or tenant not in {None, account.identity.tenant}:
            where = "" if tenant is None else f" in the tenant {tenant!r}"
            raise NotFoundError(
                f"There is no account named {name!r}{where}. `backchannel user list` shows all."
            )
        return account

    async def set_password(self, account: Account, password: str, *, client: Client = COMMAND_LINE) -> None:
        """Change a password, and end all sessions and tokens.

        Raises:
            InvalidInputError: The password cannot be used.
        """
        check_policy(password, account.name, account.identity.name or "")
        hashed = await self._passwords.hash(password)
        # In this order: a login with the old password that is under way looks at the account after it has stored its
        # session.
        await self._accounts.set_password(account.identity, hashed, later_than(account.password_changed_at))
        # Before the sessions, whose store may be away: what was changed is recorded in any case.
        await self._audit.note("user.password_changed", None, client, subject=subject_of(account.identity))
        await self._sessions.end_all(account.identity, client, "password", actor=None)

    async def disable(self, account: Account) -> None:
        """Disable an account, and end all its sessions and tokens."""
        await self._accounts.set_disabled(account.identity, disabled=True)
        await self._audit.note("user.disabled", None, COMMAND_LINE, subject=subject_of(account.identity))
        await self._sessions.end_all(account.identity, COMMAND_LINE, "disabled", actor=None)

    async def enable(self, account: Account) -> None:
        """Enable an account again. Former sessions stay ended."""
        await self._accounts.set_disabled(account.identity, disabled=False)
        await self._audit.note("user.enabled", None, COMMAND_LINE, subject=subject_of(account.identity))

    async def delete(self, account: Account) -> None:
        """Delete an account with its sessions. Threads and other data stay: `backchannel erase` deletes those."""
        await self._accounts.set_disabled(account.identity, disabled=True)
        await self._sessions.end_all(account.identity, COMMAND_LINE, "disabled", actor=None)
        await self._accounts.delete(account.identity)
        await self._audit.note("user.deleted", None, COMMAND_LINE, subject=subject_of(account.identity))
        await self._sessions.store.delete_all(account.identity)


def checked_scopes(scopes: Collection[str]) -> frozenset[str]:
    """The scopes.

    Raises:
        InvalidInputError: One of them cannot be a scope.
    """
    for scope in scopes:
        if scope == ALL or not _SCOPE.fullmatch(scope):
            raise InvalidInputError(f"{scope[:60]!r} cannot be a scope: use letters, digits, and : . _ -")
    return frozenset(scopes)


def later_than(moment: datetime) -> datetime:
    """The present, or `moment` if the clock was set back: two passwords never have the same time."""
    now = utc_now()
    return max(now, moment + timedelta(microseconds=1))
