"""Logging in with a name and a password."""

from collections.abc import Callable
from datetime import datetime

import structlog

from backchannel.accounts.guessing import Attempt, GuessingLimits
from backchannel.accounts.names import normalised
from backchannel.accounts.passwords import Passwords
from backchannel.audit import Audit, subject_of
from backchannel.context import Identity
from backchannel.errors import UnauthenticatedError, UnavailableError
from backchannel.sessions.refusals import DISABLED
from backchannel.stores.sql.accounts import Account, SqlAccounts
from backchannel.stores.times import utc_now
from backchannel.web.clients import Client

WRONG = "The name or the password is wrong."

_NOBODY = Identity("-", tenant="-")

log = structlog.get_logger(__name__)


class Logins:
    """Checks names and passwords. An unknown name costs as much, and says as little, as a wrong password."""

    def __init__(
        self,
        accounts: SqlAccounts,
        passwords: Passwords,
        limits: GuessingLimits,
        audit: Audit,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.accounts = accounts
        self._passwords = passwords
        self.limits = limits
        self._audit = audit
        self._clock = clock

    async def check(self, name: str, password: str, client: Client) -> Account:
        """The account of a name and its password.

        Raises:
            UnauthenticatedError: One of them is wrong, or the account is disabled. The latter is only said to those who
                know the password.
            TooManyAttemptsError: Too many logins have failed; see `GuessingLimits`.
            UnavailableError: The database cannot be reached, or too many people are logging in.
        """
        normal = normalised(name)
        account = await self.accounts.find_by_name(normal or "")
        owner = account.identity if account is not None else _NOBODY
        known = await self.accounts.knows_address(owner, client.network)
        attempt = self.limits.attempt(normal or name[:200], client.network, known=known)

        async def check_limits() -> None:
            await self.limits.check(attempt, self._clock())

        await check_limits()
        stored = account.password_hash if account is not None else None
        # Again when it is this attempt's turn: others that waited with it may have failed meanwhile.
        right, updated = await self._passwords.verify(
            password, stored, before=check_limits, failed=lambda: self._refuse(account, attempt, client)
        )
        if account is None or not right:
            raise UnauthenticatedError(WRONG)
        if account.disabled:
            await self._audit.note("login.disabled", None, client, subject=subject_of(account.identity))
            raise UnauthenticatedError(DISABLED)
        await self._remember(account, attempt, client, updated)
        return account

    async def _refuse(self, account: Account | None, attempt: Attempt, client: Client) -> None:
        # A name without an account is not recorded: people type their password into the wrong field.
        subject = subject_of(account.identity) if account is not None else None
        delayed = await self.limits.failed(attempt, self._clock())
        await self._audit.note("login.failed", None, client, subject=subject)
        if delayed:
            await self._audit.note("login.delayed", None, client, subject=subject)

    async def _remember(
        self, account: Account, attempt: Attempt, client: Client, updated: str | None
    ) -> None:
        try:
            await self.limits.succeeded(attempt)
            await self.accounts.remember_address(account.identity, client.network)
            if updated is not None:
                await self.accounts.rehash(account.identity, account.password_hash, updated)
        except UnavailableError as error:
            # The login is not refused for it.
            log.warning("login_not_remembered", reason=error.message)


__all__ = ["WRONG", "Account", "Logins"]
